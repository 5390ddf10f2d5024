// A fleet over two nodes that grows step by step: at each size all are online and idle for a time. At the last one a part
// of it reconnects at once. Then the smaller fleet that one node can hold loses its other node.
import { textOf } from '../../../shared/errors.ts';
import type { Target } from '../../load/driver.ts';
import { RestClient } from '../../load/rest.ts';
import type { NodesPeer, RunningNodes } from '../../peers/nodes.ts';
import type { Plan } from '../../plan.ts';
import { pause } from '../../process.ts';
import type { Check, Outcome, Series } from '../../result.ts';
import { agentsText } from '../throughput.ts';
import { DIALLED_AT_ONCE, LOADS, Loads, SETTLE_MS } from './loads.ts';

/** Of agents that answer their heartbeats beside the others. */
const MOST_OF_PROCESS = 2_500;
/** More than the default; more than all of them, which are counted a moment later at the other node. */
const MAX_AGENTS = 40_000;
/** Two nodes say who is online within this: the ends of sessions are written behind the logins. */
const AGREE_MS = 60_000;

class FleetRun {
  readonly series: Series[] = [];
  readonly checks: Check[] = [];
  readonly #peer: NodesPeer;
  readonly #plan: Plan;
  readonly #running: RunningNodes;
  readonly #loads: Loads[] = [];
  #agents = 0;

  constructor(peer: NodesPeer, plan: Plan, running: RunningNodes) {
    this.#peer = peer;
    this.#plan = plan;
    this.#running = running;
  }

