// Checks the store file of a backup before anything in it is used. Its schema has to be the one that Central itself
// creates: what SQL in the file would run (triggers, views, generated columns, virtual tables, expressions) is refused
// while it is still text. Then pages, numbers, texts and the rows that Central reads whole. Changes nothing.
import { DatabaseSync } from 'node:sqlite';
import { integer, text } from '../../../shared/sqlite/row.ts';
import { AGENT_STATES } from '../agent-store.ts';
import { backupFault } from '../backup/errors.ts';
import { ROLLOUT_AGENT_STATES, ROLLOUT_STATES } from '../rollouts/rollout-store.ts';
import { CHUNK_BYTES } from '../releases/release-store.ts';
import { MAX_API_TOKENS, MAX_ENROLLMENT_TOKENS } from '../space/bounds.ts';
import { unpackKeys } from '../sql/events/run-keys.ts';
import { unpackLengths, unpackTexts } from '../sql/events/run-texts.ts';
import { APPLICATION_ID, MIGRATIONS } from './migrations.ts';

/**
 * Numbers that a store counts up: far from the largest that JavaScript holds exactly, and from the largest row number,
 * behind which SQLite reports a full disk.
 */
const MAX_NUMBER = 2 ** 52;
/** Sixteen of the largest messages; the largest text that Central writes is a message. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;
/** Of a table that Central reads whole at its start. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;
/**
 * Rows of the tables that Central reads whole: a few hundred parameters, some ten keys of each generation of the
 * authority.
 */
const MAX_ROWS: Readonly<Record<string, number>> = {
  parameter: 10_000,
  key_material: 10_000,
  key_material_version: 10_000,
  api_token: MAX_API_TOKENS,
  enrollment_token: MAX_ENROLLMENT_TOKENS,
  counter: 100,
};
/**
 * SQLite reads JSON to a depth of 1,000 only, which a payload may exceed: what it does not take, JavaScript decides.
 */
const JSON_OF = (column: string): string => `(json_valid(${column}) OR parses(${column}))`;
/**
 * What each row has to be, in SQL over columns that every schema has; or where the schema has the column that is named.
 */
const RULES: readonly (readonly [table: string, rule: string, column?: string])[] = [
  ['agent', `state IN (${AGENT_STATES.map((state) => `'${state}'`).join()})`],
  ['agent', 'are_labels(labels)', 'labels'],
  ['agent_history', `state IN (${AGENT_STATES.map((state) => `'${state}'`).join()})`],
  ['api_token', "role IN ('viewer', 'operator', 'administrator')"],
  ['parameter', `value IS NULL OR ${JSON_OF('value')}`],
  ['parameter_state', `pending IS NULL OR ${JSON_OF('pending')}`],
  ['event', JSON_OF('json')],
  ['event_run', 'run_fits(count, keys, lengths, body)'],
  ['outbox_entry', JSON_OF('json')],
  ['incident', JSON_OF('detail')],
  ['rollout', `state IN (${ROLLOUT_STATES.map((state) => `'${state}'`).join()}) AND json_valid(document)`],
  ['rollout_agent', `state IN (${ROLLOUT_AGENT_STATES.map((state) => `'${state}'`).join()})`],
  ['audit', JSON_OF('detail')],
  ['blob', "sha256 IS NULL OR (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*')"],
  ['blob_chunk', `octet_length(data) <= ${CHUNK_BYTES}`],
  ['release', "kind IN ('profile', 'software')"],
];

/**
 * Runs whose events begin before the run in front of them ends; events of older schemas are in front of all of them.
 */
const OVERLAPS = `SELECT 1 FROM (SELECT through - count AS before,
    coalesce(lag(through) OVER (ORDER BY through), (SELECT max(cursor) FROM event), 0) AS last FROM event_run)
  WHERE before < last LIMIT 1`;

/**
 * What SQLite is asked of a file that somebody may have made (sqlite.org/security.html, "Untrusted SQLite Database
 * Files").
 */
const DISTRUST = 'PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0';

/** Errors: backup_newer, backup_unsound. */
export function checkStore(database: DatabaseSync): void {
  database.exec(DISTRUST);
  const application = pragma(database, 'application_id');
  if (application !== APPLICATION_ID)
    throw unsound(`it is not a store of Central (application_id ${String(application)})`);
  const version = Number(pragma(database, 'user_version'));
  if (version < 1) throw unsound(`its schema is ${version}; allowed: 1 to ${MIGRATIONS.length}`);
  if (version > MIGRATIONS.length)
    throw backupFault('backup_newer', { found: `schema ${version}`, known: `schema ${MIGRATIONS.length}` });
  const encoding = pragma(database, 'encoding');
  if (encoding !== 'UTF-8') throw unsound(`its texts are in ${String(encoding)}; allowed: UTF-8`);
  // Before any statement that would use a table: views and generated columns look like tables and columns.
  assertSchema(database, version);
  const found = pragma(database, 'integrity_check(1)', 'integrity_check');
  if (found !== 'ok') throw unsound(String(found).replaceAll('\n', ' '));
  for (const table of tablesOf(database)) assertValues(database, table);
  assertRows(database);
}

/** Every object of the schema with its SQL, and no other. */
function assertSchema(database: DatabaseSync, version: number): void {
  const expected = expectedSchema(version);
  const found = schemaOf(database);
  for (const [name, sql] of found)
    if (expected.get(name) !== sql)
      throw unsound(
        expected.has(name) ? `its ${name} is not the one of schema ${version}` : `its ${name} is not part of a store`,
      );
  for (const name of expected.keys()) if (!found.has(name)) throw unsound(`its ${name} is missing`);
}

