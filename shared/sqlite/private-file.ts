// Makes a file that no other account may read.
import { closeSync, openSync } from 'node:fs';
import { systemCode } from '../errors.ts';

/**
 * Makes an empty file with mode 0600 if there is none (Windows: with the access list of its folder). True when it was
 * made.
 */
export function createPrivateFile(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}
