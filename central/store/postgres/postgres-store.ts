// Opens and stops the store in PostgreSQL: this process becomes a node, and starts the threads of acts, of reads and of
// events. What is called in which thread is the same as on the embedded store (central/store/sql/calls.ts), but for
// events, which have a path of their own.
import type { CodedError } from '../../../shared/errors.ts';
import type { MessageFrame } from '../../../shared/delivery/message-frames.ts';
import { WorkerHost, workerUrl } from '../../../shared/sqlite/worker/host.ts';
import { backupFault } from '../backup/errors.ts';
import type { StoreBounds } from '../space/bounds.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import { storeCalls } from '../sql/calls.ts';
import type { Store } from '../store.ts';
import { Availability } from './availability.ts';
import { groupedCalls } from './groups/grouped-calls.ts';
import { joinDatabase, type NodeSettings } from './open-database.ts';
import type { EventWrites } from './threads/postgres-events.ts';
import type { PostgresReads } from './threads/postgres-reader.ts';
import type { AwayReport, ThreadData } from './threads/thread-data.ts';
import type { PostgresWrites } from './threads/postgres-writer.ts';

interface PostgresStoreOptions {
  /** `store.url`. */
  readonly url: string;
  readonly node: NodeSettings;
  /** How long (source, id) is remembered. */
  readonly deduplicationMs: number;
  /** Central's own name and host names, which no agent may take; default none. */
  readonly namesOfCentral?: readonly string[];
  /** Called once, when nothing can be written any more: the process has to end. */
  readonly onFailure: (error: CodedError) => void;
}

/** Threads that wait for PostgreSQL are ended after so long. */
const STOP_MS = 5_000;

/** Errors: those of joinDatabase. */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const node = await joinDatabase(options.url, options.node);
  const workerData: ThreadData = {
    url: options.url,
    connectionThread: workerUrl('./threads/postgres-connection', import.meta.url).href,
    node,
    deduplicationMs: options.deduplicationMs,
    namesOfCentral: options.namesOfCentral ?? [],
  };
  let failed = false;
  const threads: Pick<WorkerHost<Methods>, 'fail' | 'stop' | 'started' | 'terminate'>[] = [];
  const onFailure = (error: CodedError): void => {
    if (failed) return;
    failed = true;
    for (const thread of threads) thread.fail(error);
    options.onFailure(error);
  };
  const availability = new Availability();
  const host = <M extends Methods>(name: string, url: URL): WorkerHost<M> =>
    new WorkerHost<M>({
      url,
      workerData,
      onFailure,
      // As thread-data.ts has it.
      onReport: (report) => availability.report(name, report as AwayReport),
    });
  try {
    const writer = host<PostgresWrites>('writer', workerUrl('./threads/postgres-writer', import.meta.url));
    const reader = host<PostgresReads>('reader', workerUrl('./threads/postgres-reader', import.meta.url));
    const events = host<EventWrites>('events', workerUrl('./threads/postgres-events', import.meta.url));
    threads.push(writer, reader, events);
    await Promise.all(threads.map((thread) => thread.started()));
    const stop = once(async () => {
      for (const thread of [events, reader, writer]) {
        await withinMs(STOP_MS, thread.stop());
        await thread.terminate();
      }
    });
    return compose({ writer, reader, events }, availability, node, stop);
  } catch (error) {
    for (const thread of threads) await thread.terminate();
    throw error;
  }
}

// As protocol.ts has them.
type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Threads {
  readonly writer: WorkerHost<PostgresWrites>;
  readonly reader: WorkerHost<PostgresReads>;
  readonly events: WorkerHost<EventWrites>;
}

function compose(
  { writer, reader, events }: Threads,
  availability: Availability,
  node: { readonly name: string; readonly generation: number },
  stop: () => Promise<void>,
): Store {
  for (const [name, thread] of [
    ['writer', writer],
    ['events', events],
  ] as const)
    availability.watch(name, thread);
  const guarded = { writer: availability.guard(writer), reader: availability.guard(reader, { reads: true }) };
  // The methods of the threads are those of SQLite's threads, and more.
  const calls = storeCalls(guarded.writer, guarded.reader);
  let hasDayLimit = false;
  /** Agents whose messages are looked up one by one, with the epoch of the session that showed it. */
  const lookedUp = new Map<string, number>();
  const append = async (
    agentId: string,
    epoch: number,
    next: number,
    frames: readonly MessageFrame[],
    now: number,
  ): Promise<number> => {
    if (!hasDayLimit && lookedUp.get(agentId) !== epoch) {
      const sent = frames.map((frame) => ({ ...frame, data: new Uint8Array(frame.data) }));
      const outcome = await events.call('append', [agentId, epoch, next, sent, now], {
        transfer: sent.map(({ data }) => data.buffer),
      });
      if (outcome !== 'looked-up') return outcome.through;
      if (lookedUp.size > MAX_LOOKED_UP) lookedUp.clear();
      lookedUp.set(agentId, epoch);
    }
    return (await calls.inbox.append(agentId, epoch, next, frames, now)).through;
  };
  const grouped = groupedCalls({ writer, reader }, calls);
  const nodes: NodeStore = {
    self: node,
    beat: (beat) => writer.call('beat', [beat]),
    news: () => reader.call('nodeNews', []),
    // Every node looks twice a second.
    onHint: () => undefined,
    sawBoot: (agentId, bootId, now) => guarded.writer.call('sawBoot', [agentId, bootId, now]),
    tell: (notes) => guarded.writer.call('tell', [notes]),
    hold: (name) => guarded.writer.call('holdLease', [name]),
    release: (name) => guarded.writer.call('releaseLease', [name]),
    drain: (name, isDrained, audit) => guarded.writer.call('drainNode', [audit, name, isDrained]),
    remove: (name, audit) => guarded.writer.call('removeNode', [audit, name]),
  };
  return {
    ...calls,
    agents: {
      ...calls.agents,
      ...grouped.agents,
      endAbandonedSessions: (of, now, reason) => writer.call('endSessionsOf', [of, now, reason]),
    },
    inbox: { ...calls.inbox, append },
    outbox: { ...calls.outbox, ...grouped.outbox },
    certificates: { ...calls.certificates, ...grouped.certificates },
    exposures: { ...calls.exposures, ...grouped.exposures },
    rollouts: { ...calls.rollouts, ...grouped.rollouts },
    tasks: { ...calls.tasks, ...grouped.tasks },
    nodes,
    away: () => availability.away(),
    async bound(bounds: StoreBounds) {
      hasDayLimit = bounds.eventsPerDay > 0;
      await calls.bound(bounds);
    },
    convert: () => Promise.resolve(0),
    async stats() {
      return { ...(await calls.stats()), engine: 'postgres' };
    },
    snapshot: () => Promise.reject(backupFault('backup_elsewhere', {})),
    async stop() {
      await withinMs(STOP_MS, grouped.settled());
      await stop();
    },
  };
}

const MAX_LOOKED_UP = 50_000;

function once(work: () => Promise<void>): () => Promise<void> {
  let promise: Promise<void> | undefined;
  return () => (promise ??= work());
}

async function withinMs(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
