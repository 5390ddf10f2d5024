// After a failed upgrade the version before it starts again: it works with a store in which a newer one has added
// tables and columns.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { MIGRATIONS as AGENT_MIGRATIONS } from '../../../../agent/store/migrations.ts';
import { MIGRATIONS } from '../../../../central/store/sqlite/migrations.ts';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { readableBy } from '../../../../shared/sqlite/compatibility.ts';
import { storeContract } from '../contract.ts';
import { DAY } from '../samples.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

/** What a newer version may add: a column to each table, a table and an index. */
function migrateFurther(file: string): void {
  using database = new DatabaseSync(file);
  const tables = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .all()
    .map((row) => String(row['name']));
  for (const name of tables) database.exec(`ALTER TABLE "${name}" ADD COLUMN later TEXT`);
  database.exec(`CREATE TABLE later (n INTEGER) STRICT; CREATE INDEX later_agent ON agent (later);
    PRAGMA user_version = ${MIGRATIONS.length + 1}`);
}

storeContract('a store that a newer version has migrated', async () => {
  const folder = temporaryFolder();
  const open = () =>
    openSqliteStore({
      folder,
      deduplicationMs: 7 * DAY,
      namesOfCentral: ['Central.Test', 'host-of-central'],
      onFailure: (error) => {
        throw error;
      },
    });
  await (await open()).stop();
  migrateFurther(join(folder, 'central.db'));
  let store = await open();
  return {
    store,
    async restart() {
      await store.stop();
      store = await open();
      return store;
    },
    async dispose() {
      await store.stop();
    },
  };
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
