import { DatabaseSync } from 'node:sqlite';
import { expect, it, onTestFinished } from 'vitest';
import { beginIncarnation, incarnationReads } from '../../../../../central/store/sql/events/incarnations.ts';
import type { StoreIncarnation } from '../../../../../central/store/message-store.ts';

type Lives = readonly (readonly [id: string, ended: number | null])[];

function storeWith(lives: Lives): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  onTestFinished(() => database.close());
  database.exec('CREATE TABLE store_incarnation (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ended INTEGER)');
  const add = database.prepare('INSERT INTO store_incarnation (id, ended) VALUES (?, ?)');
  for (const [id, ended] of lives) add.run(id, ended);
  return database;
}

function restore(backup: Lives, replaced: Lives, newest: number): StoreIncarnation[] {
  const database = storeWith(backup);
  beginIncarnation(database, storeWith(replaced), newest);
  return incarnationReads(database).storeIncarnations();
}

const NEW = { id: expect.stringMatching(/^[0-9a-f]{10}$/), ended: null };

it('a restored store shares its cursors with its own life until the backup', () => {
  expect(restore([['a', null]], [['a', null]], 80)).toEqual([{ id: 'a', ended: 80 }, NEW]);
});

it('a backup from before an earlier restore shares what both have', () => {
  // The life b began behind cursor 100 of a; the backup of a has 80, or 120 events.
  const replaced: Lives = [
    ['a', 100],
    ['b', null],
  ];
  expect(restore([['a', null]], replaced, 80)).toEqual([{ id: 'a', ended: 80 }, { id: 'b', ended: 80 }, NEW]);
  expect(restore([['a', null]], replaced, 120)).toEqual([{ id: 'a', ended: 120 }, { id: 'b', ended: 100 }, NEW]);
});

it('the backup of another installation shares nothing with the store that it replaces', () => {
  expect(restore([['a', null]], [['x', null]], 80)).toEqual([{ id: 'a', ended: 80 }, { id: 'x', ended: 0 }, NEW]);
});

it('a life that ended long ago keeps its end', () => {
  const lives: Lives = [
    ['a', 10],
    ['b', null],
  ];
  expect(restore(lives, lives, 80)).toEqual([{ id: 'a', ended: 10 }, { id: 'b', ended: 80 }, NEW]);
});

it('at most 64 are kept, the newest', () => {
  const lives: Lives = Array.from({ length: 64 }, (_, i) => [`life ${i}`, i === 63 ? null : i] as const);
  const kept = restore(lives, lives, 99);
  expect([kept.length, kept[0], kept.at(-1)]).toEqual([64, { id: 'life 1', ended: 1 }, NEW]);
});
