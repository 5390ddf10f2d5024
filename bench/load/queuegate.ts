// Load for Central: agents with the product's own connection (agent/connection/connection.ts: hello, signature,
// binding, both logs, heartbeat) over logs in memory, and a producer and consumer of commands over REST.
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  connectOnce,
  type ConnectionEnd,
  type ConnectionPorts,
  type DialPlan,
} from '../../agent/connection/connection.ts';
import type { Identity } from '../../agent/identity/identity.ts';
import { keyThumbprint, readPublicKey } from '../../shared/wire/proof.ts';
import { MemoryInbox, MemoryOutbox } from '../memory-log.ts';
import { messageJson, sourceOf } from '../sample.ts';
import { inTurns, nowCount, untilTrue, type Count, type Dialled, type MovingLoad, type Target } from './driver.ts';
import { RestClient } from './rest.ts';
import { NO_CONTROL, type Control } from '../../agent/connection/control.ts';
import { STREAMS_CAPABILITY } from '../../shared/session/streams/frames.ts';
import { TASKS_CAPABILITY } from '../../shared/wire/tasks/frames.ts';

/** What bench/peers/queuegate.ts writes for each enrolled agent. */
export interface AgentSeed {
  readonly pem: string;
  readonly identity: Identity;
}

/** The log in memory makes each message once, as the outbox of the product does. */
const SILENT: Control = { ...NO_CONTROL, capabilities: ['deduplication'] };
/** Reports behind each welcome what an agent with a consumer, a service and a handler of tasks reports. */
const REPORTING: Control = {
  ...SILENT,
  capabilities: ['consumers', 'deduplication', 'expired', 'releases.1', STREAMS_CAPABILITY, TASKS_CAPABILITY],
  onOnline(send) {
    send({
      type: 'consumers',
      position: null,
      inboxFull: false,
      consumers: [{ name: 'printer', types: ['com.example.print.*'], waitingFrom: null, waitingCount: 0 }],
    });
    send({
      type: 'services',
      services: [{ name: 'status', methods: ['GET'], paths: ['/status'], upgrade: 'viewer' }],
      devicePort: null,
    });
    send({
      type: 'task-handlers',
      accounts: 'two',
      containment: 'cgroup',
      handlers: [
        {
          name: 'restart',
          arguments: 'none',
          argumentPattern: null,
          timeoutSeconds: 60,
          graceSeconds: 5,
          concurrencyCount: 1,
          rerun: false,
        },
      ],
    });
  },
};

/** Two thousand agents hold four million messages in their windows. */
const DRAIN_MS = 180_000;
const DIAL_MS = 240_000;
const MOVE_MS = 600_000;
/**
 * The first attempt after a failed one; each further one waits up to twice as long, at random, as the product's agents
 * do: a thousand that try again at once keep each other from the welcome for ever where the machine has other work.
 */
const RETRY_MS = 100;
const MAX_RETRY_MS = 10_000;
/** Commands per request, and requests at once: enough to keep Central's outboxes filled. */
const BATCH = 500;
const REQUESTS = 4;

interface BenchAgent {
  readonly index: number;
  plan: DialPlan;
  readonly outbox: MemoryOutbox;
  readonly inbox: MemoryInbox;
  online: boolean;
  ended: boolean;
  notify: () => void;
  /** Attempts in a row that failed. */
  failures: number;
}

export class QueuegateLoad implements MovingLoad {
  #agents: BenchAgent[] = [];
  #stop = new AbortController();
  #received = 0;
  #answering = false;
  #retries = 0;
  #lost = 0;
  #elsewhere: DialPlan['target'] | undefined;
  readonly #control: Control;
  readonly #reported = new Set<string>();
  #onAcknowledged: ((through: number) => void) | undefined;
  #producing: Promise<number> | undefined;
  #producerOn = false;

  constructor({ reports = false } = {}) {
    this.#control = reports ? REPORTING : SILENT;
  }

