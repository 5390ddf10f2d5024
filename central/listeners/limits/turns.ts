// Spreads the work for unauthenticated connections: a little in each turn of the event loop, the blocks of addresses in
// rotation. So a flood of small requests hardly delays sessions, timers and other addresses.

/** What one turn may take: less than a commit, so that an acknowledgement hardly notices. At least one job is done. */
const TURN_MS = 2;
/** What a job leaves for the microtasks behind it is not in that time; few jobs bound it. */
const JOBS_PER_TURN = 4;

export class Turns {
  /** In the order in which the blocks have their turn. A connection has at most one job in here, which bounds it. */
  readonly #jobs = new Map<string, (() => void)[]>();
  #scheduled = false;
  /** What this turn of the event loop has had so far. */
  #done = 0;
  #usedMs = 0;

  /**
   * Calls `job`: at once when the queue is empty and this turn has room, otherwise in a later turn. A job does not
   * throw.
   */
  take(block: string, job: () => void): void {
    if (this.#jobs.size === 0 && !this.#isSpent()) {
      this.#do(job);
    } else {
      const waiting = this.#jobs.get(block);
      if (waiting === undefined) this.#jobs.set(block, [job]);
      else waiting.push(job);
    }
    this.#schedule();
  }

  #isSpent(): boolean {
    return this.#done >= JOBS_PER_TURN || this.#usedMs >= TURN_MS;
  }

  #do(job: () => void): void {
    const from = performance.now();
    this.#done += 1;
    job();
    this.#usedMs += performance.now() - from;
  }

  #schedule(): void {
    if (this.#scheduled || (this.#jobs.size === 0 && this.#done === 0)) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#done = 0;
    this.#usedMs = 0;
    while (!this.#isSpent()) {
      const [next] = this.#jobs;
      if (next === undefined) break;
      const [block, waiting] = next;
      const job = waiting.shift();
      // Behind the others.
      this.#jobs.delete(block);
      if (waiting.length > 0) this.#jobs.set(block, waiting);
      if (job !== undefined) this.#do(job);
    }
    this.#schedule();
  };
}
