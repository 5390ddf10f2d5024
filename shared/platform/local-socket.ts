// Opens and finds the socket by which programs of one account on one host reach a daemon: a Unix socket with mode 0600, created so; on
// Windows a named pipe with a name that cannot be guessed, which a file in the daemon's folder holds.
import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { readBoundedFile } from '../bounded-file.ts';
import { defineErrors, isCoded, systemCode, textOf, type ErrorTable } from '../errors.ts';
import { replaceSecretFile } from '../secret-file.ts';

export const LOCAL_SOCKET_ERRORS = {
  local_socket_path_long: {
    text: 'There is no local socket: its path {file} has {bytes} bytes; allowed are {maxBytes}.',
    hint: 'Use a data folder with a shorter path and restart; until then only the TCP ports are there.',
  },
  local_socket_unusable: {
    text: 'There is no local socket at {file}: {found}.',
    hint: 'Let the account of this process write to that folder, remove what has that name, and restart; until then only the TCP ports are there.',
  },
  local_socket_missing: { text: 'There is no socket {file}.', hint: '{action}' },
  local_socket_foreign: {
    text: 'The socket {file} is not used: {found}.',
    hint: 'If that account is the one that the daemon runs under, run this as that account; if not, find out who made it.',
  },
} as const satisfies ErrorTable;

export const localSocketFault = defineErrors(LOCAL_SOCKET_ERRORS);

/** sun_path holds 108 bytes on Linux, 104 on macOS and the BSDs, with the zero at its end (unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 100;
const OWNER_ONLY = 0o177;
const GROUP_TOO = 0o660;
const MAX_NAME_BYTES = 256;
const IS_WINDOWS = process.platform === 'win32';

export interface LocalSocketOptions {
  /** A group that may connect too; Windows has none. */
  readonly groupId?: number;
}

/**
 * Lets `server` listen at `path`. The caller holds the lock of the daemon's folder: a socket of this account that is there is the one
 * of a dead process, and is removed. Errors: local_socket_path_long, local_socket_unusable; nothing listens then.
 */
export async function openLocalSocket(server: Server, path: string, { groupId }: LocalSocketOptions = {}): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (!IS_WINDOWS && bytes > MAX_SOCKET_PATH_BYTES) throw localSocketFault('local_socket_path_long', { file: path, bytes, maxBytes: MAX_SOCKET_PATH_BYTES });
  try {
    if (IS_WINDOWS) return await openPipe(server, path);
    await removeStale(path);
    await listen(server, path);
    if (groupId !== undefined) {
      await chown(path, process.geteuid?.() ?? -1, groupId);
      await chmod(path, GROUP_TOO);
    }
  } catch (error) {
    if (server.listening) server.close();
    if (isCoded(error)) throw error;
    throw localSocketFault('local_socket_unusable', { file: path, found: textOf(error) }, error);
  }
}

export interface FindOptions {
  /** What to do when there is none. */
  readonly ifMissing: string;
  /** Root may connect to every socket: true if it may be one of another account, because somebody named its folder. */
  readonly foreignForRoot?: boolean;
}

/**
 * Where a program connects to (`socketPath`), once it is certain that no other account listens there. Errors: local_socket_missing,
 * local_socket_foreign.
 */
export async function findLocalSocket(path: string, { ifMissing, foreignForRoot = false }: FindOptions): Promise<string> {
  if (IS_WINDOWS) {
    const name = await readBoundedFile({ path, what: 'The name of the pipe', maxBytes: MAX_NAME_BYTES, mend: ifMissing, ifMissing: 'ignore' });
    if (name === undefined) throw localSocketFault('local_socket_missing', { file: path, action: ifMissing });
    return name.toString('utf8').trim();
  }
  const found = await lstat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') throw localSocketFault('local_socket_missing', { file: path, action: ifMissing }, error);
    throw localSocketFault('local_socket_foreign', { file: path, found: textOf(error) }, error);
  });
  if (!found.isSocket()) throw localSocketFault('local_socket_foreign', { file: path, found: 'it is not a socket' });
  const self = process.geteuid?.();
  if (found.uid !== 0 && found.uid !== self && !(self === 0 && foreignForRoot)) {
    throw localSocketFault('local_socket_foreign', { file: path, found: `it belongs to another account (uid ${found.uid})` });
  }
  return path;
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw localSocketFault('local_socket_unusable', { file: path, found: 'there is something with that name that is not a socket' });
  await rm(path);
}

/** Anybody may make a pipe of a name that is known before, and wait there for tokens. */
async function openPipe(server: Server, path: string): Promise<void> {
  const name = String.raw`\\.\pipe\queuegate-${randomBytes(16).toString('hex')}`;
  await listen(server, name);
  await replaceSecretFile(path, Buffer.from(`${name}\n`));
}

/** bind(2) happens within listen(): under this umask there is no moment in which another account may connect. */
async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const umask = process.umask(OWNER_ONLY);
    try {
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}
