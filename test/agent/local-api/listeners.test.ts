// Where the local API listens, who may connect there, and what its files hold.
import { chmod, chown, link, lstat, mkdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { LOCAL_API_FILE, TokenFile } from '../../../agent/local-api/file.ts';
import { askDaemon, rotateToken } from '../../../agent/local-api/client.ts';
import { run, until } from '../../flow/processes.ts';
import { ask, atEnd, bearer, endAll, openApi } from './parts.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

afterEach(endAll);

const ROTATE = 'POST /api/v1/consumers/default/rotate-token';
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.warn('SKIPPED: tests with other accounts need root.');
/** An account without rights of its own, and two groups that every Linux has. */
const STRANGER = 65_534;
const GROUP = { name: 'daemon', gid: 1 };

/** The HTTP status that an account gets over a socket; 0: it may not connect. */
async function statusAs(uid: number, groups: readonly number[], socket: string, token?: string): Promise<number> {
  const member = groups.length === 0 ? ['--clear-groups'] : [`--groups=${groups.join()}`];
  const header = token === undefined ? [] : ['-H', `Authorization: Bearer ${token}`];
  const { stdout, stderr } = await run('setpriv', [
    `--reuid=${uid}`,
    `--regid=${uid}`,
    ...member,
    'curl',
    '--silent',
    '--show-error',
    '--output',
    '/dev/null',
    '--write-out',
    '%{http_code}',
    ...header,
    '--unix-socket',
    socket,
    'http://localhost/api/v1/status',
  ]);
  expect(stderr).toMatch(/^$|Permission denied|Could not connect|Failed to connect/);
  return Number(stdout);
}

/** A program of somebody else that listens on loopback and keeps what it is sent. */
async function foreignListener(port = 0): Promise<{ port: number; heard: () => string; close: () => Promise<void> }> {
  let heard = '';
  const server = createServer((socket) => {
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString();
      // What a daemon would say, but for the proof.
      const body = JSON.stringify({ nonce: 'n'.repeat(43), proof: 'p'.repeat(43) });
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    });
    socket.on('error', () => undefined);
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  };
  atEnd(close);
  return { port: (server.address() as AddressInfo).port, heard: () => heard, close };
}

/** A folder that every account may enter. */
async function openFolder(): Promise<string> {
  const folder = temporaryFolder();
  await chmod(folder, 0o755);
  return folder;
}

