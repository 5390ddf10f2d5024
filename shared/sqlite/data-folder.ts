// Opens the folder of a process's durable state: makes it private to its account, and locks it for one process at a
// time. Does not know its contents.
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemCode, textOf } from '../errors.ts';
import { isOpenToOthers } from '../platform/files.ts';
import { BUSY, databaseFault, openFailure, sqliteCode } from './errors.ts';
import { createPrivateFile } from './private-file.ts';

interface DataFolder {
  readonly path: string;
  /** Lets another process have it. May be called twice. */
  release(): void;
}

/**
 * The locks that this process holds. A connection without references is closed by the garbage collector, and its lock
 * dropped with it: a caller that never releases keeps no reference (that happened).
 */
const HELD = new Set<DatabaseSync>();

/**
 * Makes the folder if need be, closes it to other accounts, and holds it until `release` or the end of the process,
 * however it ends. Errors: data_in_use, data_unusable.
 *
 * The hold is SQLite's exclusive lock on the file `lock`: the kernel drops it with the process, so that kill -9 leaves
 * nothing behind, and the number of a dead process that another one got means nothing. `lock.pid` serves the message
 * only. Nothing else in this process may open `lock`: POSIX drops a process's locks when any of its descriptors on that
 * file is closed (sqlite.org/howtocorrupt.html, section 2.2).
 */
export function holdDataFolder(path: string): DataFolder {
  makePrivate(path);
  assertOwn(path);
  const lockPath = join(path, 'lock');
  const pidPath = join(path, 'lock.pid');
  let lock: DatabaseSync | undefined;
  try {
    createPrivateFile(lockPath);
    lock = new DatabaseSync(lockPath, { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
    HELD.add(lock);
  } catch (error) {
    lock?.close();
    if (sqliteCode(error) === BUSY) throw databaseFault('data_in_use', { path, pid: readPid(pidPath) }, error);
    throw openFailure(error, lockPath);
  }
  try {
    // Never through a link.
    rmSync(pidPath, { force: true });
    writeFileSync(pidPath, `${process.pid}\n`, { mode: 0o600, flag: 'wx' });
  } catch {
    // A full disk: the lock holds without the number, which only serves a message.
  }
  return {
    path,
    release() {
      if (lock === undefined) return;
      HELD.delete(lock);
      lock.close();
      lock = undefined;
    },
  };
}

function makePrivate(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (isOpenToOthers(statSync(path), 0o077)) chmodSync(path, 0o700);
  } catch (error) {
    const hint =
      systemCode(error) === 'EEXIST' || systemCode(error) === 'ENOTDIR'
        ? 'A part of this path is a file: name a folder.'
        : 'Name a folder that belongs to the account that this program runs under (it is made if it does not exist).';
    throw databaseFault('data_unusable', { path, found: textOf(error), hint }, error);
  }
}

/**
 * Nothing in the folder may be another account's: from the time before it was closed, a store with that account's
 * tokens, a key that it knows, a link. Root runs on the folder of the account that it belongs to. Errors:
 * data_unusable.
 */
function assertOwn(path: string): void {
  const self = process.geteuid?.();
  // Windows: the access list of the folder counts.
  if (self === undefined) return;
  const owners = new Set([0, self, ...(self === 0 ? [statSync(path).uid] : [])]);
  for (const file of [path, ...readdirSync(path).map((name) => join(path, name))]) {
    const owner = lstatSync(file, { throwIfNoEntry: false })?.uid;
    if (owner === undefined || owners.has(owner)) continue;
    const hint = `Find out who made ${file === path ? 'it' : 'that file'}, and remove it, or give it to the account of this program (chown) if it is what you expect.`;
    throw databaseFault('data_unusable', {
      path,
      found: `${file === path ? 'it' : file} belongs to another account (uid ${owner})`,
      hint,
    });
  }
}

function readPid(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim() || 'unknown';
  } catch {
    // The other process took the folder a moment ago and has not yet written its number, or could not.
    return 'unknown';
  }
}
