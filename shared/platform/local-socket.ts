// Opens and finds the socket by which programs on one host reach a daemon: a Unix socket that has its owner, group and
// mode before anybody can connect; on Windows a named pipe with a name that cannot be guessed, which a file in the
// daemon's folder holds.
import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, rename, rm, stat } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { readBoundedFile } from '../files/bounded-file.ts';
import { defineErrors, isCoded, systemCode, textOf, type ErrorTable } from '../errors.ts';
import { lstatIfThere, replaceSecretFile } from '../files/secret-file.ts';

export const LOCAL_SOCKET_ERRORS = {
  local_socket_path_long: {
    text: 'The local socket is unavailable: its path {file} has {bytes} bytes; allowed: {maxBytes}. Only the TCP ports are open.',
    hint: 'Set {setting} to a shorter path, and restart.',
  },
  local_socket_taken: {
    retryable: true,
    text: 'The local socket {file} is unavailable: {found}.',
    hint: 'Remove the existing file, or set {setting} to another path; then restart (an agent retries within seconds).',
  },
  local_socket_unusable: {
    retryable: true,
    text: 'The local socket {file} is unavailable: {found}.',
    hint: 'Create its folder and allow the account of this process to write there, or set {setting} to another path; then restart.',
  },
  local_socket_missing: { text: 'The socket {file} does not exist.', hint: '{action}' },
  local_socket_foreign: {
    text: 'The socket {file} is not used: {found}.',
    hint: 'If the daemon runs under that account, run this command as that account; otherwise find out who created the socket.',
  },
} as const satisfies ErrorTable;

const localSocketFault = defineErrors(LOCAL_SOCKET_ERRORS);

/**
 * sockaddr_un has 104 bytes on macOS and 108 on Linux (unix(7)); the name under which a socket is bound first needs a
 * few more.
 */
export const MAX_SOCKET_PATH_BYTES = 100;
export const HAS_UNIX_SOCKETS = process.platform !== 'win32';

const OWNER_ONLY = 0o600;
const GROUP_TOO = 0o660;
const OTHERS = 0o077;
const MAX_NAME_BYTES = 256;
/** A process that does not accept within this time is alive all the same. */
const PROBE_MS = 2_000;
const MAX_ATTEMPTS = 10;

interface OpenOptions {
  /** Sets the path; for the hints. */
  readonly setting: string;
  /** A group that may connect too; Windows has none. */
  readonly groupId?: number;
}

export interface LocalSocket {
  /** False when the name was removed or is now that of something else. */
  isInPlace(): Promise<boolean>;
  /** Removes the name, if it is still this socket's. */
  remove(): Promise<void>;
}

/**
 * Lets `server` listen at `path`. What a process that ended left there is replaced, and nothing else: the caller holds
 * a lock that no other process with the same path has. Errors: local_socket_path_long, local_socket_taken,
 * local_socket_unusable; then nothing listens.
 */
export async function openLocalSocket(
  server: Server,
  path: string,
  { setting, groupId }: OpenOptions,
): Promise<LocalSocket> {
  try {
    if (!HAS_UNIX_SOCKETS) return await openPipe(server, path);
    const bytes = Buffer.byteLength(path);
    if (bytes > MAX_SOCKET_PATH_BYTES)
      throw localSocketFault('local_socket_path_long', { file: path, bytes, maxBytes: MAX_SOCKET_PATH_BYTES, setting });
    const taken = await takenBy(path);
    if (taken !== undefined) throw localSocketFault('local_socket_taken', { file: path, found: taken, setting });
    return await openUnixSocket(server, path, groupId);
  } catch (error) {
    server.close();
    if (isCoded(error)) throw error;
    const found = systemCode(error) === 'ENOENT' ? `the folder ${dirname(path)} does not exist` : textOf(error);
    throw localSocketFault('local_socket_unusable', { file: path, found, setting }, error);
  }
}

interface FindOptions {
  /** What to do when there is none. */
  readonly ifMissing: string;
  /**
   * Root may connect to every socket: the daemon's folder, where somebody named it, whose owner's socket is the
   * daemon's then.
   */
  readonly namedFolder?: string;
}

export interface FoundSocket {
  /** Where a program connects to: `socketPath`. */
  readonly path: string;
  /** No account but its owner and root can connect. */
  readonly isOwnerOnly: boolean;
}

/**
 * The socket of a daemon, once it is certain that no other account listens there. Errors: local_socket_missing,
 * local_socket_foreign.
 */
export async function findLocalSocket(path: string, { ifMissing, namedFolder }: FindOptions): Promise<FoundSocket> {
  if (!HAS_UNIX_SOCKETS) {
    const name = await readBoundedFile({
      path,
      what: 'The name of the pipe',
      maxBytes: MAX_NAME_BYTES,
      hint: ifMissing,
      ifMissing: 'ignore',
    });
    if (name === undefined) throw localSocketFault('local_socket_missing', { file: path, action: ifMissing });
    return { path: name.toString('utf8').trim(), isOwnerOnly: false };
  }
  try {
    const found = await lstat(path);
    const { mode, uid } = found;
    const self = process.geteuid?.();
    if (!found.isSocket()) throw localSocketFault('local_socket_foreign', { file: path, found: 'it is not a socket' });
    const isNamed = self === 0 && namedFolder !== undefined && (await stat(namedFolder)).uid === uid;
    if (uid !== 0 && uid !== self && !isNamed)
      throw localSocketFault('local_socket_foreign', {
        file: path,
        found: `it belongs to another account (uid ${uid})`,
      });
    return { path, isOwnerOnly: (mode & OTHERS) === 0 };
  } catch (error) {
    if (isCoded(error)) throw error;
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR')
      throw localSocketFault('local_socket_missing', { file: path, action: ifMissing }, error);
    throw localSocketFault('local_socket_foreign', { file: path, found: textOf(error) }, error);
  }
}

async function openUnixSocket(server: Server, path: string, groupId: number | undefined): Promise<LocalSocket> {
  // bind(2) makes the name with the mode of the umask, and a umask is of the whole process. So it is bound in a folder
  // that no other account may enter, gets its mode, and then its name: a socket is found by its inode, wherever that is
  // named.
  const folder = await privateFolder(dirname(path));
  const unnamed = join(folder, 's');
  try {
    await listen(server, unnamed);
    await chmod(unnamed, OWNER_ONLY);
    if (groupId !== undefined) {
      await chown(unnamed, process.geteuid?.() ?? -1, groupId);
      await chmod(unnamed, GROUP_TOO);
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
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What has the name and may not be replaced. */
async function takenBy(path: string): Promise<string | undefined> {
  const found = await lstatIfThere(path);
  if (found === undefined) return undefined;
  if (!found.isSocket())
    return found.isSymbolicLink() ? 'a symbolic link is there' : 'something that is not a socket is there';
  if (found.uid !== process.geteuid?.()) return `a socket of another account (uid ${found.uid}) is there`;
  return (await isAlive(path)) ? 'another process listens there' : undefined;
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

/** Anybody may make a pipe of a name that is known before, and wait there for tokens. */
async function openPipe(server: Server, path: string): Promise<LocalSocket> {
  const name = String.raw`\\.\pipe\queuegate-${randomBytes(16).toString('hex')}`;
  await listen(server, name);
  await replaceSecretFile(path, Buffer.from(`${name}\n`));
  // The pipe ends with its server; a file that names none is what a killed daemon leaves too.
  return { isInPlace: () => Promise.resolve(true), remove: () => rm(path, { force: true }) };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}
