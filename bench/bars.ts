// The goals of docs/PERFORMANCE.md, computed from what was measured. A bar that is missed fails no run: the machine
// and who else uses it decide too. A check that is missed does.
import { median, ratios } from './figures.ts';
import { FILLED, ONE_NODE, OURS, RAW, TWO_NODES, type Series } from './result.ts';

export interface Bar {
  readonly text: string;
  /** Undefined where the peer was not there. */
  readonly found: number | undefined;
  readonly reached: boolean | undefined;
}

interface Definition {
  readonly text: string;
  readonly measure: string;
  readonly size?: string;
  /** Whose value it is; absent: Queuegate's. */
  readonly of?: string;
  /** Absent: the value itself. */
  readonly against?: string;
  readonly bound: number;
}

const SYNCED = `${RAW}, synced`;
const PER_EVENT = 'events up: processor time of the server, by what is stored';

const BARS: readonly Definition[] = [
  {
    text: 'events up, 20 agents: at least 5 times NATS JetStream',
    measure: 'events up',
    size: '20 agents',
    against: 'NATS JetStream',
    bound: 5,
  },
  {
    text: 'events up, 20 agents: at least 0.2 of raw ws',
    measure: 'events up',
    size: '20 agents',
    against: RAW,
    bound: 0.2,
  },
  {
    text: 'processor time of the server per event, store empty: at most 5.5 us',
    measure: PER_EVENT,
    size: 'empty',
    bound: 5.5,
  },
  {
    text: 'processor time of the server per event, store filled: at most 5.5 us',
    measure: PER_EVENT,
    size: FILLED,
    bound: 5.5,
  },
  {
    text: 'written to disk per event of 200 bytes, store filled: at most 520 bytes',
    measure: 'events up: written to disk per event of 200 bytes',
    size: FILLED,
    bound: 520,
  },
  {
    text: 'events by a type that does not occur: at most 50 ms',
    measure: 'events by a type that does not occur',
    bound: 50,
  },
  {
    text: 'backlogs: acknowledgement of a new agent, p99, at most 1,000 ms',
    measure: 'backlogs: acknowledgement of a new agent, p99',
    bound: 1_000,
  },
  {
    text: 'backlogs: peak memory of the server at most 500 MiB',
    measure: 'backlogs: peak memory of the server',
    bound: 500,
  },
  {
    text: 'backlogs: delay of its event loop, p99, at most 100 ms',
    measure: 'backlogs: delay of its event loop, p99',
    bound: 100,
  },
  {
    text: 'fleet: a page of agents, p95, at most 300 ms',
    measure: 'fleet: a page of agents, p95',
    bound: 300,
  },
  {
    text: 'fleet: delay of the event loop while pages are read, p99, at most 50 ms',
    measure: 'fleet: delay of the event loop while pages are read, p99',
    bound: 50,
  },
  {
    text: 'goal: command and answer, median, at most 2.5 times the synced echo',
    measure: 'command and answer',
    size: 'median',
    against: SYNCED,
    bound: 2.5,
  },
  {
    text: 'goal: command and answer, p99, at most 2.5 times the synced echo',
    measure: 'command and answer',
    size: 'p99',
    against: SYNCED,
    bound: 2.5,
  },
  {
    text: 'goal: commands down, 20 agents, at least 4 times NATS JetStream',
    measure: 'commands down',
    size: '20 agents',
    against: 'NATS JetStream',
    bound: 4,
  },
  {
    text: 'goal: reconnect, processor time of the server, at most 1.6 times raw TLS and ws',
    measure: 'reconnect: processor time of the server, per agent',
    against: RAW,
    bound: 1.6,
  },
  {
    text: 'reconnect: no session of those already there is lost',
    measure: 'reconnect: sessions lost of those already there',
    bound: 0,
  },
  {
    text: 'goal: memory per idle agent at most 1.12 times raw ws over TLS',
    measure: 'memory per idle agent',
    against: RAW,
    bound: 1.12,
  },
  { text: 'goal: agent daemon at most 70 MiB', measure: 'agent daemon: memory in RAM', bound: 70 },
  {
    text: 'nodes: processor time of PostgreSQL per event, one node: at most 11.8 us',
    measure: 'nodes: processor time of PostgreSQL',
    of: ONE_NODE,
    bound: 11.8,
  },
  {
    text: 'nodes: reconnect over two nodes: at most 1.5 times the time over one',
    measure: 'nodes: reconnect, all at once',
    of: TWO_NODES,
    against: ONE_NODE,
    bound: 1.5,
  },
  { text: 'agent daemon: online within 500 ms of its start', measure: 'agent daemon: start to online', bound: 500 },
];

export function compareWithGoals(series: readonly Series[]): Bar[] {
  return BARS.map(({ text, measure, size, of = OURS, against, bound }) => {
    const one = series.find((other) => other.measure === measure && (size === undefined || other.size === size));
    const ours = one?.samples[of];
    const theirs = against === undefined ? undefined : one?.samples[against];
    if (one === undefined || ours === undefined || (against !== undefined && theirs === undefined))
      return { text, found: undefined, reached: undefined };
    const found = theirs === undefined ? median(ours) : ratios(ours, theirs).median;
    return { text, found, reached: one.better === 'more' ? found >= bound : found <= bound };
  });
}
