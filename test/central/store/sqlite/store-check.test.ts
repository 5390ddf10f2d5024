import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TextPacker } from '../../../../central/store/sql/events/run-texts.ts';
import { APPLICATION_ID, MIGRATIONS } from '../../../../central/store/sqlite/migrations.ts';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { checkStore } from '../../../../central/store/sqlite/store-check.ts';
import type { Item } from '../../../../shared/delivery/message.ts';
import { DAY, items, message, NOW, online } from '../samples.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';

let folder = '';
let good = Buffer.alloc(0);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'queuegate-check-'));
  const store = await openSqliteStore({
    folder: join(folder, 'data'),
    deduplicationMs: DAY,
    onFailure: () => undefined,
  });
  const epoch = await online(store, 'a1');
  await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1', 'e2')), NOW);
  // Keys are spread over all their numbers: some of sixty are near the largest.
  const types = Array.from({ length: 60 }, (_, n): Item => ({
    kind: 'message',
    message: message(`t${n}`, { type: `t${n}` }),
  }));
  await store.inbox.append('a1', epoch, 3, framesOf(3, types), NOW);
  await store.snapshot(join(folder, 'good.db'));
  await store.stop();
  good = readFileSync(join(folder, 'good.db'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What the check finds in a store that `sql` changed. */
function check(sql: string, content = good): unknown {
  const file = join(folder, 'crafted.db');
  writeFileSync(file, content);
  const crafted = new DatabaseSync(file, { defensive: false });
  if (sql !== '') crafted.exec(sql);
  crafted.close();
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    checkStore(database);
    return 'passes';
  } catch (error) {
    return error;
  } finally {
    database.close();
  }
}

/** The store of an older schema, with events in rows. */
const old = gunzipSync(readFileSync(join(import.meta.dirname, '../../../fixtures/v1/central.db.gz')));

/** The store's only run holds this text alone. */
function oneRun(text: string): string {
  const { lengths, body } = new TextPacker().pack([text]);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return `UPDATE event_run SET count = 1, lengths = x'${hex(lengths)}', body = x'${hex(body)}'`;
}

const schemaText = (sql: string): string => `PRAGMA writable_schema = ON; ${sql}; PRAGMA writable_schema = RESET`;

describe('the store in a backup', () => {
  it('passes as Central writes it, of this version and of older ones, with messages that are nested deeply', () => {
    expect(check('')).toBe('passes');
    expect(check('', old)).toBe('passes');
    const deep = `{"data":${'['.repeat(5_000)}${']'.repeat(5_000)}}`;
    expect(check(`UPDATE event SET json = '${deep}'`, old)).toBe('passes');
    expect(check(oneRun(deep))).toBe('passes');
  });

  it.each([
    ['a trigger', 'CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM audit; END', 'trigger "t" is not part'],
    [
      'a trigger under the name of one of Central',
      'DROP TRIGGER event_day_of_removed_agent; CREATE TRIGGER event_day_of_removed_agent AFTER DELETE ON agent BEGIN DELETE FROM audit; END',
      'trigger "event_day_of_removed_agent" is not the one',
    ],
    ['a view', 'CREATE VIEW v AS SELECT 1', 'view "v" is not part'],
    [
      'a view in the place of a table',
      'ALTER TABLE key_material RENAME TO k; CREATE VIEW key_material AS SELECT name, load_extension(value) AS value FROM k',
      'table "k" is not part',
    ],
    ['a generated column', 'ALTER TABLE audit ADD COLUMN g TEXT AS (hex(hash))', 'table "audit" is not the one'],
    ['an index over an expression', 'CREATE INDEX i ON audit (abs(at))', 'index "i" is not part'],
    [
      'a virtual table',
      schemaText(
        "INSERT INTO sqlite_schema VALUES ('table', 'csv', 'csv', 0, 'CREATE VIRTUAL TABLE csv USING csv(filename=''/etc/passwd'')')",
      ),
      'table "csv" is not part',
    ],
    [
      'a CHECK that Central does not have',
      schemaText(
        "UPDATE sqlite_schema SET sql = replace(sql, 'hash TEXT NOT NULL', 'hash TEXT NOT NULL CHECK (zeroblob(9e8) <> hash)') WHERE name = 'audit'",
      ),
      'table "audit" is not the one',
    ],
    ['a missing table', 'DROP TABLE origin', 'table "origin" is missing'],
    ['a missing index', 'DROP INDEX agent_next_key', 'index "agent_next_key" is missing'],
    ['a table of its own', 'CREATE TABLE more (a)', 'table "more" is not part'],
    ['another application id', 'PRAGMA application_id = 7', 'application_id 7'],
    ['a schema below the first', 'PRAGMA user_version = -1', 'its schema is -1'],
    ['an older schema than it has', 'PRAGMA user_version = 1', 'is not the one of schema 1'],
  ])('is refused with %s, and nothing of it runs', (_what, sql, found) => {
    expect(check(sql)).toMatchObject({ code: 'backup_unsound', message: expect.stringContaining(found) });
  });

  it('of a newer version is named as that', () => {
    expect(check(`PRAGMA user_version = ${MIGRATIONS.length + 1}`)).toMatchObject({ code: 'backup_newer' });
  });

  it('is refused with texts in UTF-16', () => {
    const file = join(folder, 'utf16.db');
    rmSync(file, { force: true });
    const database = new DatabaseSync(file);
    database.exec(
      `PRAGMA encoding = 'UTF-16'; PRAGMA application_id = ${APPLICATION_ID}; ${MIGRATIONS.join(';')}; PRAGMA user_version = ${MIGRATIONS.length}`,
    );
    database.close();
    expect(check('', readFileSync(file))).toMatchObject({ message: expect.stringContaining('UTF-16') });
  });

  it.each([
    ['a row number at its end', 'UPDATE sqlite_sequence SET seq = 9223372036854775807', 'sqlite_sequence'],
    ['a row number that is a text', "UPDATE sqlite_sequence SET seq = 'x'", 'sqlite_sequence'],
    ['a cursor that JavaScript cannot hold', 'UPDATE event_run SET through = through + 9007199254740993', 'event_run'],
    ['a time that JavaScript cannot hold', 'UPDATE agent SET enrolled_at = -9223372036854775808', 'agent'],
    ['a text of 17 MiB', 'UPDATE audit SET detail = hex(zeroblob(8912896))', 'audit'],
    ['a body of 17 MiB', 'UPDATE event_run SET body = zeroblob(17825792)', 'event_run'],
    [
      'more parameters than there can be',
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)
       INSERT INTO parameter SELECT 'p' || i, '1', 'x', 1 FROM n`,
      'parameter" has 10001 rows; allowed: 10000',
    ],
    [
      'key material of 70 MB',
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70)
       INSERT INTO key_material SELECT 'k' || i, hex(zeroblob(500000)) FROM n`,
      'key_material" has more than',
    ],
    [
      'more API tokens than Central keeps',
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001)
       INSERT INTO api_token (id, name, role, hash, created_at, created_by, expires_at) SELECT 't' || i, 'n', 'viewer', 'h', 1, 'x', NULL FROM n`,
      'api_token" has 1001 rows',
    ],
    ['no state of the parameters', 'DELETE FROM parameter_state', 'parameter_state" has 0 rows'],
    ['labels that are not texts', `UPDATE agent SET labels = '{"region":{}}'`, 'agent'],
    ['labels that are not JSON', "UPDATE agent SET labels = '{'", 'agent'],
    ['a state that does not exist', "UPDATE agent SET state = 'root'", 'agent'],
    [
      'a role that does not exist',
      "INSERT INTO api_token (id, name, role, hash, created_at, created_by, expires_at) VALUES ('t', 'n', 'root', 'h', 1, 'x', NULL)",
      'api_token',
    ],
    ['a parameter that is not JSON', "INSERT INTO parameter VALUES ('p', '{', 'x', 1)", 'parameter'],
    ['an event that is not JSON', oneRun('{},{}'), 'event_run'],
    ['a run that counts more events than it has', 'UPDATE event_run SET count = 3', 'event_run'],
    ['a run with bytes of no event', "UPDATE event_run SET body = CAST(body || ' ' AS BLOB)", 'event_run'],
    ['a run whose lengths do not end', "UPDATE event_run SET lengths = CAST(lengths || x'ff' AS BLOB)", 'event_run'],
    ['a run without keys', "UPDATE event_run SET keys = x''", 'event_run'],
    ['a key that is not a number', "UPDATE event_run SET keys = x'fffffffffffff7ff'", 'event_run'],
    [
      'two events with one cursor',
      'INSERT INTO event_run SELECT through + 1, count, origin, first_number, received_at, keys, lengths, body FROM event_run',
      'two events with one cursor',
    ],
    [
      'an event of an older schema behind the runs',
      "INSERT INTO event VALUES (1, 1, 1, 0, 't', 's', '{}')",
      'two events with one cursor',
    ],
    ['an agent without a log', 'DELETE FROM outbox_log', 'an agent in it has no log'],
    ['two agents of one name', schemaText("UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'BINARY')"), 'agent'],
  ])('is refused with %s', (_what, sql, found) => {
    expect(check(sql)).toMatchObject({ code: 'backup_unsound', message: expect.stringContaining(found) });
  });

  it.each([
    ['a cursor that JavaScript cannot hold', 'UPDATE event SET cursor = cursor + 9007199254740993'],
    ['a text of 17 MiB', 'UPDATE event SET type = hex(zeroblob(8912896))'],
    ['an event that is not JSON', "UPDATE event SET json = json || ',{}'"],
  ])('of an older schema is refused with %s', (_what, sql) => {
    expect(check(sql, old)).toMatchObject({ code: 'backup_unsound', message: expect.stringContaining('event') });
  });
});
