// The part of the contract that concerns subscriptions: how far each is, its last attempts, and the events that are
// kept for it.
import { expect, it } from 'vitest';
import { framesOf } from '../../shared/delivery/frames.ts';
import type { Store } from '../../../central/store/store.ts';
import { MAX_DELIVERIES, type DeliveryAttempt } from '../../../central/store/subscriptions/subscription-store.ts';
import {
  auditEntry,
  eachEngine,
  items,
  newSubscription,
  NOW,
  online,
  type Engine,
  type OpenEngine,
} from './samples.ts';

const ENTRY = auditEntry('subscriptions.create');
const ID = '1'.repeat(16);

const attempt = (changes: Partial<DeliveryAttempt> = {}): DeliveryAttempt => ({
  at: NOW,
  webhookId: 'msg_1',
  attempt: 1,
  eventCount: 2,
  firstCursor: 1,
  lastCursor: 2,
  durationMs: 3,
  status: 204,
  failure: null,
  ...changes,
});

export function subscriptionContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  it('keeps subscriptions with their progress over a restart, in order of name', async () => {
    const second = await store.subscriptions.create(newSubscription('2', { name: 'b' }), ENTRY);
    const first = await store.subscriptions.create(newSubscription('1', { name: 'A' }), ENTRY);
    expect(first).toEqual({ ...newSubscription('1', { name: 'A' }), version: 1, epoch: 1, lostCount: 0, lostAt: null });
    await store.subscriptions.record(ID, 1, { attempt: attempt(), cursor: 2, lost: { count: 3, at: NOW } });
    await store.subscriptions.record(ID, 1, { lost: { count: 4, at: NOW + 1 } });
    store = await engine.restart();
    expect(await store.subscriptions.list()).toEqual([{ ...first, cursor: 2, lostCount: 7, lostAt: NOW + 1 }, second]);
    expect(await store.subscriptions.deliveries({ id: ID, limit: 10 })).toEqual([{ ...attempt(), number: 1 }]);
  });

  it('refuses a name twice whatever its case, what is unknown, and a change of an older version', async () => {
    await store.subscriptions.create(newSubscription('1', { name: 'A' }), ENTRY);
    await expect(store.subscriptions.create(newSubscription('2', { name: 'a' }), ENTRY)).rejects.toMatchObject({
      code: 'subscription_name_taken',
    });
    await store.subscriptions.create(newSubscription('2', { name: 'b' }), ENTRY);
    await expect(store.subscriptions.change(ID, { name: 'B' }, null, ENTRY)).rejects.toMatchObject({
      code: 'subscription_name_taken',
    });
    expect(await store.subscriptions.change(ID, { name: 'a' }, 1, ENTRY)).toMatchObject({ name: 'a', version: 2 });
    await expect(store.subscriptions.change(ID, { name: 'c' }, 1, ENTRY)).rejects.toMatchObject({
      code: 'version_conflict',
    });
    await expect(store.subscriptions.change('9', {}, null, ENTRY)).rejects.toMatchObject({
      code: 'subscription_unknown',
    });
    await store.subscriptions.remove(ID, ENTRY);
    await expect(store.subscriptions.remove(ID, ENTRY)).rejects.toMatchObject({ code: 'subscription_unknown' });
  });

  it('records nothing of an attempt that began before a replay, nor of a subscription that is gone', async () => {
    await store.subscriptions.create(newSubscription('1', { cursor: 9 }), ENTRY);
    expect(await store.subscriptions.change(ID, { cursor: 4 }, null, ENTRY)).toMatchObject({ cursor: 4, epoch: 2 });
    await store.subscriptions.record(ID, 1, { attempt: attempt(), cursor: 12 });
    expect(await store.subscriptions.list()).toMatchObject([{ cursor: 4 }]);
    expect(await store.subscriptions.deliveries({ id: ID, limit: 10 })).toEqual([]);
    await store.subscriptions.record(ID, 2, { attempt: attempt() });
    await store.subscriptions.remove(ID, ENTRY);
    await store.subscriptions.record(ID, 2, { attempt: attempt() });
    expect(await store.subscriptions.deliveries({ id: ID, limit: 10 })).toEqual([]);
  });

  it('keeps the last attempts of each subscription, newest first, in pages', async () => {
    await store.subscriptions.create(newSubscription('1'), ENTRY);
    await Promise.all(
      Array.from({ length: MAX_DELIVERIES + 2 }, (_, n) =>
        store.subscriptions.record(ID, 1, { attempt: attempt({ attempt: n + 1 }) }),
      ),
    );
    const all = await store.subscriptions.deliveries({ id: ID, limit: 2 * MAX_DELIVERIES });
    expect([all.length, all[0]?.attempt, all.at(-1)?.attempt]).toEqual([MAX_DELIVERIES, MAX_DELIVERIES + 2, 3]);
    const page = await store.subscriptions.deliveries({ id: ID, limit: 1, before: all[0]?.number ?? 0 });
    expect(page).toEqual([all[1]]);
  });

  it('keeps events that are not delivered to each subscription for the longer of two retentions', async () => {
    const epoch = await online(store, 'a1');
    for (const [n, id] of ['e1', 'e2', 'e3', 'e4'].entries())
      await store.inbox.append('a1', epoch, n + 1, framesOf(n + 1, items(id)), NOW + n);
    await store.subscriptions.create(newSubscription('1', { cursor: 2 }), ENTRY);
    const old = { now: NOW, deadLettersOlderThan: 0, deduplicationOlderThan: 0, incidentsOlderThan: 0 };
    const cursors = async () => (await store.inbox.read(0, {}, 10)).map(({ cursor }) => cursor);
    await store.prune({ ...old, eventsOlderThan: NOW + 100, undeliveredOlderThan: NOW });
    expect(await cursors()).toEqual([3, 4]);
    // The longer retention is over as well, and the newest event stays in any case.
    await store.prune({ ...old, eventsOlderThan: NOW + 100, undeliveredOlderThan: NOW + 100 });
    expect(await cursors()).toEqual([4]);
    expect(await store.inbox.prunedThrough(2)).toBe(3);
  });
}
