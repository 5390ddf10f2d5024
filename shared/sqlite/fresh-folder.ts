// Takes back what a start made in a data folder that did not exist or was empty, when that start is refused: nothing
// half-made is left that a later start, or a person, takes for an installation.
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { holdDataFolder } from './data-folder.ts';

interface FreshFolder {
  /**
   * Removes everything in the folder, and the folders that were missing. Called when nothing of this process uses it
   * any more.
   */
  takeBack(): void;
}

/** Called before the folder is made. Undefined where there is anything in it already. */
export function freshFolder(path: string): FreshFolder | undefined {
  const folder = resolve(path);
  try {
    if (existsSync(folder) && readdirSync(folder).length > 0) return undefined;
  } catch {
    // A file, or a folder that may not be read: the start says so.
    return undefined;
  }
  const missing = missingFrom(folder);
  return {
    takeBack() {
      try {
        if (!existsSync(folder)) return removeEmpty(missing);
        // Another process that took the folder meanwhile keeps it.
        const held = holdDataFolder(folder);
        for (const name of readdirSync(folder))
          if (!LOCK_FILES.has(name)) rmSync(join(folder, name), { recursive: true, force: true });
        held.release();
        for (const name of LOCK_FILES) rmSync(join(folder, name), { force: true });
        removeEmpty(missing);
      } catch {
        // Best effort: the error of the start is the one that counts.
      }
    },
  };
}

const LOCK_FILES: ReadonlySet<string> = new Set(['lock', 'lock-journal', 'lock.pid']);

/** The folders that do not exist, the innermost first. */
function missingFrom(folder: string): readonly string[] {
  const missing: string[] = [];
  for (let at = folder; !existsSync(at) && dirname(at) !== at; at = dirname(at)) missing.push(at);
  return missing;
}

/** rmdir fails on a folder with anything in it, which is then not ours alone. */
function removeEmpty(folders: readonly string[]): void {
  for (const folder of folders) if (existsSync(folder)) rmdirSync(folder);
}
