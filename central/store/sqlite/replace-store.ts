// Owns putting a judged store in the place of the one that stopped. At every instant the folder holds a whole store under its name:
// the old one until the rename, the new one from it on.
import { copyFile, link, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { holdDataFolder } from '../../../shared/sqlite/data-folder.ts';
import { syncFolder } from '../../../shared/sqlite/private-file.ts';
import type { StagedRestore } from '../backup/backup.ts';
import { backupFault } from '../backup/errors.ts';
import { withStoreFiles } from './threads/store-files.ts';
import { databasePath } from './threads/thread-data.ts';

export interface Replacement {
  /** The store that was replaced. */
  readonly before: string;
  /** Puts that one back in its place. */
  undo(): Promise<void>;
}

/**
 * `lastCursor` is the newest cursor that the old store gave. Errors: data_in_use, backup_failed, backup_unsound; then the old store is
 * where it was.
 */
export async function replaceStore(
  folder: string,
  staged: Pick<StagedRestore, 'audit' | 'file' | 'folder' | 'keys'>,
  lastCursor: number,
): Promise<Replacement> {
  const held = holdDataFolder(folder);
  try {
    const path = databasePath(folder);
    await assertFolded(path);
    await withStoreFiles((files) =>
      files.call('prepareStore', [staged.file, { keys: staged.keys, audit: staged.audit }, lastCursor, path]),
    );
    // Who reads a store leaves its shared memory behind.
    await assertFolded(path);
    const before = `${path}.before-restore-${new Date(staged.audit.at).toISOString().replaceAll(/[:.]/g, '-')}`;
    await keep(path, before);
    await rename(staged.file, path);
    syncFolder(dirname(path));
    await rm(staged.folder, { recursive: true, force: true });
    return {
      before,
      async undo() {
        const again = holdDataFolder(folder);
        try {
          // The restored store may have been opened; what it wrote beside itself means nothing to the other one.
          for (const end of ['-wal', '-shm']) await rm(`${path}${end}`, { force: true });
          await rename(before, path);
          syncFolder(dirname(path));
        } finally {
          again.release();
        }
      },
    };
  } finally {
    held.release();
  }
}

/** A store that stopped in order has no write-ahead log. One beside another store would be taken for its own. */
async function assertFolded(path: string): Promise<void> {
  const left = await stat(`${path}-wal`).catch(() => undefined);
  if (left !== undefined && left.size > 0)
    throw backupFault('backup_failed', { found: 'the store that ran did not stop in order', path });
  for (const end of ['-wal', '-shm']) await rm(`${path}${end}`, { force: true });
}

/** A second name for the old store, which costs no room; a copy where the file system knows no such thing. */
async function keep(path: string, name: string): Promise<void> {
  try {
    await link(path, name);
  } catch {
    // FAT, some network folders: a copy does the same, if there is room for it; else its error is the one to tell.
    await copyFile(path, name);
  }
}
