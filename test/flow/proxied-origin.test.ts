// Where agents behind a proxy come from: a real HAProxy that says so with the PROXY protocol, and proxies on this host
// that do not say it, or not readably. What is unknown is remote.
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksPeer } from './false-hosts.ts';
import { CentralProcess, Cleanup, freePorts, Running, until } from './processes.ts';
import { enrollKey, newKey, RawAgent, type HelloOrder } from './raw-agent.ts';
import { setParameters } from '../reliability/traffic.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
/** Unencrypted is off. */
let guarded: CentralProcess;
let root: string;
let agent: HelloOrder;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  root = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
  const key = newKey();
  agent = { id: await enrollKey(central, key, 'behind'), key, name: 'behind' };
  await setParameters(central, { 'websocket.trustedProxies': ['127.0.0.1'], 'websocket.enabled': true });
  guarded = await CentralProcess.start(cleanup, await cleanup.folder());
  await setParameters(guarded, { 'websocket.trustedProxies': ['127.0.0.1'], 'websocket.enabled': false });
});
afterAll(() => cleanup.run());

/** An address of this host that is not loopback. */
function elsewhere(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4');
  if (found === undefined) throw new Error('this host has no address but loopback: the test needs one');
  return found.address;
}

interface Failure {
  readonly cause: string;
  readonly address: string;
}

async function failures(): Promise<Failure[]> {
  return (await central.rest('GET', '/handshake-failures')).body.items as Failure[];
}

/** The session as Central sees it. */
async function session(): Promise<Record<string, unknown>> {
  return (await central.rest('GET', `/agents/${agent.id}`)).body.session as Record<string, unknown>;
}

/** HAProxy in mode tcp: passes connections on, with `server` options; its health check runs all the while. */
async function haproxy(to: number, options: string): Promise<number> {
  const folder = await cleanup.folder();
  const [port = 0] = await freePorts(1);
  const lines = [
    'defaults',
    ' mode tcp',
    ' timeout connect 5s',
    ' timeout client 60s',
    ' timeout server 60s',
    'listen agents',
    ` bind :${port}`,
    ` server central 127.0.0.1:${to} ${options}`,
  ];
  await writeFile(join(folder, 'haproxy.cfg'), `${lines.join('\n')}\n`);
  const running = new Running('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')]);
  cleanup.add(() => running.stop('SIGTERM'));
  await until(async () => {
    if (!running.running) throw new Error(`haproxy ended: ${running.stderr}`);
    return await new Promise<true | undefined>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        resolve(true);
        socket.destroy();
      }).on('error', () => resolve(undefined));
    });
  });
  return port;
}

describe.skipIf(lacksPeer('haproxy'))('through HAProxy with send-proxy-v2', () => {
  it('agents on ws and wss have their own address, also while HAProxy checks the health of Central', async () => {
    const checks = 'send-proxy-v2 check check-send-proxy inter 200';
    const plain = await RawAgent.dial(cleanup, `ws://127.0.0.1:${await haproxy(central.ports.ws, checks)}`, undefined, {
      localAddress: '127.0.0.3',
    });
    await plain.welcomed(agent);
    expect(await session()).toMatchObject({ address: '127.0.0.3', transport: 'ws' });
    // TLS goes through HAProxy: the session is bound to it.
    const secure = await RawAgent.dial(cleanup, `wss://127.0.0.1:${await haproxy(central.ports.wss, checks)}`, root, {
      localAddress: '127.0.0.4',
      servername: 'localhost',
    });
    await secure.welcomed(agent);
    expect(await session()).toMatchObject({ address: '127.0.0.4', transport: 'wss' });
    const remote = await RawAgent.dial(
      cleanup,
      `ws://${elsewhere()}:${await haproxy(central.ports.ws, 'send-proxy-v2')}`,
    );
    await remote.welcomed(agent);
    expect(await session()).toMatchObject({ address: elsewhere() });
    expect(
      (await failures()).filter(({ cause }) => cause.startsWith('proxy_') || cause === 'forwarded_for_unreadable'),
    ).toEqual([]);
  });

  it('what an agent behind it writes into its own headers does not count', async () => {
    const port = await haproxy(central.ports.ws, 'send-proxy-v2');
    const liar = await RawAgent.dial(cleanup, `ws://${elsewhere()}:${port}`, undefined, {
      headers: { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' },
    });
    await liar.welcomed(agent);
    expect(await session()).toMatchObject({ address: elsewhere(), transport: 'ws' });
  });

  it('a header of version 1 is refused, and the record says what to do', async () => {
    await expect(
      RawAgent.dial(cleanup, `ws://127.0.0.1:${await haproxy(central.ports.ws, 'send-proxy')}`),
    ).rejects.toThrow('closed without challenge');
    expect(await failures()).toContainEqual(
      expect.objectContaining({
        cause: 'proxy_header_version',
        address: '127.0.0.1',
        hint: expect.stringContaining('send-proxy-v2'),
      }),
    );
  });
});

describe('an origin that a proxy on this host does not name, or not readably', () => {
  const headersOf: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['no header', {}],
    ['an empty one', { 'x-forwarded-for': '' }],
    ['a port', { 'x-forwarded-for': '127.0.0.1:4000' }],
    ['brackets', { 'x-forwarded-for': '[::1]' }],
    ['unknown', { 'x-forwarded-for': 'unknown' }],
    ['only Forwarded', { forwarded: 'for=127.0.0.1;proto=https' }],
    ['an unreadable X-Forwarded-Proto', { 'x-forwarded-for': '192.0.2.9', 'x-forwarded-proto': 'https;x' }],
  ];

  it.each(headersOf)('is remote and unencrypted: %s', async (_title, headers) => {
    const open = await RawAgent.dial(cleanup, `ws://127.0.0.1:${central.ports.ws}`, undefined, { headers });
    await open.welcomed(agent);
    expect(await session()).toMatchObject({
      address: headers['x-forwarded-for'] === '192.0.2.9' ? '192.0.2.9' : 'unknown (behind 127.0.0.1)',
      transport: 'ws',
    });
  });

  it.each(headersOf)('does not get in while unencrypted is off: %s', async (_title, headers) => {
    await expect(RawAgent.dial(cleanup, `ws://127.0.0.1:${guarded.ports.ws}`, undefined, { headers })).rejects.toThrow(
      'ws_disabled',
    );
    // Through the same proxy, from this host: as before.
    const here = await RawAgent.dial(cleanup, `ws://127.0.0.1:${guarded.ports.ws}`, undefined, {
      headers: { 'x-forwarded-for': '127.0.0.1' },
    });
    here.webSocket.terminate();
  });

  it('is recorded, with the header and the proxy', async () => {
    expect(await failures()).toContainEqual(
      expect.objectContaining({
        cause: 'forwarded_for_unreadable',
        address: 'unknown (behind 127.0.0.1)',
        detail: expect.stringMatching(/proxy 127\.0\.0\.1 .* X-Forwarded-For/),
      }),
    );
  });
});
