// Counts what strangers repeat, and records it once per interval and source with the count. The number of records is
// bounded however many sources there are: what goes beyond is counted together, without a source. Nothing that was
// counted is lost: what cannot be recorded is counted again.

/** The first record of a source collects this long, so that a burst shows with its size. */
export const FIRST_RECORD_MS = 5_000;

interface CountedRecordsOptions<F> {
  readonly intervalMs: number;
  /** Records with a source in an interval; beside them one of all others together, for each kind of others. */
  readonly maxPerInterval: number;
  /** Sources that wait for their record at once. */
  readonly maxWaiting: number;
  /** Facts with the same key are counted together. */
  readonly keyOf: (facts: F) => string;
  /** The facts without their source; of facts without a source, themselves. */
  readonly othersOf: (facts: F) => F;
  readonly isOthers: (facts: F) => boolean;
  /** A rejection: it was not recorded. */
  readonly record: (counted: Counted<F>) => Promise<void> | void;
  readonly now: () => number;
  /** Calls `run` once, later. */
  readonly after: (ms: number, run: () => void) => unknown;
}

export interface Counted<F> {
  /** Of the first one. */
  readonly facts: F;
  readonly count: number;
  /** When the first one happened. */
  readonly since: number;
  /** When it is recorded. */
  readonly at: number;
}

interface Waiting<F> {
  readonly facts: F;
  readonly since: number;
  readonly dueAt: number;
  count: number;
}

export class CountedRecords<F> {
  readonly #options: CountedRecordsOptions<F>;
  readonly #waiting = new Map<string, Waiting<F>>();
  /** Of this interval: when each was recorded. At most as many as are recorded in one. */
  readonly #recordedAt = new Map<string, number>();
  #intervalAt = Number.NEGATIVE_INFINITY;
  #recorded = 0;
  #armed = false;

  constructor(options: CountedRecordsOptions<F>) {
    this.#options = options;
  }

  count(facts: F): void {
    this.#add(facts, 1, this.#options.now());
    this.#arm();
  }

  /** How many are counted and not recorded yet. */
  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** Records what waits, due or not. What cannot be recorded waits on. */
  async flush(): Promise<void> {
    await this.#sweep(Number.POSITIVE_INFINITY);
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#options.after(FIRST_RECORD_MS, () => {
      this.#armed = false;
      void this.#sweep(this.#options.now());
      if (this.#waiting.size > 0) this.#arm();
    });
  }

  #add(facts: F, count: number, since: number): void {
    const { keyOf, othersOf, isOthers, intervalMs, maxWaiting } = this.#options;
    const key = keyOf(facts);
    const known = this.#waiting.get(key);
    if (known !== undefined) known.count += count;
    else if (!isOthers(facts) && this.#waiting.size >= maxWaiting) this.#add(othersOf(facts), count, since);
    else {
      const recordedAt = this.#recordedAt.get(key) ?? Number.NEGATIVE_INFINITY;
      const dueAt = isOthers(facts) ? since + intervalMs : Math.max(since + FIRST_RECORD_MS, recordedAt + intervalMs);
      this.#waiting.set(key, { facts, since, dueAt, count });
    }
  }

  /** Begins the records that are due at `until`; resolves when they are made. */
  async #sweep(until: number): Promise<void> {
    const { now, intervalMs, maxPerInterval, othersOf, isOthers } = this.#options;
    const at = now();
    if (at - this.#intervalAt >= intervalMs) [this.#intervalAt, this.#recorded] = [at, 0];
    for (const [key, recordedAt] of this.#recordedAt) if (at - recordedAt >= intervalMs) this.#recordedAt.delete(key);
    const made: Promise<void>[] = [];
    for (const [key, waiting] of this.#waiting) {
      if (waiting.dueAt > until) continue;
      this.#waiting.delete(key);
      const { facts, count, since } = waiting;
      if (!isOthers(facts) && this.#recorded >= maxPerInterval) {
        this.#add(othersOf(facts), count, at);
        continue;
      }
      if (!isOthers(facts)) this.#recorded += 1;
      this.#recordedAt.set(key, at);
      made.push(this.#record(key, { facts, count, since, at }));
    }
    await Promise.all(made);
  }

  async #record(key: string, counted: Counted<F>): Promise<void> {
    try {
      await this.#options.record(counted);
    } catch {
      // `record` reports its failure itself; here it is counted again, and tried at the next sweep.
      this.#recordedAt.delete(key);
      if (!this.#options.isOthers(counted.facts) && this.#recorded > 0) this.#recorded -= 1;
      this.#add(counted.facts, counted.count, counted.since);
      this.#arm();
    }
  }
}
