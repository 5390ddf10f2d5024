// Says why a file could not be written. Each cause has a code of its own, because each needs another remedy: ENOSPC
// alone has two.
import { statfsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isCoded, systemCode, textOf, type CodedError } from '../errors.ts';
import { diskFault, fileFault, type DISK_ERRORS } from './errors.ts';

const CODES: Readonly<Record<string, keyof typeof DISK_ERRORS>> = {
  ENOSPC: 'disk_full',
  EDQUOT: 'disk_quota_exceeded',
  EROFS: 'disk_read_only',
  EIO: 'disk_failed',
  EMFILE: 'too_many_open_files',
  ENFILE: 'too_many_open_files',
};

/** The cause is the disk or the process, not the file. Undefined: another one. */
export function diskFaultOf(file: string, error: unknown): CodedError | undefined {
  const code = CODES[systemCode(error) ?? ''];
  if (code === undefined) return undefined;
  const folder = dirname(file);
  const exact = code === 'disk_full' && lacksInodes(folder) ? 'disk_inodes_full' : code;
  return diskFault(exact, { file, folder, found: textOf(error) }, error);
}

/** Does `act`, and says of a system error why `file` could not be written: file_unwritable or a code of DISK_ERRORS. */
export async function writing<T>(file: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (isCoded(error)) throw error;
    throw diskFaultOf(file, error) ?? fileFault('file_unwritable', { file, found: textOf(error) }, error);
  }
}

/** Makes the folder and those above it, where they are missing. Errors as of `writing`. */
export async function makeFolder(folder: string, mode: number): Promise<void> {
  await writing(folder, () => mkdir(folder, { recursive: true, mode }));
}

/** True where files need inodes (btrfs and FAT report none at all) and none is free. */
export function lacksInodes(folder: string): boolean {
  try {
    const { files, ffree } = statfsSync(folder);
    return files > 0 && ffree === 0;
  } catch {
    return false; // The folder itself is the problem, and the error at hand says which.
  }
}
