// Creates and opens a database file and migrates it to the schema of this version. Knows no tables.
import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { textOf } from '../errors.ts';
import { databaseFault, IO_ERROR, isFatal, openFailure } from './errors.ts';
import { syncFolderSync } from '../platform/files.ts';
import { readableBy } from './compatibility.ts';
import { createPrivateFile } from './private-file.ts';

export interface DatabaseOptions {
  readonly path: string;
  /** Marks the file as one of ours (PRAGMA application_id), so that another program's is not written into. */
  readonly applicationId: number;
  /**
   * SQL that leads from version n to n + 1. What has been released is never changed, only added to. A step that an
   * older version can live with leaves `readable_by` as it is (compatibility.ts).
   */
  readonly migrations: readonly string[];
  readonly cacheKiB: number;
  /**
   * Pages of 4 KiB in the write-ahead log after which a commit copies them into the database. More: fewer copies of
   * pages that change often; less: a shorter log. The log is cut back to this size after each copy.
   */
  readonly checkpointPages: number;
}

/**
 * Files up to this size are checked wholly at each open: about 0.1 s. Larger ones are found out when the damage is met.
 */
const QUICK_CHECK_MAX_BYTES = 32 * 1024 * 1024;

/** SQLITE_IOERR_SHORT_READ: the file ends before the page, so it was truncated. */
const SHORT_READ = 522;
/** How long a writer waits for a reader's short lock (only while the log restarts). */
const BUSY_TIMEOUT_MS = 5_000;

/**
 * Cuts the write-ahead log back if it has outgrown `maxBytes`. The copying after each commit does that by itself,
 * unless readers follow each other so closely that it never finds a moment without one: this waits for that moment.
 * Cheap when there is nothing to do, but not to be called for every commit.
 */
export function boundLog(database: DatabaseSync, path: string, maxBytes: number): void {
  const size = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  if (size > maxBytes) database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
}

/** Opens the one writing connection. Errors: data_newer, data_damaged, data_foreign, data_unusable. */
export function openDatabase(options: DatabaseOptions): DatabaseSync {
  try {
    if (!existsSync(options.path)) create(options);
    return openTwice(options);
  } catch (error) {
    throw openFailure(error, options.path);
  }
}

/** SQLite also says "malformed" when the disk failed to give a page (tried): only what is so twice is damage. */
function openTwice(options: DatabaseOptions): DatabaseSync {
  try {
    return open(options);
  } catch (error) {
    const { code } = openFailure(error, options.path);
    if (code !== 'data_damaged' && code !== 'data_unreadable') throw error;
    return open(options);
  }
}

/**
 * Opens a connection that only reads, beside the writing one. It sees each commit as soon as that has been answered.
 */
export function openReader(path: string, cacheKiB: number): DatabaseSync {
  try {
    const database = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    database.exec(`PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -${cacheKiB}`);
    return database;
  } catch (error) {
    throw openFailure(error, path);
  }
}

/**
 * A new database gets its name only once it is whole. So an empty file under that name is always a damaged one: SQLite
 * would take it for a new database, and everything in it would have been lost without a word.
 */
function create(options: DatabaseOptions): void {
  const { path } = options;
  if (existsSync(`${path}-wal`)) {
    throw databaseFault('data_damaged', { path, found: 'the file is missing, but its write-ahead log is there' });
  }
  const unfinished = `${path}.new`;
  rmSync(unfinished, { force: true });
  rmSync(`${unfinished}-journal`, { force: true });
  createPrivateFile(unfinished);
  const database = new DatabaseSync(unfinished);
  try {
    // One transaction, and so one wait for the disk.
    database.exec(`
      PRAGMA synchronous = FULL;
      BEGIN IMMEDIATE;
      PRAGMA application_id = ${options.applicationId};
      ${options.migrations.join(';\n')};
      PRAGMA user_version = ${options.migrations.length};
      COMMIT`);
  } finally {
    database.close();
  }
  renameSync(unfinished, path);
  syncFolderSync(dirname(path));
}

function open(options: DatabaseOptions): DatabaseSync {
  const { path } = options;
  inspect(options);
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    // FULL: a commit is on disk (fdatasync of the log) before it is answered; NORMAL would lose the last ones with the
    // power.
    database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA trusted_schema = OFF;
      PRAGMA temp_store = MEMORY;
      PRAGMA cache_size = -${options.cacheKiB};
      PRAGMA wal_autocheckpoint = ${options.checkpointPages};
      PRAGMA journal_size_limit = ${options.checkpointPages * 4096};
    `);
    migrate(database, options, numberOf(database, 'user_version'));
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * First of all: whose is it, how old is it, is it whole? Where a killed process left a write-ahead log, it looks
 * through a connection that cannot write: closing one that can folds that log into the damaged file and deletes it
 * (tried), and with it what could have been saved.
 */
function inspect({ path, applicationId, migrations }: DatabaseOptions): void {
  const size = statSync(path).size;
  if (size === 0) throw databaseFault('data_damaged', { path, found: 'the file is empty' });
  const killed = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
  const database = new DatabaseSync(path, { readOnly: killed, timeout: BUSY_TIMEOUT_MS });
  try {
    const found = numberOf(database, 'application_id');
    const version = numberOf(database, 'user_version');
    if (found !== applicationId) throw databaseFault('data_foreign', { path, found: `application_id ${found}` });
    if (version > migrations.length && readableBy(database) > migrations.length)
      throw databaseFault('data_newer', { path, found: version, known: migrations.length });
    if (size <= QUICK_CHECK_MAX_BYTES) check(database, path);
  } finally {
    database.close();
  }
}

/**
 * All steps in one transaction: a database is migrated whole, or it is as it was. Errors: data_not_migrated, and those
 * of the disk.
 */
function migrate(database: DatabaseSync, { path, migrations }: DatabaseOptions, version: number): void {
  const to = migrations.length;
  // A newer version wrote it, and left it readable.
  if (version >= to) return;
  try {
    database.exec(`BEGIN IMMEDIATE; ${migrations.slice(version).join(';')}; PRAGMA user_version = ${to}; COMMIT`);
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    if (version === 0 || isFatal(error)) throw error;
    throw databaseFault('data_not_migrated', { path, from: version, to, found: textOf(error) }, error);
  }
}

/** Walks all pages; does not compare indexes with tables, which is the slow part of an integrity check. */
function check(database: DatabaseSync, path: string): void {
  const found = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (found === 'ok') return;
  const text = String(found).replaceAll('\n', ' ');
  // A page that the disk did not give is not a damaged one: the next read may succeed.
  const [, code] = /unable to get the page\. error code=(\d+)/.exec(text) ?? [];
  if (code !== undefined && Number(code) !== SHORT_READ && (Number(code) & 0xff) === IO_ERROR)
    throw databaseFault('data_unreadable', { path, found: text });
  throw databaseFault('data_damaged', { path, found: text });
}

function numberOf(database: DatabaseSync, pragma: string): number {
  return Number(database.prepare(`PRAGMA ${pragma}`).get()?.[pragma]);
}
