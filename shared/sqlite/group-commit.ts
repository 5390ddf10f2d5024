// Groups writes: everything that arrives during one commit forms the next batch, and one commit answers it all. Knows
// neither tables nor threads; a port executes the batch.
import { type CodedError, isCoded } from '../errors.ts';
import { databaseFault } from './errors.ts';

/** One call, run inside the transaction of its batch. Synchronous: nothing may come between. */
export type Work = () => unknown;

export type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

export interface CallCost {
  /** What the call brings along; bounds the size of a transaction. */
  readonly bytes?: number;
  /** Goes before all that wait, behind others of its kind: what a peer waits for with a deadline. */
  readonly first?: boolean;
  /** May wait for company, since losing it costs nothing: it never forces a commit of its own before `lazyMs`. */
  readonly lazy?: boolean;
  /**
   * Has to survive the end of this process, not that of the host: a commit of such calls alone does not wait for the
   * disk.
   */
  readonly unsynced?: boolean;
}

/** Whether a commit waits for the disk. */
export type Durability = 'synced' | 'unsynced';

interface GroupCommitOptions {
  /**
   * Runs the batch in one transaction. A rejection means that the commit failed or its result is unknown: the store
   * must not continue.
   */
  readonly execute: (batch: readonly Work[], durability: Durability) => Promise<readonly Outcome[]>;
  /** Converts the rejection of `execute` into the error for all callers. */
  readonly failure: (error: unknown) => CodedError;
  /** Called once, when the store can write no more. */
  readonly onFailure: (error: CodedError) => void;
  /** Bounds how long the first call of a batch waits for the last one. */
  readonly maxBatchCalls?: number;
  /** Bounds what one transaction writes to the log. A larger call is a batch of its own. */
  readonly maxBatchBytes?: number;
  readonly lazyMs?: number;
}

interface Entry {
  readonly work: Work;
  readonly bytes: number;
  readonly lazy: boolean;
  readonly unsynced: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #maxBatchCalls: number;
  readonly #maxBatchBytes: number;
  readonly #lazyMs: number;
  /** In order of arrival, lazy or not: an acknowledgement stays before the `resume` that follows it. */
  #queue: Entry[] = [];
  /** How many at its head go first. */
  #ahead = 0;
  /** How many of them may not wait. */
  #urgent = 0;
  #inFlight = 0;
  #turn: NodeJS.Immediate | undefined;
  #lazyTimer: NodeJS.Timeout | undefined;
  #failure: CodedError | undefined;
  #stopping: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    // 1,000 small calls or 4 MiB: some 10 ms of work, so that a single fdatasync (1 to 10 ms) is shared well.
    this.#maxBatchCalls = options.maxBatchCalls ?? 1_000;
    this.#maxBatchBytes = options.maxBatchBytes ?? 4 * 1024 * 1024;
    this.#lazyMs = options.lazyMs ?? 50;
  }

  /** Calls accepted and not yet answered. Callers bound themselves (windows, admission); this is for their metrics. */
  get waiting(): number {
    return this.#queue.length + this.#inFlight;
  }

  /**
   * Runs `work` in the next batch. Resolves with its result after the commit; rejects with its CodedError, alone, or
   * with store_failed, together with everything after it.
   */
  run<T>(work: () => T, cost: CallCost = {}): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#stopping !== undefined) return Promise.reject(databaseFault('store_stopped', {}));
    return new Promise<T>((resolve, reject) => {
      const lazy = cost.lazy ?? false;
      // The executor returns what `work` returned: `value` is a T.
      const entry: Entry = {
        work,
        bytes: cost.bytes ?? 0,
        lazy,
        unsynced: cost.unsynced ?? false,
        resolve: resolve as (value: unknown) => void,
        reject,
      };
      if (cost.first === true) this.#queue.splice(this.#ahead++, 0, entry);
      else this.#queue.push(entry);
      if (!lazy) this.#urgent += 1;
      this.#wake();
    });
  }

  /** Ends after every accepted call is answered. */
  stop(): Promise<void> {
    this.#stopping ??= new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    this.#wake();
    return this.#stopping;
  }

  #wake(): void {
    if (this.#turn !== undefined || this.#inFlight > 0) return;
    if (this.#queue.length === 0) {
      this.#onIdle?.();
      return;
    }
    if (this.#urgent > 0 || this.#stopping !== undefined) {
      clearTimeout(this.#lazyTimer);
      this.#lazyTimer = undefined;
      // Not at once: what this turn of the event loop still brings belongs to the same batch.
      this.#turn = setImmediate(() => void this.#commit());
      return;
    }
    this.#lazyTimer ??= setTimeout(() => {
      this.#lazyTimer = undefined;
      void this.#commit();
    }, this.#lazyMs);
  }

  async #commit(): Promise<void> {
    this.#turn = undefined;
    const batch = this.#nextBatch();
    this.#inFlight = batch.length;
    const durability = batch.every(({ unsynced }) => unsynced) ? 'unsynced' : 'synced';
    try {
      const outcomes = await this.#options.execute(
        batch.map((entry) => entry.work),
        durability,
      );
      this.#inFlight = 0;
      for (const [index, entry] of batch.entries()) settle(entry, outcomes[index]);
    } catch (error) {
      this.#inFlight = 0;
      this.#fail(this.#options.failure(error), batch);
    }
    this.#wake();
  }

  #nextBatch(): Entry[] {
    let bytes = 0;
    let calls = 0;
    for (const entry of this.#queue) {
      if (calls > 0 && (calls === this.#maxBatchCalls || bytes + entry.bytes > this.#maxBatchBytes)) break;
      calls += 1;
      bytes += entry.bytes;
      if (!entry.lazy) this.#urgent -= 1;
    }
    this.#ahead = Math.max(0, this.#ahead - calls);
    return this.#queue.splice(0, calls);
  }

  #fail(error: CodedError, batch: readonly Entry[]): void {
    this.#failure = error;
    const all = [...batch, ...this.#queue];
    this.#queue = [];
    this.#ahead = 0;
    this.#urgent = 0;
    for (const entry of all) entry.reject(error);
    this.#options.onFailure(error);
  }
}

function settle(entry: Entry, outcome: Outcome | undefined): void {
  if (outcome?.ok === true) entry.resolve(outcome.value);
  else
    entry.reject(
      isCoded(outcome?.error)
        ? outcome.error
        : databaseFault('store_defect', { found: String(outcome?.error) }, outcome?.error),
    );
}
