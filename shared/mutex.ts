// Runs jobs that share something one at a time, in the order in which they were submitted.
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Runs `job` once every earlier job has settled, and settles as `job` does. A job must not submit another one and
   * wait for it.
   */
  async runExclusive<T>(job: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(job);
    // Its error goes to its caller; the next job runs in any case.
    this.#last = turn.catch(() => undefined);
    return await turn;
  }
}
