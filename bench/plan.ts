// How much is measured: the quick plan is a smoke test of some two minutes, the full one gives the figures of
// docs/PERFORMANCE.md.

export interface Plan {
  readonly name: 'quick' | 'full';
  readonly rounds: number;
  readonly agents: readonly number[];
  /** More agents that send at once, beside raw sockets alone: brokers' clients take minutes to connect so many. */
  readonly manyAgents: number;
  /** How long messages flow; then all of them have to arrive. */
  readonly burstMs: number;
  readonly roundTrips: number;
  /** Agents that come back at once, and that are idle when memory is measured. */
  readonly crowd: number;
  readonly crowdRounds: number;
  /** Events in the store when it is measured again, and read and trimmed. */
  readonly storedEvents: number;
  readonly listedAgents: number;
  /** Agents that are connected while lists are read. */
  readonly fleet: number;
  /** So many of them are cut off and come back. */
  readonly fleetCut: number;
  /** After that the others are watched; a session that misses heartbeats ends after 38 s. */
  readonly fleetWatchMs: number;
  readonly backlogAgents: number;
  /** Of each of them. */
  readonly backlogEvents: number;
  readonly daemonStarts: number;
  /** Real daemons that send with a disk of their own. */
  readonly daemons: number;
  /** Agents that send events to one, two and three nodes. */
  readonly nodeAgents: number;
  /** Agents that reconnect at once over one node and over two. */
  readonly nodeCrowd: number;
  readonly nodeCrowdRounds: number;
  /** Agents over two nodes, step by step. */
  readonly nodeFleet: readonly number[];
  /** Of these, so many are online when one of the two nodes ends. */
  readonly nodeFailover: number;
  /** So long they are idle at each step: some heartbeats. */
  readonly nodeIdleMs: number;
  /** Of a download through a service. */
  readonly serviceBytes: number;
}

export const FULL: Plan = {
  name: 'full',
  rounds: 5,
  agents: [1, 20, 200],
  manyAgents: 2_000,
  burstMs: 3_000,
  roundTrips: 500,
  crowd: 2_000,
  crowdRounds: 3,
  storedEvents: 10_000_000,
  listedAgents: 10_000,
  fleet: 10_000,
  fleetCut: 2_000,
  fleetWatchMs: 45_000,
  backlogAgents: 600,
  backlogEvents: 5_000,
  daemonStarts: 7,
  daemons: 4,
  nodeAgents: 200,
  nodeCrowd: 5_000,
  nodeCrowdRounds: 2,
  nodeFleet: [5_000, 10_000, 20_000],
  nodeFailover: 10_000,
  nodeIdleMs: 20_000,
  serviceBytes: 256 * 1024 * 1024,
};
export const QUICK: Plan = {
  name: 'quick',
  rounds: 2,
  agents: [1, 20, 200],
  manyAgents: 300,
  burstMs: 600,
  roundTrips: 100,
  crowd: 300,
  crowdRounds: 2,
  storedEvents: 200_000,
  listedAgents: 1_000,
  fleet: 300,
  fleetCut: 60,
  fleetWatchMs: 1_000,
  backlogAgents: 200,
  backlogEvents: 500,
  daemonStarts: 3,
  daemons: 2,
  nodeAgents: 60,
  nodeCrowd: 200,
  nodeCrowdRounds: 1,
  nodeFleet: [100, 200],
  nodeFailover: 200,
  nodeIdleMs: 1_000,
  serviceBytes: 16 * 1024 * 1024,
};