describe('the socket of the local API', () => {
  it('is in the data folder with mode 0600, and its owner needs no token there; over TCP a token is needed', async () => {
    const { dataFolder, port, file } = await openApi();
    const socket = join(dataFolder, 'local-api.sock');
    expect((await lstat(socket)).mode & 0o7777).toBe(0o600);
    expect(await file()).toMatchObject({ socket, url: `http://127.0.0.1:${port}` });
    expect((await ask(socket, 'GET /api/v1/status')).status).toBe(200);
    expect((await ask(port, 'GET /api/v1/status')).status).toBe(401);
  });

  it.runIf(isRoot)('of mode 0600 lets no other account in', async () => {
    const socket = join(await openFolder(), 'api.sock');
    await openApi({ settings: { socket } });
    expect(await statusAs(STRANGER, [], socket)).toBe(0);
    expect(await statusAs(STRANGER, [GROUP.gid], socket)).toBe(0);
  });

  it.runIf(isRoot)(
    'with localApi.group has that group and mode 0660: members need the token, others cannot connect, commands of the owner need none',
    async () => {
      const socket = join(await openFolder(), 'api.sock');
      const { token, dataFolder, api } = await openApi({ settings: { socket, group: GROUP.name } });
      expect(await lstat(socket)).toMatchObject({ gid: GROUP.gid, uid: 0 });
      expect((await lstat(socket)).mode & 0o7777).toBe(0o660);
      expect(await statusAs(STRANGER, [], socket, token)).toBe(0);
      expect(await statusAs(STRANGER, [GROUP.gid], socket)).toBe(401);
      expect(await statusAs(STRANGER, [GROUP.gid], socket, 'wrong')).toBe(401);
      expect(await statusAs(STRANGER, [GROUP.gid], socket, token)).toBe(200);
      expect(await askDaemon(dataFolder)).toMatchObject({ kind: 'status', status: { name: 'branch' } });
      expect(api.problems()).toEqual([]);
    },
  );

  it("with an unknown group is the owner's alone, and the status says so", async () => {
    const { api, dataFolder } = await openApi({ settings: { group: 'no-such-group' } });
    expect((await lstat(join(dataFolder, 'local-api.sock'))).mode & 0o7777).toBe(0o600);
    expect(api.problems()).toMatchObject([
      { code: 'local_group_unknown', detail: expect.stringContaining('"no-such-group"') },
    ]);
  });

  it('with a path longer than 100 bytes is not there: TCP only, which the status says and the commands use without sending a token', async () => {
    const folder = join(temporaryFolder(), 'x'.repeat(100));
    await mkdir(folder, { recursive: true });
    const { api, token, file } = await openApi({ dataFolder: folder });
    expect(api.problems()).toMatchObject([{ code: 'local_socket_path_long' }]);
    expect(await file()).toMatchObject({ socket: null, url: expect.stringContaining('http://127.0.0.1:') });
    expect(await askDaemon(folder)).toMatchObject({
      kind: 'status',
      status: { problems: [{ code: 'local_socket_path_long', detail: expect.stringContaining('allowed: 100') }] },
    });
    expect(await rotateToken(folder, 'default')).toMatchObject({ kind: 'done' });
    expect((await file()).token).not.toBe(token);
  });

  it('of a dead daemon is replaced; what another process uses, a link or a file there is left alone until it is gone', async () => {
    const dataFolder = temporaryFolder();
    const socket = join(dataFolder, 'local-api.sock');
    const script = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
    await run(process.execPath, ['-e', script, socket]);
    expect((await lstat(socket)).isSocket()).toBe(true);
    const first = await openApi({ dataFolder });
    expect((await ask(socket, 'GET /api/v1/status')).status).toBe(200);
    await first.api.stop();
    await expect(lstat(socket)).rejects.toMatchObject({ code: 'ENOENT' });

    const victim = join(dataFolder, 'victim');
    await writeFile(victim, 'mine');
    const alive = createServer().listen(join(dataFolder, 'alive.sock'));
    await once(alive, 'listening');
    atEnd(() => alive.close());
    for (const [place, found] of [
      [() => symlink(victim, socket), 'a symbolic link'],
      [() => writeFile(socket, 'a file'), 'not a socket'],
      [() => link(join(dataFolder, 'alive.sock'), socket), 'another process listens'],
    ] as const) {
      await place();
      const { ino } = await lstat(socket);
      const { api, file } = await openApi({ dataFolder });
      expect(api.problems()).toMatchObject([{ code: 'local_socket_taken', detail: expect.stringContaining(found) }]);
      expect(await lstat(socket)).toMatchObject({ ino });
      expect(await file()).toMatchObject({ socket: null });
      await rm(socket);
      await until(() => api.problems().length === 0);
      expect((await ask(socket, 'GET /api/v1/status')).status).toBe(200);
      await until(async () => (await file()).socket === socket);
      await api.stop();
    }
    expect(await readFile(victim, 'utf8')).toBe('mine');
  });

  it('comes back when its name is removed', async () => {
    const { dataFolder } = await openApi();
    const socket = join(dataFolder, 'local-api.sock');
    await rm(socket);
    await until(async () => (await ask(socket, 'GET /api/v1/status').catch(() => undefined))?.status === 200);
    expect((await lstat(socket)).mode & 0o7777).toBe(0o600);
  });

  it('in a folder that does not exist is a problem, and not the end', async () => {
    const { api, port, token } = await openApi({
      settings: { socket: join(temporaryFolder(), 'missing', 'api.sock') },
    });
    expect(api.problems()).toMatchObject([
      { code: 'local_socket_unusable', detail: expect.stringContaining('does not exist') },
    ]);
    expect((await ask(port, 'GET /api/v1/status', bearer(token))).status).toBe(200);
  });
});

