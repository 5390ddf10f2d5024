// Load processes with their agents, spread over several nodes.
import { Child } from '../../child.ts';
import type { MovingLoad } from '../../load/driver.ts';
import type { RunningNodes } from '../../peers/nodes.ts';

/** Two hold all agents where nodes are compared: as much load for each of them. Three nodes have one each. */
export const LOADS = 2;
export const DIALLED_AT_ONCE = 100;
/** What follows a wave of logins is over. */
export const SETTLE_MS = 3_000;

export class Loads {
  /** Agents. */
  readonly count: number;
  readonly #nodes: RunningNodes;
  readonly #loads: { readonly child: Child<MovingLoad>; readonly from: number; readonly count: number }[] = [];

  #movedTo: number | undefined;

  constructor(running: RunningNodes, agents: number, processes: number, from = 0) {
    this.#nodes = running;
    this.count = agents;
    const share = Math.ceil(agents / processes);
    for (let at = 0; at < agents; at += share) {
      const child = new Child<MovingLoad>('load/main.ts', { args: ['queuegate-reporting'] });
      this.#loads.push({ child, from: from + at, count: Math.min(share, agents - at) });
    }
  }

  /** Milliseconds until the last one is welcomed; all at once unless `atOnce` of each process. */
  async open(atOnce?: number): Promise<number> {
    const startedAt = performance.now();
    await this.#all((load, target, { from, count }) => load.call('open', target, from, count, atOnce ?? count));
    return performance.now() - startedAt;
  }

  async close(): Promise<void> {
    await this.#all((load) => load.call('close'));
  }

  /** All that was acknowledged so far, when all of it is. */
  async flowUp(on: boolean): Promise<number> {
    const counts = await this.#all((load) => load.call('flowUp', on));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Agents of the node with this index go to another one when their sessions end. */
  async moveTo(index: number): Promise<void> {
    const { targets } = this.#nodes;
    const [from, to] = [targets[1 - index], targets[index]];
    await this.#all(async (load, target) => {
      if (to !== undefined && target === from) await load.call('moveTo', to);
    });
    this.#movedTo = index;
  }

  /** Until all of them are there; attempts that failed. */
  async moved(): Promise<number> {
    const from = this.#nodes.targets[1 - (this.#movedTo ?? 0)];
    const moves = await this.#all(async (load, target) => (target === from ? (await load.call('moved')).retries : 0));
    return moves.reduce((sum, retries) => sum + retries, 0);
  }

  async stop(): Promise<void> {
    for (const { child } of this.#loads) await child.stop();
  }

  #all<T>(
    run: (
      load: Child<MovingLoad>,
      target: RunningNodes['targets'][number],
      range: { readonly from: number; readonly count: number },
    ) => Promise<T>,
  ): Promise<T[]> {
    const { targets } = this.#nodes;
    return Promise.all(
      this.#loads.map((load, index) => {
        const target = targets[index % targets.length];
        if (target === undefined) throw new Error('there is a node');
        return run(load.child, target, load);
      }),
    );
  }
}
