// What is written of seen messages: rows in order of arrival, or rows to look up, and the way from one to the other.
import { expect, test } from 'vitest';
import { DAY, items, NOW } from '../../samples.ts';
import { inProcess } from './in-process.ts';

const ids = (from: number, count: number): string[] => Array.from({ length: count }, (_, n) => `e${from + n}`);

test('a log of a sender that deduplicates costs one row for each append, another one a row for each message', () => {
  const store = inProcess();
  const [a1, a2] = [store.online('a1', { deduplicates: true }), store.online('a2', { deduplicates: false })];
  store.append('a1', a1, 1, items(...ids(1, 100)));
  expect([store.count('seen_run'), store.count('inbox_dedup')]).toEqual([1, 0]);
  store.append('a2', a2, 1, items(...ids(1, 100)));
  expect([store.count('seen_run'), store.count('inbox_dedup')]).toEqual([1, 100]);
  // More than a step of the index is not one row.
  store.append('a1', a1, 101, items(...ids(101, 2_500)));
  expect([store.count('seen_run'), store.count('inbox_dedup')]).toEqual([4, 100]);
});

test('a restart indexes some at once and the rest in steps, during which nothing of the agent is taken', () => {
  const store = inProcess();
  const a1 = store.online('a1', { deduplicates: true });
  const a2 = store.online('a2', { deduplicates: true });
  store.append('a1', a1, 1, items(...ids(1, 2_500)));
  store.append('a2', a2, 1, items('e1'));
  store.commit(() =>
    store.writes.beginInbox('a1', a1, { incarnation: 'next', next: 1, missing: null, deduplicates: true }, NOW),
  );
  expect([store.count('seen_run'), store.count('inbox_dedup')]).toEqual([3, 1_000]);
  expect(() => store.append('a1', a1, 1, items('e1'))).toThrow(
    expect.objectContaining({ code: 'deduplication_indexing' }),
  );
  store.append('a2', a2, 2, items('e2'));
  const step = (): boolean => store.commit(() => store.writes.indexSeen('a1'));
  expect([step(), step(), step()]).toEqual([true, false, false]);
  // Those of the other agent stay.
  expect([store.count('seen_run'), store.count('inbox_dedup')]).toEqual([2, 2_500]);
  expect(store.append('a1', a1, 1, items('e2500', 'new'))).toBe(2);
  expect(store.readAll({ agentId: 'a1' }, 1_000)).toHaveLength(2_501);
});

test('a log that restarted is looked up for the retention, and then costs one row for each append again', () => {
  const store = inProcess();
  const a1 = store.online('a1', { deduplicates: true });
  store.commit(() =>
    store.writes.beginInbox('a1', a1, { incarnation: 'next', next: 1, missing: null, deduplicates: true }, NOW),
  );
  store.append('a1', a1, 1, items('e1'));
  store.commit(() => store.writes.ageDeduplication(NOW + 7 * DAY, NOW));
  store.append('a1', a1, 2, items('e2'));
  expect([store.count('seen_run'), store.count('inbox_dedup')]).toEqual([0, 2]);
  store.commit(() => store.writes.ageDeduplication(NOW + 7 * DAY + 1, NOW + 1));
  store.append('a1', a1, 3, items('e3'));
  expect([store.count('seen_run'), store.count('inbox_dedup')]).toEqual([1, 2]);
});
