// A temporary folder that goes with the test, and openssl beside it.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder as newFolder } from '../../temporary-folder.ts';

export interface Folder {
  /** Writes a file and returns its path. */
  write(name: string, text: string): string;
  path(name: string): string;
}

export function temporaryFolder(): Folder {
  const folder = newFolder();
  return {
    path: (name) => join(folder, name),
    write(name, text) {
      const path = join(folder, name);
      writeFileSync(path, text);
      return path;
    },
  };
}

/** Runs openssl; what it prints, or an error with all it said. */
export function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
