// What a package is made of: files with their place, content and executable bit, whatever form the package has.
import { resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '..');

export interface Entry {
  /** Relative, with "/". */
  readonly path: string;
  readonly content: Buffer;
  readonly executable: boolean;
}

/** The entries in a folder below. */
export function under(folder: string, entries: readonly Entry[]): Entry[] {
  return entries.map((entry) => ({ ...entry, path: `${folder}/${entry.path}` }));
}

export function textEntry(path: string, text: string, executable = false): Entry {
  return { path, content: Buffer.from(text), executable };
}
