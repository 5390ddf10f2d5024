// Owns how a file comes into being that no other account may read, and how its name is made durable.
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { systemCode } from '../errors.ts';

/** Makes an empty file with mode 0600 if there is none (Windows: with the access list of its folder). True when it was made. */
export function createPrivateFile(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Brings the names in a folder to disk: a new or renamed file is durable only then. Windows does that by itself. */
export function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
