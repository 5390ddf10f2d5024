// What a load process does for a peer; the bench calls it over the line of bench/child.ts. One process holds a range of
// agents.

/** Where a peer's server is, and what its clients need. */
export interface Target {
  readonly url: string;
  /** What the clients trust (PEM). */
  readonly ca: string;
  /** Queuegate only: keys of enrolled agents, and the administrator's way in. */
  readonly agentsFile?: string;
  readonly restUrl?: string;
  readonly token?: string;
}

export interface Count {
  readonly count: number;
  /** Milliseconds on a clock that all processes share. */
  readonly atMs: number;
}

export interface Dialled {
  /** From the first dial to the last welcome. */
  readonly ms: number;
  /** Attempts that failed and were made again. */
  readonly retries: number;
}

export interface LoadDriver {
  /**
   * Connects the agents `from` to `from + count - 1`, all at once. With `atOnce` Queuegate's connect in groups of so
   * many.
   */
  open(target: Target, from: number, count: number, atOnce?: number): Promise<Dialled>;
  /** Leaves with a close frame; resolves when all are closed. */
  close(): Promise<void>;
  /**
   * On: every agent always has a next event. Off: resolves when all that was sent is acknowledged; the number of all
   * since the start.
   */
  flowUp(on: boolean): Promise<number>;
  /** Each agent gets so many events more, which it sends when it is connected. */
  addBacklog(events: number): void;
  /** Events acknowledged to these agents. */
  acknowledged(): Count;
  /** Commands that these agents have received and acknowledged. */
  received(): Count;
  /**
   * A producer of commands to the agents 0 to `agents - 1`. Off: resolves when all are accepted; the number of all
   * since the start.
   */
  produce(on: boolean, target: Target, agents: number): Promise<number>;
  /** Agents answer each command with an event. */
  answer(on: boolean): Promise<void>;
  /**
   * Sends so many commands to agent 0 (of another process), one at a time, and waits for each answer; milliseconds of
   * each.
   */
  roundTrips(target: Target, count: number): Promise<number[]>;
  /**
   * One event at a time from the first agent until the time is over: milliseconds until each is acknowledged, and
   * sessions lost.
   */
  watch(ms: number): Promise<{ readonly acksMs: number[]; readonly lost: number }>;
}

/** Of agents that know another place than the one at which they are. */
export interface MovingLoad extends LoadDriver {
  /** From now on agents whose session ends, or whose attempt fails, dial there. */
  moveTo(target: Target): Promise<void>;
  /** Resolves when all are there; attempts that failed meanwhile. */
  moved(): Promise<Dialled>;
}

export function nowCount(count: number): Count {
  return { count, atMs: performance.timeOrigin + performance.now() };
}

/** For what a peer has no counterpart to. */
export function unsupported(what: string): never {
  throw new Error(`${what} is not measured with this peer`);
}

/** Polls, since the counters of a driver change in many places. */
export async function untilTrue(look: () => boolean, withinMs: number, what: string): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!look()) {
    if (performance.now() > deadline) throw new Error(`${what} took longer than ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * Calls `each` for all agents, a turn of the event loop apart: together, the first windows of a thousand agents keep the
 * process from its sockets for longer than a heartbeat allows, and its sessions end.
 */
export async function inTurns<T>(agents: readonly T[], each: (agent: T) => void): Promise<void> {
  for (const agent of agents) {
    each(agent);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