function expectedSchema(version: number): Map<string, string> {
  const reference = new DatabaseSync(':memory:');
  try {
    reference.exec(MIGRATIONS.slice(0, version).join(';\n'));
    return schemaOf(reference);
  } finally {
    reference.close();
  }
}

/** By kind and name. An index that SQLite makes for UNIQUE has no SQL. */
function schemaOf(database: DatabaseSync): Map<string, string> {
  const objects = new Map<string, string>();
  for (const row of database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema').iterate()) {
    const [type, name] = [String(row['type']), String(row['name'])];
    // Versions of SQLite differ in the blanks that ALTER TABLE writes.
    objects.set(`${type} "${name}"`, `${String(row['tbl_name'])} ${String(row['sql']).replaceAll(/\s+/g, ' ')}`);
  }
  return objects;
}

function tablesOf(database: DatabaseSync): string[] {
  return database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all()
    .map((row) => text(row, 'name'));
}

/** One pass over the table. Names of tables and columns are those of the migrations. */
function assertValues(database: DatabaseSync, table: string): void {
  const columns = database.prepare(`SELECT name, type FROM pragma_table_info(?)`).all(table);
  const tests = columns.map((column) => {
    const name = `"${text(column, 'name')}"`;
    if (column['type'] === 'INTEGER') return `${name} NOT BETWEEN -${MAX_NUMBER} AND ${MAX_NUMBER}`;
    if (column['type'] === 'TEXT' || column['type'] === 'BLOB') return `octet_length(${name}) > ${MAX_TEXT_BYTES}`;
    // sqlite_sequence, whose columns have no type: a name, and the last number that was used.
    return name === '"seq"' ? `typeof(${name}) <> 'integer' OR ${name} > ${MAX_NUMBER}` : `typeof(${name}) <> 'text'`;
  });
  const row = database.prepare(`SELECT 1 FROM "${table}" WHERE ${tests.join(' OR ')} LIMIT 1`).get();
  if (row !== undefined)
    throw unsound(`a row of its table "${table}" has a number or a text that Central never writes`);
}

function assertRows(database: DatabaseSync): void {
  database.function('parses', { deterministic: true, directOnly: true }, (value) => Number(parses(value)));
  const tables = new Set(tablesOf(database));
  for (const [table, most] of Object.entries(MAX_ROWS)) {
    if (!tables.has(table)) continue;
    const rows = integer(database.prepare(`SELECT count(*) AS rows FROM "${table}"`).get(), 'rows');
    if (rows > most) throw unsound(`its table "${table}" has ${rows} rows; allowed: ${most}`);
  }
  for (const table of ['parameter', 'key_material']) {
    const bytes = `SELECT coalesce(sum(octet_length(value)), 0) AS bytes FROM "${table}"`;
    if (integer(database.prepare(bytes).get(), 'bytes') > MAX_WHOLE_BYTES)
      throw unsound(`its table "${table}" has more than ${MAX_WHOLE_BYTES} bytes`);
  }
  const states = integer(database.prepare('SELECT count(*) AS rows FROM parameter_state').get(), 'rows');
  if (states !== 1) throw unsound(`its table "parameter_state" has ${states} rows; allowed: 1`);
  database.function('run_fits', { deterministic: true, directOnly: true }, (count, keys, lengths, body) =>
    Number(runFits(count, [keys, lengths, body])),
  );
  database.function('are_labels', { deterministic: true, directOnly: true }, (labels) => Number(areLabels(labels)));
  const columns = database.prepare('SELECT 1 FROM pragma_table_info(?) WHERE name = ?');
  for (const [table, rule, column] of RULES)
    if (
      tables.has(table) &&
      (column === undefined || columns.get(table, column) !== undefined) &&
      database.prepare(`SELECT 1 FROM "${table}" WHERE NOT (${rule}) LIMIT 1`).get() !== undefined
    )
      throw unsound(`a row of its table "${table}" has a value that Central never writes`);
  if (tables.has('event_run') && database.prepare(OVERLAPS).get() !== undefined)
    throw unsound('its table "event_run" has two events with one cursor');
  const logs = `SELECT 1 FROM agent WHERE key NOT IN (SELECT peer FROM outbox_log) OR key NOT IN (SELECT peer FROM inbox_log)`;
  if (database.prepare(logs).get() !== undefined) throw unsound('an agent in it has no log');
}

/** So many messages as it counts, each of which is JSON, and keys that are numbers. */
function runFits(count: unknown, parts: readonly unknown[]): boolean {
  const [keys, lengths, body] = parts.map((part) => (part instanceof Uint8Array ? part : new Uint8Array()));
  if (keys === undefined || lengths === undefined || body === undefined) return false;
  try {
    const texts = unpackTexts({ lengths, body });
    let bytes = 0;
    for (const length of unpackLengths(lengths)) bytes += length;
    const found = unpackKeys(keys);
    const areKeys = found.length > 0 && found.every((key) => Number.isSafeInteger(key) && key >= 0);
    return texts.length > 0 && texts.length === count && bytes === body.length && areKeys && texts.every(parses);
  } catch {
    return false;
  }
}

function areLabels(value: unknown): boolean {
  try {
    const labels: unknown = JSON.parse(String(value));
    if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) return false;
    return Object.values(labels).every((text) => typeof text === 'string');
  } catch {
    return false;
  }
}

function parses(value: unknown): boolean {
  try {
    JSON.parse(String(value));
    return true;
  } catch {
    return false;
  }
}

const unsound = (found: string): Error => backupFault('backup_unsound', { found });

function pragma(database: DatabaseSync, name: string, column = name): unknown {
  return database.prepare(`PRAGMA ${name}`).get()?.[column];
}
