// Consumers at the local API: who a token is, what each may do, token files for programs of other accounts.
import { chmod, lstat, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { agentFault } from '../../../agent/errors.ts';
import { listConsumers, rotateToken } from '../../../agent/local-api/client.ts';
import { ConsumerTokens } from '../../../agent/local-api/tokens.ts';
import { run } from '../../flow/processes.ts';
import { ask, bearer, endAll, openApi, type ApiSetting } from './parts.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

afterEach(endAll);

const isRoot = process.geteuid?.() === 0;
const STRANGER = 65_534;
const GROUP = { name: 'daemon', gid: 1 };

const state = (name: string) => ({
  name,
  types: [`${name}.*`],
  messages: 2,
  bytes: 20,
  delivered: 7,
  acknowledged: 5,
  oldestAt: 0,
});

async function start(setting: ApiSetting = {}) {
  const taken: string[] = [];
  const opened = await openApi({
    consumers: [{ name: 'printer' }, { name: 'display' }],
    ...setting,
    ports: {
      take: async (consumer) => {
        taken.push(consumer);
        return [{ cursor: 1, json: '{"type":"t"}' }];
      },
      acknowledge: async (consumer, through) => {
        taken.push(`${consumer} through ${through}`);
        if (through > 7) throw agentFault('ack_beyond_delivered', { through, consumer, delivered: 7 });
      },
      consumers: async () => ['default', 'printer', 'display'].map(state),
      ...setting.ports,
    },
  });
  const tokenOf = async (consumer: string): Promise<string> =>
    (JSON.parse(await readFile(join(opened.dataFolder, 'consumers', `${consumer}.json`), 'utf8')) as { token: string })
      .token;
  const socket = join(opened.dataFolder, 'local-api.sock');
  return { ...opened, taken, tokenOf, socket };
}

const JSON_TYPE = { 'content-type': 'application/json' };

describe('a token', () => {
  it('is of one consumer, on the port and on the socket; the owner of the socket is default without one', async () => {
    const { port, socket, token, tokenOf, taken } = await start();
    for (const to of [port, socket])
      for (const one of [token, await tokenOf('printer'), await tokenOf('display')])
        expect((await ask(to, 'GET /api/v1/commands', bearer(one))).status).toBe(200);
    expect((await ask(socket, 'GET /api/v1/commands')).status).toBe(200);
    expect(taken).toEqual(['default', 'printer', 'display', 'default', 'printer', 'display', 'default']);
  });

  it('that is wrong is refused on the socket of the owner too: it must not read the commands of another consumer', async () => {
    const { socket, taken } = await start();
    expect((await ask(socket, 'GET /api/v1/commands', bearer('qgl_old'))).text).toMatch(
      /^HTTP\/1\.1 401 [^]*WWW-Authenticate: Bearer/i,
    );
    expect(taken).toEqual([]);
  });

  it('acknowledges for its consumer: beyond what was delivered is 409, a cursor that is none 400', async () => {
    const { port, tokenOf, taken } = await start();
    const headers = { ...bearer(await tokenOf('printer')), ...JSON_TYPE };
    const ack = async (body: string) => await ask(port, 'POST /api/v1/commands/ack', headers, body);
    expect(await ack('{"through":5}')).toMatchObject({ status: 200 });
    expect((await ack('{"through":9999}')).text).toMatch(/^HTTP\/1\.1 409 [^]*"code":"ack_beyond_delivered"/);
    for (const through of ['0', '-1', '1.5', '"x"', 'null', '9007199254740993', '[1]'])
      expect((await ack(`{"through":${through}}`)).status).toBe(400);
    expect(taken).toEqual(['printer through 5', 'printer through 9999']);
  });

  it('sees its own consumer; the owner sees all', async () => {
    const { port, socket, tokenOf } = await start();
    const printer = bearer(await tokenOf('printer'));
    const namesIn = (text: string): string[] => [...text.matchAll(/"name":"(\w+)"/g)].map(([, name = '']) => name);
    expect(namesIn((await ask(socket, 'GET /api/v1/consumers')).text)).toEqual(['default', 'printer', 'display']);
    expect(namesIn((await ask(port, 'GET /api/v1/consumers', printer)).text)).toEqual(['printer']);
    expect((await ask(port, 'GET /api/v1/consumers/printer', printer)).text).toMatch(
      /^HTTP\/1\.1 200 [^]*"cursor":5,"deliveredCursor":7,"waitingCount":2/,
    );
    expect((await ask(port, 'GET /api/v1/consumers/display', printer)).text).toMatch(/ 403 [^]*local_owner_only/);
    expect((await ask(socket, 'GET /api/v1/consumers/no-such')).text).toMatch(/ 404 [^]*local_consumer_unknown/);
    expect((await ask(port, 'POST /api/v1/consumers/printer/rotate-token', printer)).status).toBe(403);
  });

  it('rotates for its consumer alone, by a command of the owner; both are valid, the one of another consumer is not touched', async () => {
    const { port, dataFolder, tokenOf, token } = await start();
    const before = await tokenOf('printer');
    expect(await rotateToken(dataFolder, 'printer')).toMatchObject({
      kind: 'done',
      found: { tokenFile: join(dataFolder, 'consumers', 'printer.json') },
    });
    const after = await tokenOf('printer');
    expect(after).not.toBe(before);
    for (const one of [before, after, token, await tokenOf('display')])
      expect((await ask(port, 'GET /api/v1/status', bearer(one))).status).toBe(200);
    await expect(rotateToken(dataFolder, 'no-such')).rejects.toMatchObject({ code: 'local_call_refused' });
    expect(await listConsumers(dataFolder)).toMatchObject({
      kind: 'done',
      found: { items: [{ name: 'default' }, { name: 'printer' }, { name: 'display' }] },
    });
  });

  it('of a consumer that is gone ends, and so does its file; one of that name later has another token', async () => {
    const first = await start();
    const old = await first.tokenOf('printer');
    await first.api.stop();
    const { dataFolder } = first;
    const gone = await ConsumerTokens.open({
      dataFolder,
      folder: join(dataFolder, 'consumers'),
      consumers: [],
      gone: ['printer'],
      now: Date.now,
    });
    expect(gone.holderOf(old)).toBeUndefined();
    await expect(stat(join(dataFolder, 'consumers', 'printer.json'))).rejects.toMatchObject({ code: 'ENOENT' });
    const { tokenOf } = await start({ dataFolder });
    expect(await tokenOf('printer')).not.toBe(old);
  });
});

describe('consumers that change while the daemon runs', () => {
  it('keep their tokens when they stay, get one when they are new, and lose it when they are gone', async () => {
    const { port, dataFolder, tokens, tokenOf, token } = await start();
    const [printer, display] = [await tokenOf('printer'), await tokenOf('display')];
    await tokens.change([{ name: 'printer' }, { name: 'kiosk' }], ['display']);
    const statusOf = async (one: string): Promise<number> =>
      (await ask(port, 'GET /api/v1/status', bearer(one))).status;
    expect([await statusOf(token), await statusOf(printer), await statusOf(display)]).toEqual([200, 200, 401]);
    expect(await statusOf(await tokenOf('kiosk'))).toBe(200);
    expect(await tokenOf('printer')).toBe(printer);
    const kiosk = JSON.parse(await readFile(join(dataFolder, 'consumers', 'kiosk.json'), 'utf8')) as object;
    expect(kiosk).toMatchObject({ url: `http://127.0.0.1:${port}` });
    await expect(stat(join(dataFolder, 'consumers', 'display.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('the token file of a consumer', () => {
  it('says where the API is, as that of default does, and only the account of the agent may read it', async () => {
    const { dataFolder, port, socket, file } = await start();
    const path = join(dataFolder, 'consumers', 'printer.json');
    expect((await lstat(path)).mode & 0o7777).toBe(0o600);
    const { token, ...where } = await file();
    const own = JSON.parse(await readFile(path, 'utf8')) as { token: string };
    expect(own).toMatchObject({ ...where, socket, url: `http://127.0.0.1:${port}` });
    expect(own.token).toMatch(/^qgl_[\w-]{43}$/);
    expect(own.token).not.toBe(token);
  });

  it.runIf(isRoot)('with a group can be read by its members, and by no other account', async () => {
    const consumersFolder = join(temporaryFolder(), 'tokens');
    await chmod(join(consumersFolder, '..'), 0o755);
    await mkdir(consumersFolder, { mode: 0o711 });
    const { api } = await start({ consumersFolder, consumers: [{ name: 'printer', group: GROUP.name }] });
    expect(api.problems()).toEqual([]);
    const path = join(consumersFolder, 'printer.json');
    const found = await stat(path);
    expect([found.mode & 0o7777, found.uid, found.gid]).toEqual([0o640, 0, GROUP.gid]);
    const readAs = async (groups: readonly string[]) =>
      (await run('setpriv', [`--reuid=${STRANGER}`, `--regid=${STRANGER}`, ...groups, 'cat', path])).stdout;
    expect(await readAs([`--groups=${GROUP.gid}`])).toContain('qgl_');
    expect(await readAs(['--clear-groups'])).toBe('');
  });

  it('with a group that does not exist is a problem in the status', async () => {
    const unknown = await start({ consumers: [{ name: 'printer', group: 'no-such-group' }] });
    expect(unknown.api.problems()).toMatchObject([
      { code: 'local_group_unknown', detail: expect.stringContaining('consumer.printer.group') },
    ]);
    expect((await lstat(join(unknown.dataFolder, 'consumers', 'printer.json'))).mode & 0o7777).toBe(0o600);
  });

  it.runIf(isRoot)('with a group in a folder that its members may not enter is a problem in the status', async () => {
    // The data folder is for the account of the agent alone.
    const { api } = await start({ consumers: [{ name: 'printer', group: GROUP.name }] });
    expect(api.problems()).toMatchObject([
      { code: 'local_tokens_hidden', hint: expect.stringContaining('localApi.consumers.folder') },
    ]);
  });
});
