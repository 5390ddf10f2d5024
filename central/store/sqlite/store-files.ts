// Does what backup and restore need of SQLite's files (central/store/backup/store-files.ts): above all, puts a
// validated store in the place of the one that stopped. At every instant the folder holds a whole store under its name:
// the old one until the rename, the new one after it.
import { copyFile, link, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemCode, textOf } from '../../../shared/errors.ts';
import { holdDataFolder } from '../../../shared/sqlite/data-folder.ts';
import { syncFolderSync } from '../../../shared/platform/files.ts';
import { WorkerHost, workerUrl } from '../../../shared/sqlite/worker/host.ts';
import { backupFault } from '../backup/errors.ts';
import type { Replacement, StagedStore, StoreFiles } from '../backup/store-files.ts';
import type { FileWork } from './threads/file-work.ts';
import { databasePath } from './threads/thread-data.ts';

const REPLACED = '.before-restore-';
/** Long enough to find out that the restore was a mistake; each takes as much space as the store. */
const REPLACED_KEPT_MS = 30 * 86_400_000;

export function sqliteStoreFiles(folder: string): StoreFiles {
  return {
    async copyBytes() {
      const path = databasePath(folder);
      const { size } = await stat(path);
      return size + (await logBytes(path));
    },
    validate: (file) =>
      inFileThread(async (files) => {
        await files.call('validateStore', [file]);
        return await files.call('keyMaterialOf', [file]);
      }),
    replace: (staged, lastCursor) => replaceStore(folder, staged, lastCursor),
    pruneReplaced: (now) => pruneReplaced(folder, now),
  };
}

async function replaceStore(folder: string, staged: StagedStore, lastCursor: number): Promise<Replacement> {
  const held = holdDataFolder(folder);
  try {
    const path = databasePath(folder);
    await assertFolded(path);
    await inFileThread((files) =>
      files.call('prepareStore', [staged.file, { keys: staged.keys, audit: staged.audit }, lastCursor, path]),
    );
    // Reading a store leaves its shared memory file behind.
    await assertFolded(path);
    const before = `${path}${REPLACED}${new Date(staged.audit.at).toISOString().replaceAll(/[:.]/g, '-')}`;
    await keep(path, before);
    await rename(staged.file, path);
    syncFolderSync(dirname(path));
    await rm(staged.folder, { recursive: true, force: true });
    return {
      before,
      async rollBack() {
        const again = holdDataFolder(folder);
        try {
          // The restored store may have been opened; its log must not be read as the other one's.
          for (const end of ['-wal', '-shm']) await rm(`${path}${end}`, { force: true });
          await rename(before, path);
          syncFolderSync(dirname(path));
        } finally {
          again.release();
        }
      },
    };
  } finally {
    held.release();
  }
}

async function pruneReplaced(folder: string, now: number): Promise<void> {
  const prefix = `${basename(databasePath(folder))}${REPLACED}`;
  // Their names end with the time, so that the newest is the last.
  const replaced = (await readdir(folder)).filter((name) => name.startsWith(prefix)).toSorted();
  for (const name of replaced.slice(0, -1)) {
    const file = join(folder, name);
    if (now - (await stat(file)).ctimeMs > REPLACED_KEPT_MS) await rm(file);
  }
}

/** A store that stopped in order has no write-ahead log. One beside another store would be taken for its own. */
async function assertFolded(path: string): Promise<void> {
  if ((await logBytes(path)) > 0)
    throw backupFault('backup_failed', { found: 'the store that ran did not stop in order', path });
  for (const end of ['-wal', '-shm']) await rm(`${path}${end}`, { force: true });
}

/**
 * Size of the write-ahead log; 0: there is none. Any other failure than ENOENT does not show that there is none, and
 * what is there would be removed. Errors: backup_failed.
 */
async function logBytes(path: string): Promise<number> {
  const file = `${path}-wal`;
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0;
    throw backupFault('backup_failed', { found: textOf(error), path: file }, error);
  }
}

/** A second name for the old store, which takes no space; a copy where the file system has no hard links. */
async function keep(path: string, name: string): Promise<void> {
  try {
    await link(path, name);
  } catch {
    // FAT, some network folders: a copy does the same, if there is space for it; otherwise its error is the one to
    // report.
    await copyFile(path, name);
  }
}

/**
 * Does `work` in the thread for whole store files (threads/file-work.ts), which runs only for it: it may take minutes.
 */
export async function inFileThread<T>(work: (files: WorkerHost<FileWork>) => Promise<T>): Promise<T> {
  // Its calls reject with what went wrong; a thread that dies needs no other report.
  const files = new WorkerHost<FileWork>({
    url: workerUrl('./threads/file-work', import.meta.url),
    workerData: null,
    onFailure: () => undefined,
  });
  try {
    await files.started();
    return await work(files);
  } finally {
    await files.stop();
  }
}
