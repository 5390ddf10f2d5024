// What happens between accept and protocol, on real sockets: wrong protocols are answered, and what becomes nothing is
// cut.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import type { Handshake, UpgradedConnection } from '../../../../central/sessions/handshake.ts';
import { AddressAccess, AddressSet } from '../../../../central/parameters/address-access.ts';
import { defaultValues, type ParameterValues } from '../../../../central/parameters/definitions.ts';
import { createAgentSocketApp } from '../../../../central/listeners/agent-socket.ts';
import { openBinding } from '../../../../central/listeners/bind.ts';
import { Connections } from '../../../../central/listeners/accept/connections.ts';
import { createHttpServer } from '../../../../central/listeners/http.ts';
import { createTlsServer } from '../../../../central/listeners/tls.ts';
import type { CodedError } from '../../../../shared/errors.ts';
import { ReadTurns } from '../../../../shared/http/read-turns.ts';
import { SUBPROTOCOL } from '../../../../shared/wire/messages.ts';

/** Of TCP to "something": short, so that a test sees it pass. */
const DEADLINE_MS = 400;
/**
 * How late a timer may be on a busy machine: only less than the 60 s after which Node itself would end what sends no
 * request.
 */
const LATE_MS = 45_000;

const credentials = {
  key: readFileSync('test/fixtures/keystores/central.key', 'utf8'),
  chain: readFileSync('test/fixtures/keystores/central.crt', 'utf8'),
  root: readFileSync('test/fixtures/keystores/root-ec.crt', 'utf8'),
};

/** Without the empty line that ends it. */
const UPGRADE_HEADERS = `GET /agent HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n`;

interface Listening {
  readonly port: number;
  readonly wrong: string[];
  readonly upgraded: UpgradedConnection[];
  /** What happened to the turns of reading. */
  readonly turns: string[];
}

async function listen(
  listener: 'ws' | 'wss',
  trusted: readonly string[] = [],
  rules: Partial<ParameterValues> = {},
): Promise<Listening> {
  const [wrong, upgraded, turns]: [string[], UpgradedConnection[], string[]] = [[], [], []];
  const server = createHttpServer(DEADLINE_MS);
  const readTurns = new ReadTurns();
  const tls = listener === 'wss' ? { tls: createTlsServer(credentials, DEADLINE_MS) } : {};
  const onFailure = (fault: CodedError, address: string): void => void wrong.push(`${fault.code} from ${address}`);
  const proxies = new AddressSet(trusted);
  const connections = new Connections({
    http: server,
    ...tls,
    deadlineMs: () => DEADLINE_MS,
    proxies: () => proxies,
    readTurns: {
      enter: (carrier, block, check) => {
        turns.push(`entered ${block}`);
        const turn = readTurns.enter(carrier, block, check);
        return {
          serves: (socket) => {
            turns.push('serves');
            turn.serves(socket);
          },
          leave: () => {
            turns.push('left');
            turn.leave();
          },
        };
      },
    },
    onFailure,
  });
  const { app } = await createAgentSocketApp({
    listener,
    central: 'central.test',
    // Only `run` of it is called.
    handshake: {
      run: async (connection: UpgradedConnection) => void upgraded.push(connection),
    } as unknown as Handshake,
    enrollment: { enroll: async () => ({}) },
    downloads: {
      find: () => Promise.reject(new Error('no downloads here')),
      begin: () => () => undefined,
      refused: () => undefined,
      compressed: async () => undefined,
      read: async function* none() {},
    },
    revocationLists: { der: async () => Buffer.alloc(0), pem: async () => '' },
    checkClientCertificate: async () => undefined,
    trustedProxies: () => proxies,
    addressAccess: new AddressAccess(() => ({ ...defaultValues(), ...rules })),
    maxFrameBytes: 65_536,
    server,
    connections,
    onFailure,
    onUnexpected: (error) => {
      throw error;
    },
  });
  const binding = await openBinding({ listener: 'the test', addresses: ['127.0.0.1'], port: 0 }, connections.accept);
  onTestFinished(async () => {
    binding.close();
    connections.destroyAll();
    await app.close();
  });
  return { port: binding.port, wrong, upgraded, turns };
}

function dial(port: number): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** All that the peer says until it ends the connection, and how long that took. */
async function untilClosed(socket: Socket | TLSSocket): Promise<{ text: string; ms: number }> {
  const from = performance.now();
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { text, ms: performance.now() - from };
}

