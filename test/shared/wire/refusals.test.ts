import { describe, expect, it } from 'vitest';
import { isTerminal, REFUSALS, refusal } from '../../../shared/wire/refusals.ts';

describe('refusals', () => {
  it('have a close code of their own each, within the range for private use', () => {
    const codes = Object.values(REFUSALS).map(({ close }) => close);
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes.filter((code) => code < 4400 || code > 4599)).toEqual([]);
  });

  it('are terminal from 4400 to 4499, and nothing else is', () => {
    expect([4399, 4400, 4499, 4500].map((code) => isTerminal(code))).toEqual([false, true, true, false]);
    expect([1000, 1006, 1009].map((code) => isTerminal(code))).toEqual([false, false, false]);
  });

  it('are retryable exactly when they are not terminal', () => {
    for (const [code, { close }] of Object.entries(REFUSALS)) {
      const error = refusal(code as keyof typeof REFUSALS, {} as never);
      expect([code, error.close, error.retryable]).toEqual([code, close, !isTerminal(close)]);
    }
  });
});
