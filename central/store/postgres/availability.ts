// Whether PostgreSQL can be reached, as the threads report it. While it cannot, calls of sessions wait, so that none ends
// and nothing is acknowledged that is not on disk; those of administrators are answered that they may retry.
import type { WorkerHost } from '../../../shared/sqlite/worker/host.ts';
import type { Methods } from '../../../shared/sqlite/worker/protocol.ts';
import type { StoreAway } from '../nodes/node-store.ts';
import { storeFault } from '../errors.ts';
import { postgresFault } from './errors.ts';
import type { AwayReport } from './threads/thread-data.ts';

/** What sessions call, and what runs at intervals: it waits until it is carried out. */
const PATIENT: ReadonlySet<string> = new Set([
  'acknowledgeCommands',
  'appendEvents',
  'beat',
  'beginInbox',
  'bound',
  'claimSession',
  'endSession',
  'findAgentByKey',
  'getAgent',
  'indexSeen',
  'lastCursor',
  'logIn',
  'readCommands',
  'recordClock',
  'recordConsumers',
  'recordExpiredCommands',
  'recordRefusedHello',
  'recordReported',
  'recordServices',
  'recordTaskHandlers',
  'recordTaskStates',
  'recordTrust',
  'sawBoot',
]);
/** A call that was accepted before waits so long: most outages are shorter (a failover takes some seconds). */
const PATIENCE_MS = 5_000;
/** A thread that has calls and answers none for so long waits for a PostgreSQL that is frozen, or for a lock of another node. */
const SILENT_MS = 5_000;
const LOOK_MS = 500;

type Calls<M extends Methods> = Pick<WorkerHost<M>, 'batches' | 'call' | 'onCommit' | 'waiting'>;

export class Availability {
  /** By thread: it cannot reach PostgreSQL. */
  readonly #away = new Map<string, StoreAway>();
  /** By thread: it does not answer, for example since commits wait for a standby; reads go on. */
  readonly #silent = new Map<string, StoreAway>();

  report(thread: string, { found }: AwayReport): void {
    if (found === null) this.#away.delete(thread);
    else this.#away.set(thread, { since: this.#away.get(thread)?.since ?? Date.now(), reason: found });
  }

  /** Looks whether the thread answers, until the process ends: one that waits for an answer cannot report anything. */
  watch(thread: string, host: Pick<WorkerHost<Methods>, 'batches' | 'waiting'>): void {
    let [answered, at] = [host.batches, Date.now()];
    setInterval(() => {
      const now = Date.now();
      if (host.waiting === 0 || host.batches !== answered) {
        [answered, at] = [host.batches, now];
        this.#silent.delete(thread);
      } else if (now - at >= SILENT_MS)
        this.#silent.set(thread, {
          since: at,
          reason: `it has not answered for ${SILENT_MS / 1000} seconds`,
        });
    }, LOOK_MS).unref();
  }

  /** Undefined: it can be reached. */
  away(): StoreAway | undefined {
    return first([...this.#away.values(), ...this.#silent.values()]);
  }

  /** The same calls; those of administrators do not wait for long. `reads`: of a thread that changes nothing. */
  guard<M extends Methods>(host: WorkerHost<M>, { reads = false } = {}): Calls<M> {
    const awayOf = (): StoreAway | undefined => (reads ? first([...this.#away.values()]) : this.away());
    const call: WorkerHost<M>['call'] = (method, ...rest) => {
      if (PATIENT.has(method)) return host.call(method, ...rest);
      const away = awayOf();
      if (away !== undefined) {
        const since = new Date(away.since).toISOString();
        return Promise.reject(storeFault('store_away', { since, found: away.reason }));
      }
      return this.#withPatience(host.call(method, ...rest), awayOf);
    };
    return {
      call,
      onCommit: (listener) => host.onCommit(listener),
      get waiting() {
        return host.waiting;
      },
      get batches() {
        return host.batches;
      },
    };
  }

  async #withPatience<T>(answer: Promise<T>, awayOf: () => StoreAway | undefined): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const impatient = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        const away = awayOf();
        if (away === undefined || Date.now() - away.since < PATIENCE_MS) return;
        reject(postgresFault('store_away_unknown', { found: away.reason }));
      }, 1_000).unref();
    });
    try {
      return await Promise.race([answer, impatient]);
    } finally {
      clearInterval(timer);
    }
  }
}

function first(aways: readonly StoreAway[]): StoreAway | undefined {
  return aways.toSorted((one, other) => one.since - other.since)[0];
}
