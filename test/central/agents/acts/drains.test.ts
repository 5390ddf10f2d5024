import { expect, test } from 'vitest';
import type { Drain } from '../../../../central/agents/acts/drain.ts';
import { Drains, type DrainOrder } from '../../../../central/agents/acts/drains.ts';
import { CENTRAL } from '../../../../central/audit.ts';

/** There is no other node. */
function alone() {
  return {
    list: (): Drain[] => [],
    get: (_id: string): Drain | undefined => undefined,
    show: (_drain: Drain, _isFinal: boolean): void => undefined,
    cancel: async (_id: string): Promise<void> => undefined,
  };
}

/**
 * Agents a0, a1, ... with a session each, of epoch 1; those of `slow` do not end. A clock and ticks that the test
 * moves.
 */
function setUp(count: number, slow: readonly string[] = [], elsewhere = alone()) {
  const epochs = new Map(Array.from({ length: count }, (_, i) => [`a${i}`, 1]));
  const clock = { now: 1_000_000 };
  const entries: string[] = [];
  const asked: string[] = [];
  const followed: string[] = [];
  let tick: (() => void) | undefined;
  const drains = new Drains({
    sessions: {
      follow: async (ids) => void followed.push(...ids),
      unfollow(ids) {
        for (const id of ids) followed.splice(followed.indexOf(id), 1);
      },
      epochOf: (id) => epochs.get(id),
      reconnect(ended, retryAfterSeconds) {
        for (const { agentId, epoch } of ended) {
          if (epochs.get(agentId) !== epoch) continue;
          if (!slow.includes(agentId)) epochs.delete(agentId);
          asked.push(`${agentId} ${retryAfterSeconds}`);
        }
      },
    },
    elsewhere,
    audit: { append: async ({ action }) => void entries.push(action) },
    log: { info() {} },
    now: () => clock.now,
    every: (_ms, run) => {
      tick = run;
      return () => (tick = undefined);
    },
  });
  const order = (changes: Partial<DrainOrder> = {}): DrainOrder => ({
    selectors: ['all'],
    scope: null,
    selected: Array.from({ length: count }, (_, i) => {
      return { id: `a${i}`, name: `branch-${i}`, state: 'online', offlineSince: null };
    }),
    withinSeconds: 100,
    retryAfterSeconds: 7,
    ...changes,
  });
  return {
    drains,
    epochs,
    entries,
    asked,
    followed,
    order,
    isTicking: () => tick !== undefined,
    after: (seconds: number) => {
      clock.now += seconds * 1000;
      tick?.();
    },
  };
}

test('sessions end one after the other within the time, and agents are counted until they are back', async () => {
  const { drains, epochs, entries, asked, followed, order, after, isTicking } = setUp(11);
  epochs.delete('a10');
  const { id } = await drains.create(order(), CENTRAL);
  expect(entries).toEqual(['drains.create']);
  expect(drains.get(id)).toMatchObject({
    state: 'draining',
    agentCount: 11,
    offlineCount: 1,
    waitingCount: 9,
    awayCount: 1,
    reconnectedCount: 0,
  });
  after(50);
  expect(drains.get(id)).toMatchObject({ state: 'draining', waitingCount: 5, awayCount: 5 });
  epochs.set('a0', 2);
  after(50);
  expect(drains.get(id)).toMatchObject({ state: 'drained', waitingCount: 0, awayCount: 9, reconnectedCount: 1 });
  expect(asked).toEqual(Array.from({ length: 10 }, (_, i) => `a${i} 7`));
  for (let i = 1; i < 10; i += 1) epochs.set(`a${i}`, 2);
  after(1);
  expect(drains.get(id)).toMatchObject({ state: 'drained', awayCount: 0, reconnectedCount: 10 });
  // Nothing is left to measure, and what happens later does not count.
  expect([isTicking(), followed]).toEqual([false, []]);
  epochs.clear();
  expect(drains.get(id)).toMatchObject({ reconnectedCount: 10 });
});

test('an agent that reconnected by itself before its turn is left alone, one that is back and goes again stays counted', async () => {
  const { drains, epochs, asked, order, after } = setUp(3);
  const { id } = await drains.create(order(), CENTRAL);
  epochs.set('a2', 5);
  after(1);
  epochs.delete('a2');
  after(99);
  expect(asked).toEqual(['a0 7', 'a1 7']);
  expect(drains.get(id)).toMatchObject({ state: 'drained', awayCount: 2, reconnectedCount: 1 });
});

