// Replaces a file so that after a power cut either the old or the new one is there, whole (temp file, fsync, rename).
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileFault } from './errors.ts';
import { systemCode } from '../errors.ts';
import { writing } from './disk-faults.ts';
import { HAS_FILE_MODES, syncFolder } from '../platform/files.ts';
import { foreignLinkIn } from './path-links.ts';
import { unfinishedName } from './unfinished-files.ts';

/**
 * Writes `bytes` to `path`. An existing file keeps its mode (and its owner, where the process may set it); a new one
 * gets `newMode`. A link is followed, unless it is another account's. Throws file_unwritable, secret_file_unsafe, and
 * codes of DISK_ERRORS; then the old file is as it was.
 */
export async function replaceFile(path: string, bytes: Uint8Array, newMode: number): Promise<void> {
  await writing(path, () => replace(path, bytes, newMode));
}

async function replace(path: string, bytes: Uint8Array, newMode: number): Promise<void> {
  const link = await foreignLinkIn(resolve(path), 'end');
  if (link !== undefined)
    throw fileFault('secret_file_unsafe', { file: path, found: link, action: 'Name the file itself, not the link.' });
  const old = await stat(path).catch(undefinedIfMissing);
  // A link stays a link: what it names is replaced.
  const target = old === undefined ? path : await realpath(path);
  const folder = dirname(target);
  const temporary = unfinishedName(target);
  try {
    await using handle = await open(temporary, 'wx', 0o600);
    await handle.writeFile(bytes);
    if (HAS_FILE_MODES) {
      await handle.chmod(old === undefined ? newMode : old.mode & 0o7777);
      // Only root may give files away; anybody else goes on as the owner, as an editor would.
      if (old !== undefined) await handle.chown(old.uid, old.gid).catch(ignoreNotPermitted);
    }
    await handle.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, target).catch(async (error: unknown) => {
    await rm(temporary, { force: true });
    throw error;
  });
  await syncFolder(folder);
}

function undefinedIfMissing(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error;
  return undefined;
}

function ignoreNotPermitted(error: unknown): void {
  if (systemCode(error) !== 'EPERM') throw error;
}
