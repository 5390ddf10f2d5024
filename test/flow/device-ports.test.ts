// The port of an agent for devices: a real Central that issues its certificate, a real daemon, and devices that verify
// it with Central's roots. No device is dropped when the certificate is replaced or the port moves.
import { once } from 'node:events';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeBank } from '../central/pki/server/bank.ts';
import {
  AgentProcess,
  agentFlags,
  agentFolders,
  CentralProcess,
  Cleanup,
  freePorts,
  runNode,
  until,
  type AgentFolders,
} from './processes.ts';

const NAME = 'hub.branch.test';
const DEVICES = 100;
const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let central: CentralProcess;
let agent: AgentProcess;
let folders: AgentFolders;
let ports: number[];
let ca: string;
let token: string;

interface Status {
  devicePort: {
    port: number;
    state: string;
    names: string[];
    notAfter: string | null;
    clientCertificates: boolean;
  } | null;
  problems: { code: string; hint: string }[];
}

async function status(): Promise<Status> {
  return (await agent.local('GET', '/api/v1/status')).body as Status;
}

const confFile = (): string => join(folders.profile, 'conf/agent.local.conf');

async function configure(port: number, ...more: string[]): Promise<void> {
  const lines = [
    ...more,
    'consumer.tills.types=till.*',
    `localApi.tls.names=${NAME}`,
    'localApi.tls.address=127.0.0.1',
  ];
  await writeFile(confFile(), [...lines, `localApi.tls.port=${port}`, ''].join('\n'));
}

async function bundle(): Promise<string> {
  const { stdout } = await central.cli('ca', 'trust-bundle');
  return stdout.includes('BEGIN') ? stdout : await readFile(stdout.trim(), 'utf8');
}

async function device(
  port: number,
  roots = ca,
  servername = NAME,
  tls: ConnectionOptions = { minVersion: 'TLSv1.2' },
): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ca: roots, servername, ...tls });
  cleanup.add(() => void socket.destroy());
  await once(socket, 'secureConnect');
  socket.on('error', () => undefined);
  return socket;
}

/** One request on a connection that stays open; the status and the body. */
async function ask(socket: TLSSocket, headers: Readonly<Record<string, string>> = {}): Promise<[number, string]> {
  const all = { Host: NAME, Authorization: `Bearer ${token}`, ...headers };
  const lines = Object.entries(all).filter(([, value]) => value !== '');
  socket.write(
    ['GET /api/v1/consumers/tills HTTP/1.1', ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n'),
  );
  let text = '';
  for (;;) {
    const [piece] = (await once(socket, 'data')) as [Buffer];
    text += piece.toString();
    const [head = '', body] = text.split('\r\n\r\n');
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    if (body !== undefined && body.length >= length) return [Number(head.split(' ')[1]), body];
  }
}

async function code(headers: Readonly<Record<string, string>>): Promise<[number, string]> {
  const socket = await device(ports[0] ?? 0);
  const [found, body] = await ask(socket, headers);
  socket.destroy();
  return [found, (JSON.parse(body) as { code: string }).code];
}

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  ports = await freePorts(2);
  folders = await agentFolders(cleanup);
  await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, 'branch-1')]);
  await configure(ports[0] ?? 0);
  agent = AgentProcess.start(cleanup, folders, 'branch-1');
  await central.online('branch-1');
  ca = await bundle();
  await until(
    async () => ((await status()).devicePort?.state === 'open' ? true : undefined),
    10_000,
    () => agent.process.stdout + agent.process.stderr,
  );
  ({ token } = JSON.parse(await readFile(join(folders.data, 'consumers/tills.json'), 'utf8')) as { token: string });
});