test('a session that takes its time to end keeps the drain open', async () => {
  const { drains, epochs, order, after } = setUp(2, ['a1']);
  const { id } = await drains.create(order({ withinSeconds: 0 }), CENTRAL);
  after(3600);
  expect(drains.get(id)).toMatchObject({ state: 'draining', waitingCount: 1, awayCount: 1 });
  epochs.delete('a1');
  // Its state is never behind its counts, also between two ticks.
  expect(drains.get(id)).toMatchObject({ state: 'drained', waitingCount: 0, awayCount: 2 });
});

test('a canceled drain ends no more sessions; it is canceled once', async () => {
  const { drains, epochs, entries, asked, order, after } = setUp(5);
  const { id } = await drains.create(order(), CENTRAL);
  after(25);
  expect(await drains.cancel(id, CENTRAL)).toMatchObject({ state: 'canceled', waitingCount: 3, awayCount: 2 });
  after(100);
  expect(asked).toHaveLength(2);
  expect(epochs.size).toBe(3);
  await expect(drains.cancel(id, CENTRAL)).rejects.toMatchObject({ code: 'drain_ended', status: 409 });
  await expect(drains.cancel('none', CENTRAL)).rejects.toMatchObject({ code: 'drain_unknown', status: 404 });
  expect(entries).toEqual(['drains.create', 'drains.cancel']);
});

test('a drain that cannot be recorded does not begin', async () => {
  const { order, epochs } = setUp(1);
  const drains = new Drains({
    sessions: {
      epochOf: () => undefined,
      follow: async () => undefined,
      unfollow: () => undefined,
      reconnect: () => epochs.clear(),
    },
    elsewhere: alone(),
    audit: {
      append: async () => {
        throw new Error('no');
      },
    },
    log: { info() {} },
    now: () => 0,
    every: () => () => undefined,
  });
  await expect(drains.create(order(), CENTRAL)).rejects.toThrow('no');
  expect([drains.list(), epochs.size]).toEqual([[], 1]);
});

test('no more than ten run, no more than a hundred are kept, and what is away is counted for a quarter of an hour', async () => {
  const { drains, order, after, isTicking } = setUp(22);
  const pair = (i: number) => order({ selected: order().selected.slice(2 * i, 2 * i + 2) });
  const outcomes = await Promise.allSettled(Array.from({ length: 11 }, (_, i) => drains.create(pair(i), CENTRAL)));
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
  expect(outcomes.at(-1)).toMatchObject({ reason: { code: 'drains_full', status: 409 } });
  after(100);
  expect(drains.list().every(({ state, awayCount }) => state === 'drained' && awayCount === 2)).toBe(true);
  for (let i = 0; i < 100; i += 1) await drains.create(order({ selected: [] }), CENTRAL);
  expect(drains.list()).toHaveLength(100);
  const [last] = drains.list();
  expect(last).toMatchObject({ state: 'drained', agentCount: 0 });
  after(15 * 60);
  expect(isTicking()).toBe(false);
});

test('a drain of another node is listed with those of this one, and canceled there', async () => {
  const elsewhere = alone();
  const { drains, entries, order } = setUp(3, [], elsewhere);
  const own = await drains.create(order(), CENTRAL);
  let other: Drain = { ...own, id: 'other', createdAt: own.createdAt + 1 };
  elsewhere.list = () => [other];
  elsewhere.get = (id) => (id === 'other' ? other : undefined);
  elsewhere.cancel = async (id) => void (other = { ...other, state: id === 'other' ? 'canceled' : 'drained' });
  expect(drains.list().map(({ id }) => id)).toEqual(['other', own.id]);
  expect(drains.own()).toHaveLength(1);
  expect(await drains.cancel('other', CENTRAL)).toMatchObject({ id: 'other', state: 'canceled' });
  expect(entries).toEqual(['drains.create', 'drains.cancel']);
  await expect(drains.cancel('other', CENTRAL)).rejects.toMatchObject({ code: 'drain_ended' });
});

test('what becomes of a drain is shown to other nodes, the last of it as final; one of them may cancel it', async () => {
  const elsewhere = alone();
  const shown: string[] = [];
  elsewhere.show = ({ state, waitingCount }, isFinal) => void shown.push(`${state} ${waitingCount} ${isFinal}`);
  const { drains, order, after } = setUp(3, [], elsewhere);
  const { id } = await drains.create(order(), CENTRAL);
  drains.onCanceled(id);
  drains.onCanceled(id);
  after(15 * 60);
  expect(shown).toEqual(['draining 2 false', 'canceled 2 false', 'canceled 2 true']);
});
