// The part of the contract that concerns messages of both directions (docs/RELIABILITY.md).
import { expect, it } from 'vitest';
import type { Item } from '../../../shared/delivery/message.ts';
import type { Store } from '../../../central/store/store.ts';
import {
  ACT,
  claimOf,
  DAY,
  eventIds,
  items,
  message,
  NOW,
  online,
  registered,
  ROOM,
  eachEngine,
  type Engine,
  type OpenEngine,
} from './samples.ts';
import { positionId } from '../../shared/sqlite/position-id.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

const NO_VERSION = 'the message has no member "specversion"';

export function messageContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  it('keeps commands over a restart, in order, until they are acknowledged', async () => {
    await registered(store, 'a1');
    expect(await store.outbox.append('a1', [message('c1'), message('c2')], ROOM, NOW)).toEqual([
      { outcome: 'stored', number: 1 },
      { outcome: 'stored', number: 2 },
    ]);
    expect(await store.outbox.append('a1', [message('c3', { expiresAt: NOW + DAY })], ROOM, NOW)).toEqual([
      { outcome: 'stored', number: 3 },
    ]);
    store = await engine.restart();
    const entries = await store.outbox.read('a1', 1, 10, 1_000_000);
    expect(entries).toMatchObject([
      { number: 2, id: 'c2', json: message('c2').json, bytes: Buffer.byteLength(message('c2').json), expiresAt: null },
      { number: 3, expiresAt: NOW + DAY },
    ]);
    const { epoch } = await store.agents.claimSession(claimOf('a1'));
    await store.outbox.acknowledge('a1', epoch, 2);
    expect(await store.outbox.read('a1', 0, 10, 1_000_000)).toMatchObject([{ number: 3 }]);
  });

  it('takes no commands for an agent that is revoked, nor for one that was removed', async () => {
    await registered(store, 'a1');
    await store.outbox.append('a1', [message('c1')], ROOM, NOW);
    await store.agents.revoke('a1', { reason: 'unspecified', now: NOW, text: 'revoked' }, ACT);
    await expect(store.outbox.append('a1', [message('c2')], ROOM, NOW)).rejects.toMatchObject({
      code: 'agent_revoked',
    });
    expect(await store.outbox.read('a1', 0, 10, 1_000_000)).toHaveLength(1);
    await store.agents.remove('a1', ACT);
    await expect(store.outbox.append('a1', [message('c2')], ROOM, NOW)).rejects.toMatchObject({
      code: 'agent_unknown',
    });
  });

  it('writes commands that expired at an agent to the dead letters, once however often they are reported', async () => {
    const epoch = await online(store, 'a1');
    const item = (number: number, change = {}) => ({
      number,
      throughNumber: number,
      count: 1,
      id: `c${number}`,
      source: '/test',
      consumer: 'printer',
      ...change,
    });
    const merged = item(2, { throughNumber: 9, count: 5 });
    expect(await store.outbox.recordExpired('a1', epoch, [item(1), merged], NOW)).toBe(6);
    expect(await store.outbox.recordExpired('a1', epoch, [item(1), merged, item(10)], NOW + 1)).toBe(1);
    // Of an incarnation that is over, all have the number 0.
    const old = [item(0, { source: '/a' }), item(0, { source: '/b' })];
    expect(await store.outbox.recordExpired('a1', epoch, old, NOW + 2)).toBe(2);
    const letters = (await store.inbox.deadLetters({ limit: 10, agentId: 'a1' })).items;
    expect(letters.map(({ at, number, through, count, id }) => [at, number, through, count, id])).toEqual([
      [NOW + 2, 0, 0, 1, 'c0'],
      [NOW + 2, 0, 0, 1, 'c0'],
      [NOW + 1, 10, 10, 1, 'c10'],
      [NOW, 2, 9, 5, 'c2'],
      [NOW, 1, 1, 1, 'c1'],
    ]);
    expect(letters.at(-1)).toMatchObject({
      direction: 'down',
      reason: 'expired at the agent',
      json: '{"tombstone":"expired","id":"c1","source":"/test","consumer":"printer"}',
    });
    await expect(store.outbox.recordExpired('a1', epoch - 1, [item(11)], NOW)).rejects.toMatchObject({
      code: 'stale_epoch',
    });
  });

  it('takes a batch whole or not at all, and one that fails alone', async () => {
    await registered(store, 'a1');
    const bounds = { maxMessages: 3, maxBytes: 1_000_000 };
    const outcomes = await Promise.allSettled([
      store.outbox.append('a1', [message('c1'), message('c2')], bounds, NOW),
      store.outbox.append('a1', [message('c3'), message('c4')], bounds, NOW),
      store.outbox.append('no-such', [message('x')], bounds, NOW),
      store.outbox.append('a1', [message('c5')], bounds, NOW),
    ]);
    expect(outcomes).toMatchObject([
      { status: 'fulfilled' },
      { reason: { code: 'outbox_full', status: 503, retryable: true } },
      { reason: { code: 'agent_unknown', status: 404 } },
      { value: [{ outcome: 'stored', number: 3 }] },
    ]);
    // What was refused is not known: it can be sent again.
    const { epoch } = await store.agents.claimSession(claimOf('a1'));
    await store.outbox.acknowledge('a1', epoch, 3);
    expect(await store.outbox.append('a1', [message('c3')], bounds, NOW)).toEqual([{ outcome: 'stored', number: 4 }]);
  });

  it('bounds an outbox in bytes too, and a batch of what is known already needs no room', async () => {
    await registered(store, 'a1');
    const bytes = Buffer.byteLength(message('c1').json);
    await store.outbox.append('a1', [message('c1')], { maxMessages: 9, maxBytes: bytes }, NOW);
    await expect(
      store.outbox.append('a1', [message('c2')], { maxMessages: 9, maxBytes: 2 * bytes - 1 }, NOW),
    ).rejects.toMatchObject({ code: 'outbox_full' });
    expect(await store.outbox.append('a1', [message('c1')], { maxMessages: 1, maxBytes: bytes }, NOW)).toEqual([
      { outcome: 'duplicate', number: 1 },
    ]);
  });

  it('takes (source, id) once within the days, per agent', async () => {
    await registered(store, 'a1');
    await registered(store, 'a2');
    const append = (id: string, now: number) => store.outbox.append(id, [message('c1')], ROOM, now);
    expect(await append('a1', NOW)).toEqual([{ outcome: 'stored', number: 1 }]);
    expect(await append('a2', NOW)).toEqual([{ outcome: 'stored', number: 1 }]);
    expect(await append('a1', NOW + 7 * DAY - 1)).toEqual([{ outcome: 'duplicate', number: 1 }]);
    expect(await append('a2', NOW + 7 * DAY)).toEqual([{ outcome: 'stored', number: 2 }]);
  });

  it('resumes where the agent is, and acknowledges what it has', async () => {
    await online(store, 'a1');
    await store.outbox.append('a1', [message('c1'), message('c2'), message('c3')], ROOM, NOW);
    const { down: begun } = await store.agents.claimSession(claimOf('a1'));
    expect(begun).toMatchObject({ next: 1, missing: null });
    const position = { incarnation: begun.incarnation, number: 2, id: positionId('c1', 'c2') };
    const { epoch, down } = await store.agents.claimSession(claimOf('a1', { down: position }));
    expect(down).toEqual({ incarnation: begun.incarnation, next: 3, missing: null });
    expect(await store.agents.get('a1')).toMatchObject({ outbox: { messages: 1 } });
    await expect(store.outbox.acknowledge('a1', epoch, 4)).rejects.toMatchObject({
      code: 'log_violation',
      close: 4510,
    });
  });

  it('restarts when the agent went back in time, tells the range, and records it once', async () => {
    await online(store, 'a1');
    await store.outbox.append(
      'a1',
      ['c1', 'c2', 'c3'].map((id) => message(id)),
      ROOM,
      NOW,
    );
    const { epoch, down: first } = await store.agents.claimSession(claimOf('a1'));
    const { incarnation } = first;
    await store.outbox.acknowledge('a1', epoch, 2);
    const down = { incarnation, number: 1, id: positionId('c1') };
    const { down: begun } = await store.agents.claimSession(claimOf('a1', { down, now: NOW + 1 }));
    expect(begun).toMatchObject({ next: 1, missing: { from: 2, through: 2 } });
    expect(begun.incarnation).not.toBe(incarnation);
    expect((await store.agents.claimSession(claimOf('a1', { down, now: NOW + 2 }))).down).toEqual(begun);
    expect(await store.outbox.read('a1', 0, 9, 1_000_000)).toMatchObject([{ number: 1, id: 'c3' }]);
    const incidents = await store.agents.incidents({ limit: 9 });
    expect(incidents).toMatchObject([{ at: NOW + 1, kind: 'log_restarted', agentId: 'a1' }]);
    expect(JSON.parse(incidents[0]?.detail ?? '')).toEqual({
      recovered: false,
      direction: 'down',
      from: 2,
      through: 2,
      incarnation: begun.incarnation,
    });
  });

  it('gives up expired commands: dead letter, tombstone, room', async () => {
    await registered(store, 'a1');
    const bounds = { maxMessages: 700, maxBytes: 1_000_000 };
    const old = Array.from({ length: 700 }, (_, index) => message(`c${index}`, { expiresAt: NOW + 10 }));
    await store.outbox.append('a1', old, bounds, NOW);
    expect(await store.outbox.expire(NOW + 9)).toBe(0);
    expect(await store.outbox.expire(NOW + 10)).toBe(700);
    expect(await store.outbox.expire(NOW + 10)).toBe(0);
    expect(await store.outbox.append('a1', [message('new')], bounds, NOW + 10)).toEqual([
      { outcome: 'stored', number: 701 },
    ]);
    expect(await store.outbox.read('a1', 699, 9, 1_000_000)).toMatchObject([
      { number: 700, id: 'c699', json: '{"tombstone":"expired","id":"c699","source":"/test"}' },
      { id: 'new' },
    ]);
    const letters = (await store.inbox.deadLetters({ limit: 1_000, agentId: 'a1' })).items;
    expect(letters).toHaveLength(700);
    expect(letters.at(-1)).toEqual({
      key: expect.any(Number),
      at: NOW + 10,
      direction: 'down',
      agentId: 'a1',
      number: 1,
      through: 1,
      count: 1,
      id: 'c0',
      reason: 'expired',
      json: message('c0').json,
    });
  });

  it('takes events in order, tells the last number, and keeps them over a restart', async () => {
    const epoch = await online(store, 'a1');
    expect(await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1', 'e2')), NOW)).toBe(2);
    expect(await store.inbox.append('a1', epoch, 3, framesOf(3, items('e3')), NOW + 1)).toBe(3);
    expect(await store.inbox.append('a1', epoch, 4, framesOf(4, []), NOW + 1)).toBe(3);
    store = await engine.restart();
    expect(await store.inbox.read(0, {}, 1)).toEqual([
      { cursor: 1, agentId: 'a1', incarnation: 'log of a1', number: 1, receivedAt: NOW, json: message('e1').json },
    ]);
    expect(await eventIds(store, 1)).toEqual(['e2', 'e3']);
    expect(await store.inbox.lastCursor()).toBe(3);
    expect((await store.agents.claimSession(claimOf('a1'))).up).toEqual({
      incarnation: 'log of a1',
      number: 3,
      id: positionId('e1', 'e2', 'e3'),
    });
  });

  it('calls what does not follow a violation, and takes nothing of it', async () => {
    const epoch = await online(store, 'a1');
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW);
    for (const first of [1, 3])
      await expect(store.inbox.append('a1', epoch, first, framesOf(first, items('x')), NOW)).rejects.toMatchObject({
        code: 'log_violation',
        close: 4510,
      });
    await expect(
      store.inbox.begin('a1', epoch, { incarnation: 'log of a1', next: 3, missing: null }, NOW),
    ).rejects.toMatchObject({ code: 'log_violation' });
    expect(await eventIds(store)).toEqual(['e1']);
  });

  it('gives each item its number, stores known ones once, and puts tombstones and rejected ones to the dead letters', async () => {
    const epoch = await online(store, 'a1');
    const mixed: Item[] = [
      ...items('e1', 'e1'),
      { kind: 'tombstone', id: 't', source: '/test', reason: 'expired' },
      { kind: 'rejected', id: 'r', source: '', reason: NO_VERSION, json: '{"id":"r"}' },
      ...items('e2'),
    ];
    expect(await store.inbox.append('a1', epoch, 1, framesOf(1, mixed), NOW)).toBe(5);
    expect(await store.inbox.append('a1', epoch, 6, framesOf(6, items('e2', 'e3')), NOW)).toBe(7);
    expect(await eventIds(store)).toEqual(['e1', 'e2', 'e3']);
    expect((await store.inbox.deadLetters({ limit: 9 })).items).toMatchObject([
      { direction: 'up', agentId: 'a1', number: 4, id: 'r', reason: NO_VERSION, json: '{"id":"r"}' },
      { direction: 'up', agentId: 'a1', number: 3, id: 't', reason: 'expired' },
    ]);
  });

  it('records what is missing when a log of events restarts, and delivers again without storing twice', async () => {
    const epoch = await online(store, 'a1');
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1', 'e2')), NOW);
    const begin = { incarnation: 'second', next: 1, missing: { from: 3, through: 8 } };
    await store.inbox.begin('a1', epoch, begin, NOW + 1);
    await store.inbox.begin('a1', epoch, begin, NOW + 2);
    expect(await store.inbox.append('a1', epoch, 1, framesOf(1, items('e2', 'e3')), NOW + 3)).toBe(2);
    expect(await eventIds(store)).toEqual(['e1', 'e2', 'e3']);
    const incidents = await store.agents.incidents({ limit: 9, agentId: 'a1' });
    expect(incidents.map((incident): unknown => JSON.parse(incident.detail))).toEqual([
      { recovered: false, direction: 'up', from: 3, through: 8, incarnation: 'second' },
    ]);
    expect(await store.inbox.read(2, {}, 9)).toMatchObject([{ incarnation: 'second', number: 2 }]);
  });

  it('filters events by agent, type and source, over incarnations', async () => {
    const first = await online(store, 'a1');
    const second = await online(store, 'a2');
    await store.inbox.append(
      'a1',
      first,
      1,
      framesOf(1, [
        { kind: 'message', message: message('e1', { type: 't1', source: '/s1' }) },
        { kind: 'message', message: message('e2', { type: 't2', source: '/s1' }) },
      ]),
      NOW,
    );
    await store.inbox.append(
      'a2',
      second,
      1,
      framesOf(1, [{ kind: 'message', message: message('e3', { type: 't1', source: '/s2' }) }]),
      NOW,
    );
    await store.inbox.begin('a1', first, { incarnation: 'next', next: 1, missing: null }, NOW);
    await store.inbox.append(
      'a1',
      first,
      1,
      framesOf(1, [{ kind: 'message', message: message('e4', { type: 't1', source: '/s1' }) }]),
      NOW,
    );
    expect(await eventIds(store, 0, { agentId: 'a1' })).toEqual(['e1', 'e2', 'e4']);
    expect(await eventIds(store, 1, { agentId: 'a1', type: 't1' })).toEqual(['e4']);
    expect(await eventIds(store, 0, { type: 't1' })).toEqual(['e1', 'e3', 'e4']);
    expect(await eventIds(store, 0, { source: '/s2' })).toEqual(['e3']);
    expect(await eventIds(store, 0, { agentId: 'no-such' })).toEqual([]);
  });

  it('prunes what has outlived its retention, never gives a cursor twice, and forgets what was seen', async () => {
    const epoch = await online(store, 'a1');
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1', 'e2')), NOW);
    await store.inbox.append(
      'a1',
      epoch,
      3,
      framesOf(3, [
        { kind: 'rejected', id: 'r1', source: '/test', reason: 'bad', json: '1' },
        { kind: 'rejected', id: 'r2', source: '/test', reason: 'worse', json: '[]' },
      ]),
      NOW,
    );
    await store.agents.recordIncident({ at: NOW, kind: 'one', agentId: null, address: null, detail: '{}' });
    await store.agents.recordIncident({ at: NOW + DAY, kind: 'two', agentId: null, address: null, detail: '{}' });
    expect(await store.stats()).toMatchObject({ events: 2, deadLetters: 2 });
    const later = NOW + DAY;
    await store.prune({
      now: later,
      eventsOlderThan: later,
      deadLettersOlderThan: NOW,
      deduplicationOlderThan: NOW,
      incidentsOlderThan: later,
    });
    expect((await store.inbox.deadLetters({ limit: 9 })).items.length).toBe(2);
    expect((await store.agents.incidents({ limit: 9 })).map((incident) => incident.kind)).toEqual(['two']);
    await store.prune({
      now: later,
      eventsOlderThan: later,
      deadLettersOlderThan: later,
      deduplicationOlderThan: later,
      incidentsOlderThan: later,
    });
    expect((await store.inbox.deadLetters({ limit: 9 })).items.length).toBeLessThan(2);
    // A reader that had read nothing, or only the first event, misses one; one that had read both does not.
    const oldest = (await store.inbox.read(0, {}, 1))[0]?.cursor ?? 0;
    expect(
      await Promise.all([oldest - 2, oldest - 1, oldest].map((after) => store.inbox.prunedThrough(after))),
    ).toEqual([oldest - 1, null, null]);
    store = await engine.restart();
    expect(await store.inbox.append('a1', epoch, 5, framesOf(5, items('e3', 'e1')), later)).toBe(6);
    const events = await store.inbox.read(2, {}, 9);
    expect(events.map((event) => event.number)).toEqual([5, 6]);
    expect(Math.min(...events.map((event) => event.cursor))).toBeGreaterThan(2);
  });

  it('keeps the time that was recorded last, over a restart, and the acceptance of another one', async () => {
    expect(await store.clock.recorded()).toBeNull();
    await store.clock.record(NOW);
    store = await engine.restart();
    expect(await store.clock.recorded()).toBe(NOW);
    const entry = { at: NOW, who: 'anna', from: 'local', action: 'maintenance.accept-clock', detail: '{}' };
    await store.clock.accept(NOW + DAY, { ...entry, comment: null, ticket: null });
    expect(await store.clock.recorded()).toBe(NOW + DAY);
    expect(await store.audit.list({ limit: 1 })).toMatchObject([entry]);
  });
}
