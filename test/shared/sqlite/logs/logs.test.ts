import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Item, Message } from '../../../../shared/delivery/message.ts';
import { INBOX_DATA_HASH, INBOX_SCHEMA, InboxLog } from '../../../../shared/sqlite/logs/inbox-log.ts';
import { OUTBOX_DATA_HASH, OUTBOX_SCHEMA, OutboxLog } from '../../../../shared/sqlite/logs/outbox-log.ts';
import { linkOf, SeenWalk, type SeenPlace } from '../../../../shared/sqlite/logs/fingerprint.ts';
import { positionId } from '../position-id.ts';
import { keepsItsPromises, type ReceiverEnd, type SenderEnd } from '../../delivery/history.ts';

const OUTBOX = `${OUTBOX_SCHEMA} ${OUTBOX_DATA_HASH}`;
const INBOX = `${INBOX_SCHEMA} ${INBOX_DATA_HASH}`;
const PEER = 7;
const DAY = 86_400_000;
const ROOM = { maxMessages: 1_000, maxBytes: 1_000_000 };
describe('outbox and inbox on disk, over random histories', () => {
  keepsItsPromises(() => [sqliteSender(), sqliteReceiver()], 150);
});

describe('the fingerprint of a log', () => {
  it('is another one for another source, id, order or beginning', () => {
    const logs = [
      [['/a', 'bc']],
      [['/ab', 'c']],
      [
        ['/a', 'bc'],
        ['/ab', 'c'],
      ],
      [
        ['/ab', 'c'],
        ['/a', 'bc'],
      ],
      [['', `${linkOf('', { source: '/a', id: 'bc' })}3:/abc`]],
    ].map((items) => items.reduce((link, [source = '', id = '']) => linkOf(link, { source, id }), ''));
    expect(new Set(logs).size).toBe(logs.length);
    for (const link of logs) expect(link).toMatch(/^[\w-]{16}$/);
  });
});

