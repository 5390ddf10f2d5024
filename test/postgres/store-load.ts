// Agents that send events to several stores on one database, as sessions would: each claims its log at one node, sends
// some frames, and goes to another one, also while an append is on its way. What was acknowledged is kept, and compared
// with what is in the store.
import { setTimeout as delay } from 'node:timers/promises';
import type { Store } from '../../central/store/store.ts';
import { isCoded } from '../../shared/errors.ts';
import { claimOf, message, registered } from '../central/store/samples.ts';
import { framesOf } from '../shared/delivery/frames.ts';

export interface LoadCounts {
  acknowledged: number;
  claims: number;
  /** Appends whose session was taken over meanwhile. */
  fenced: number;
  /** The longest time that an append took. */
  slowestMs: number;
}

/** What is wrong with what a store has. */
export interface Findings {
  /** Acknowledged, and not there. */
  readonly lost: string[];
  readonly doubled: string[];
  /** Behind one with a higher number. */
  readonly disordered: string[];
  readonly events: number;
}

export const NOTHING_WRONG = { lost: [], doubled: [], disordered: [] };

interface Sender {
  readonly id: string;
  /** The last number that was acknowledged. */
  acknowledged: number;
  readonly deduplicates: boolean;
}

export class StoreLoad {
  readonly counts: LoadCounts = { acknowledged: 0, claims: 0, fenced: 0, slowestMs: 0 };
  /** Positions that a claim gave and that are behind what was acknowledged. */
  readonly forgotten: string[] = [];
  readonly #stores: readonly Store[];
  readonly #agents: Sender[] = [];
  readonly #random: () => number;
  #running: Promise<unknown> | undefined;
  #isStopping = false;
  #sessions = 0;

  constructor(stores: readonly Store[], random: () => number = Math.random) {
    this.#stores = stores;
    this.#random = random;
  }

  async enroll(count: number): Promise<void> {
    const [store] = this.#stores;
    if (store === undefined) throw new Error('no store');
    for (let i = 0; i < count; i += 1) {
      const id = `agent-${String(i).padStart(4, '0')}`;
      await registered(store, id);
      // One in four has its messages looked up one by one: an older agent.
      this.#agents.push({ id, acknowledged: 0, deduplicates: i % 4 !== 0 });
    }
  }

  start(): void {
    this.#running = Promise.all(this.#agents.map((agent) => this.#run(agent)));
  }

  /** Waits until each agent has its last acknowledgement. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async #run(agent: Sender): Promise<void> {
    while (!this.#isStopping) {
      const store = this.#stores[Math.floor(this.#random() * this.#stores.length)];
      if (store === undefined) return;
      await this.#session(agent, store);
      await delay(this.#random() * 5);
    }
  }

  async #session(agent: Sender, store: Store): Promise<void> {
    const { epoch, up } = await store.agents.claimSession(
      claimOf(agent.id, { node: store.nodes?.self.name ?? '', session: `s-${++this.#sessions}`, now: Date.now() }),
    );
    this.counts.claims += 1;
    const at = up?.number ?? 0;
    if (at < agent.acknowledged) this.forgotten.push(`${agent.id}: ${agent.acknowledged}, and the store says ${at}`);
    agent.acknowledged = Math.max(agent.acknowledged, at);
    let next = at + 1;
    await store.inbox.begin(
      agent.id,
      epoch,
      { incarnation: `log of ${agent.id}`, next, missing: null, deduplicates: agent.deduplicates },
      Date.now(),
    );
    const frames = 1 + Math.floor(this.#random() * 6);
    for (let frame = 0; frame < frames && !this.#isStopping; frame += 1) {
      const count = 1 + Math.floor(this.#random() * 8);
      const sent = this.#append(agent, store, epoch, next, count);
      // The session ends while this is on its way: the next one learns what became of it.
      if (frame === frames - 1 && this.#random() < 0.5) {
        void sent.catch(() => undefined);
        await delay(this.#random() * 3);
        return;
      }
      if ((await sent) === 'fenced') return;
      next += count;
    }
  }

  async #append(agent: Sender, store: Store, epoch: number, next: number, count: number): Promise<'taken' | 'fenced'> {
    const items = Array.from({ length: count }, (_, i) => ({
      kind: 'message' as const,
      message: message(`${agent.id}/${next + i}`),
    }));
    const begun = performance.now();
    try {
      const through = await store.inbox.append(agent.id, epoch, next, framesOf(next, items), Date.now());
      this.counts.slowestMs = Math.max(this.counts.slowestMs, performance.now() - begun);
      this.counts.acknowledged += through - next + 1;
      agent.acknowledged = Math.max(agent.acknowledged, through);
      return 'taken';
    } catch (error) {
      if (!isCoded(error, 'stale_epoch')) throw error;
      this.counts.fenced += 1;
      return 'fenced';
    }
  }

  /** Compares what the store has with what was acknowledged. */
  check(ids: readonly string[]): Findings {
    const findings: Findings = { lost: [], doubled: [], disordered: [], events: ids.length };
    const seen = new Map<string, Set<number>>();
    const last = new Map<string, number>();
    for (const id of ids) {
      const [agent = '', number = ''] = id.split('/');
      const numbers = seen.get(agent) ?? new Set();
      seen.set(agent, numbers);
      if (numbers.has(Number(number))) findings.doubled.push(id);
      numbers.add(Number(number));
      if ((last.get(agent) ?? 0) > Number(number)) findings.disordered.push(id);
      last.set(agent, Number(number));
    }
    for (const { id, acknowledged } of this.#agents)
      for (let number = 1; number <= acknowledged; number += 1)
        if (seen.get(id)?.has(number) !== true) findings.lost.push(`${id}/${number}`);
    return findings;
  }
}

/** Reads events as a consumer does: small pages, from where the last one ended, until `stop`. */
export class Follower {
  readonly ids: string[] = [];
  readonly #store: Store;
  #cursor = 0;
  #running: Promise<void> | undefined;
  #isStopping = false;

  constructor(store: Store) {
    this.#store = store;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Reads to the end. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (;;) {
      const wasStopping = this.#isStopping;
      const events = await this.#store.inbox.read(this.#cursor, {}, 7);
      for (const { cursor, json } of events) {
        this.#cursor = cursor;
        this.ids.push((JSON.parse(json) as { id: string }).id);
      }
      if (events.length > 0) continue;
      if (wasStopping) return;
      await delay(2);
    }
  }
}
