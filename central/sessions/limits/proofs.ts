// Runs the proofs of hellos on the thread pool, so that a stampede does not hold the event loop: a few at once, started
// and answered in the order in which the hellos came. Who waits holds a place of Admission, which bounds the queue.

/** The pool has four threads, which files and names of hosts need too (UV_THREADPOOL_SIZE). */
const AT_ONCE = 2;

export class Proofs {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  /** Settles when every proof before is answered. */
  #before: Promise<void> = Promise.resolve();

  /** The outcome of `prove`, once those before it have theirs. */
  run<T>(prove: () => Promise<T>): Promise<T> {
    const proven = this.#inTurn(prove);
    // Without their values, of which each would hold the one before.
    this.#before = Promise.allSettled([this.#before, proven]).then(() => undefined);
    return this.#before.then(() => proven);
  }

  async #inTurn<T>(prove: () => Promise<T>): Promise<T> {
    if (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await prove();
    } finally {
      // The next one takes this place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
