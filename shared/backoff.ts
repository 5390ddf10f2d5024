// Computes how long to wait before the next attempt: exponential, capped, with full jitter after the cap, so that
// even ten thousand agents at the cap spread over the whole interval.

export const FIRST_DELAY_MS = 1_000;
export const LONGEST_DELAY_MS = 300_000;
/** Only a session that lived so long proves the line; anything shorter keeps the backoff growing. */
export const PROVEN_LIFE_MS = 30_000;

export interface Backoff {
  /** The next delay in ms, never below `atLeastMs` (a peer's retryAfter), which is jittered upwards by up to a half. */
  next(atLeastMs?: number): number;
  reset(): void;
}

export function createBackoff(
  random: () => number = Math.random,
  firstMs = FIRST_DELAY_MS,
  longestMs = LONGEST_DELAY_MS,
): Backoff {
  let attempt = 0;
  return {
    next(atLeastMs = 0): number {
      const cap = Math.min(longestMs, firstMs * 2 ** Math.min(attempt, 30));
      attempt += 1;
      return Math.round(Math.max(random() * cap, atLeastMs * (1 + random() / 2)));
    },
    reset(): void {
      attempt = 0;
    },
  };
}
