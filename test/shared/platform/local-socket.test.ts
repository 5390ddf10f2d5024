// The local socket (shared/platform/local-socket.ts): its mode and owner, what may be in its place, and what a client
// refuses to use.
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { findLocalSocket, MAX_SOCKET_PATH_BYTES, openLocalSocket } from '../../../shared/platform/local-socket.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const asRoot = process.geteuid?.() === 0;
const STRANGER = 65_534;

let folder: string;
let path: string;
beforeEach(async () => {
  folder = temporaryFolder();
  path = join(folder, 'central.sock');
});

async function opened(options = {}): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => undefined).end('hello'));
  onTestFinished(() => void server.close());
  await openLocalSocket(server, path, { setting: 'data-folder', ...options });
  return server;
}

async function said(): Promise<string> {
  const socket = connect(path);
  onTestFinished(() => void socket.destroy());
  return String((await once(socket, 'data'))[0]);
}

describe('openLocalSocket', () => {
  test('makes a socket with mode 0600, whatever the umask, and never one with a wider mode', async () => {
    const folders: number[] = [];
    const before = process.umask(0);
    try {
      const server = createServer((socket) => socket.on('error', () => undefined).end('hello'));
      onTestFinished(() => void server.close());
      const listen = server.listen.bind(server) as (...args: unknown[]) => Server;
      vi.spyOn(server, 'listen').mockImplementation((...args: unknown[]) => {
        // Until it has its mode, no other account can reach it.
        folders.push(statSync(dirname(String(args[0]))).mode & 0o777);
        return listen(...args);
      });
      await openLocalSocket(server, path, { setting: 'data-folder' });
    } finally {
      process.umask(before);
    }
    expect(folders).toEqual([0o700]);
    expect(await readdir(folder)).toEqual(['central.sock']);
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
    await openLocalSocket(dead, path, { setting: 'data-folder' });
    // Without remove(), as a process that is killed.
    dead.close();
    await once(dead, 'close');
    expect((await lstat(path)).isSocket()).toBe(true);
    await opened();
    expect(await said()).toBe('hello');
  });

  test('leaves the socket of a live process alone, and removes only its own', async () => {
    const live = createServer((socket) => socket.on('error', () => undefined).end('live'));
    onTestFinished(() => void live.close());
    const socket = await openLocalSocket(live, path, { setting: 'data-folder' });
    await expect(opened()).rejects.toMatchObject({
      code: 'local_socket_taken',
      message: expect.stringContaining('another process listens'),
    });
    expect([await said(), await socket.isInPlace()]).toEqual(['live', true]);
    await rename(path, `${path}.moved`);
    await opened();
    expect(await socket.isInPlace()).toBe(false);
    await socket.remove();
    expect(await said()).toBe('hello');
  });

  test.skipIf(!asRoot)('takes the place of no socket of another account, dead or not', async () => {
    const dead = createServer();
    await openLocalSocket(dead, path, { setting: 'data-folder' });
    dead.close();
    await chown(path, STRANGER, STRANGER);
    await expect(opened()).rejects.toMatchObject({
      code: 'local_socket_taken',
      hint: expect.stringContaining('set data-folder'),
    });
  });

  test('removes nothing that is not a socket, and follows no link', async () => {
    await writeFile(path, 'mine');
    await expect(opened()).rejects.toMatchObject({ code: 'local_socket_taken' });
    await rm(path);
    await symlink(join(folder, 'elsewhere'), path);
    await expect(opened()).rejects.toMatchObject({ code: 'local_socket_taken' });
    expect((await lstat(path)).isSymbolicLink()).toBe(true);
  });

  test('refuses a path that is too long instead of cutting it off', async () => {
    path = join(folder, 'x'.repeat(MAX_SOCKET_PATH_BYTES));
    await expect(opened()).rejects.toMatchObject({
      code: 'local_socket_path_long',
      hint: expect.stringContaining('shorter path'),
    });
  });
});

describe('findLocalSocket', () => {
  const ifMissing = 'Start it.';

  test('finds the socket of this account, and tells whether others can connect', async () => {
    await opened();
    expect(await findLocalSocket(path, { ifMissing })).toEqual({ path, isOwnerOnly: true });
    await chmod(path, 0o660);
    expect(await findLocalSocket(path, { ifMissing })).toEqual({ path, isOwnerOnly: false });
  });

  test('tells what to do when there is none, and uses nothing but a socket', async () => {
    await expect(findLocalSocket(path, { ifMissing })).rejects.toMatchObject({
      code: 'local_socket_missing',
      hint: ifMissing,
    });
    await mkdir(path);
    await expect(findLocalSocket(path, { ifMissing })).rejects.toMatchObject({ code: 'local_socket_foreign' });
  });

  test.skipIf(!asRoot)(
    'does not use the socket of another account, unless root named a folder of that account',
    async () => {
      await opened();
      await chown(path, STRANGER, STRANGER);
      await expect(findLocalSocket(path, { ifMissing })).rejects.toMatchObject({
        code: 'local_socket_foreign',
        message: expect.stringContaining(`uid ${STRANGER}`),
      });
      await expect(findLocalSocket(path, { ifMissing, namedFolder: folder })).rejects.toMatchObject({
        code: 'local_socket_foreign',
      });
      await chown(folder, STRANGER, STRANGER);
      expect(await findLocalSocket(path, { ifMissing, namedFolder: folder })).toMatchObject({ path });
      await expect(findLocalSocket(path, { ifMissing })).rejects.toMatchObject({ code: 'local_socket_foreign' });
    },
  );
});
