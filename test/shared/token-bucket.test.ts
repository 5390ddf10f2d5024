import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../shared/token-bucket.ts';

describe('a token bucket', () => {
  it('gives a burst at once, then so many per second, and never more than a burst', () => {
    const bucket = new TokenBucket(3, 2, 1_000);
    expect([bucket.take(2, 1_000), bucket.take(2, 1_000), bucket.take(1, 1_000)]).toEqual([true, false, true]);
    expect([bucket.take(1, 1_499), bucket.take(1, 1_500)]).toEqual([false, true]);
    expect(bucket.take(4, 1_000_000)).toBe(false);
    expect(bucket.take(3, 1_000_000)).toBe(true);
  });

  it('takes nothing when there are not enough, and says how long until there are', () => {
    const bucket = new TokenBucket(3, 2, 0);
    expect(bucket.secondsUntil(3, 0)).toBe(0);
    bucket.take(3, 0);
    expect(bucket.take(1, 0)).toBe(false);
    expect([bucket.secondsUntil(1, 0), bucket.secondsUntil(3, 0), bucket.secondsUntil(3, 500)]).toEqual([0.5, 1.5, 1]);
  });

  it('is full again after it was given back, and not more than full', () => {
    const bucket = new TokenBucket(3, 2, 0);
    expect(bucket.isFull(0)).toBe(true);
    bucket.take(2, 0);
    expect(bucket.isFull(0)).toBe(false);
    bucket.giveBack(5);
    expect(bucket.isFull(0)).toBe(true);
    expect(bucket.take(4, 0)).toBe(false);
  });

  it('fills nothing when the clock is set back, and goes on from there', () => {
    const bucket = new TokenBucket(2, 1, 10_000);
    bucket.take(2, 10_000);
    expect(bucket.take(1, 5_000)).toBe(false);
    expect(bucket.take(1, 6_000)).toBe(true);
  });
});
