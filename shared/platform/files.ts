// What file systems and paths of Windows and Unix differ in.
import { closeSync, fsyncSync, openSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, win32 } from 'node:path';

const IS_WINDOWS = process.platform === 'win32';

/**
 * Owner, mode and links of a file decide who may use it. On Windows the access list of its folder does, which it
 * inherits.
 */
export const HAS_FILE_MODES = !IS_WINDOWS;

/** No second name leads to the file. Windows does not count names reliably. */
export function hasOneName({ nlink }: Pick<Stats, 'nlink'>): boolean {
  return IS_WINDOWS || nlink === 1;
}

/** Accounts other than the owner have one of these `rights` (bits of a mode). */
export function isOpenToOthers({ mode }: Pick<Stats, 'mode'>, rights: number): boolean {
  return HAS_FILE_MODES && (mode & rights) !== 0;
}

/** Makes the names in a folder durable. Windows cannot open folders; its file system keeps a journal of names. */
export async function syncFolder(folder: string): Promise<void> {
  if (IS_WINDOWS) return;
  await using handle = await open(folder, 'r');
  await handle.sync();
}

/** As `syncFolder`, for threads that work synchronously. */
export function syncFolderSync(folder: string): void {
  if (IS_WINDOWS) return;
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** A relative path that may have been written on Windows (conf\security), as this system writes it. */
export function nativePath(path: string): string {
  return IS_WINDOWS ? path : path.replaceAll('\\', '/');
}

/** A path of Windows on a machine that has no such paths. */
export function isForeignPath(path: string): boolean {
  return !IS_WINDOWS && win32.isAbsolute(path) && !path.startsWith('/');
}

/** Where programs keep the settings of one account (XDG Base Directory Specification). */
export function configFolder(environment: Readonly<Record<string, string | undefined>>): string {
  if (IS_WINDOWS) return environment['APPDATA'] || join(homedir(), 'AppData', 'Roaming');
  return environment['XDG_CONFIG_HOME'] || join(environment['HOME'] || homedir(), '.config');
}

/**
 * Where programs keep their state for one account (XDG Base Directory Specification); it is neither shared nor
 * published.
 */
export function stateFolder(environment: Readonly<Record<string, string | undefined>>): string {
  if (IS_WINDOWS) return environment['LOCALAPPDATA'] || join(homedir(), 'AppData', 'Local');
  return environment['XDG_STATE_HOME'] || join(environment['HOME'] || homedir(), '.local', 'state');
}
