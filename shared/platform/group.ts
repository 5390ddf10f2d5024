// Finds the number of a group of this host by its name.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { readBoundedFile } from '../files/bounded-file.ts';

const MAX_GROUP_FILE_BYTES = 4 * 1024 * 1024;
const LOOKUP_MS = 5_000;

/** Undefined: there is none of that name. */
export async function groupIdOf(name: string): Promise<number | undefined> {
  if (!/^[A-Za-z_][\w.-]{0,63}$/.test(name)) return undefined;
  const local = await readBoundedFile({
    path: '/etc/group',
    what: 'The list of groups',
    maxBytes: MAX_GROUP_FILE_BYTES,
    hint: 'Restore /etc/group.',
    ifMissing: 'ignore',
  });
  const found = idIn(local?.toString('utf8') ?? '', name);
  if (found !== undefined) return found;
  try {
    // Groups of a directory service are not in the file.
    const { stdout } = await promisify(execFile)('getent', ['group', name], {
      timeout: LOOKUP_MS,
      maxBuffer: MAX_GROUP_FILE_BYTES,
    });
    return idIn(stdout, name);
  } catch {
    // getent exits with 2 for an unknown group, and some systems have no getent: the group is unknown either way.
    return undefined;
  }
}

/** group(5): name:password:gid:members. */
function idIn(list: string, name: string): number | undefined {
  const id = list
    .split('\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.split(':')[2];
  return id !== undefined && /^\d{1,10}$/.test(id) ? Number(id) : undefined;
}
