// Events of an older schema, which have a row each: readable before, while and after they are converted into runs.
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import type { EventFilter } from '../../../../../central/store/message-store.ts';
import { APPLICATION_ID, MIGRATIONS } from '../../../../../central/store/sqlite/migrations.ts';
import { openSqliteStore } from '../../../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../../../central/store/store.ts';
import { DAY, eventIds, items, NOW } from '../../samples.ts';
import { emptyDatabase, inProcess, migrate, SCHEMA_OF_ROWS } from '../../sqlite/events/in-process.ts';
import { temporaryFolder } from '../../../../temporary-folder.ts';

const EVENTS = 2_300;
/** Two agents take turns, with frames of 1 to 30 events; cursors 501 to 600 are those of a store that was replaced. */
const GAP = { before: 500, through: 600 };

interface Old {
  readonly cursor: number;
  readonly agentId: string;
  readonly number: number;
  readonly receivedAt: number;
  readonly type: string;
  readonly source: string;
  readonly json: string;
}

function oldEvents(): Old[] {
  const events: Old[] = [];
  const numbers = [0, 0];
  for (let frame = 0; events.length < EVENTS; frame += 1) {
    const agent = frame % 2;
    for (let n = 0; n <= frame % 30; n += 1) {
      const number = (numbers[agent] = (numbers[agent] ?? 0) + 1);
      const id = `e${events.length + 1}`;
      const [type, source] = [`type ${number % 3}`, `/till/${agent}/${number % 5}`];
      const json = JSON.stringify({
        specversion: '1.0',
        id,
        source,
        type,
        data: `grüezi\n${'x'.repeat(number % 200)}`,
      });
      const cursor = events.length + 1 + (events.length >= GAP.before ? GAP.through - GAP.before : 0);
      events.push({ cursor, agentId: `a${agent + 1}`, number, receivedAt: NOW + frame, type, source, json });
    }
  }
  return events;
}

function insertInto(database: DatabaseSync, events: readonly Old[]): void {
  const add = database.prepare('INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)');
  database.exec(
    `BEGIN; INSERT INTO event_gap VALUES (${GAP.before}, ${GAP.through}); INSERT INTO origin VALUES (1, 'a1', 'log of a1'), (2, 'a2', 'log of a2')`,
  );
  for (const { cursor, agentId, number, receivedAt, type, source, json } of events)
    add.run(cursor, agentId === 'a1' ? 1 : 2, number, receivedAt, type, source, json);
  database.exec('COMMIT');
}

const FILTERS: EventFilter[] = [
  {},
  { agentId: 'a2' },
  { type: 'type 1' },
  { source: '/till/0/3' },
  { agentId: 'a1', type: 'type 2', source: '/till/0/4' },
  { type: 'none' },
];
const matching = (events: readonly Old[], { agentId, type, source }: EventFilter): Omit<Old, 'type' | 'source'>[] =>
  events
    .filter(
      (event) =>
        (agentId ?? event.agentId) === event.agentId &&
        (type ?? event.type) === event.type &&
        (source ?? event.source) === event.source,
    )
    .map(({ type: _type, source: _source, ...event }) => event);

test('each step leaves every event readable, with every filter, and new events behind them', () => {
  const database = emptyDatabase(SCHEMA_OF_ROWS);
  const events = oldEvents();
  insertInto(database, events);
  migrate(database, SCHEMA_OF_ROWS);
  const store = inProcess(database);
  const epoch = store.online('a3', { deduplicates: true });
  store.append('a3', epoch, 1, items('n1', 'n2'));
  const last = events.at(-1)?.cursor ?? 0;
  const check = (): void => {
    for (const filter of FILTERS)
      expect(
        store
          .readAll(filter, 700)
          .filter(({ agentId }) => agentId !== 'a3')
          .map(({ incarnation, ...event }) => (expect(incarnation).toBe(`log of ${event.agentId}`), event)),
      ).toEqual(matching(events, filter));
    expect(store.readAll({ agentId: 'a3' }, 10).map(({ cursor }) => cursor)).toEqual([last + 1, last + 2]);
    expect(store.readAll({}, 3, last - 1).map(({ cursor }) => cursor)).toEqual([last, last + 1, last + 2]);
    expect(store.reads.figures()).toMatchObject({ events: events.length + 2 });
    expect([store.reads.lastCursor(), store.reads.prunedThrough(0)]).toEqual([last + 2, null]);
  };
  check();
  const left: number[] = [];
  do {
    left.push(store.commit(() => store.writes.convertEvents()));
    check();
  } while (left.at(-1) !== 0);
  expect(left.length).toBeGreaterThanOrEqual(3);
  expect(left).toEqual(left.toSorted((a, b) => b - a));
  expect([store.count('event'), store.count('event_run')]).toEqual([0, expect.any(Number)]);
  // The appends of then, and those that a step cut in two.
  const appends = new Set(events.map(({ receivedAt }) => receivedAt)).size;
  expect(store.count('event_run')).toBeLessThanOrEqual(appends + left.length + 2);
  // Pruning begins with the oldest, whichever table had it.
  store.commit(() => {
    while (store.writes.pruneOldest('event', NOW + 40));
    while (store.writes.pruneRuns(NOW + 40));
  });
  expect(matching(events, {}).filter(({ receivedAt }) => receivedAt >= NOW + 40)).toHaveLength(
    store.readAll({}, 700, 0).filter(({ agentId }) => agentId !== 'a3').length,
  );
});

