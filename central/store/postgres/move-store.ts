// Moves an embedded store into an empty PostgreSQL, in one transaction: all of it or nothing. Tables and columns have the
// same names in both. Every row is read back and compared before the commit.
import { textOf } from '../../../shared/errors.ts';
import type { Connected } from './connection/client.ts';
import { makeSchema, SCHEMA_LOCK } from './open-database.ts';
import { moveFault } from '../move/errors.ts';
import { RowDigest } from '../move/row-digest.ts';
import type { StoredTable, StoredTables } from '../move/stored-tables.ts';

/** Rows of one statement, and what they may weigh. */
const MAX_ROWS = 2_000;
const MAX_BYTES = 2 * 1024 * 1024;
/** What is read back at once: at worst all of it in rows that are as large as the largest one. */
const MAX_READ_BYTES = 16 * 1024 * 1024;
/** One statement: a batch, an index, or the commit of everything. */
const STEP_MS = 15 * 60_000;

export interface MoveProgress {
  readonly table: string;
  readonly rows: number;
  /** Of the table. */
  readonly allRows: number;
}

export interface MovedTable {
  readonly table: string;
  readonly columns: readonly string[];
  readonly rows: number;
  readonly digest: string;
  /** Of its largest row, about. */
  readonly largestBytes: number;
}

type Run = (sql: string, values?: readonly unknown[]) => Promise<readonly Readonly<Record<string, unknown>>[]>;

interface Column {
  readonly name: string;
  /** As PostgreSQL calls it: bigint, text, bytea. */
  readonly type: string;
  readonly isIdentity: boolean;
}

/** Errors: those of MOVE_ERRORS. */
export async function moveStore(
  source: StoredTables,
  target: Connected,
  onProgress: (progress: MoveProgress) => void,
): Promise<readonly MovedTable[]> {
  const host = target.server.name;
  const run = runner(target);
  await run('BEGIN');
  await run('SET LOCAL idle_in_transaction_session_timeout = 0');
  await run('SET LOCAL statement_timeout = 0');
  // A Central that starts meanwhile waits, and finds the moved store.
  await run(`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`);
  await assertEmpty(run, host);
  await makeSchema(run, host);
  const columns = await columnsOf(run);
  for (const table of columns.keys()) await run(`ALTER TABLE ${quoted(table)} DISABLE TRIGGER USER`);
  // What a new store begins with, and the moved one has already.
  for (const table of ['counter', 'parameter_state', 'store_incarnation']) await run(`DELETE FROM ${table}`);
  const moved: MovedTable[] = [];
  for (const table of source.tables) moved.push(await moveTable(run, source, table, columns, onProgress));
  await follow(run, source, columns);
  for (const table of moved) await compare(run, table);
  for (const table of columns.keys()) await run(`ALTER TABLE ${quoted(table)} ENABLE TRIGGER USER`);
  for (const { table } of moved) await run(`ANALYZE ${quoted(table)}`);
  const end = await target.query('COMMIT', [], STEP_MS);
  if (end.kind === 'away' && end.isUnknown) throw moveFault('store_move_unknown', { found: end.found });
  if (end.kind !== 'rows') throw moveFault('store_move_failed', { found: end.found, where: 'at the commit' });
  return moved;
}

/**
 * The store was moved into this database by a command that was cut behind its commit. Errors: store_not_empty (with
 * something else), store_used_since (it was used in the data folder behind the move).
 */
export async function wasMoved(openSource: () => StoredTables, target: Connected, folder: string): Promise<boolean> {
  const [run, host] = [runner(target), target.server.name];
  const found = await contentsOf(run);
  if (found === undefined) return false;
  const tables = await columnsOf(run);
  if (!tables.has('store_incarnation')) throw moveFault('store_not_empty', { host, found });
  const source = openSource();
  const incarnation = source.last('store_incarnation', 'key');
  const same = await run('SELECT 1 FROM store_incarnation WHERE id = $1', [incarnation?.['id'] ?? '']);
  if (same.length === 0) throw moveFault('store_not_empty', { host, found });
  const audit = source.last('audit', 'number');
  const [entry] = await run('SELECT hash FROM audit WHERE number = $1', [audit?.['number'] ?? 0]);
  if (audit !== undefined && entry?.['hash'] !== audit['hash'])
    throw moveFault('store_used_since', { host, folder, found: 'its audit log has other entries' });
  const columns = source.tables.find(({ name }) => name === 'agent')?.columns ?? [];
  const [id, epoch] = [columns.indexOf('id'), columns.indexOf('epoch')];
  for (const batch of batchesOf(source.rows('agent'))) {
    const newer = await run(
      `SELECT agent.name FROM unnest($1::text[], $2::bigint[]) AS here (id, epoch) JOIN agent USING (id)
        WHERE here.epoch > agent.epoch LIMIT 1`,
      [batch.map((row) => row[id]), batch.map((row) => row[epoch])],
    );
    const [name] = newer.map((row) => String(row['name']));
    if (name !== undefined)
      throw moveFault('store_used_since', { host, folder, found: `the agent ${name} had a session there` });
  }
  return true;
}

/** Anything of others would be mixed with the store, and what is left of another store would be lost. */
async function assertEmpty(run: Run, host: string): Promise<void> {
  const found = await contentsOf(run);
  if (found !== undefined) throw moveFault('store_not_empty', { host, found });
}

