// Lines of the log for refused hellos: how many a block of addresses gets, and all together.
import { describe, expect, test } from 'vitest';
import { RefusalLines } from '../../../../central/sessions/limits/refusal-lines.ts';

describe('hellos that are refused', () => {
  test('of one address without end make a bounded number of lines, and keep no other address from the log', () => {
    let now = 0;
    const lines = new RefusalLines(() => now);
    let logged = 0;
    for (let i = 0; i < 600_000; i += 1, now += 1) logged += Number(lines.take('192.0.2.1') !== undefined);
    expect(logged).toBeLessThanOrEqual(50 + 20);
    expect(lines.take('192.0.2.2')).toBeGreaterThan(10_000);
    expect(lines.take('192.0.2.2')).toBe(0);
  });

  test('of ever new addresses make a bounded number of lines in all', () => {
    let now = 0;
    const lines = new RefusalLines(() => now);
    let logged = 0;
    for (let i = 0; i < 60_000; i += 1, now += 1)
      logged += Number(lines.take(`2001:db8:${(i % 50_000).toString(16)}::1`) !== undefined);
    expect(logged).toBeLessThanOrEqual(500 + 60);
  });

  test('of a thousand blocks of addresses are remembered, those refused last', () => {
    let now = 0;
    const lines = new RefusalLines(() => now);
    const linesOf = (address: string, hellos: number): number =>
      Array.from({ length: hellos }, () => lines.take(address)).filter((left) => left !== undefined).length;
    expect([linesOf('192.0.2.1', 60), linesOf('192.0.2.2', 60)]).toEqual([50, 50]);
    // The first is refused again in the middle: of two thousand seconds it is remembered for the last thousand.
    for (let i = 0; i < 999; i += 1) {
      now += 1_000;
      lines.take(`2001:db8:${i.toString(16)}::1`);
      if (i === 500) linesOf('192.0.2.1', 60);
    }
    now += 500_000;
    // One of them has what came back since then, a line in 30 seconds; the other one was forgotten, and begins again.
    expect([linesOf('192.0.2.1', 60), linesOf('192.0.2.2', 60)]).toEqual([33, 50]);
  });
});
