// The local socket (shared/platform/local-socket.ts): its mode and owner, what may be in its place, and what a client refuses to use.
import { once } from 'node:events';
import { chown, lstat, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { findLocalSocket, MAX_SOCKET_PATH_BYTES, openLocalSocket } from '../../../shared/platform/local-socket.ts';

const asRoot = process.geteuid?.() === 0;
const STRANGER = 65_534;

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'queuegate-socket-'));
  path = join(folder, 'central.sock');
});
afterEach(() => rm(folder, { recursive: true }));

async function opened(options = {}): Promise<Server> {
  const server = createServer((socket) => socket.end('hello'));
  onTestFinished(() => void server.close());
  await openLocalSocket(server, path, options);
  return server;
}

async function said(): Promise<string> {
  const socket = connect(path);
  onTestFinished(() => void socket.destroy());
  return String((await once(socket, 'data'))[0]);
}

describe('openLocalSocket', () => {
  test('makes a socket with mode 0600, whatever the umask, and never one with a wider mode', async () => {
    const before = process.umask(0);
    const umask = vi.spyOn(process, 'umask');
    try {
      await opened();
    } finally {
      process.umask(before);
    }
    // Narrow before bind, and back after it; chmod afterwards would leave a moment between.
    expect(umask.mock.calls.slice(0, 2)).toEqual([[0o177], [0]]);
    umask.mockRestore();
    const { mode, uid } = await lstat(path);
    expect([mode & 0o777, uid]).toEqual([0o600, process.geteuid?.()]);
    expect(await said()).toBe('hello');
  });

  test.skipIf(!asRoot)('lets a group in only where it is asked for', async () => {
    await opened({ groupId: 4711 });
    const { mode, gid } = await lstat(path);
    expect([mode & 0o777, gid]).toEqual([0o660, 4711]);
  });

  test('takes the place of the socket of a dead process', async () => {
    const dead = createServer();
    await openLocalSocket(dead, path);
    // Node removes the socket of a server that is closed; a killed process leaves it.
    await rename(path, `${path}.kept`);
    dead.close();
    await once(dead, 'close');
    await rename(`${path}.kept`, path);
    await opened();
    expect(await said()).toBe('hello');
  });

  test('removes nothing that is not a socket, and follows no link', async () => {
    await writeFile(path, 'mine');
    await expect(opened()).rejects.toMatchObject({ code: 'local_socket_unusable' });
    await rm(path);
    await symlink(join(folder, 'elsewhere'), path);
    await expect(opened()).rejects.toMatchObject({ code: 'local_socket_unusable' });
    expect((await lstat(path)).isSymbolicLink()).toBe(true);
  });

  test('refuses a path that is too long instead of cutting it off', async () => {
    path = join(folder, 'x'.repeat(MAX_SOCKET_PATH_BYTES));
    await expect(opened()).rejects.toMatchObject({ code: 'local_socket_path_long', hint: expect.stringContaining('shorter path') });
  });
});

describe('findLocalSocket', () => {
  const ifMissing = 'Start it.';

  test('finds the socket of this account', async () => {
    await opened();
    expect(await findLocalSocket(path, { ifMissing })).toBe(path);
  });

  test('tells what to do when there is none, and uses nothing but a socket', async () => {
    await expect(findLocalSocket(path, { ifMissing })).rejects.toMatchObject({ code: 'local_socket_missing', hint: ifMissing });
    await mkdir(path);
    await expect(findLocalSocket(path, { ifMissing })).rejects.toMatchObject({ code: 'local_socket_foreign' });
  });

  test.skipIf(!asRoot)('does not use the socket of another account, unless root was given its folder', async () => {
    await opened();
    await chown(path, STRANGER, STRANGER);
    await expect(findLocalSocket(path, { ifMissing })).rejects.toMatchObject({ code: 'local_socket_foreign', message: expect.stringContaining(`uid ${STRANGER}`) });
    expect(await findLocalSocket(path, { ifMissing, foreignForRoot: true })).toBe(path);
  });
});