describe('OutboxLog', () => {
  let database: DatabaseSync;
  let log: OutboxLog;

  beforeEach(() => {
    database = open(OUTBOX);
    log = new OutboxLog(database, 7 * DAY);
    log.create(PEER);
    log.create(PEER + 1);
  });

  it('refuses other data under a (source, id) that was seen, in the same batch too, and then nothing of the batch is stored', () => {
    const other = message('a', { dataHash: 3 });
    log.append(PEER, [message('a')], ROOM, 0);
    const batch = [message('b'), other, message('c'), message('c', { dataHash: 2 })];
    database.exec('SAVEPOINT call');
    expect(() => log.append(PEER, batch, ROOM, 1)).toThrow(
      expect.objectContaining({
        code: 'id_reused',
        status: 409,
        parameters: { id: 'a', source: '/test', indexes: '1, 3' },
      }),
    );
    database.exec('ROLLBACK TO call; RELEASE call');
    expect(log.append(PEER, [message('a'), message('b')], ROOM, 1)).toEqual([
      { outcome: 'duplicate', number: 1 },
      { outcome: 'stored', number: 2 },
    ]);
    expect(log.append(PEER + 1, [other], ROOM, 1)).toEqual([{ outcome: 'stored', number: 1 }]);
    expect(log.append(PEER, [other], ROOM, 7 * DAY)).toEqual([{ outcome: 'stored', number: 3 }]);
    expect(() => log.append(PEER, [message('a')], ROOM, 7 * DAY)).toThrow(
      expect.objectContaining({ code: 'id_reused' }),
    );
  });

  it('takes any data as a repeat of a message from before it kept what data was', () => {
    log.append(PEER, [message('a')], ROOM, 0);
    database.exec('UPDATE outbox_seen SET data = NULL');
    expect(log.append(PEER, [message('a', { dataHash: 3 })], ROOM, 0)).toEqual([{ outcome: 'duplicate', number: 1 }]);
  });

  it('numbers from 1 without a gap, each peer by itself', () => {
    expect(log.append(PEER, [message('a'), message('b')], ROOM, 0)).toEqual([
      { outcome: 'stored', number: 1 },
      { outcome: 'stored', number: 2 },
    ]);
    expect(log.append(PEER + 1, [message('a')], ROOM, 0)).toEqual([{ outcome: 'stored', number: 1 }]);
    expect(log.append(PEER, [message('c')], ROOM, 0)).toEqual([{ outcome: 'stored', number: 3 }]);
  });

  it('refuses what has no room, by number and by bytes, and an acknowledgement makes room', () => {
    const bounds = { maxMessages: 2, maxBytes: 1_000_000 };
    log.append(PEER, [message('a'), message('b')], bounds, 0);
    expect(() => log.append(PEER, [message('c')], bounds, 0)).toThrow(
      expect.objectContaining({ code: 'outbox_full', status: 503 }),
    );
    expect(() => log.append(PEER + 1, [message('c', { padding: 500 })], { maxMessages: 9, maxBytes: 500 }, 0)).toThrow(
      expect.objectContaining({ code: 'outbox_full' }),
    );
  });

  it('keeps count of messages, bytes and the oldest through append, expiry, acknowledgement and a new incarnation', () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    for (const [at, id] of ids.entries())
      log.append(PEER, [message(id, { expiresAt: id === 'c' ? 10 : null })], ROOM, at);
    log.expire(10, 100);
    log.acknowledge(PEER, 2);
    expect(log.depth(PEER)).toMatchObject({ messages: 2, oldestAt: 2, ...measured(database) });
    log.resume(PEER, null);
    expect(log.depth(PEER)).toMatchObject({ messages: 2, ...measured(database) });
    log.acknowledge(PEER, 3);
    expect(log.depth(PEER)).toMatchObject({ messages: 0, bytes: 0, oldestAt: null });
  });

  it('knows (source, id) again, also in the same batch, and tells the number it has', () => {
    expect(log.append(PEER, [message('a'), message('a')], ROOM, 0)).toEqual([
      { outcome: 'stored', number: 1 },
      { outcome: 'duplicate', number: 1 },
    ]);
    log.acknowledge(PEER, 1);
    expect(log.append(PEER, [message('a'), message('a', { source: '/other' })], ROOM, DAY)).toEqual([
      { outcome: 'duplicate', number: 1 },
      { outcome: 'stored', number: 2 },
    ]);
  });

  it('does not take source and id apart at another place', () => {
    const appended = log.append(PEER, [message('bc', { source: 'a' }), message('c', { source: 'ab' })], ROOM, 0);
    expect(appended.map((one) => one.outcome)).toEqual(['stored', 'stored']);
  });

  it('takes (source, id) as new once the days are over', () => {
    log.append(PEER, [message('a')], ROOM, 0);
    expect(log.append(PEER, [message('a')], ROOM, 7 * DAY - 1)).toMatchObject([{ outcome: 'duplicate' }]);
    expect(log.append(PEER, [message('a')], ROOM, 7 * DAY)).toEqual([{ outcome: 'stored', number: 2 }]);
  });

  it('tells no number of an incarnation that is over', () => {
    log.append(PEER, [message('a'), message('b')], ROOM, 0);
    log.acknowledge(PEER, 1);
    expect(log.resume(PEER, null)).toMatchObject({ next: 1, missing: { from: 1, through: 1 }, restarted: true });
    expect(log.append(PEER, [message('b')], ROOM, 0)).toEqual([{ outcome: 'duplicate', number: null }]);
    expect(log.read(PEER, 0, 10, 1_000_000)).toMatchObject([{ number: 1, id: 'b' }]);
  });

  it('reads behind a number, within items and bytes, but at least one', () => {
    log.append(
      PEER,
      ['a', 'b', 'c'].map((id) => message(id, { padding: 100 })),
      ROOM,
      0,
    );
    expect(log.read(PEER, 1, 10, 1_000_000).map((entry) => entry.id)).toEqual(['b', 'c']);
    expect(log.read(PEER, 0, 2, 1_000_000).map((entry) => entry.id)).toEqual(['a', 'b']);
    expect(log.read(PEER, 0, 10, 1).map((entry) => entry.id)).toEqual(['a']);
    expect(log.read(PEER, 3, 10, 1_000_000)).toEqual([]);
  });

  it('never hands out a log with a hole', () => {
    log.append(
      PEER,
      ['a', 'b', 'c'].map((id) => message(id)),
      ROOM,
      0,
    );
    database.exec('DELETE FROM outbox_entry WHERE number = 2');
    expect(() => log.read(PEER, 0, 10, 1_000_000)).toThrow(expect.objectContaining({ code: 'data_damaged' }));
  });

  it('calls it a violation to acknowledge what was never appended, and forgets a repeated acknowledgement', () => {
    log.append(PEER, [message('a'), message('b')], ROOM, 0);
    expect(() => log.acknowledge(PEER, 3)).toThrow(expect.objectContaining({ code: 'log_violation' }));
    log.acknowledge(PEER, 2);
    log.acknowledge(PEER, 1);
    expect(
      log.resume(PEER, { incarnation: log.depth(PEER).incarnation, number: 2, id: positionId('a', 'b') }),
    ).toMatchObject({ next: 3, missing: null, restarted: false });
  });

  it('gives up an expired message: its text for the dead letters, a tombstone with its id in its number, and room again', () => {
    const bounds = { maxMessages: 1, maxBytes: 1_000_000 };
    const old = message('a', { expiresAt: 10, padding: 300 });
    log.append(PEER, [old], bounds, 0);
    expect(log.expire(9, 100)).toEqual([]);
    expect(log.expire(10, 100)).toEqual([{ peer: PEER, number: 1, id: 'a', reason: 'expired', json: old.json }]);
    expect(log.expire(10, 100)).toEqual([]);
    expect(log.append(PEER, [message('b')], bounds, 10)).toEqual([{ outcome: 'stored', number: 2 }]);
    expect(log.read(PEER, 0, 10, 1_000_000)).toMatchObject([
      { number: 1, id: 'a', json: '{"tombstone":"expired","id":"a","source":"/test"}', expiresAt: null },
      { id: 'b' },
    ]);
  });

  it('keeps telling what is missing until the first acknowledgement, but records it once', () => {
    log.append(PEER, [message('a'), message('b')], ROOM, 0);
    log.acknowledge(PEER, 1);
    const missing = { from: 1, through: 1 };
    const begun = log.resume(PEER, null);
    expect(begun).toMatchObject({ missing, restarted: true });
    const again = { incarnation: begun.incarnation, next: 1, newest: 1, missing, restarted: false };
    expect(log.resume(PEER, null)).toEqual(again);
    expect(log.resume(PEER, { incarnation: 'the old one', number: 9, id: 'x' })).toMatchObject({
      missing,
      restarted: false,
    });
    log.acknowledge(PEER, 1);
    expect(log.resume(PEER, { incarnation: begun.incarnation, number: 1, id: positionId('b') })).toMatchObject({
      next: 2,
      missing: null,
    });
  });

  it('finds that its own disk was lost from a peer that has more, and records that once, too', () => {
    log.append(PEER, [message('a')], ROOM, 0);
    const missing = { from: 1, through: 7 };
    const peer = { incarnation: 'the lost one', number: 7, id: 'm7' };
    expect(log.resume(PEER, peer)).toMatchObject({ next: 1, missing, restarted: true });
    expect(log.resume(PEER, peer)).toMatchObject({ missing, restarted: false });
    // The peer has noted the new incarnation and holds nothing of it yet: what is missing is still reported.
    expect(log.resume(PEER, null)).toMatchObject({ missing, restarted: false });
  });

  it('never takes other messages of a restored disk for those that the peer has, not even with the same last one', () => {
    log.append(PEER, [message('a'), message('b')], ROOM, 0);
    const { incarnation } = log.depth(PEER);
    const same = { incarnation, number: 2, id: positionId('a', 'b') };
    expect(log.resume(PEER, same)).toMatchObject({ next: 3, missing: null });
    for (const [others, id] of [
      [['x', 'c'], positionId('a', 'b', { source: '/other', id: 'c' })],
      [['x', 'c'], positionId('a', 'b', 'c', 'y')],
      // The last one is the same message at the same number; what is before it is not.
      [['x', 'c'], positionId('a', 'b', 'y', 'c')],
    ] as const) {
      const restored = open(OUTBOX, database.serialize());
      const other = new OutboxLog(restored, 7 * DAY);
      other.append(
        PEER,
        others.map((one) => message(one)),
        ROOM,
        0,
      );
      expect(other.resume(PEER, { incarnation, number: 4, id })).toMatchObject({
        next: 1,
        missing: { from: 3, through: 4 },
        restarted: true,
      });
    }
  });

  it('knows the position of a peer in a log that was renumbered', () => {
    log.append(PEER, [message('a'), message('b', { expiresAt: 10 }), message('c')], ROOM, 0);
    log.acknowledge(PEER, 1);
    log.expire(10, 100);
    const { incarnation } = log.resume(PEER, null);
    log.append(PEER, [message('d')], ROOM, 11);
    expect(log.resume(PEER, { incarnation, number: 3, id: positionId('b', 'c', 'd') })).toMatchObject({
      next: 4,
      missing: null,
    });
  });

  it('forgets what was seen in steps that leave the younger ones', () => {
    for (let index = 0; index < 25; index += 1) log.append(PEER + (index % 2), [message(`m${index}`)], ROOM, index);
    const walk = new SeenWalk(database, 'outbox_seen', 4);
    let place: SeenPlace | null = null;
    let steps = 0;
    do {
      place = walk.step(place, 20);
      steps += 1;
    } while (place !== null);
    expect(steps).toBeGreaterThan(5);
    expect(
      database
        .prepare('SELECT at FROM outbox_seen ORDER BY at')
        .all()
        .map((row) => row['at']),
    ).toEqual([20, 21, 22, 23, 24]);
  });
});

