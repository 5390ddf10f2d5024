// After a failed upgrade the version before it starts again: it works with a store in which a newer one has added
// tables and columns.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIGRATIONS as AGENT_MIGRATIONS } from '../../../../agent/store/migrations.ts';
import { MIGRATIONS } from '../../../../central/store/sqlite/migrations.ts';
import { readableBy } from '../../../../shared/sqlite/compatibility.ts';
import { storeContract } from '../contract.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';
import { engineAt, openAt } from './engine.ts';

/** What a newer version may add: a column to each table, a table and an index. */
function migrateFurther(file: string): void {
  using database = new DatabaseSync(file);
  const tables = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .all()
    .map((row) => String(row['name']));
  const columns = tables.map((name) => `ALTER TABLE "${name}" ADD COLUMN later TEXT;`).join('');
  // One transaction: each statement would wait for the disk.
  database.exec(`BEGIN; ${columns} CREATE TABLE later (n INTEGER) STRICT; CREATE INDEX later_agent ON agent (later);
    PRAGMA user_version = ${MIGRATIONS.length + 1}; COMMIT`);
}

/** An empty store that was migrated further; each test gets a copy. */
const migrated = mkdtempSync(join(tmpdir(), 'queuegate-test-'));
beforeAll(async () => {
  await (await openAt(migrated)).stop();
  migrateFurther(join(migrated, 'central.db'));
});
afterAll(() => rmSync(migrated, { recursive: true }));

storeContract('a store that a newer version has migrated', async () => {
  const folder = temporaryFolder();
  cpSync(migrated, folder, { recursive: true });
  return await engineAt(folder);
});

/** A statement that an older version would not survive, as far as its text shows. */
const NOT_ADDITIVE = /\b(?:DROP|RENAME)\b|ADD COLUMN [^,;]*NOT NULL(?![^,;]*DEFAULT)/i;

describe.each([
  ['Central', MIGRATIONS],
  ['the agent', AGENT_MIGRATIONS],
])('the schema of %s', (_, migrations) => {
  it('is readable by a version that exists, and every step since only adds, or says that it does not', () => {
    using database = new DatabaseSync(':memory:');
    database.exec(migrations.join(';\n'));
    const lowest = readableBy(database);
    expect(lowest).toBeGreaterThan(0);
    expect(lowest).toBeLessThanOrEqual(migrations.length);
    expect(migrations.slice(lowest).filter((sql) => NOT_ADDITIVE.test(sql))).toEqual([]);
  });
});
