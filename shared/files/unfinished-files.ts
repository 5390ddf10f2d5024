// Names the temporary file that a file is written to before it gets its name, and removes those that a killed process
// left behind: they may hold a private key, and a hard link of one keeps the file itself from being used.
import { randomBytes } from 'node:crypto';
import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../errors.ts';

const UNFINISHED = /^\.(?<name>.+)\.(?:(?<pid>\d{1,10})-)?[0-9a-f]{12}\.tmp$/;

/**
 * Beside the file, so that a rename stays within one file system. It names the process, whose end shows that nothing
 * finishes the file.
 */
export function unfinishedName(target: string): string {
  return join(dirname(target), `.${basename(target)}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
}

/**
 * Removes what a process that ended left unfinished in a folder; only of the file `name` where there is one, for a
 * folder that belongs to others as well. Called at a start, when nothing of this process writes there. A missing folder
 * has nothing in it.
 */
export async function removeUnfinishedFiles(folder: string, name?: string): Promise<void> {
  for (const entry of await namesIn(folder)) {
    const { groups } = UNFINISHED.exec(entry) ?? {};
    if (groups === undefined || (name !== undefined && groups['name'] !== name)) continue;
    if (isAtWork(groups['pid'])) continue;
    const path = join(folder, entry);
    // A folder of that name is somebody else's.
    if ((await lstat(path)).isFile()) await rm(path, { force: true });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return [];
  }
}

/** Another process may write its file at this moment: a command beside the daemon. */
function isAtWork(pid: string | undefined): boolean {
  if (pid === undefined || Number(pid) === process.pid) return false;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}
