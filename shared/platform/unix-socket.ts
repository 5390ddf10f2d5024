// Listens on a Unix socket that has its owner, group and mode before anybody can connect, and never takes the place of something that
// another process uses. Windows has none that Node.js can bind.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { readBoundedFile } from '../bounded-file.ts';
import { systemCode } from '../errors.ts';

/** sockaddr_un has 104 bytes on macOS and 108 on Linux (unix(7)); the name under which a socket is bound first needs a few more. */
export const MAX_SOCKET_PATH_BYTES = 100;

export const HAS_UNIX_SOCKETS = process.platform !== 'win32';

const MAX_GROUP_FILE_BYTES = 4 * 1024 * 1024;
const LOOKUP_MS = 5_000;
/** A process that does not accept within this time is alive all the same. */
const PROBE_MS = 2_000;
const MAX_ATTEMPTS = 10;

/** Who may connect. */
export type SocketAccess = { readonly mode: 0o600 } | { readonly mode: 0o660; readonly gid: number };

export interface BoundSocket {
  /** False when the name was removed or is now that of something else. */
  isInPlace(): Promise<boolean>;
  /** Removes the name, if it is still this socket's. */
  remove(): Promise<void>;
}

/** Something that this process may not replace has the name. */
export class SocketNameTaken extends Error {}

/**
 * Binds `server` to `path`. What a process that ended left there is replaced: the caller holds a lock that no other process with the same
 * path has. Throws SocketNameTaken and system errors; then nothing was changed.
 */
export async function listenOnSocket(server: Server, path: string, access: SocketAccess): Promise<BoundSocket> {
  await checkName(path);
  // bind(2) makes the name with the mode of the umask, and a umask is of the whole process. So it is bound in a folder that nobody else may
  // enter, gets its mode, and then its name: a socket is found by its inode, wherever that is named.
  const folder = await privateFolder(dirname(path));
  const unnamed = join(folder, 's');
  try {
    await bind(server, unnamed);
    await chmod(unnamed, 0o600);
    if (access.mode === 0o660) {
      await chown(unnamed, process.geteuid?.() ?? -1, access.gid);
      await chmod(unnamed, access.mode);
    }
    const { ino, dev } = await lstat(unnamed);
    await rename(unnamed, path);
    const isInPlace = async (): Promise<boolean> => {
      const found = await lstatIfThere(path);
      return found?.ino === ino && found.dev === dev;
    };
    return {
      isInPlace,
      async remove() {
        if (await isInPlace()) await rm(path, { force: true });
      },
    };
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The number of a group of this host. Undefined: there is none of that name. */
export async function groupId(name: string): Promise<number | undefined> {
  if (!/^[A-Za-z_][\w.-]{0,63}$/.test(name)) return undefined;
  const local = await readBoundedFile({ path: '/etc/group', what: 'The list of groups', maxBytes: MAX_GROUP_FILE_BYTES, mend: 'Restore /etc/group.', ifMissing: 'ignore' });
  const found = idIn(local?.toString('utf8') ?? '', name);
  if (found !== undefined) return found;
  try {
    // Groups of a directory service are not in the file.
    const { stdout } = await promisify(execFile)('getent', ['group', name], { timeout: LOOKUP_MS, maxBuffer: MAX_GROUP_FILE_BYTES });
    return idIn(stdout, name);
  } catch {
    // getent ends with 2 where there is no such group, and some systems have no getent: the group is unknown either way.
    return undefined;
  }
}

/** group(5): name:password:gid:members. */
function idIn(list: string, name: string): number | undefined {
  const id = list.split('\n').find((line) => line.startsWith(`${name}:`))?.split(':')[2];
  return id !== undefined && /^\d{1,10}$/.test(id) ? Number(id) : undefined;
}

async function checkName(path: string): Promise<void> {
  const found = await lstatIfThere(path);
  if (found === undefined) return;
  if (!found.isSocket()) throw new SocketNameTaken(found.isSymbolicLink() ? 'a symbolic link is there' : 'something that is not a socket is there');
  if (found.uid !== process.geteuid?.()) throw new SocketNameTaken(`a socket of another account (uid ${found.uid}) is there`);
  if (await isAlive(path)) throw new SocketNameTaken('another process listens there');
}

/** Only a socket whose process has ended refuses a connection. */
async function isAlive(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = connect(path);
    const end = (alive: boolean): void => {
      clearTimeout(timer);
      probe.destroy();
      resolve(alive);
    };
    const timer = setTimeout(() => end(true), PROBE_MS);
    probe.once('connect', () => end(true));
    probe.once('error', (error) => end(systemCode(error) !== 'ECONNREFUSED' && systemCode(error) !== 'ENOENT'));
  });
}

/** With a short name: the whole path must fit into sockaddr_un too. */
async function privateFolder(parent: string): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    const folder = join(parent, `.${randomBytes(3).toString('base64url')}`);
    try {
      await mkdir(folder, { mode: 0o700 });
      return folder;
    } catch (error) {
      if (systemCode(error) !== 'EEXIST' || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

async function lstatIfThere(path: string) {
  return await lstat(path).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
}