  async open(target: Target, from: number, count: number, atOnce = count): Promise<Dialled> {
    if (this.#agents.length === 0)
      this.#agents = readSeeds(target)
        .slice(from, from + count)
        .map((seed, i) => this.#agent(seed, target, from + i));
    const startedAt = performance.now();
    this.#stop = new AbortController();
    this.#retries = 0;
    for (let at = 0; at < count; at += atOnce) {
      const next = this.#agents.slice(at, at + atOnce);
      for (const agent of next) this.#dial(agent, this.#stop.signal);
      await untilTrue(() => next.every(({ online }) => online), DIAL_MS, `dialling ${next.length} of ${count} agents`);
    }
    return { ms: performance.now() - startedAt, retries: this.#retries };
  }

  async moveTo(target: Target): Promise<void> {
    this.#elsewhere = dialled(target);
    this.#retries = 0;
  }

  async moved(): Promise<Dialled> {
    const startedAt = performance.now();
    const isThere = ({ online, plan }: BenchAgent): boolean => online && plan.target === this.#elsewhere;
    await untilTrue(() => this.#agents.every(isThere), MOVE_MS, 'moving to another node');
    return { ms: performance.now() - startedAt, retries: this.#retries };
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await untilTrue(() => this.#agents.every(({ ended }) => ended), DRAIN_MS, 'closing');
  }

  async flowUp(on: boolean): Promise<number> {
    const turn = (agent: BenchAgent): void => {
      agent.outbox.flow(on);
      agent.notify();
    };
    if (on) await inTurns(this.#agents, turn);
    else this.#agents.forEach(turn);
    if (!on) await untilTrue(() => this.#agents.every(({ outbox }) => outbox.drained), DRAIN_MS, 'draining');
    return this.acknowledged().count;
  }

  addBacklog(events: number): void {
    for (const { outbox, notify } of this.#agents) {
      outbox.add(events);
      notify();
    }
  }

  acknowledged(): Count {
    let count = 0;
    for (const { outbox } of this.#agents) count += outbox.acknowledged;
    return nowCount(count);
  }

  received(): Count {
    return nowCount(this.#received);
  }

  async answer(on: boolean): Promise<void> {
    this.#answering = on;
  }

  async produce(on: boolean, target: Target, agents: number): Promise<number> {
    this.#producerOn = on;
    this.#producing ??= this.#produceAll(target, readSeeds(target).slice(0, agents));
    if (on) return 0;
    const produced = await this.#producing;
    this.#producing = undefined;
    return produced;
  }

  async roundTrips(target: Target, count: number): Promise<number[]> {
    const [reading, sending] = [new RestClient(target, 1), new RestClient(target, 1)];
    const [first] = readSeeds(target);
    const run = randomBytes(3).toString('hex');
    let after = (await reading.events('newest', 0)).next;
    const taken: number[] = [];
    for (let number = 1; number <= count; number += 1) {
      const answered = reading.events(after, 30);
      const startedAt = performance.now();
      await sending.commands(first?.identity.id ?? '', messageJson('/central/bench', run, number));
      const page = await answered;
      taken.push(performance.now() - startedAt);
      if (page.count !== 1) throw new Error(`${page.count} answers to one command`);
      after = page.next;
    }
    reading.close();
    sending.close();
    return taken;
  }

  async watch(ms: number): Promise<{ acksMs: number[]; lost: number }> {
    const acksMs: number[] = [];
    const [agent] = this.#agents;
    if (agent === undefined) throw new Error('no agent');
    this.#lost = 0;
    const until = performance.now() + ms;
    while (performance.now() < until) {
      const startedAt = performance.now();
      await new Promise<void>((resolve) => {
        const number = agent.outbox.add();
        this.#onAcknowledged = (through) => (through >= number ? resolve() : undefined);
        agent.notify();
      });
      acksMs.push(performance.now() - startedAt);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { acksMs, lost: this.#lost };
  }

  #agent(seed: AgentSeed, target: Target, index: number): BenchAgent {
    const privateKey = createPrivateKey(seed.pem);
    const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).toString('base64');
    const readable = readPublicKey(publicKey);
    if (readable === undefined) throw new Error('the key of a bench agent is damaged');
    const outbox = new MemoryOutbox(sourceOf(index), (through) => this.#onAcknowledged?.(through));
    const agent: BenchAgent = {
      index,
      outbox,
      inbox: new MemoryInbox((count) => {
        this.#received += count;
        if (!this.#answering) return;
        for (let i = 0; i < count; i += 1) outbox.add();
        agent.notify();
      }),
      plan: {
        target: dialled(target),
        ca: [target.ca],
        truststore: 'the bench',
        key: { privateKey, pem: seed.pem, publicKey, thumbprint: keyThumbprint(readable) },
        identity: seed.identity,
        name: seed.identity.name,
        version: 'bench',
        bootId: randomBytes(24).toString('base64url'),
        proxied: false,
        release: null,
      },
      online: false,
      ended: true,
      notify: () => undefined,
      failures: 0,
    };
    return agent;
  }

  #dial(agent: BenchAgent, signal: AbortSignal): void {
    agent.ended = false;
    const ports: ConnectionPorts = {
      outbox: agent.outbox,
      inbox: agent.inbox,
      now: Date.now,
      control: this.#control,
      onOnline: (online) => {
        agent.online = true;
        agent.failures = 0;
        agent.notify = () => online.notify();
      },
    };
    void connectOnce(agent.plan, ports, signal).then((end) => {
      if (agent.online && !signal.aborted) this.#lost += 1;
      agent.online = false;
      agent.notify = () => undefined;
      if (signal.aborted) {
        agent.ended = true;
        return;
      }
      this.#retries += 1;
      this.#report(end.reason);
      const most = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** agent.failures);
      agent.failures += 1;
      const waitMs = Math.max(RETRY_MS, Math.random() * most, end.retryAfterMs);
      if (this.#elsewhere !== undefined) agent.plan = { ...agent.plan, target: this.#elsewhere };
      setTimeout(() => this.#dial(agent, signal), waitMs);
    });
  }

  /** Each cause once. */
  #report({ code, message }: ConnectionEnd['reason']): void {
    if (this.#reported.has(code)) return;
    this.#reported.add(code);
    console.error(`an agent dials again: ${message} (${code})`);
  }

  async #produceAll(target: Target, seeds: readonly AgentSeed[]): Promise<number> {
    const rest = new RestClient(target, REQUESTS);
    const run = randomBytes(3).toString('hex');
    const numbers = seeds.map(() => 0);
    let produced = 0;
    let turn = 0;
    const produceOn = async (): Promise<void> => {
      while (this.#producerOn) {
        const at = turn % seeds.length;
        turn += 1;
        const first = (numbers[at] ?? 0) + 1;
        numbers[at] = first + BATCH - 1;
        const source = `/central/${String(at).padStart(5, '0')}`;
        const batch = Array.from({ length: BATCH }, (_, i) => messageJson(source, run, first + i));
        const body = `[${batch.join(',')}]`;
        // 503: this outbox is full. The next one may not be; the batch is kept for its agent.
        while (!(await rest.commands(seeds[at]?.identity.id ?? '', body)))
          await new Promise((resolve) => setTimeout(resolve, 2));
        produced += BATCH;
      }
    };
    await Promise.all(Array.from({ length: REQUESTS }, produceOn));
    rest.close();
    return produced;
  }
}

function dialled({ url }: Target): DialPlan['target'] {
  const { hostname: host, port } = new URL(url);
  return { secure: true, host, port: Number(port) };
}

function readSeeds(target: Target): AgentSeed[] {
  // Written by bench/peers/queuegate.ts.
  return JSON.parse(readFileSync(target.agentsFile ?? '', 'utf8')) as AgentSeed[];
}
