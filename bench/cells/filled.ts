// What a store that has filled up costs: events up on it, a filter that matches nothing, and trimming. Only Queuegate
// (and the checkout it is compared with): the peers keep no history that is read by filter.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pause, writtenBytesOf } from '../process.ts';
import type { QueuegatePeer } from '../peers/queuegate.ts';
import type { Plan } from '../plan.ts';
import { FILLED, type Check, type Outcome, type Series } from '../result.ts';
import { Child } from '../child.ts';
import { RestClient } from '../load/rest.ts';
import type { StoreWork } from '../servers/store.ts';
import { Line } from './line.ts';
import { burstUp, PROCESSOR_UNIT } from './throughput.ts';

const AGENTS = 20;
const POLL_MS = 200;
/** No page holds any of these. */
const NO_SUCH_TYPE = 'bench.none';
const FILTER_READS = 5;

interface Burst {
  /** Processor time of the server and what it wrote to disk, per event. */
  readonly us: number;
  readonly bytes: number;
}

interface Figures {
  readonly empty: readonly Burst[];
  readonly full: readonly Burst[];
  readonly filter: number[];
  readonly bytes: number;
  readonly trimmed: number;
  readonly check: Check;
}

export async function filledStore(peers: readonly QueuegatePeer[], plan: Plan): Promise<Outcome> {
  const found = new Map<string, Figures>();
  for (const peer of peers) found.set(peer.name, await fill(peer, plan));
  const samples = (of: (figures: Figures) => readonly number[]): Record<string, readonly number[]> =>
    Object.fromEntries(Array.from(found, ([name, figures]) => [name, of(figures)]));
  const perEvent = (measure: string, unit: string, of: (burst: Burst) => number): Series[] => [
    { measure, size: 'empty', unit, better: 'less', samples: samples(({ empty }) => empty.map(of)) },
    { measure, size: FILLED, unit, better: 'less', samples: samples(({ full }) => full.map(of)) },
  ];
  const series: Series[] = [
    ...perEvent('events up: processor time of the server, by what is stored', PROCESSOR_UNIT, ({ us }) => us),
    ...perEvent('events up: written to disk per event of 200 bytes', 'bytes', ({ bytes }) => bytes),
    {
      measure: 'database per event of 200 bytes',
      size: FILLED,
      unit: 'bytes',
      better: 'less',
      samples: samples(({ bytes }) => [bytes]),
    },
    {
      measure: 'events by a type that does not occur',
      size: FILLED,
      unit: 'ms',
      better: 'less',
      samples: samples(({ filter }) => filter),
    },
    {
      measure: 'trimming by age: processor time',
      size: FILLED,
      unit: PROCESSOR_UNIT,
      better: 'less',
      samples: samples(({ trimmed }) => [trimmed]),
    },
  ];
  return { series, checks: [...found.values()].map(({ check }) => check) };
}

async function fill(peer: QueuegatePeer, plan: Plan): Promise<Figures> {
  const left = { bytes: 0, trimmedMs: 0 };
  const beforeRemoval = async (folder: string): Promise<void> => {
    left.bytes = (await stat(join(folder, 'central.db'))).size;
    const store = new Child<StoreWork>('servers/store.ts', { args: [peer.dist] });
    left.trimmedMs = await store.call('trimEvents', folder);
    await store.stop();
  };
  const line = await Line.start(peer, AGENTS, { beforeRemoval });
  await line.open();
  let total = 0;
  const burst = async (): Promise<Burst> => {
    const [before, written] = [total, await writtenBytes(line)];
    const { total: after, serverMs } = await burstUp(line, plan.burstMs);
    total = after;
    return {
      us: (serverMs * 1000) / (total - before),
      bytes: ((await writtenBytes(line)) - written) / (total - before),
    };
  };
  const rounds = async (): Promise<Burst[]> => {
    const bursts: Burst[] = [];
    for (let round = 0; round < plan.rounds; round += 1) bursts.push(await burst());
    return bursts;
  };
  // The first one pays for code that is not yet compiled.
  await burst();
  const empty = await rounds();
  await line.all((load) => load.call('flowUp', true));
  while (total < plan.storedEvents) {
    await pause(POLL_MS);
    const counts = await line.all((load) => load.call('acknowledged'));
    total = counts.reduce((sum, { count }) => sum + count, 0);
  }
  const counts = await line.all((load) => load.call('flowUp', false));
  total = counts.reduce((sum, count) => sum + count, 0);
  const full = await rounds();
  const filter = await emptyFilter(line);
  const stored = await line.stop();
  const what = 'events that were acknowledged are in the store that has filled';
  const check = { peer: peer.name, what, expected: total, found: stored ?? 0 };
  return { empty, full, filter, bytes: left.bytes / total, trimmed: (left.trimmedMs * 1000) / total, check };
}

async function writtenBytes({ running }: Line): Promise<number> {
  return (await writtenBytesOf(running.pid)) ?? Number.NaN;
}

async function emptyFilter(line: Line): Promise<number[]> {
  const rest = new RestClient(line.running.target, 1);
  const taken: number[] = [];
  for (let read = 0; read <= FILTER_READS; read += 1) {
    const startedAt = performance.now();
    await rest.eventsOf(NO_SUCH_TYPE);
    // The first one pays for the connection.
    if (read > 0) taken.push(performance.now() - startedAt);
  }
  rest.close();
  return taken;
}
