// Reading events for many at once: how many slices are on their way, in which order, and what becomes of those whose
// reader has gone.
import { describe, expect, test } from 'vitest';
import { EventReads } from '../../../../central/store/sql/event-reads.ts';
import type { EventSlice } from '../../../../central/store/sql/events/event-reads.ts';

const LAST = 10;

/** Slices of one cursor each that hold nothing, answered by hand. */
function slices() {
  const asked: { readonly after: number; readonly type: string | undefined; readonly answer: () => void }[] = [];
  const reads = new EventReads((after, { type }) => {
    const { promise, resolve } = Promise.withResolvers<EventSlice>();
    asked.push({ after, type, answer: () => resolve({ events: [], through: after + 1, last: LAST }) });
    return promise;
  });
  const turn = async (): Promise<void> => {
    for (const { answer } of asked.splice(0)) answer();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { asked, reads, turn };
}

describe('filters that find nothing', () => {
  test('of however many requests have four slices at the reading thread at once, in turns', async () => {
    const { asked, reads, turn } = slices();
    const ends = Array.from({ length: 12 }, (_, n) => reads.read(0, { type: `t${n}` }, 1));
    const seen: (string | undefined)[] = [];
    while (asked.length > 0) {
      expect(asked.length).toBeLessThanOrEqual(4);
      seen.push(...asked.map(({ type }) => type));
      await turn();
    }
    expect(await Promise.all(ends)).toEqual(ends.map(() => []));
    expect(seen).toHaveLength(12 * LAST);
    expect(new Set(seen.slice(0, 12)).size).toBe(12);
  });

  test('are read no further for a reader that has gone, and whose turn is next goes on', async () => {
    const { asked, reads, turn } = slices();
    const gone = new AbortController();
    const left = Array.from({ length: 1_000 }, () => reads.read(0, { type: 'left' }, 1, gone.signal));
    const stays = reads.read(5, { type: 'stays' }, 1);
    gone.abort();
    let count = 0;
    for (; asked.length > 0; await turn()) count += asked.length;
    expect(await Promise.all([...left, stays])).toEqual([...left, stays].map(() => []));
    expect(count).toBe(4 + LAST - 5);
  });
});
