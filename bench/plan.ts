// How much is measured: the quick plan is a smoke test of some two minutes, the full one gives the figures of docs/PERFORMANCE.md.

export interface Plan {
  readonly name: 'quick' | 'full';
  readonly rounds: number;
  readonly agents: readonly number[];
  /** How long messages flow; then all of them have to arrive. */
  readonly burstMs: number;
  readonly roundTrips: number;
  /** Agents that come back at once, and that are idle when memory is measured. */
  readonly crowd: number;
  readonly crowdRounds: number;
  readonly daemonStarts: number;
  /** Real daemons that send with a disk of their own. */
  readonly daemons: number;
}

export const FULL: Plan = {
  name: 'full',
  rounds: 5,
  agents: [1, 20, 200],
  burstMs: 3_000,
  roundTrips: 500,
  crowd: 2_000,
  crowdRounds: 3,
  daemonStarts: 7,
  daemons: 4,
};
export const QUICK: Plan = {
  name: 'quick',
  rounds: 2,
  agents: [1, 20, 200],
  burstMs: 600,
  roundTrips: 100,
  crowd: 300,
  crowdRounds: 2,
  daemonStarts: 3,
  daemons: 2,
};
