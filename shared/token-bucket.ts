// Bounds how often something may happen: so many at once, then so many per second. Times are in milliseconds, on the
// caller's clock.

export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #at: number;

  constructor(burst: number, perSecond: number, now: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes so many tokens; false, and takes none, when there are not so many. */
  take(count: number, now: number): boolean {
    this.#fill(now);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  giveBack(count: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + count);
  }

  /** Seconds until there are so many tokens; 0: now. */
  secondsUntil(count: number, now: number): number {
    this.#fill(now);
    return Math.max(0, (count - this.#tokens) / this.#perSecond);
  }

  /** Whole tokens that are left. */
  left(now: number): number {
    this.#fill(now);
    return Math.floor(this.#tokens);
  }

  /** It is as if it had never been used. */
  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens >= this.#burst;
  }

  #fill(now: number): void {
    // A clock that was set back fills nothing, and stops nothing for longer than a burst takes.
    const seconds = Math.max(0, now - this.#at) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + seconds * this.#perSecond);
    this.#at = now;
  }
}
