// The shape of what was measured: one series per measure, with the samples of each peer round by round.

export interface Series {
  /** events up, commands down, command and answer, reconnect, memory, daemon. */
  readonly measure: string;
  /** The size: agents, or what else was varied. */
  readonly size: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
  /** By name of the peer, one sample per round. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

export interface Check {
  readonly peer: string;
  readonly what: string;
  readonly expected: number;
  readonly found: number;
}

export interface Outcome {
  readonly series: Series[];
  readonly checks: Check[];
}

export const OURS = 'Queuegate';
export const RAW = 'raw ws';
/** Centrals on one PostgreSQL. */
export const ONE_NODE = 'one node, PostgreSQL';
export const TWO_NODES = '2 nodes, PostgreSQL';
/** The size of a store that has filled up; how much that is depends on the plan. */
export const FILLED = 'filled';
