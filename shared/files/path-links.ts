// Keeps symbolic links of other accounts from leading a file that is written elsewhere: the kernel follows them, except
// in folders with the sticky bit (protected_symlinks), and a path that was resolved before knows nothing of that.
import type { Stats } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import { join, parse, resolve, sep } from 'node:path';
import { systemCode } from '../errors.ts';
import { HAS_FILE_MODES } from '../platform/files.ts';

/** As many as Linux follows (path_resolution(7)). */
const MAX_LINKS = 40;

/** Neither of this account nor of root, who may read everything anyway. */
export function isForeign({ uid }: Stats): boolean {
  return uid !== 0 && uid !== process.geteuid?.();
}

/**
 * Why a path is not to be followed; undefined when no part of it is a link of another account. What does not exist ends
 * the path, or fails with ENOENT where `ifMissing` says so.
 */
export async function foreignLinkIn(path: string, ifMissing: 'end' | 'fail'): Promise<string | undefined> {
  // Windows has neither owners that count here nor links that every account may make.
  if (!HAS_FILE_MODES) return undefined;
  const { root } = parse(path);
  const partsOf = (text: string): string[] =>
    text
      .slice(root.length)
      .split(sep)
      .filter((part) => part !== '');
  let rest = partsOf(path);
  let reached = root;
  for (let links = 0; rest.length > 0;) {
    const [part = '', ...further] = rest;
    const next = join(reached, part);
    let found: Stats;
    try {
      found = await lstat(next);
    } catch (error) {
      if (ifMissing === 'end' && systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    if (!found.isSymbolicLink()) {
      rest = further;
      reached = next;
      continue;
    }
    if (isForeign(found)) return `${next} on its path is a symbolic link of another account (uid ${found.uid})`;
    if (++links > MAX_LINKS) return 'its path has too many symbolic links';
    rest = [...partsOf(resolve(reached, await readlink(next))), ...further];
    reached = root;
  }
  return undefined;
}