describe('a port that another process holds', () => {
  it('is a problem in the status, and no file points at it; the API appears there once it is free', async () => {
    const foreign = await foreignListener();
    const { api, dataFolder, file, token } = await openApi({ settings: { port: foreign.port } });
    expect(await file()).toMatchObject({ url: null });
    expect(await askDaemon(dataFolder)).toMatchObject({
      kind: 'status',
      status: {
        problems: [
          {
            code: 'local_port_taken',
            detail: expect.stringContaining(String(foreign.port)),
            hint: expect.stringContaining('localApi.port'),
          },
        ],
      },
    });
    await foreign.close();
    await until(() => api.problems().length === 0);
    await until(async () => (await file()).url === `http://127.0.0.1:${foreign.port}`);
    expect((await ask(foreign.port, 'GET /api/v1/status', bearer(token))).status).toBe(200);
    expect(foreign.heard()).toBe('');
  });

  it('collects nothing from the commands, also when the file of a killed daemon names it and no socket is there', async () => {
    const foreign = await foreignListener();
    const { api, dataFolder, file } = await openApi();
    const [left, key] = [await file(), await readFile(join(dataFolder, 'local-owner.key'), 'utf8')];
    await api.stop();
    expect(await file()).toMatchObject({ socket: null, url: null });
    // As kill -9 leaves it, with the foreign process in the daemon's place.
    await writeFile(
      join(dataFolder, LOCAL_API_FILE),
      JSON.stringify({ ...left, url: `http://127.0.0.1:${foreign.port}` }),
    );
    await writeFile(join(dataFolder, 'local-owner.key'), key);
    expect(await askDaemon(dataFolder)).toMatchObject({ kind: 'silent' });
    expect(await rotateToken(dataFolder, 'default')).toMatchObject({ kind: 'silent' });
    expect(foreign.heard()).toMatch(/^GET \/api\/v1\/owner-challenge HTTP/);
    expect(foreign.heard()).not.toMatch(/authorization/i);
    for (const secret of [left.token, key.trim()]) expect(foreign.heard()).not.toContain(secret);
  });

  it.runIf(isRoot)("and a socket that another account put in the daemon's place is not asked", async () => {
    const dataFolder = temporaryFolder();
    const socket = join(dataFolder, 'local-api.sock');
    let asked = 0;
    const foreign = createServer((line) => {
      asked += 1;
      line.destroy();
    }).listen(socket);
    await once(foreign, 'listening');
    atEnd(() => foreign.close());
    // As a daemon's own socket would look: no proof would be asked for.
    await chmod(socket, 0o600);
    await chown(socket, STRANGER, STRANGER);
    await writeFile(join(dataFolder, LOCAL_API_FILE), JSON.stringify({ socket, url: null, token: 'x' }));
    expect(await askDaemon(dataFolder)).toEqual({ kind: 'silent', where: socket });
    expect(asked).toBe(0);
  });
});

describe('the proof of the owner', () => {
  it('counts once, on its own connection, and only for a daemon of this run', async () => {
    const folder = join(temporaryFolder(), 'x'.repeat(100));
    await mkdir(folder, { recursive: true });
    const { port } = await openApi({ dataFolder: folder });
    expect((await ask(port, 'GET /api/v1/status', { authorization: `Queuegate-Owner ${'x'.repeat(43)}` })).status).toBe(
      401,
    );
    expect((await ask(port, 'GET /api/v1/owner-challenge')).status).toBe(400);
    expect((await ask(port, 'GET /api/v1/owner-challenge', { 'queuegate-nonce': 'x'.repeat(43) })).status).toBe(200);
    await writeFile(join(folder, 'local-owner.key'), `${'0'.repeat(64)}\n`);
    expect(await askDaemon(folder)).toMatchObject({ kind: 'silent' });
  });
});

