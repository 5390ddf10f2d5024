import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AgentStore } from '../../../agent/store/store.ts';
import type { Item } from '../../../shared/delivery/message.ts';
import type { InboxPort } from '../../../shared/delivery/log-interfaces.ts';
import { Clock, DAY, idsOf, items, message, openAt } from './samples.ts';
import { DEFAULT_CONSUMER as DEFAULT } from '../../../agent/store/routing.ts';
import { positionId } from '../../shared/sqlite/position-id.ts';
import { framesOf } from '../../shared/delivery/frames.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

describe('Inbox', () => {
  const bounds = { maxMessages: 3, maxBytes: 10_000 };
  let clock: Clock;
  let folder: string;
  let store: AgentStore;

  beforeEach(async () => {
    clock = new Clock();
    folder = temporaryFolder();
    store = openAt(folder, { inbox: bounds, now: clock.now });
    await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
  });

  afterEach(async () => {
    await store.stop();
  });

  /** True when the promise is still pending after the disk had its turns. */
  async function waits(promise: Promise<unknown>): Promise<boolean> {
    let settled = false;
    const note = (): void => void (settled = true);
    promise.then(note, note);
    for (let turn = 0; turn < 10; turn += 1) await nextTurn();
    return !settled;
  }

  /** As a program of the consumer `default` does. */
  async function take(max: number, after?: number) {
    const taken = await store.inbox.take(DEFAULT, max, after);
    await store.inbox.deliver(DEFAULT, taken.at(-1)?.cursor ?? 0);
    return taken;
  }

  it('is what a session receives into', () => {
    const port: InboxPort = store.inbox;
    expect(port).toBe(store.inbox);
  });

  it('keeps commands over a restart until a program has acknowledged them', async () => {
    expect(await store.inbox.append(1, framesOf(1, items('c1', 'c2')))).toBe(2);
    await store.stop();
    store = openAt(folder, { inbox: bounds, now: clock.now });
    expect(await store.inbox.position()).toEqual({ incarnation: 'A', number: 2, id: positionId('c1', 'c2') });
    const taken = await take(10);
    expect(idsOf(taken)).toEqual(['c1', 'c2']);
    await store.inbox.acknowledge(DEFAULT, taken[0]?.cursor ?? 0);
    expect(idsOf(await take(10))).toEqual(['c2']);
    expect(await store.inbox.depth()).toEqual({
      messages: 1,
      bytes: Buffer.byteLength(message('c2').json),
      oldestAt: clock.time,
    });
  });

  it('takes at most so many, and those behind a cursor', async () => {
    await store.inbox.append(1, framesOf(1, items('c1', 'c2', 'c3')));
    const [first] = await take(1);
    expect(idsOf(await take(10, first?.cursor))).toEqual(['c2', 'c3']);
  });

  it('gives cursors that only grow, over restarts and incarnations', async () => {
    await store.inbox.append(1, framesOf(1, items('c1', 'c2')));
    const before = await take(10);
    await store.inbox.acknowledge(DEFAULT, before.at(-1)?.cursor ?? 0);
    await store.stop();
    store = openAt(folder, { inbox: bounds, now: clock.now });
    await store.inbox.begin({ incarnation: 'B', next: 1, missing: null });
    await store.inbox.append(1, framesOf(1, items('c3')));
    const [after] = await take(10);
    expect(after?.cursor).toBeGreaterThan(before.at(-1)?.cursor ?? Infinity);
  });

  it('stores (source, id) once within seven days, but takes its number', async () => {
    await store.inbox.append(1, framesOf(1, items('c1')));
    expect(await store.inbox.append(2, framesOf(2, items('c1', 'c2')))).toBe(3);
    expect(idsOf(await take(10))).toEqual(['c1', 'c2']);
    clock.time += 7 * DAY;
    expect(await store.inbox.append(4, framesOf(4, items('c1')))).toBe(4);
    expect(idsOf(await take(10))).toEqual(['c1', 'c2', 'c1']);
  });

  it('makes Central wait when it is full, drops nothing, and goes on in order when programs have taken', async () => {
    await store.inbox.append(1, framesOf(1, items('c1', 'c2')));
    const second = store.inbox.append(3, framesOf(3, items('c3', 'c4')));
    const third = store.inbox.append(5, framesOf(5, items('c5')));
    expect(await waits(second)).toBe(true);
    expect(await waits(third)).toBe(true);
    expect(await store.inbox.depth()).toMatchObject({ messages: 2 });
    const [first] = await take(1);
    await store.inbox.acknowledge(DEFAULT, first?.cursor ?? 0);
    expect(await second).toBe(4);
    expect(await waits(third)).toBe(true);
    await store.inbox.acknowledge(DEFAULT, (await take(1))[0]?.cursor ?? 0);
    expect(await third).toBe(5);
    expect(idsOf(await take(10))).toEqual(['c3', 'c4', 'c5']);
  });

  it('bounds bytes, too', async () => {
    const large = (id: string): Item => ({
      kind: 'message',
      message: message(id, {
        json: JSON.stringify({ specversion: '1.0', id, source: '/test', type: 'test', data: 'x'.repeat(6_000) }),
      }),
    });
    await store.inbox.append(1, framesOf(1, [large('c1')]));
    const second = store.inbox.append(2, framesOf(2, [large('c2')]));
    expect(await waits(second)).toBe(true);
    await store.inbox.acknowledge(DEFAULT, (await take(1))[0]?.cursor ?? 0);
    expect(await second).toBe(2);
  });

  it('has room for a batch larger than itself once it is empty', async () => {
    expect(await store.inbox.append(1, framesOf(1, items('c1', 'c2', 'c3', 'c4', 'c5')))).toBe(5);
    expect(
      await waits(
        store.inbox.append(6, framesOf(6, [{ kind: 'tombstone', id: 't', source: '/test', reason: 'expired' }])),
      ),
    ).toBe(false);
  });

  it('lets what an older session waits to append go when a newer one asks for the position', async () => {
    await store.inbox.append(1, framesOf(1, items('c1', 'c2', 'c3')));
    const stale = store.inbox.append(4, framesOf(4, items('c4')));
    expect(await waits(stale)).toBe(true);
    const position = store.inbox.position();
    await expect(stale).rejects.toMatchObject({ code: 'session_over' });
    expect(await position).toMatchObject({ number: 3 });
    const again = store.inbox.append(4, framesOf(4, items('c4')));
    await store.inbox.acknowledge(DEFAULT, (await take(1))[0]?.cursor ?? 0);
    expect(await again).toBe(4);
  });

  it('lets go of everybody who waits when it stops', async () => {
    const taker = store.inbox.waitForCommands(DEFAULT, 60_000, new AbortController().signal);
    await store.stop();
    await expect(taker).resolves.toBeUndefined();
    await expect(store.inbox.append(1, framesOf(1, items('x')))).rejects.toMatchObject({ code: 'store_stopped' });
    store = openAt(folder, { inbox: bounds });
    await store.inbox.append(1, framesOf(1, items('c1', 'c2', 'c3')));
    const waiting = store.inbox.append(4, framesOf(4, items('c4')));
    const [rejected] = await Promise.allSettled([waiting, store.stop()]);
    expect(rejected).toMatchObject({ status: 'rejected', reason: { code: 'store_stopped' } });
  });

  it('wakes who waits for a command when one is on disk, at the end of the time, and on abort', async () => {
    const woken = store.inbox.waitForCommands(DEFAULT, 60_000, new AbortController().signal);
    expect(await waits(woken)).toBe(true);
    await store.inbox.append(1, framesOf(1, items('c1')));
    await woken;
    await store.inbox.waitForCommands(DEFAULT, 60_000, new AbortController().signal);
    await store.inbox.acknowledge(DEFAULT, (await take(1))[0]?.cursor ?? 0);
    await store.inbox.waitForCommands(DEFAULT, 1, new AbortController().signal);
    const leaving = new AbortController();
    const left = store.inbox.waitForCommands(DEFAULT, 60_000, leaving.signal);
    leaving.abort();
    await left;
    await store.inbox.waitForCommands(DEFAULT, 60_000, leaving.signal);
    expect(await take(1)).toEqual([]);
  });

  it('hands out no expired command: it goes to the dead letters and makes room', async () => {
    await store.inbox.setCentralTime(clock.time);
    const c1 = message('c1', { expiresAt: clock.time + 5 });
    await store.inbox.append(1, framesOf(1, [{ kind: 'message', message: c1 }, ...items('c2', 'c3')]));
    const waiting = store.inbox.append(4, framesOf(4, items('c4')));
    clock.time += 5;
    expect(idsOf(await take(10))).toEqual(['c2', 'c3']);
    expect(await waiting).toBe(4);
    expect(await store.deadLetters({ limit: 10, before: null })).toMatchObject([
      { at: clock.time, direction: 'down', number: 1, id: 'c1', reason: 'expired', json: c1.json },
    ]);
  });

  it('puts what Central gave up, and what is not a message, to the dead letters', async () => {
    await store.inbox.append(
      1,
      framesOf(1, [
        { kind: 'tombstone', id: 't', source: '/test', reason: 'expired' },
        { kind: 'rejected', id: 'r', source: '/test', reason: 'no version', json: '{"id":"r","source":"/test"}' },
      ]),
    );
    expect(await store.deadLetters({ limit: 10, before: null })).toMatchObject([
      { id: 'r', reason: 'the message has no member "specversion"' },
      { id: 't', reason: 'expired' },
    ]);
    expect(await store.inbox.position()).toMatchObject({ number: 2, id: positionId('t', 'r') });
  });

  it('records with the range that a log restarted with messages missing', async () => {
    await store.inbox.append(1, framesOf(1, items('c1')));
    await store.inbox.begin({ incarnation: 'B', next: 1, missing: { from: 2, through: 4 } });
    const incidents = await store.incidents({ limit: 10, before: null });
    expect(incidents.map(({ kind, detail }): unknown => [kind, JSON.parse(detail)])).toEqual([
      ['log_restarted', { recovered: false, direction: 'down', from: 2, through: 4, incarnation: 'B' }],
    ]);
    await expect(store.inbox.append(2, framesOf(2, items('x')))).rejects.toMatchObject({ code: 'log_violation' });
    expect(await store.inbox.append(1, framesOf(1, items('c1', 'c2')))).toBe(2);
    expect(idsOf(await take(10))).toEqual(['c1', 'c2']);
  });
});
