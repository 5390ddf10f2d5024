// Bounds how many requests without authentication one block of addresses may make per second, over all ports.
import { setNewest } from '../../../shared/recent-entries.ts';
import { TokenBucket } from '../../../shared/token-bucket.ts';

/** A request costs 0.1 to 0.3 ms: one address takes some 5 % of a processor. */
const PER_SECOND = 200;
/** A hundred machines behind one address that enroll, each with a few requests, at the same time; and a browser. */
const BURST = 1_000;
/** Of the policy: so long a burst takes to be whole again. */
const WINDOW_SECONDS = BURST / PER_SECOND;
/** Some 100 bytes each. A block that is forgotten begins with a full burst. */
const MAX_BLOCKS = 10_000;

export class RequestRate {
  readonly #now: () => number;
  /** In the order of their last request. */
  readonly #blocks = new Map<string, TokenBucket>();

  /** `now` in milliseconds, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** One more request of this block: 0 when it may be, else after how many seconds. */
  take(block: string): number {
    const now = this.#now();
    const bucket = this.#blocks.get(block) ?? new TokenBucket(BURST, PER_SECOND, now);
    setNewest(this.#blocks, block, bucket, MAX_BLOCKS);
    return bucket.take(1, now) ? 0 : Math.max(1, Math.ceil(bucket.secondsUntil(1, now)));
  }

  /**
   * The limit as header fields (draft-ietf-httpapi-ratelimit-headers): requests that are left, and after how many seconds
   * all are there again.
   */
  fieldsOf(block: string): Readonly<Record<'ratelimit' | 'ratelimit-policy', string>> {
    const now = this.#now();
    const bucket = this.#blocks.get(block);
    const [left, seconds] = [bucket?.left(now) ?? BURST, Math.ceil(bucket?.secondsUntil(BURST, now) ?? 0)];
    return {
      'ratelimit-policy': `"address";q=${BURST};w=${WINDOW_SECONDS}`,
      ratelimit: `"address";r=${left};t=${seconds}`,
    };
  }
}
