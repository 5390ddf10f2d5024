// The goals of docs/PERFORMANCE.md, computed from what was measured. A bar that is missed fails no run: the machine
// and who else uses it decide too. A check that is missed does.
import { median, ratios } from './figures.ts';
import { OURS, RAW, type Series } from './result.ts';

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
  /** Absent: the value itself. */
  readonly against?: string;
  readonly bound: number;
}

const BARS: readonly Definition[] = [
  {
    text: 'durable acknowledged events, 20 agents: at least 3 times NATS JetStream',
    measure: 'events up',
    size: '20 agents',
    against: 'NATS JetStream',
    bound: 3,
  },
  {
    text: 'durable acknowledged events, 20 agents: at least 6 times Aedes QoS 1',
    measure: 'events up',
    size: '20 agents',
    against: 'Aedes',
    bound: 6,
  },
  {
    text: 'command and answer, one at a time: at most 2 times a raw echo',
    measure: 'command and answer',
    size: 'median',
    against: RAW,
    bound: 2,
  },
  {
    text: 'reconnect, all at once: at most 1.5 times raw TLS and ws',
    measure: 'reconnect, all at once',
    against: RAW,
    bound: 1.5,
  },
  {
    text: 'reconnect: no session of those already there is lost',
    measure: 'reconnect: sessions lost of those already there',
    bound: 0,
  },
  {
    text: 'memory per idle agent: at most 1.2 times raw ws over TLS',
    measure: 'memory per idle agent',
    against: RAW,
    bound: 1.2,
  },
  { text: 'agent daemon: at most 80 MiB', measure: 'agent daemon: memory in RAM', bound: 80 },
  { text: 'agent daemon: online within 500 ms of its start', measure: 'agent daemon: start to online', bound: 500 },
];

export function compareWithGoals(series: readonly Series[]): Bar[] {
  return BARS.map(({ text, measure, size, against, bound }) => {
    const one = series.find((other) => other.measure === measure && (size === undefined || other.size === size));
    const ours = one?.samples[OURS];
    const theirs = against === undefined ? undefined : one?.samples[against];
    if (one === undefined || ours === undefined || (against !== undefined && theirs === undefined))
      return { text, found: undefined, reached: undefined };
    const found = theirs === undefined ? median(ours) : ratios(ours, theirs).median;
    return { text, found, reached: one.better === 'more' ? found >= bound : found <= bound };
  });
}
