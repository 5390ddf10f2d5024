// The errors of data folders, database files and their logs, and the mapping of SQLite's own codes to hints. Knows no
// tables.
import { dirname } from 'node:path';
import { lacksInodes } from '../files/disk-faults.ts';
import { type CodedError, defineErrors, isCoded, systemCode, textOf, type ErrorDefinition } from '../errors.ts';

export const DATABASE_ERRORS = {
  data_newer: {
    text: '{path} was written by a newer version (its schema is {found}; this version supports up to {known}).',
    hint: 'Start the newer version again, or restore the backup from before the upgrade.',
  },
  data_damaged: {
    text: '{path} is damaged: {found}.',
    hint: 'Check the disk (dmesg, smartctl), keep a copy of the whole folder, and restore the last backup. Messages sent since then are detected by the numbers of the logs and reported.',
  },
  data_unreadable: {
    text: '{path} could not be read to its end: {found}.',
    hint: 'Check the disk (dmesg, smartctl) and start again: nothing in the file was found to be damaged. If it fails again, copy the whole folder to another disk and start there.',
  },
  data_foreign: {
    text: '{path} is a database of another program ({found}).',
    hint: 'Choose another data folder, or move that file away.',
  },
  data_in_use: {
    text: '{path} is in use by another process (pid {pid}).',
    hint: 'Stop that process first, or choose another data folder. Do not delete anything: the lock ends with its process.',
  },
  data_not_migrated: {
    text: '{path} could not be migrated from schema {from} to schema {to}: {found}.',
    hint: 'Nothing was changed: the version that wrote it still opens it. Start that version, or restore its last backup with this one; report the error.',
  },
  data_unusable: { text: '{path} cannot be used: {found}.', hint: '{hint}' },
  store_failed: { status: 503, text: 'The store of this process can no longer write: {found}.', hint: '{hint}' },
  store_stopped: {
    status: 503,
    retryable: true,
    text: 'The store has stopped.',
    hint: 'The program is stopping; retry when it is running again.',
  },
  session_over: {
    close: 4507,
    retryable: true,
    text: 'A newer session has resumed this log; this one may no longer append.',
    hint: 'No action needed: the newer session continues.',
  },
  store_defect: {
    text: 'The store could not carry out a call: {found}.',
    hint: 'Nothing was changed. This is a defect of the program: report it with the log of this time.',
  },
  outbox_full: {
    status: 503,
    retryable: true,
    text: 'The outbox is full: {messages} messages and {bytes} bytes are waiting, {added} messages with {addedBytes} bytes were added; allowed: {maxMessages} messages and {maxBytes} bytes.',
    hint: 'The peer is not connected, or too slow: check its connection. Send again later, or in smaller batches; nothing of this batch was stored.',
  },
  log_violation: {
    close: 4510,
    retryable: true,
    text: 'The peer violates the rules of the log: {found}.',
    hint: 'No action needed if it happens once: both sides compare their logs at the next connection. If it continues, agent and Central have incompatible versions.',
  },
} as const satisfies Record<string, ErrorDefinition>;

export const databaseFault = defineErrors(DATABASE_ERRORS);

/** Primary result codes of SQLite (sqlite.org/rescode.html) that have a hint of their own. */
const NOT_A_DATABASE = 26;
const CORRUPT = 11;
const FULL = 13;
export const IO_ERROR = 10;
const READ_ONLY = 8;
const CANNOT_OPEN = 14;
export const BUSY = 5;

/** Files are also accessed without SQLite; the same hints apply. */
const SYSTEM_CODES: Readonly<Record<string, number>> = {
  ENOSPC: FULL,
  EDQUOT: FULL,
  EIO: IO_ERROR,
  EROFS: READ_ONLY,
  EACCES: READ_ONLY,
  EPERM: READ_ONLY,
  ENOENT: CANNOT_OPEN,
  ENOTDIR: CANNOT_OPEN,
};

/**
 * The codes that concern one statement (ERROR, TOOBIG, CONSTRAINT, MISMATCH, RANGE): SQLite undid that statement and
 * nothing else. After any other the state on disk is unknown: SQLite may have rolled back the whole transaction.
 */
const OF_THE_STATEMENT: ReadonlySet<number> = new Set([1, 18, 19, 20, 25]);

/** The primary result code of an error that node:sqlite threw, else undefined. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

/** True when the store must stop after `error`. */
export function isFatal(error: unknown): boolean {
  if (isCoded(error)) return error.code === 'store_failed' || error.code === 'data_damaged';
  const code = sqliteCode(error);
  return code !== undefined && !OF_THE_STATEMENT.has(code);
}

/** The error with which the store stops. `path` is the data folder. */
export function storeFailure(error: unknown, path: string): CodedError {
  if (isCoded(error, 'store_failed')) return error;
  return databaseFault('store_failed', { found: textOf(error), hint: hintOf(error, path) }, error);
}

/** The error of a database at `path` that could not be opened. */
export function openFailure(error: unknown, path: string): CodedError {
  if (isCoded(error)) return error;
  const code = sqliteCode(error);
  if (code === CORRUPT || code === NOT_A_DATABASE)
    return databaseFault('data_damaged', { path, found: textOf(error) }, error);
  return databaseFault('data_unusable', { path, found: textOf(error), hint: hintOf(error, dirname(path)) }, error);
}

const NO_INODES = (path: string): string =>
  `Delete files on the file system of ${path}: it has no free inodes (df -i ${path}). Then start again. No acknowledged message is lost.`;

function hintOf(error: unknown, path: string): string {
  if (isCoded(error)) return error.hint;
  switch (sqliteCode(error) ?? SYSTEM_CODES[systemCode(error) ?? '']) {
    case FULL:
      if (lacksInodes(path)) return NO_INODES(path);
      return `Free space on the disk of ${path} and start again. No acknowledged message is lost.`;
    case IO_ERROR:
      return `Check the disk of ${path} (dmesg, smartctl), its free space and the quota of this account, then start again. No acknowledged message is lost unless the disk lost it.`;
    case CORRUPT:
    case NOT_A_DATABASE:
      return DATABASE_ERRORS.data_damaged.hint;
    case READ_ONLY:
      return `Make ${path} and the files in it writable for the account that this program runs under, and start again.`;
    case undefined:
      return 'Start again; if it recurs, report it with the log of this time.';
    default:
      if (lacksInodes(path)) return NO_INODES(path);
      return `Check that ${path} is a local folder, writable for the account that this program runs under, and start again.`;
  }
}
