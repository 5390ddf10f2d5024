import { describe, expect, it } from 'vitest';
import { createBackoff, FIRST_DELAY_MS, LONGEST_DELAY_MS } from '../../shared/backoff.ts';

describe('the wait before the next dial', () => {
  it('doubles from one second to five minutes, and begins again after a reset', () => {
    const backoff = createBackoff(() => 1);
    const waits = Array.from({ length: 12 }, () => backoff.next());
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map((seconds) => seconds * 1000));
    backoff.reset();
    expect(backoff.next()).toBe(FIRST_DELAY_MS);
  });

  it('is drawn from the whole span at every step, at the cap too: agents that were cut off together do not return together', () => {
    for (const random of [0, 0.25, 0.5, 0.999]) {
      const backoff = createBackoff(() => random);
      for (let i = 0; i < 20; i += 1) backoff.next();
      expect(backoff.next()).toBe(Math.round(random * LONGEST_DELAY_MS));
    }
    const waits = Array.from({ length: 400 }, () => createBackoff().next());
    expect(Math.min(...waits)).toBeLessThan(FIRST_DELAY_MS / 4);
    expect(Math.max(...waits)).toBeGreaterThan((FIRST_DELAY_MS * 3) / 4);
    expect(new Set(waits).size).toBeGreaterThan(100);
  });

  it('is never shorter than the peer asked for, and up to a half longer', () => {
    expect(createBackoff(() => 0).next(60_000)).toBe(60_000);
    expect(createBackoff(() => 1).next(60_000)).toBe(90_000);
  });
});
