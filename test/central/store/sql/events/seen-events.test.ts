// What is written of seen messages: nothing besides the events, or rows to look up, and the way from one to the other.
import { expect, test } from 'vitest';
import { ACT, DAY, items, NOW } from '../../samples.ts';
import { inProcess, type InProcess } from '../../sqlite/events/in-process.ts';

const ids = (from: number, count: number): string[] => Array.from({ length: count }, (_, n) => `e${from + n}`);

const restart = (store: InProcess, id: string, epoch: number, incarnation: string, now = NOW): void =>
  store.commit(() =>
    store.writes.beginInbox(id, epoch, { incarnation, next: 1, missing: null, deduplicates: true }, now),
  );

test('a log of a sender that deduplicates costs nothing besides its events, another one a row for each message', () => {
  const store = inProcess();
  const [a1, a2] = [store.online('a1', { deduplicates: true }), store.online('a2', { deduplicates: false })];
  store.append('a1', a1, 1, items(...ids(1, 100)));
  expect(store.count('inbox_dedup')).toBe(0);
  store.append('a2', a2, 1, items(...ids(1, 100)));
  expect(store.count('inbox_dedup')).toBe(100);
  store.append('a1', a1, 101, items(...ids(101, 2_500)));
  expect(store.count('inbox_dedup')).toBe(100);
});

test('a restart indexes some at once and the rest in steps, during which nothing of the agent is taken', () => {
  const store = inProcess();
  const a1 = store.online('a1', { deduplicates: true });
  const a2 = store.online('a2', { deduplicates: true });
  store.append('a1', a1, 1, items(...ids(1, 2_500)));
  store.append('a2', a2, 1, items('e1'));
  restart(store, 'a1', a1, 'next');
  expect(store.count('inbox_dedup')).toBe(1_000);
  expect(() => store.append('a1', a1, 1, items('e1'))).toThrow(
    expect.objectContaining({ code: 'deduplication_indexing' }),
  );
  store.append('a2', a2, 2, items('e2'));
  const step = (): boolean => store.commit(() => store.writes.indexSeen('a1'));
  expect([step(), step(), step()]).toEqual([true, false, false]);
  // Those of the other agent are not entered.
  expect(store.count('inbox_dedup')).toBe(2_500);
  expect(store.append('a1', a1, 1, items('e2500', 'new'))).toBe(2);
  expect(store.readAll({ agentId: 'a1' }, 1_000)).toHaveLength(2_501);
  // What is looked up need not be indexed.
  expect(step()).toBe(false);
  expect(store.append('a1', a1, 3, items('new', 'newer'))).toBe(4);
  restart(store, 'a1', a1, 'third');
  expect(store.append('a1', a1, 1, items('newer', 'e1'))).toBe(2);
  expect(store.readAll({ agentId: 'a1' }, 1_000)).toHaveLength(2_502);
});

test('a log that restarted is looked up for the retention, and then costs nothing besides its events again', () => {
  const store = inProcess();
  const a1 = store.online('a1', { deduplicates: true });
  restart(store, 'a1', a1, 'next');
  store.append('a1', a1, 1, items('e1'));
  store.commit(() => store.writes.ageDeduplication(NOW + 7 * DAY, NOW));
  store.append('a1', a1, 2, items('e2'));
  expect(store.count('inbox_dedup')).toBe(2);
  store.commit(() => store.writes.ageDeduplication(NOW + 7 * DAY + 1, NOW + 1));
  store.append('a1', a1, 3, items('e3'));
  expect(store.count('inbox_dedup')).toBe(2);
  // Until it restarts once more.
  restart(store, 'a1', a1, 'third');
  expect(store.count('inbox_dedup')).toBe(3);
});

test('events from before the retention are passed over, and those of a removed agent with the same id', () => {
  const store = inProcess();
  const before = store.online('a1', { deduplicates: true });
  store.append('a1', before, 1, items('e1'));
  store.commit(() => store.writes.removeAgent(ACT, 'a1'));
  const a1 = store.online('a1', { deduplicates: true });
  store.append('a1', a1, 1, items('e2'), NOW - 366 * DAY);
  store.append('a1', a1, 2, items('e3'));
  restart(store, 'a1', a1, 'next');
  expect(store.count('inbox_dedup')).toBe(1);
  expect(store.append('a1', a1, 1, items('e1', 'e2', 'e3'))).toBe(3);
  const found = store.readAll({}, 10).map(({ json }) => (JSON.parse(json) as { id: string }).id);
  expect(found).toEqual(['e1', 'e2', 'e3', 'e1', 'e2']);
});
