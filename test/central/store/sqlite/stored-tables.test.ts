// What the move into another engine reads of an embedded store.
import { expect, it, onTestFinished } from 'vitest';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { openStoredTables } from '../../../../central/store/sqlite/stored-tables.ts';
import { databasePath } from '../../../../central/store/sqlite/threads/thread-data.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';
import { ACT, registered } from '../samples.ts';

it('gives the rows of each table, the last row by a column, and the last number of rows that are gone', async () => {
  const folder = temporaryFolder();
  const store = await openSqliteStore({ folder, deduplicationMs: 1, onFailure: () => undefined });
  for (const id of ['a1', 'a2', 'a3']) await registered(store, id);
  await store.agents.remove('a3', ACT);
  const audit = (await store.audit.list({ limit: 1 }))[0];
  await store.stop();
  const tables = openStoredTables(databasePath(folder));
  onTestFinished(() => tables.close());
  const agents = tables.tables.find(({ name }) => name === 'agent');
  const id = agents?.columns.indexOf('id') ?? -1;
  expect(agents?.rows).toBe(2);
  expect(Array.from(tables.rows('agent'), (row) => row[id])).toEqual(['a1', 'a2']);
  expect(tables.lastNumber('agent')).toBe(3);
  expect(tables.last('audit', 'number')).toMatchObject({ number: audit?.number, hash: audit?.hash });
  expect([tables.last('rollout', 'number'), tables.last('none', 'key')]).toEqual([undefined, undefined]);
  expect(tables.tables.some(({ name }) => name === 'compatibility')).toBe(false);
});
