// A temporary folder that goes with the test, and openssl beside it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface Folder {
  /** Writes a file and returns its path. */
  write(name: string, text: string): string;
  path(name: string): string;
}

export function temporaryFolder(): Folder {
  const folder = mkdtempSync(join(tmpdir(), 'queuegate-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
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
