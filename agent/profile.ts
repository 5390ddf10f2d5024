// Makes the default profile where there is none: the line that Central prints works in any folder.
import { existsSync, statSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { writing } from '../shared/files/disk-faults.ts';

/** Of this program, whether it runs from its sources or from an installed package. */
const PACKAGED = join(import.meta.dirname, '..', 'profiles', 'default');
/** The settings and their explanation: a truststore or a password beside them belongs to another agent. */
const COPIED = new Set(['.conf', '.md']);

export const DEFAULT_PROFILE = 'profiles/default';

/** Copies the packaged profile to `folder` below the working folder unless something is there. True: it was made. */
export async function makeDefaultProfile(folder: string, packaged = PACKAGED): Promise<boolean> {
  const target = resolve(folder);
  if (existsSync(target) || !existsSync(packaged)) return false;
  await writing(target, () =>
    cp(packaged, target, {
      recursive: true,
      errorOnExist: true,
      force: false,
      filter: (file) => statSync(file).isDirectory() || COPIED.has(extname(file)),
    }),
  );
  return true;
}