describe('tokens', () => {
  it('rotate over the socket only; both are valid for a day, also over a restart, and a further rotation ends the older one at once', async () => {
    let now = Date.parse('2026-11-22T10:00:00Z');
    const ports = { now: () => now };
    const opened = await openApi({ ports });
    const { dataFolder, file, token: first } = opened;
    let { api, port } = opened;
    expect((await ask(port, ROTATE, bearer(first))).text).toMatch(/^HTTP\/1\.1 403 [^]*local_owner_only/);
    const rotated = await ask(join(dataFolder, 'local-api.sock'), ROTATE);
    expect(rotated.status).toBe(201);
    expect(rotated.text).toContain(
      JSON.stringify({ tokenFile: join(dataFolder, LOCAL_API_FILE), previousExpiresAt: '2026-11-23T10:00:00.000Z' }),
    );
    const { token: second } = await file();
    expect(second).not.toBe(first);
    expect(rotated.text).not.toContain(second);
    expect((await stat(join(dataFolder, LOCAL_API_FILE))).mode & 0o7777).toBe(0o600);
    const statuses = async (): Promise<number[]> =>
      await Promise.all(
        [first, second].map(async (token) => (await ask(port, 'GET /api/v1/status', bearer(token))).status),
      );
    expect(await statuses()).toEqual([200, 200]);

    await api.stop();
    ({ api, port } = await openApi({ dataFolder, ports }));
    expect((await file()).token).toBe(second);
    expect(await statuses()).toEqual([200, 200]);
    now += 86_400_000;
    expect(await statuses()).toEqual([401, 200]);
    await api.stop();
    ({ api, port } = await openApi({ dataFolder, ports }));
    expect(await statuses()).toEqual([401, 200]);

    await ask(join(dataFolder, 'local-api.sock'), ROTATE);
    await ask(join(dataFolder, 'local-api.sock'), ROTATE);
    expect(await statuses()).toEqual([401, 401]);
    expect(await readFile(join(dataFolder, LOCAL_API_FILE), 'utf8')).not.toContain(second);
    expect((await ask(join(dataFolder, 'local-api.sock'), 'POST /api/v1/consumers/other/rotate-token')).status).toBe(
      404,
    );
  });

  it("of a file that another account made, or that is a link, are not taken; the link's target stays as it is", async () => {
    const known = `qgl_${'k'.repeat(43)}`;
    const content = JSON.stringify({ url: 'http://127.0.0.1:8888', token: known });
    const plant = async (act: (path: string, victim: string) => Promise<unknown>): Promise<void> => {
      const dataFolder = temporaryFolder();
      const [path, victim] = [join(dataFolder, LOCAL_API_FILE), join(dataFolder, 'victim')];
      await writeFile(victim, content, { mode: 0o666 });
      await act(path, victim);
      const { token, file, port } = await openApi({ dataFolder });
      expect(token).not.toBe(known);
      expect((await ask(port, 'GET /api/v1/status', bearer(known))).status).toBe(401);
      const found = await lstat(path);
      expect([found.isFile(), found.mode & 0o7777, found.uid, found.nlink]).toEqual([
        true,
        0o600,
        process.geteuid?.(),
        1,
      ]);
      expect(await readFile(victim, 'utf8')).toBe(content);
      expect((await file()).token).toBe(token);
    };
    await plant((path, victim) => symlink(victim, path));
    await plant((path, victim) => link(victim, path));
    if (isRoot) {
      await plant(async (path) => {
        await writeFile(path, content);
        await chown(path, STRANGER, STRANGER);
      });
    }
  });

  it('of an own file whose mode was widened stay, and the mode does not', async () => {
    const dataFolder = temporaryFolder();
    const { api, token } = await openApi({ dataFolder });
    await api.stop();
    const path = join(dataFolder, LOCAL_API_FILE);
    await chmod(path, 0o666);
    await utimes(path, 1, 1);
    expect((await openApi({ dataFolder })).token).toBe(token);
    expect((await stat(path)).mode & 0o7777).toBe(0o600);
  });

  it('come back from a damaged file as a new one', async () => {
    for (const damaged of [
      '',
      '{',
      '{"token":"short"}',
      'null',
      '{"token":1}',
      `{"token":"qgl_${'x'.repeat(43)}","previous":{"sha256":"no","expiresAt":"never"}}`,
    ]) {
      const dataFolder = temporaryFolder();
      await writeFile(join(dataFolder, LOCAL_API_FILE), damaged);
      const file = await TokenFile.open({ path: join(dataFolder, LOCAL_API_FILE), now: Date.now });
      await file.publish({ socket: null, url: null });
      expect(JSON.parse(await readFile(file.path, 'utf8'))).toMatchObject({
        token: expect.stringMatching(/^qgl_[\w-]{43}$/),
        previous: null,
      });
    }
  });
});
