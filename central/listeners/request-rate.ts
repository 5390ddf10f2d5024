// Bounds how many requests without authentication one block of addresses may make per second, over all ports.

/** A request costs 0.1 to 0.3 ms: one address takes some 5 % of a processor. */
const PER_SECOND = 200;
/** A hundred machines behind one address that enroll, each with a few requests, at the same time; and a browser. */
const BURST = 1_000;
/** Some 100 bytes each. A block that is forgotten begins with a full burst. */
const MAX_BLOCKS = 10_000;

interface Budget {
  left: number;
  at: number;
}

export class RequestRate {
  readonly #now: () => number;
  /** In the order of their last request. */
  readonly #blocks = new Map<string, Budget>();

  /** `now` in milliseconds, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** One more request of this block: 0 when it may be, else after how many seconds. */
  take(block: string): number {
    const now = this.#now();
    const budget = this.#blocks.get(block) ?? { left: BURST, at: now };
    budget.left = Math.min(BURST, budget.left + ((now - budget.at) * PER_SECOND) / 1000);
    budget.at = now;
    this.#blocks.delete(block);
    this.#blocks.set(block, budget);
    if (this.#blocks.size > MAX_BLOCKS) this.#forgetOldest();
    if (budget.left < 1) return Math.max(1, Math.ceil((1 - budget.left) / PER_SECOND));
    budget.left -= 1;
    return 0;
  }

  #forgetOldest(): void {
    const [oldest] = this.#blocks.keys();
    if (oldest !== undefined) this.#blocks.delete(oldest);
  }
}
