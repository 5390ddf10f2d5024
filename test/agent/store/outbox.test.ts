import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AgentStore } from '../../../agent/store/store.ts';
import type { OutboxPort } from '../../../shared/delivery/log-interfaces.ts';
import { Clock, idsOf, message, openAt } from './samples.ts';
import { positionId } from '../../shared/sqlite/position-id.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

describe('Outbox', () => {
  const clock = new Clock();
  const bounds = { maxMessages: 3, maxBytes: 10_000 };
  let folder: string;
  let store: AgentStore;

  beforeEach(() => {
    folder = temporaryFolder();
    store = openAt(folder, { outbox: bounds, now: clock.now });
  });

  afterEach(async () => {
    await store.stop();
  });

  it('is what a session sends from', () => {
    const port: OutboxPort = store.outbox;
    expect(port).toBe(store.outbox);
  });

  it('keeps events over a restart, in order', async () => {
    expect(await store.outbox.append([message('e1'), message('e2')])).toEqual([
      { outcome: 'stored', number: 1 },
      { outcome: 'stored', number: 2 },
    ]);
    await store.stop();
    store = openAt(folder, { outbox: bounds });
    expect(await store.outbox.append([message('e2'), message('e3')])).toEqual([
      { outcome: 'duplicate', number: 2 },
      { outcome: 'stored', number: 3 },
    ]);
    expect(idsOf(await store.outbox.read(0, 10, 10_000))).toEqual(['e1', 'e2', 'e3']);
  });

  it('refuses the producer when it is full, and only the one that has no room', async () => {
    const outcomes = await Promise.allSettled([
      store.outbox.append([message('e1'), message('e2')]),
      store.outbox.append([message('e3'), message('e4')]),
      store.outbox.append([message('e5')]),
    ]);
    expect(outcomes).toMatchObject([
      { status: 'fulfilled' },
      { reason: { code: 'outbox_full' } },
      { value: [{ outcome: 'stored', number: 3 }] },
    ]);
    const { incarnation } = await store.outbox.resume(null);
    expect(await store.outbox.resume({ incarnation, number: 2, id: positionId('e1', 'e2') })).toEqual({
      incarnation,
      next: 3,
      missing: null,
    });
    expect(await store.outbox.append([message('e3'), message('e4')])).toMatchObject([
      { outcome: 'stored' },
      { outcome: 'stored' },
    ]);
    expect(await store.outbox.depth()).toMatchObject({ incarnation, messages: 3 });
  });

  it('hints at what was stored, after it is on disk, until no one listens', async () => {
    const listener = vi.fn<() => void>();
    const end = store.outbox.onAppended(listener);
    await store.outbox.append([message('e1')]);
    await store.outbox.append([message('e1')]);
    expect(listener).toHaveBeenCalledTimes(1);
    end();
    await store.outbox.append([message('e2')]);
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it('lets an acknowledgement come before the resume that follows it', async () => {
    await store.outbox.append([message('e1'), message('e2')]);
    const { incarnation } = await store.outbox.resume(null);
    const acknowledged = store.outbox.acknowledge(1);
    expect(await store.outbox.resume({ incarnation, number: 1, id: positionId('e1') })).toMatchObject({
      next: 2,
      missing: null,
    });
    await acknowledged;
    await expect(store.outbox.acknowledge(3)).rejects.toMatchObject({ code: 'log_violation' });
  });

  it('records once, with the range, that Central went back in time', async () => {
    await store.outbox.append([message('e1'), message('e2')]);
    await store.outbox.acknowledge(1);
    const begun = await store.outbox.resume(null);
    expect(begun).toMatchObject({ next: 1, missing: { from: 1, through: 1 } });
    await store.outbox.resume(null);
    const incidents = await store.incidents({ limit: 10, before: null });
    expect(incidents.map(({ kind, detail }): unknown => [kind, JSON.parse(detail)])).toEqual([
      ['log_restarted', { recovered: false, direction: 'up', from: 1, through: 1, incarnation: begun.incarnation }],
    ]);
    expect(await store.outbox.read(0, 10, 10_000)).toMatchObject([{ number: 1, id: 'e2' }]);
  });

  it('gives up what has expired, and keeps it with its reason', async () => {
    const e1 = message('e1', { expiresAt: clock.time + 5 });
    await store.outbox.append([e1, message('e2')]);
    expect(await store.outbox.expire()).toBe(0);
    clock.time += 5;
    expect(await store.outbox.expire()).toBe(1);
    expect(await store.deadLetters({ limit: 10, before: null })).toMatchObject([
      { at: clock.time, direction: 'up', number: 1, id: 'e1', reason: 'expired', json: e1.json },
    ]);
    expect(await store.outbox.read(0, 1, 10_000)).toMatchObject([
      { json: '{"tombstone":"expired","id":"e1","source":"/test"}' },
    ]);
    expect(await store.outbox.depth()).toMatchObject({ messages: 1 });
  });

  it('dead letters come in pages that are bounded by their text', async () => {
    await store.stop();
    store = openAt(folder, { outbox: { maxMessages: 100, maxBytes: 10_000_000 }, now: clock.now });
    const expiresAt = clock.time + 5;
    const large = Array.from({ length: 9 }, (_, i) => {
      const id = `e${i}`;
      return message(id, { expiresAt, json: JSON.stringify({ id, source: '/test', data: 'x'.repeat(200_000) }) });
    });
    for (const one of large) await store.outbox.append([one]);
    clock.time += 5;
    while ((await store.outbox.expire()) > 0);
    const first = await store.deadLetters({ limit: 1_000, before: null });
    const rest = await store.deadLetters({ limit: 1_000, before: first.at(-1)?.key ?? 0 });
    expect([first.length, rest.length]).toEqual([6, 3]);
    expect(new Set([...first, ...rest].map(({ id }) => id)).size).toBe(9);
  });
});