  async run(): Promise<void> {
    await this.#running.centrals[0]?.rest('PATCH', '/parameters', { 'agents.max': MAX_AGENTS });
    const bare = await this.#running.memoryBytes();
    for (const size of this.#plan.nodeFleet) await this.#grow(size, bare);
    await this.#wave();
    const lost: Check = { peer: this.#peer.name, what: 'a node ends: all its agents came', expected: 1, found: 0 };
    // What was measured before is worth its table.
    const found = await this.#loseNode().then(
      () => 1,
      (error: unknown) => {
        console.error(textOf(error));
        return 0;
      },
    );
    this.checks.push({ ...lost, found });
  }

  async stop(): Promise<void> {
    for (const load of this.#loads) await load.stop();
  }

  async #grow(size: number, bare: number): Promise<void> {
    const running = this.#running;
    const from = this.#agents;
    const { taken, centralMs, postgresMs } = await this.#cost(async () => {
      for (let added: number; this.#agents < size; this.#agents += added) {
        added = Math.min(LOADS * MOST_OF_PROCESS, size - this.#agents);
        const load = new Loads(running, added, LOADS, this.#agents);
        this.#loads.push(load);
        await load.open(DIALLED_AT_ONCE);
      }
    });
    const each = (ms: number): number => ms / (size - from);
    this.#note('the last ones connect, per agent', size, 'ms', each(taken));
    this.#note('the last ones connect: processor time of all Centrals, per agent', size, 'ms', each(centralMs));
    this.#note('the last ones connect: processor time of PostgreSQL, per agent', size, 'ms', each(postgresMs));
    await pause(SETTLE_MS);
    const idle = await running.delaysDuring(() => this.#cost(() => pause(this.#plan.nodeIdleMs)));
    const perSecond = (ms: number): number => ms / (this.#plan.nodeIdleMs / 1000);
    this.#note('idle: processor time of all Centrals', size, 'ms/s', perSecond(idle.result.centralMs));
    this.#note('idle: processor time of PostgreSQL', size, 'ms/s', perSecond(idle.result.postgresMs));
    this.#note('idle: delay of the event loop, p99', size, 'ms', Math.max(...idle.delays));
    this.#note('memory of all Centrals, per agent', size, 'KiB', ((await running.memoryBytes()) - bare) / size / 1024);
    await this.#expectOnline(size, 'are online');
  }

  /** A part of the largest fleet is cut off and comes back at once, each agent to its node. */
  async #wave(): Promise<void> {
    const [wave] = this.#loads;
    const waved = Math.min(LOADS * MOST_OF_PROCESS, this.#plan.nodeFleet[0] ?? 0);
    const { result, delays } = await this.#running.delaysDuring(async () => {
      await wave?.close();
      return await this.#cost(async () => void (await wave?.open()));
    });
    this.#note(`a wave reconnects at once, beside ${this.#agents - waved}`, waved, 'ms', result.taken);
    this.#note('the wave: processor time of all Centrals, per agent', waved, 'ms', result.centralMs / waved);
    this.#note('the wave: processor time of PostgreSQL, per agent', waved, 'ms', result.postgresMs / waved);
    this.#note('the wave: delay of the event loop, p99', waved, 'ms', Math.max(...delays));
    await this.#expectOnline(this.#agents, 'are online behind the wave', this.#agents - waved);
  }

  /** One node ends without a word, and all its agents come to the other one. */
  async #loseNode(): Promise<void> {
    // A process holds so many descriptors: the other node has to have room for all of them.
    while (this.#loads.length > 1 && this.#agents > this.#plan.nodeFailover) {
      const last = this.#loads.pop();
      await last?.close();
      await last?.stop();
      this.#agents -= last?.count ?? 0;
    }
    await this.#expectOnline(this.#agents, 'are online before a node ends');
    const [, lost] = this.#running.centrals;
    const moving = this.#agents / 2;
    for (const load of this.#loads) await load.moveTo(0);
    const { result, delays } = await this.#running.delaysDuring(() =>
      this.#cost(async () => {
        if (lost !== undefined) process.kill(lost.program.pid, 'SIGKILL');
        await Promise.all(this.#loads.map((load) => load.moved()));
      }),
    );
    this.#note(`a node ends: its agents come to the other one, which has ${moving}`, moving, 'ms', result.taken);
    this.#note('a node ends: processor time of PostgreSQL, per agent', moving, 'ms', result.postgresMs / moving);
    this.#note('a node ends: delay of the event loop of the other one, p99', moving, 'ms', Math.max(...delays));
    await this.#expectOnline(this.#agents, 'are online behind the end of a node');
  }

  async #cost(run: () => Promise<void>): Promise<{ taken: number; centralMs: number; postgresMs: number }> {
    const [startedAt, before] = [performance.now(), await this.#running.used()];
    await run();
    const [taken, after] = [performance.now() - startedAt, await this.#running.used()];
    return {
      taken,
      centralMs: after.centralMs - before.centralMs,
      postgresMs: after.postgresMs - before.postgresMs,
    };
  }

  #note(measure: string, agents: number, unit: string, value: number): void {
    const [size, samples] = [agentsText(agents), { [this.#peer.name]: [value] }];
    this.series.push({ measure: `nodes: fleet, ${measure}`, size, unit, better: 'less', samples });
  }

  /** As each node that is alive says, of the list of agents and of the list of nodes. `kept`: so many never reconnected. */
  async #expectOnline(expected: number, what: string, kept?: number): Promise<void> {
    for (const [index, target] of this.#running.targets.entries()) {
      if (this.#running.centrals[index]?.program.running !== true) continue;
      const found = await presenceAt(target, expected);
      const check = (text: string, wanted: number, count: number): void =>
        void this.checks.push({
          peer: this.#peer.name,
          what: `${text}, as node ${index + 1} says`,
          expected: wanted,
          found: count,
        });
      check(`${expected} agents ${what}`, expected, found.online);
      check(`sessions of all nodes, when ${expected} agents ${what}`, expected, found.sessions);
      if (kept !== undefined) check('sessions that the others kept', kept, found.kept);
    }
  }
}

export async function fleet(peer: NodesPeer, plan: Plan): Promise<Outcome> {
  const running = await peer.start();
  const run = new FleetRun(peer, plan, running);
  try {
    await run.run();
    return { series: run.series, checks: run.checks };
  } finally {
    await run.stop();
    await running.stop();
  }
}

async function presenceAt(
  target: Target,
  expected: number,
): Promise<{ readonly online: number; readonly kept: number; readonly sessions: number }> {
  const rest = new RestClient(target, 1);
  try {
    for (const until = performance.now() + AGREE_MS; ; await pause(1_000)) {
      const agents = await rest.sessions();
      const online = agents.filter(({ state }) => state === 'online');
      const sessions = await rest.sessionsOfNodes();
      const found = { online: online.length, kept: online.filter(({ epoch }) => epoch === 1).length, sessions };
      if ((found.online === expected && sessions === expected) || performance.now() > until) return found;
    }
  } finally {
    rest.close();
  }
}