describe('InboxLog', () => {
  let log: InboxLog;

  beforeEach(() => {
    log = new InboxLog(open(INBOX), 7 * DAY);
    log.create(PEER);
    log.begin(PEER, { incarnation: 'A', next: 1, missing: null });
  });

  it('advances over messages, tombstones and rejected items alike, and tells its position', () => {
    const items: Item[] = [
      item('a'),
      { kind: 'tombstone', id: 'b', source: '/test', reason: 'expired' },
      { kind: 'rejected', id: 'c', source: '/test', reason: 'bad', json: '{}' },
    ];
    expect(log.accept(PEER, 1, items, 0)).toMatchObject({ incarnation: 'A', through: 3, fresh: [true, true, true] });
    expect(log.position(PEER)).toEqual({ incarnation: 'A', number: 3, id: positionId('a', 'b', 'c') });
  });

  it('takes what it has seen without calling it fresh', () => {
    log.accept(PEER, 1, [item('a')], 0);
    expect(log.accept(PEER, 2, [item('a'), item('b'), item('b')], 0).fresh).toEqual([false, true, false]);
    expect(log.accept(PEER, 5, [item('a')], 7 * DAY).fresh).toEqual([true]);
  });

  it('tells a repeat from another message under the same (source, id)', () => {
    log.begin(PEER, { incarnation: 'A', next: 1, missing: null });
    log.accept(PEER, 1, [item('a')], 0);
    const other: Item = { kind: 'message', message: message('a', { dataHash: 3 }) };
    expect(log.accept(PEER, 2, [item('a'), other, item('b')], 0)).toMatchObject({
      fresh: [false, false, true],
      reused: new Set([1]),
    });
    expect(log.accept(PEER, 5, [item('a')], 0)).toMatchObject({ fresh: [false], reused: new Set() });
  });

  it('calls a gap, a step back, and messages before begin violations', () => {
    log.accept(PEER, 1, [item('a')], 0);
    for (const first of [1, 3])
      expect(() => log.accept(PEER, first, [item('x')], 0)).toThrow(
        expect.objectContaining({ code: 'log_violation', close: 4510 }),
      );
    log.create(PEER + 1);
    expect(() => log.accept(PEER + 1, 1, [item('x')], 0)).toThrow(expect.objectContaining({ code: 'log_violation' }));
  });

  it('tells when a log restarts with something missing', () => {
    log.accept(PEER, 1, [item('a')], 0);
    expect(log.begin(PEER, { incarnation: 'A', next: 2, missing: null })).toBe(false);
    expect(log.begin(PEER, { incarnation: 'B', next: 1, missing: { from: 2, through: 4 } })).toBe(true);
    expect(log.position(PEER)).toBeNull();
    expect(log.begin(PEER, { incarnation: 'B', next: 1, missing: { from: 2, through: 4 } })).toBe(false);
  });
});