test('events past their retention are pruned before they are converted, and runs wait for them', () => {
  const database = emptyDatabase(SCHEMA_OF_ROWS);
  const events = oldEvents();
  insertInto(database, events);
  migrate(database, SCHEMA_OF_ROWS);
  const store = inProcess(database);
  store.commit(() => store.writes.convertEvents());
  const prune = (olderThan: number): void =>
    store.commit(() => {
      while (store.writes.pruneOldest('event', olderThan));
      while (store.writes.pruneRuns(olderThan));
    });
  prune(NOW + 40);
  const kept = matching(events, {}).filter(({ receivedAt }) => receivedAt >= NOW + 40);
  expect(store.readAll({}, 700).map(({ incarnation: _incarnation, ...event }) => event)).toEqual(kept);
  expect(store.reads.prunedThrough(0)).toBe((kept[0]?.cursor ?? 0) - 1);
  prune(Number.MAX_SAFE_INTEGER);
  // The newest run stays.
  expect(store.readAll({}, 700).at(-1)?.cursor).toBe(events.at(-1)?.cursor);
  expect(store.count('event')).toBe(0);
});

test('a store that is killed in the middle goes on where it was', async () => {
  const folder = temporaryFolder();
  const opened: Store[] = [];
  onTestFinished(async () => {
    for (const store of opened) await store.stop();
  });
  const open = async (name: string): Promise<Store> => {
    const store = await openSqliteStore({
      folder: join(folder, name),
      deduplicationMs: 7 * DAY,
      onFailure: (error) => {
        throw error;
      },
    });
    opened.push(store);
    return store;
  };
  await (await open('first')).stop();
  const path = join(folder, 'first', 'central.db');
  rmSync(path);
  const old = new DatabaseSync(path);
  old.exec(
    `PRAGMA application_id = ${APPLICATION_ID}; ${MIGRATIONS.slice(0, SCHEMA_OF_ROWS).join(';')}; PRAGMA user_version = ${SCHEMA_OF_ROWS}`,
  );
  const events = oldEvents();
  insertInto(old, events);
  old.close();

  const first = await open('first');
  expect(await first.stats()).toMatchObject({ unconvertedEvents: events.at(-1)?.cursor, events: events.length });
  const left = await first.convert();
  expect(left).toBeGreaterThan(0);
  // What a kill leaves behind: the file and its write-ahead log as they are now.
  await (await open('second')).stop();
  for (const end of ['', '-wal']) copyFileSync(`${path}${end}`, join(folder, 'second', `central.db${end}`));
  const second = await open('second');
  expect(await second.stats()).toMatchObject({ unconvertedEvents: left });
  while ((await second.convert()) > 0);
  for (const filter of FILTERS) {
    const expected = matching(events, filter);
    const ids: string[] = [];
    for (let after = 0; ids.length < expected.length;) {
      const page = await second.inbox.read(after, filter, 1_000);
      ids.push(...page.map(({ json }) => json));
      after = page.at(-1)?.cursor ?? Infinity;
    }
    expect(ids).toEqual(expected.map(({ json }) => json));
  }
  expect(await second.convert()).toBe(0);
  expect(await second.stats()).toMatchObject({ unconvertedEvents: 0, events: events.length });
  expect(await eventIds(second, (events.at(-1)?.cursor ?? 0) - 1)).toEqual([`e${events.length}`]);
});
