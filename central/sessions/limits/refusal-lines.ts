// Bounds the lines that refused hellos make in the log, per block of addresses and in all: a stranger needs no more
// than a key of its own for as many as Central can verify. Each refusal counts in the metrics and in the record of
// failures, logged or not.
import { setNewest } from '../../../shared/recent-entries.ts';
import { addressBlock } from '../../auth/address-rules.ts';
import { TokenBucket } from '../../../shared/token-bucket.ts';

/** The agents of a site that were set up wrongly each get a line or two. */
const BURST_OF_BLOCK = 50;
const SECONDS_PER_LINE_OF_BLOCK = 30;
/** Some 25 MB a day at most. */
const BURST = 500;
const LINES_PER_SECOND = 1;
/** Blocks that are remembered; one that is forgotten begins with a full burst, within that of all. */
const MAX_BLOCKS = 1_000;

export class RefusalLines {
  readonly #now: () => number;
  readonly #all: TokenBucket;
  /** In the order of their last refusal. */
  readonly #blocks = new Map<string, TokenBucket>();
  #left = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#all = new TokenBucket(BURST, LINES_PER_SECOND, now());
  }

  /** How many refusals had no line since the last one that had; undefined: this one has none either. */
  take(address: string): number | undefined {
    const now = this.#now();
    const block = addressBlock(address);
    const bucket = this.#blocks.get(block) ?? new TokenBucket(BURST_OF_BLOCK, 1 / SECONDS_PER_LINE_OF_BLOCK, now);
    setNewest(this.#blocks, block, bucket, MAX_BLOCKS);
    if (!bucket.take(1, now) || !this.#all.take(1, now)) {
      this.#left += 1;
      return undefined;
    }
    const left = this.#left;
    this.#left = 0;
    return left;
  }
}