function open(schema: string, content?: Uint8Array): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  if (content === undefined) database.exec(schema);
  else database.deserialize(content);
  return database;
}

function measured(database: DatabaseSync): { bytes: number } {
  return {
    bytes: Number(
      database.prepare('SELECT sum(length(CAST(json AS BLOB))) AS bytes FROM outbox_entry').get()?.['bytes'],
    ),
  };
}

function message(
  id: string,
  {
    source = '/test',
    expiresAt = null,
    padding = 0,
    dataHash = 1,
  }: { source?: string; expiresAt?: number | null; padding?: number; dataHash?: number } = {},
): Message {
  return {
    id,
    source,
    type: 'test',
    json: JSON.stringify({ id, source, data: 'é'.repeat(padding / 2) }),
    expiresAt,
    dataHash,
  };
}

function item(id: string): Item {
  return { kind: 'message', message: message(id) };
}

/** Every third message has a time that passes with the next `expire`. */
function sqliteSender(): SenderEnd {
  let database = open(OUTBOX);
  let log = new OutboxLog(database, 7 * DAY);
  log.create(PEER);
  return {
    append: (ids) =>
      void log.append(
        PEER,
        ids.map((id) => message(id, { expiresAt: Number(id.slice(1)) % 3 === 0 ? 1 : null })),
        ROOM,
        0,
      ),
    resume: (peer) => log.resume(PEER, peer),
    read: (after, max) =>
      log
        .read(PEER, after, Math.min(max, 1_000), 1_000_000)
        .map(({ number, id, json }) => ({ number, id, tombstone: json.includes('tombstone') })),
    acknowledge: (through) => log.acknowledge(PEER, through),
    expire: () => log.expire(1, 2).map((one) => one.id),
    snapshot() {
      const content = database.serialize();
      return () => {
        database = open(OUTBOX, content);
        log = new OutboxLog(database, 7 * DAY);
      };
    },
  };
}

function sqliteReceiver(): ReceiverEnd {
  let database = open(INBOX);
  let log = new InboxLog(database, 7 * DAY);
  log.create(PEER);
  let received: readonly string[] = [];
  return {
    position: () => log.position(PEER),
    begin: (begin) => log.begin(PEER, begin),
    accept(first, sent) {
      const items = sent.map(({ id, tombstone }): Item =>
        tombstone ? { kind: 'tombstone', id, source: '/test', reason: 'expired' } : item(id),
      );
      const { through, fresh } = log.accept(PEER, first, items, 0);
      received = [
        ...received,
        ...sent.filter((one, index) => !one.tombstone && fresh[index] === true).map((one) => one.id),
      ];
      return through;
    },
    log: () => [...received],
    snapshot() {
      const content = database.serialize();
      const log0 = received;
      return () => {
        database = open(INBOX, content);
        log = new InboxLog(database, 7 * DAY);
        received = log0;
      };
    },
  };
}