/** What it received before it was cut at the deadline. */
async function cutAtDeadline(socket: Socket | TLSSocket): Promise<string> {
  const { text, ms } = await untilClosed(socket);
  // Timers may fire a little early by another clock.
  expect(ms).toBeGreaterThan(DEADLINE_MS - 50);
  expect(ms).toBeLessThan(DEADLINE_MS + LATE_MS);
  return text;
}

function secured(port: number): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', ca: credentials.root });
  onTestFinished(() => void socket.destroy());
  return new Promise((resolve, reject) => socket.once('error', reject).once('secureConnect', () => resolve(socket)));
}

describe('the wrong protocol', () => {
  test('TLS on the ws port is answered readably', async () => {
    const { port, wrong } = await listen('ws');
    const socket = dial(port);
    socket.write(Buffer.from('16030100050100000100', 'hex'));
    expect((await untilClosed(socket)).text).toMatch(
      /^HTTP\/1\.1 400 .*This port does not speak TLS: use http:\/\/ or ws:\/\//s,
    );
    expect(wrong).toEqual(['tls_on_plain from 127.0.0.1']);
    await expect(secured(port)).rejects.toThrow('wrong version number');
  });

  test('plain bytes on the TLS port are answered readably', async () => {
    const { port, wrong } = await listen('wss');
    const answer = await fetch(`http://127.0.0.1:${port}/agent`);
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('This port speaks TLS: use https:// or wss://');
    const socket = dial(port);
    socket.write('\u0000\u0001nonsense');
    expect((await untilClosed(socket)).text).toContain('This port speaks TLS');
    expect(wrong).toEqual(['plain_on_tls from 127.0.0.1', 'plain_on_tls from 127.0.0.1']);
  });

  test('HEAD in plain on the TLS port is the question for the time: answered with it, and no failure', async () => {
    const { port, wrong } = await listen('wss');
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' });
    expect([answer.status, Math.abs(Date.parse(answer.headers.get('date') ?? '') - Date.now()) < 60_000]).toEqual([
      400,
      true,
    ]);
    expect(wrong).toEqual([]);
  });

  test('HTTP that is none is ended at once', async () => {
    const { port } = await listen('ws');
    const socket = dial(port);
    socket.write('\u0000\u0001nonsense\r\n\r\n');
    expect((await untilClosed(socket)).text).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('a peer that goes on sending after the answer is cut at the deadline', async () => {
    const { port } = await listen('wss');
    const socket = dial(port);
    const flood = setInterval(() => socket.write('more\r\n'), 20);
    onTestFinished(() => clearInterval(flood));
    expect((await untilClosed(socket)).ms).toBeLessThan(DEADLINE_MS + LATE_MS);
  });
});

describe('a connection that becomes nothing is cut at the deadline', () => {
  for (const listener of ['ws', 'wss'] as const) {
    test(`when it sends nothing (${listener})`, async () => {
      expect(await cutAtDeadline(dial((await listen(listener)).port))).toBe('');
    });
  }

  test('when it sends half a header', async () => {
    const socket = dial((await listen('ws')).port);
    socket.write('GET /agent HTTP/1.1\r\nHost: central\r\nUpgra');
    expect(await cutAtDeadline(socket)).toBe('');
  });

  test('when it trickles a header', async () => {
    const socket = dial((await listen('ws')).port);
    socket.write('GET /agent HTTP/1.1\r\n');
    const trickle = setInterval(() => socket.write('X-More: 1\r\n'), 40);
    onTestFinished(() => clearInterval(trickle));
    expect(await cutAtDeadline(socket)).toBe('');
  });

  test('when it never finishes the TLS handshake', async () => {
    const socket = dial((await listen('wss')).port);
    // The header of a record of 512 bytes, and the first of them.
    socket.write(Buffer.from('160301020001000001', 'hex'));
    expect(await cutAtDeadline(socket)).toBe('');
  });

  test('when it says nothing after the TLS handshake', async () => {
    const { port } = await listen('wss');
    expect(await cutAtDeadline(await secured(port))).toBe('');
  });

  test('when it has had one answer and then sends half a header', async () => {
    const socket = dial((await listen('ws')).port);
    socket.write('GET / HTTP/1.1\r\nHost: central\r\n\r\nGET / HTTP/1.1\r\nHo');
    expect(await cutAtDeadline(socket)).toMatch(/^HTTP\/1\.1 200 .*408 Request Timeout/s);
  });
});

describe('a TLS connection that sends records without data', () => {
  test('is cut, also when it is a WebSocket already, and the next handshakes of its address wait', async () => {
    const { port, wrong, upgraded } = await listen('wss');
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    onTestFinished(() => void client.kill());
    client.stdin.on('error', () => undefined);
    client.stdin.write(`${UPGRADE_HEADERS}\r\n`);
    await vi.waitFor(() => expect(upgraded).toHaveLength(1), LATE_MS);
    // openssl sends a key update for each line that it reads by itself.
    const typing = setInterval(() => client.stdin.write('K\n'), 1);
    await once(client, 'close');
    clearInterval(typing);
    expect(wrong).toEqual(['tls_without_data from 127.0.0.1']);
    const next = connectTls({ port, host: '127.0.0.1', ca: credentials.root }).on('error', () => undefined);
    await untilClosed(next);
    expect(wrong.slice(1)).toEqual(['handshake_timeout from 127.0.0.1']);
  });
});

describe('a connection is read in its turns', () => {
  test.each(['ws', 'wss'] as const)('until it is welcomed (%s)', async (listener) => {
    const { port, turns, upgraded } = await listen(listener);
    const socket = listener === 'ws' ? dial(port) : await secured(port);
    socket.write(`${UPGRADE_HEADERS}\r\n`);
    await vi.waitFor(() => expect(upgraded).toHaveLength(1), LATE_MS);
    expect(turns).toEqual(['entered 127.0.0.1', 'serves']);
    upgraded[0]?.onWelcome?.();
    expect(turns.slice(2)).toEqual(['left']);
  });

  test('until it is closed, and before its first bytes it has none', async () => {
    const [secure, plain] = [await listen('wss'), await listen('ws')];
    await cutAtDeadline(await secured(secure.port));
    await vi.waitFor(() => expect(secure.turns).toEqual(['entered 127.0.0.1', 'serves', 'left']), LATE_MS);
    await cutAtDeadline(dial(plain.port));
    expect(plain.turns).toEqual([]);
    const half = dial(plain.port);
    half.write('GET / HTTP/1.1');
    await cutAtDeadline(half);
    await vi.waitFor(() => expect(plain.turns).toEqual(['entered 127.0.0.1', 'serves', 'left']), LATE_MS);
  });
});

describe('a TLS handshake', () => {
  // A hello of 128 KiB in records of one byte.
  const hello = Buffer.concat([
    Buffer.from('16030100040101ffb8', 'hex'),
    ...Array.from({ length: 20_000 }, () => Buffer.from('160301000101', 'hex')),
  ]);

  test.each([
    ['in its first bytes', 0],
    ['later', 600],
  ])('that takes more than 32 KiB is cut, %s, and the next ones of its address wait', async (_title, bytesBefore) => {
    const { port, wrong } = await listen('wss');
    const socket = dial(port);
    if (bytesBefore > 0) {
      socket.write(hello.subarray(0, bytesBefore));
      await nextTurn();
    }
    socket.write(hello.subarray(bytesBefore));
    await untilClosed(socket);
    const next = connectTls({ port, host: '127.0.0.1', ca: credentials.root }).on('error', () => undefined);
    await untilClosed(next);
    expect(wrong).toEqual(['tls_without_data from 127.0.0.1', 'handshake_timeout from 127.0.0.1']);
  });
});

describe('at /agent', () => {
  test('HTTP without upgrade gets 426 with problem details', async () => {
    const { port, upgraded } = await listen('ws');
    const answer = await fetch(`http://127.0.0.1:${port}/agent`);
    expect(answer.status).toBe(426);
    expect(answer.headers.get('upgrade')).toBe('websocket');
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(await answer.json()).toMatchObject({
      type: 'urn:queuegate:error:upgrade_required',
      status: 426,
      detail: expect.stringContaining(SUBPROTOCOL),
    });
    expect(upgraded).toEqual([]);
  });

  test('a WebSocket whose Upgrade a proxy removed gets 426, which says so', async () => {
    const { port, upgraded } = await listen('ws');
    const headers = [
      ['sec-websocket-protocol', SUBPROTOCOL],
      ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ=='],
    ] as const;
    for (const some of [headers, headers.slice(0, 1), headers.slice(1)]) {
      const answer = await fetch(`http://127.0.0.1:${port}/agent`, { headers: Object.fromEntries(some) });
      expect([answer.status, await answer.json()]).toMatchObject([
        426,
        { type: 'urn:queuegate:error:upgrade_removed', hint: expect.stringContaining('proxy_set_header Upgrade') },
      ]);
    }
    expect(upgraded).toEqual([]);
  });

  for (const [title, protocols] of [
    ['a wrong subprotocol', ['mqtt', 'queuegate.v0']],
    ['no subprotocol', []],
  ] as const) {
    test(`an upgrade with ${title} gets 426`, async () => {
      const { port, upgraded } = await listen('ws');
      const webSocket = new WebSocket(`ws://127.0.0.1:${port}/agent`, [...protocols]);
      webSocket.on('error', () => undefined);
      const status = await new Promise((resolve) =>
        webSocket.once('unexpected-response', (_request, response) => resolve(response.statusCode)),
      );
      expect(status).toBe(426);
      webSocket.terminate();
      expect(upgraded).toEqual([]);
    });
  }

  for (const listener of ['ws', 'wss'] as const) {
    test(`the subprotocol among others comes through, and the deadline is the handshake's own from there (${listener})`, async () => {
      const { port, upgraded } = await listen(listener);
      const scheme = listener === 'ws' ? 'ws' : 'wss';
      const webSocket = new WebSocket(`${scheme}://127.0.0.1:${port}/agent`, ['mqtt', SUBPROTOCOL], {
        ca: credentials.root,
      });
      onTestFinished(() => webSocket.terminate());
      await new Promise((resolve, reject) => webSocket.once('open', resolve).once('error', reject));
      expect(webSocket.protocol).toBe(SUBPROTOCOL);
      expect(upgraded).toMatchObject([{ listener, origin: { address: '127.0.0.1', scheme } }]);
      // One that sends nothing, begun now, is cut first.
      await cutAtDeadline(dial(port));
      expect(webSocket.readyState).toBe(WebSocket.OPEN);
      expect(performance.now() - (upgraded[0]?.acceptedAt ?? 0)).toBeGreaterThan(DEADLINE_MS);
    });
  }
});

describe('a PROXY protocol header', () => {
  const LOCAL = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
  const FROM_192_0_2_9 = Buffer.from('0d0a0d0a000d0a515549540a2111000cc00002097f00000104d223be', 'hex');

  async function upgradedBy(listening: Listening, count = 1): Promise<UpgradedConnection['origin'] | undefined> {
    await vi.waitFor(() => expect(listening.upgraded).toHaveLength(count), { timeout: 5_000 });
    return listening.upgraded.at(-1)?.origin;
  }

  test('of a named proxy names the origin, in however many pieces it comes, also before TLS', async () => {
    const plain = await listen('ws', ['127.0.0.1']);
    const socket = dial(plain.port);
    socket.setNoDelay(true);
    for (const byte of FROM_192_0_2_9) {
      socket.write(Buffer.of(byte));
      await nextTurn();
    }
    socket.write(`${UPGRADE_HEADERS}X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n`);
    // Its headers are the agent's own: the proxy has said who that is.
    expect(await upgradedBy(plain)).toEqual({ address: '192.0.2.9', peer: '127.0.0.1', proxied: true, scheme: 'ws' });

    const secure = await listen('wss', ['127.0.0.1']);
    const raw = dial(secure.port);
    raw.write(FROM_192_0_2_9);
    const tls = connectTls({ socket: raw, host: '127.0.0.1', ca: credentials.root });
    tls.write(`${UPGRADE_HEADERS}\r\n`);
    expect(await upgradedBy(secure)).toEqual({ address: '192.0.2.9', peer: '127.0.0.1', proxied: true, scheme: 'wss' });
    expect([plain.wrong, secure.wrong]).toEqual([[], []]);
  });

  test('of a proxy that speaks for itself (LOCAL), or none, leaves the origin to the headers', async () => {
    const listening = await listen('ws', ['127.0.0.1']);
    for (const [i, head] of [LOCAL, Buffer.alloc(0)].entries()) {
      dial(listening.port).write(
        Buffer.concat([head, Buffer.from(`${UPGRADE_HEADERS}X-Forwarded-For: 192.0.2.7\r\n\r\n`)]),
      );
      expect(await upgradedBy(listening, i + 1)).toMatchObject({ address: '192.0.2.7', scheme: 'ws' });
    }
    dial(listening.port).write(Buffer.concat([LOCAL, Buffer.from(`${UPGRADE_HEADERS}\r\n`)]));
    expect(await upgradedBy(listening, 3)).toMatchObject({ address: 'unknown (behind 127.0.0.1)' });
    expect(listening.wrong).toEqual(['forwarded_for_unreadable from unknown (behind 127.0.0.1)']);
  });

  test.each<[string, readonly string[], Buffer | string, string]>([
    ['from anybody else', [], FROM_192_0_2_9, 'proxy_header_untrusted'],
    ['of version 1 from anybody else', [], 'PROXY TCP4 192.0.2.9 192.0.2.1 1 2\r\n', 'proxy_header_untrusted'],
    ['of version 1', ['127.0.0.1'], 'PROXY TCP4 192.0.2.9 192.0.2.1 1 2\r\n', 'proxy_header_version'],
    [
      'that is malformed',
      ['127.0.0.1'],
      Buffer.from('0d0a0d0a000d0a515549540a2131000c', 'hex'),
      'proxy_header_malformed',
    ],
    ['without an end', ['127.0.0.1'], Buffer.from('0d0a0d0a000d0a515549540a2111ffff', 'hex'), 'proxy_header_malformed'],
    ['behind another one', ['127.0.0.1'], Buffer.concat([FROM_192_0_2_9, FROM_192_0_2_9]), 'not_http'],
  ])('%s ends the connection and is recorded', async (_title, trusted, bytes, code) => {
    const { port, wrong, upgraded } = await listen('ws', trusted);
    const socket = dial(port);
    socket.write(Buffer.concat([Buffer.from(bytes), Buffer.from(`${UPGRADE_HEADERS}\r\n`)]));
    await untilClosed(socket);
    expect([wrong, upgraded]).toEqual([[`${code} from ${code === 'not_http' ? '192.0.2.9' : '127.0.0.1'}`], []]);
  });

  test('from anybody else is refused at its signature, before the rest of it has come', async () => {
    const { port, wrong } = await listen('ws');
    const socket = dial(port);
    socket.write(FROM_192_0_2_9.subarray(0, 12));
    await untilClosed(socket);
    expect(wrong).toEqual(['proxy_header_untrusted from 127.0.0.1']);
  });

  test('that is not finished is cut at the deadline', async () => {
    const socket = dial((await listen('ws', ['127.0.0.1'])).port);
    socket.write(FROM_192_0_2_9.subarray(0, 20));
    expect(await cutAtDeadline(socket)).toBe('');
  });
});

describe('an address that the rules of the listener exclude', () => {
  test.each(['/enroll', '/', '/crl.pem'])(
    'gets 403 for %s, and the failure is recorded with its origin',
    async (path) => {
      const { port, wrong } = await listen('ws', ['127.0.0.1'], { 'access.ws.deny': ['192.0.2.0/24'] });
      const ask = async (from: string): Promise<number> => {
        const headers = { 'x-forwarded-for': from, 'content-type': 'application/json' };
        const how = path === '/enroll' ? { method: 'POST', body: '{}' } : {};
        return (await fetch(`http://127.0.0.1:${port}${path}`, { ...how, headers })).status;
      };
      expect(await ask('192.0.2.7')).toBe(403);
      expect(wrong).toEqual(['address_denied from 192.0.2.7']);
      expect(await ask('198.51.100.7')).toBe(200);
    },
  );

  test('reaches the handshake with a WebSocket, which refuses it with a frame', async () => {
    const { port, upgraded, wrong } = await listen('ws', ['127.0.0.1'], { 'access.ws.allow': ['198.51.100.0/24'] });
    dial(port).write(`${UPGRADE_HEADERS}X-Forwarded-For: 192.0.2.7\r\n\r\n`);
    await expect.poll(() => upgraded.length).toBe(1);
    expect(upgraded[0]?.origin.address).toBe('192.0.2.7');
    expect(wrong).toEqual([]);
  });
});