describe('the port for devices', () => {
  it('has a certificate of Central for its names, and a key that never leaves the agent', async () => {
    const { devicePort, problems } = await status();
    expect(problems).toEqual([]);
    expect(devicePort).toMatchObject({ port: ports[0], state: 'open', names: [NAME], notAfter: expect.any(String) });
    expect((await stat(join(folders.data, 'device-port.pem'))).mode & 0o777).toBe(0o600);
    const shown = await runNode('agent/cli.ts', ['status', ...agentFlags(folders, 'branch-1')]);
    expect(shown.stdout).toMatch(
      new RegExp(`devices +port ${ports[0]} at 127.0.0.1 open, 0 connected\\n +certificate for ${NAME}`),
    );
    const examined = await runNode('agent/cli.ts', ['doctor', ...agentFlags(folders, 'branch-1')]);
    expect(examined.stdout).toMatch(new RegExp(`device port\\n +port ${ports[0]} at 127.0.0.1: open, 0 connected\\n`));
    const reported = await until(async () => {
      const { devicePort: found } = (await central.rest('GET', '/agents/branch-1')).body as { devicePort: unknown };
      return (found as { state: string } | null)?.state === 'open' ? found : undefined;
    });
    expect(reported).toMatchObject({
      listenPort: ports[0],
      names: [NAME],
      notAfter: devicePort?.notAfter,
      connectionCount: 0,
    });
    expect((await central.cli('agents', 'show', 'branch-1')).stdout).toMatch(
      new RegExp(`device port +${ports[0]} open, certificate until 20.*, 0 connected`),
    );
    const { items } = (await central.rest('GET', '/audit?action=certificates.issue-device')).body as {
      items: { detail: { names: string[] } }[];
    };
    expect(items).toMatchObject([{ detail: { names: [NAME] } }]);
  });

  it('answers a device with the token of its consumer, and refuses every other request', async () => {
    expect(await ask(await device(ports[0] ?? 0))).toMatchObject([200, expect.stringContaining('tills')]);
    expect(await ask(await device(ports[0] ?? 0), { Host: `${NAME}:${ports[0]}` })).toMatchObject([200, {}]);
    const own = JSON.parse(await readFile(join(folders.data, 'local-api.json'), 'utf8')) as { token: string };
    for (const sent of ['', `Bearer ${own.token}`, `Bearer qgl_${'x'.repeat(43)}`])
      expect(await code({ Authorization: sent })).toEqual([401, 'device_unauthorized']);
    expect(await code({ Host: 'other.test' })).toEqual([403, 'device_browser_refused']);
    expect(await code({ Host: '127.0.0.1' })).toEqual([403, 'device_browser_refused']);
    expect(await code({ Origin: `https://${NAME}` })).toEqual([403, 'device_browser_refused']);
    expect(await code({ 'Sec-Fetch-Site': 'same-origin' })).toEqual([403, 'device_browser_refused']);
  });

  it('is not trusted by a foreign root or under another name, and speaks nothing but TLS 1.2 and later', async () => {
    const bank = makeBank();
    await expect(device(ports[0] ?? 0, bank.root.certificate)).rejects.toThrow(/certificate/);
    await expect(device(ports[0] ?? 0, ca, 'other.test')).rejects.toThrow(/altnames/);
    // The level of OpenSSL that forbids TLS 1.1 on this side is lowered, so that the refusal is the port's.
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    await expect(device(ports[0] ?? 0, ca, NAME, old)).rejects.toThrow(/alert protocol version/);
    const plain = connectPlain(ports[0] ?? 0, '127.0.0.1');
    let answer = '';
    plain.on('data', (piece: Buffer) => (answer += piece.toString('latin1')));
    plain.on('error', () => undefined);
    plain.write(`GET /api/v1/status HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`);
    await once(plain, 'close');
    expect(answer).not.toMatch(/HTTP/);
    const silent = connectPlain(ports[0] ?? 0, '127.0.0.1');
    silent.on('error', () => undefined);
    await once(silent, 'close');
  }, 20_000);

  it('takes a device with a client certificate for the consumer that names it, until its name is removed', async () => {
    const bank = makeBank();
    const issue = (name: string): ConnectionOptions => {
      const { certificate: cert, key } = bank.issue(name, {
        extensions: ['basicConstraints=CA:FALSE', 'extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}`],
        by: bank.root,
      });
      return { cert, key };
    };
    const [till, other] = [issue('till-1.test'), issue('till-2.test')];
    const before = await device(ports[0] ?? 0);
    await writeFile(join(folders.profile, 'conf/devices-ca.pem'), bank.root.certificate);
    const reload = async (name: string): Promise<void> => {
      await configure(
        ports[0] ?? 0,
        'localApi.tls.clientCa=conf/devices-ca.pem',
        `consumer.tills.certificates=${name}`,
      );
      agent.process.child.kill('SIGHUP');
    };
    await reload('till-1.test');
    await until(async () => ((await status()).devicePort?.clientCertificates === true ? true : undefined));
    const bare = { Authorization: '' };
    const dial = async (tls: ConnectionOptions): Promise<TLSSocket> => await device(ports[0] ?? 0, ca, NAME, tls);
    const connected = await until(async () => await dial(till).catch(() => undefined));
    expect(await ask(connected, bare)).toMatchObject([200, expect.stringContaining('tills')]);
    expect(await ask(await dial(other), bare)).toMatchObject([403, expect.stringContaining('device_caller_denied')]);
    expect(await ask(await dial({}), bare)).toMatchObject([401, expect.stringContaining('device_unauthorized')]);
    // A token counts before the certificate, and a wrong one is refused with it.
    expect(await ask(await dial(other))).toMatchObject([200, expect.stringContaining('tills')]);
    expect(await ask(await dial(till), { Authorization: 'Bearer x' })).toMatchObject([401, {}]);
    expect((await ask(before))[0]).toBe(200);
    await reload('till-2.test');
    await until(async () => ((await ask(await dial(other), bare))[0] === 200 ? true : undefined));
    expect(await ask(connected, bare)).toMatchObject([403, expect.stringContaining('device_caller_denied')]);

    await writeFile(join(folders.profile, 'conf/devices-ca.pem'), 'not a certificate');
    agent.process.child.kill('SIGHUP');
    await until(async () =>
      (await status()).problems.some((one) => one.code === 'device_client_ca_bad') ? true : undefined,
    );
    expect(await ask(await dial(other), bare)).toMatchObject([401, expect.stringContaining('device_unauthorized')]);
    expect((await ask(await device(ports[0] ?? 0)))[0]).toBe(200);
    await configure(ports[0] ?? 0);
    agent.process.child.kill('SIGHUP');
    await until(async () => ((await status()).problems.length === 0 ? true : undefined));
  }, 60_000);

  it('drops no device when the authority is rotated and when the port moves; all when it is switched off', async () => {
    const devices = await Promise.all(Array.from({ length: DEVICES }, () => device(ports[0] ?? 0)));
    const answered = async (): Promise<number> =>
      (await Promise.all(devices.map((one) => ask(one)))).filter(([found]) => found === 200).length;
    expect(await answered()).toBe(DEVICES);

    for (const step of ['prepare', 'publish']) await central.rest('POST', `/ca/rotation/${step}`);
    await until(async () => ((await central.rest('POST', '/ca/rotation/switch')).status === 200 ? true : undefined));
    const roots = await bundle();
    const port = async (): Promise<string | undefined> => {
      const socket = await device(ports[0] ?? 0, roots);
      const { issuer } = socket.getPeerCertificate();
      socket.destroy();
      return issuer.OU?.toString();
    };
    await until(port, 30_000);
    // One that has only the root before trusts it by the cross-certificate.
    expect((await ask(await device(ports[0] ?? 0)))[0]).toBe(200);
    expect(await answered()).toBe(DEVICES);

    const { url } = (await agent.local('GET', '/api/v1/status')).body.localApi as { url: string };
    await configure(ports[1] ?? 0);
    agent.process.child.kill('SIGHUP');
    await until(async () => ((await status()).devicePort?.port === ports[1] ? true : undefined));
    expect((await ask(await device(ports[1] ?? 0)))[0]).toBe(200);
    await expect(device(ports[0] ?? 0)).rejects.toThrow(/ECONNREFUSED/);
    expect(await answered()).toBe(DEVICES);

    const closed = Promise.all(devices.map((one) => once(one, 'close')));
    await rm(confFile());
    agent.process.child.kill('SIGHUP');
    await until(async () => ((await status()).devicePort === null ? true : undefined));
    await closed;
    expect((await agent.local('GET', '/api/v1/status')).body.localApi).toMatchObject({ url });
  }, 120_000);
});
