// The scanner's time grows with the text and not faster, whatever the text: measured in CPU time, apart from its other
// tests, so that mutation testing (vitest.mutation.config.ts) can leave it out.
import { describe, expect, it } from 'vitest';
import { JsonSyntaxError, scanValue } from '../../../shared/wire/json-text.ts';

function pass(text: string): void {
  try {
    scanValue(text);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
  }
}

/** Milliseconds of the process's own time; the least of five. */
function cpuMs(work: () => void): number {
  return Math.min(
    ...Array.from({ length: 5 }, () => {
      const before = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    }),
  );
}

describe('the scanner', () => {
  it.each([
    ['quotation marks', (size: number) => `[${'"",'.repeat(size / 3)}0]`],
    ['escapes', (size: number) => `"${'\\\\'.repeat(size / 2)}"`],
    ['a string without end', (size: number) => `"${'x'.repeat(size)}`],
    ['brackets', (size: number) => '['.repeat(size)],
    ['members', (size: number) => `{${Array.from({ length: size / 10 }, (_, i) => `"n${i}":0`).join(',')}}`],
    ['members of the same name', (size: number) => `{${'"n":0,'.repeat(size / 6)}"n":0}`],
    ['digits', (size: number) => '1'.repeat(size)],
    ['blanks', (size: number) => ' '.repeat(size)],
  ])('is linear over %s', (_, make) => {
    const measure = (size: number): number => {
      const text = make(size);
      return cpuMs(() => pass(text));
    };
    measure(200_000);
    // A tick of the process's clock may be 4 ms: what is quadratic would take seconds.
    expect(measure(4_000_000)).toBeLessThanOrEqual(2.5 * measure(2_000_000) + 40);
  });
});
