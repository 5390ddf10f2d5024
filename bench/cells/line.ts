// One peer with its load processes, ready to be measured round by round beside the others.
import { Child } from '../child.ts';
import type { Dialled, LoadDriver } from '../load/driver.ts';
import type { Peer, RunningPeer, StartOptions } from '../peers/peer.ts';
import { processorMsOf } from '../process.ts';

/** The machine has few cores: two processes hold all agents of a peer, and one its producer. */
const LOAD_PROCESSES = 2;
/** Of each of them, where the dialling is not what is measured. */
const DIALS_AT_ONCE = 100;

export class Line {
  readonly peer: Peer;
  readonly running: RunningPeer;
  readonly agents: number;
  readonly loads: readonly Child<LoadDriver>[];
  /** Sends commands; its own process. */
  readonly producer: Child<LoadDriver>;

  private constructor(peer: Peer, running: RunningPeer, agents: number) {
    this.peer = peer;
    this.running = running;
    this.agents = agents;
    const load = (): Child<LoadDriver> => new Child<LoadDriver>('load/main.ts', { args: [peer.driver] });
    this.loads = Array.from({ length: Math.min(LOAD_PROCESSES, agents) }, load);
    this.producer = load();
  }

  /** Starts server and load processes; the agents are not yet connected. */
  static async start(peer: Peer, agents: number, options: StartOptions = {}): Promise<Line> {
    return new Line(peer, await peer.start(options), agents);
  }

  /**
   * Connects all agents at once, or so many of each load process. Milliseconds until the last was welcomed, and how
   * often one had to dial again.
   */
  async open(atOnce?: number): Promise<Dialled> {
    const share = Math.ceil(this.agents / this.loads.length);
    const startedAt = performance.now();
    const dialled = await Promise.all(
      this.loads.map((load, i) =>
        load.call('open', this.running.target, i * share, Math.min(share, this.agents - i * share), atOnce ?? share),
      ),
    );
    return { ms: performance.now() - startedAt, retries: dialled.reduce((sum, { retries }) => sum + retries, 0) };
  }

  async close(): Promise<void> {
    await Promise.all(this.loads.map((load) => load.call('close')));
  }

  /** Processor time that the server has used so far, in milliseconds; NaN where the system does not tell. */
  async serverMs(): Promise<number> {
    return (await processorMsOf(this.running.pid)) ?? Number.NaN;
  }

  async all<T>(run: (load: Child<LoadDriver>) => Promise<T>): Promise<T[]> {
    return await Promise.all(this.loads.map(run));
  }

  /** Ends load and server; what the server has stored. */
  async stop(): Promise<number | undefined> {
    await Promise.all([...this.loads, this.producer].map((load) => load.stop()));
    return await this.running.stop();
  }
}

/** Starts a line per peer; every peer has its turn in every round, each round begins with another. */
export async function inRounds(
  peers: readonly Peer[],
  agents: number,
  rounds: number,
  each: (line: Line) => Promise<void>,
  options: StartOptions = {},
): Promise<Map<Line, number | undefined>> {
  const lines: Line[] = [];
  const stored = new Map<Line, number | undefined>();
  let stopped: PromiseSettledResult<void>[];
  try {
    for (const peer of peers) lines.push(await Line.start(peer, agents, options));
    for (const line of lines) await line.open(DIALS_AT_ONCE);
    for (let round = 0; round < rounds; round += 1) {
      for (let i = 0; i < lines.length; i += 1) {
        const line = lines[(i + round) % lines.length];
        if (line !== undefined) await each(line);
      }
    }
  } finally {
    stopped = await Promise.allSettled(lines.map(async (line) => void stored.set(line, await line.stop())));
  }
  for (const outcome of stopped) if (outcome.status === 'rejected') throw outcome.reason;
  return stored;
}