/** Undefined: the database is empty. */
async function contentsOf(run: Run): Promise<string | undefined> {
  const relations = await run(`SELECT relname AS name FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = current_schema() AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY relname LIMIT 4`);
  const [first, ...more] = relations.map(({ name }) => String(name));
  return first === undefined ? undefined : `${first}${more.length > 0 ? ' and others' : ''}`;
}

async function columnsOf(run: Run): Promise<ReadonlyMap<string, readonly Column[]>> {
  const columns = new Map<string, Column[]>();
  // Not of views and of types.
  const rows = await run(`SELECT table_name, column_name, data_type, is_identity FROM information_schema.columns
    JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name, ordinal_position`);
  for (const row of rows) {
    const table = String(row['table_name']);
    const column = { name: String(row['column_name']), type: String(row['data_type']) };
    columns.set(table, [...(columns.get(table) ?? []), { ...column, isIdentity: row['is_identity'] === 'YES' }]);
  }
  return columns;
}

async function moveTable(
  run: Run,
  source: StoredTables,
  { name, columns, rows: allRows }: StoredTable,
  known: ReadonlyMap<string, readonly Column[]>,
  onProgress: (progress: MoveProgress) => void,
): Promise<MovedTable> {
  const target = new Map(known.get(name)?.map((column) => [column.name, column]));
  const types = columns.map((column) => target.get(column)?.type);
  const missing = known.has(name) ? columns.find((_, index) => types[index] === undefined) : name;
  if (missing !== undefined)
    throw moveFault('store_move_failed', { found: `PostgreSQL has no place for ${missing}`, where: `table ${name}` });
  const list = columns.map((column) => quoted(column)).join(', ');
  const arrays = types.map((type, index) => `$${index + 1}::${type}[]`).join(', ');
  const insert = `INSERT INTO ${quoted(name)} (${list}) SELECT * FROM unnest(${arrays})`;
  const digest = new RowDigest();
  let largestBytes = 1;
  for (const batch of batchesOf(source.rows(name))) {
    for (const row of batch) {
      digest.add(row);
      largestBytes = Math.max(largestBytes, bytesOf(row));
    }
    await run(
      insert,
      columns.map((_, index) => batch.map((row) => row[index])),
    );
    onProgress({ table: name, rows: digest.rows, allRows });
  }
  return { table: name, columns, rows: digest.rows, digest: digest.hex, largestBytes };
}

function* batchesOf(rows: Iterable<readonly unknown[]>): Generator<readonly (readonly unknown[])[]> {
  let batch: (readonly unknown[])[] = [];
  let bytes = 0;
  for (const row of rows) {
    batch.push(row);
    bytes += bytesOf(row);
    if (batch.length < MAX_ROWS && bytes < MAX_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function bytesOf(row: readonly unknown[]): number {
  let bytes = 0;
  for (const value of row) bytes += typeof value === 'string' || value instanceof Uint8Array ? value.length : 8;
  return bytes;
}

/** What PostgreSQL keeps besides: the epoch beside the place in a log, the newest cursor, the next number of each table. */
async function follow(run: Run, source: StoredTables, columns: ReadonlyMap<string, readonly Column[]>): Promise<void> {
  await run('UPDATE inbox_log SET epoch = agent.epoch FROM agent WHERE agent.key = inbox_log.peer');
  await run(`UPDATE event_log SET newest = greatest((SELECT coalesce(max(through), 0) FROM event_run),
    (SELECT coalesce(max(through), 0) FROM event_gap))`);
  for (const [table, ofTable] of columns)
    for (const { name } of ofTable.filter(({ isIdentity }) => isIdentity)) {
      // Numbers of rows that are gone are not given again, where the embedded store did not either.
      const used = `greatest((SELECT coalesce(max(${quoted(name)}), 0) FROM ${quoted(table)}), $3::bigint)`;
      await run(`SELECT setval(pg_get_serial_sequence($1, $2), greatest(${used}, 1), ${used} > 0)`, [
        quoted(table),
        name,
        source.lastNumber(table),
      ]);
    }
}

async function compare(run: Run, expected: MovedTable): Promise<void> {
  const { table, rows, largestBytes } = expected;
  const count = Math.max(1, Math.min(MAX_ROWS, Math.floor(MAX_READ_BYTES / largestBytes)));
  const columns = expected.columns.map((column) => quoted(column)).join(', ');
  const digest = new RowDigest();
  await run(`DECLARE moved NO SCROLL CURSOR FOR SELECT ${columns} FROM ${quoted(table)}`);
  for (;;) {
    const batch = await run(`FETCH ${count} FROM moved`);
    if (batch.length === 0) break;
    for (const row of batch) digest.add(Object.values(row));
  }
  await run('CLOSE moved');
  if (digest.rows !== rows)
    throw moveFault('store_move_differs', { table, found: `it has ${digest.rows} rows, and not ${rows}` });
  if (digest.hex !== expected.digest)
    throw moveFault('store_move_differs', {
      table,
      found: `the digest of its rows is ${digest.hex}, and not ${expected.digest}`,
    });
}

function runner(target: Connected): Run {
  return async (sql, values = []) => {
    // pg takes arrays as arrays of PostgreSQL.
    const reply = await target.query(sql, values as never, STEP_MS).catch((error: unknown) => {
      throw moveFault('store_move_failed', { found: textOf(error), where: sql.slice(0, 60) }, error);
    });
    if (reply.kind === 'rows') return reply.rows;
    throw moveFault('store_move_failed', { found: reply.found, where: sql.slice(0, 60) });
  };
}

function quoted(name: string): string {
  return `"${name}"`;
}
