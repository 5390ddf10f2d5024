// What happens between accept and protocol, on real sockets: wrong protocols are answered, and what becomes nothing is cut.
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Handshake, UpgradedConnection } from '../../../central/agents/handshake.ts';
import { AddressSet } from '../../../central/auth/address-rules.ts';
import { createAgentSocketApp } from '../../../central/listeners/agent-socket.ts';
import { openBinding } from '../../../central/listeners/bind.ts';
import { Connections } from '../../../central/listeners/connections.ts';
import { createHttpServer } from '../../../central/listeners/http.ts';
import { createTlsServer } from '../../../central/listeners/tls.ts';
import type { CodedError } from '../../../shared/errors.ts';
import { SUBPROTOCOL } from '../../../shared/wire/messages.ts';

/** Of TCP to "something": short, so that a test sees it pass. */
const DEADLINE_MS = 400;
/** How late a timer may be on a busy machine. */
const LATE_MS = 3_000;

const credentials = { key: readFileSync('test/fixtures/keystores/central.key', 'utf8'), chain: readFileSync('test/fixtures/keystores/central.crt', 'utf8'), root: readFileSync('test/fixtures/keystores/root-ec.crt', 'utf8') };

interface Listening {
  readonly port: number;
  readonly wrong: string[];
  readonly upgraded: UpgradedConnection[];
}

async function listen(listener: 'plain' | 'secure'): Promise<Listening> {
  const [wrong, upgraded]: [string[], UpgradedConnection[]] = [[], []];
  const server = createHttpServer(DEADLINE_MS);
  const tls = listener === 'secure' ? { tls: createTlsServer(credentials, DEADLINE_MS) } : {};
  const onFailure = (fault: CodedError, address: string): void => void wrong.push(`${fault.code} from ${address}`);
  const connections = new Connections({ http: server, ...tls, deadlineMs: () => DEADLINE_MS, onFailure });
  const { app } = await createAgentSocketApp({
    listener,
    central: 'central.test',
    // Only `run` of it is called.
    handshake: { run: async (connection: UpgradedConnection) => void upgraded.push(connection) } as unknown as Handshake,
    enrolment: { enrol: async () => ({}) },
    revocationLists: { der: async () => Buffer.alloc(0), pem: async () => '' },
    atTheDoor: async () => undefined,
    trustedProxies: () => new AddressSet([]),
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
  return { port: binding.port, wrong, upgraded };
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

/** What it was told before it was cut at the deadline. */
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
  test('TLS on the plain port is answered readably', async () => {
    const { port, wrong } = await listen('plain');
    const socket = dial(port);
    socket.write(Buffer.from('16030100050100000100', 'hex'));
    expect((await untilClosed(socket)).text).toMatch(/^HTTP\/1\.1 400 .*This port does not speak TLS: use http:\/\/ or ws:\/\//s);
    expect(wrong).toEqual(['tls_on_plain from 127.0.0.1']);
    await expect(secured(port)).rejects.toThrow('wrong version number');
  });

  test('plain bytes on the TLS port are answered readably', async () => {
    const { port, wrong } = await listen('secure');
    const answer = await fetch(`http://127.0.0.1:${port}/agent`);
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('This port speaks TLS: use https:// or wss://');
    const socket = dial(port);
    socket.write('\u0000\u0001nonsense');
    expect((await untilClosed(socket)).text).toContain('This port speaks TLS');
    expect(wrong).toEqual(['plain_on_tls from 127.0.0.1', 'plain_on_tls from 127.0.0.1']);
  });

  test('HEAD in plain on the TLS port is the question for the time: answered with it, and no failure', async () => {
    const { port, wrong } = await listen('secure');
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' });
    expect([answer.status, Math.abs(Date.parse(answer.headers.get('date') ?? '') - Date.now()) < 60_000]).toEqual([400, true]);
    expect(wrong).toEqual([]);
  });

  test('HTTP that is none is ended at once', async () => {
    const { port } = await listen('plain');
    const socket = dial(port);
    socket.write('\u0000\u0001nonsense\r\n\r\n');
    expect((await untilClosed(socket)).text).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('whoever goes on sending after the answer is cut at the deadline', async () => {
    const { port } = await listen('secure');
    const socket = dial(port);
    const flood = setInterval(() => socket.write('more\r\n'), 20);
    onTestFinished(() => clearInterval(flood));
    expect((await untilClosed(socket)).ms).toBeLessThan(DEADLINE_MS + LATE_MS);
  });
});

describe('a connection that becomes nothing is cut at the deadline', () => {
  for (const listener of ['plain', 'secure'] as const) {
    test(`when it sends nothing (${listener})`, async () => {
      expect(await cutAtDeadline(dial((await listen(listener)).port))).toBe('');
    });
  }

  test('when it sends half a header', async () => {
    const socket = dial((await listen('plain')).port);
    socket.write('GET /agent HTTP/1.1\r\nHost: central\r\nUpgra');
    expect(await cutAtDeadline(socket)).toBe('');
  });

  test('when it trickles a header', async () => {
    const socket = dial((await listen('plain')).port);
    socket.write('GET /agent HTTP/1.1\r\n');
    const trickle = setInterval(() => socket.write('X-More: 1\r\n'), 40);
    onTestFinished(() => clearInterval(trickle));
    expect(await cutAtDeadline(socket)).toBe('');
  });

  test('when it never finishes the TLS handshake', async () => {
    const socket = dial((await listen('secure')).port);
    // The header of a record of 512 bytes, and the first of them.
    socket.write(Buffer.from('160301020001000001', 'hex'));
    expect(await cutAtDeadline(socket)).toBe('');
  });

  test('when it says nothing after the TLS handshake', async () => {
    const { port } = await listen('secure');
    expect(await cutAtDeadline(await secured(port))).toBe('');
  });

  test('when it has had one answer and then sends half a header', async () => {
    const socket = dial((await listen('plain')).port);
    socket.write('GET / HTTP/1.1\r\nHost: central\r\n\r\nGET / HTTP/1.1\r\nHo');
    expect(await cutAtDeadline(socket)).toMatch(/^HTTP\/1\.1 200 .*408 Request Timeout/s);
  });
});

describe('at /agent', () => {
  test('HTTP without upgrade gets 426 with problem details', async () => {
    const { port, upgraded } = await listen('plain');
    const answer = await fetch(`http://127.0.0.1:${port}/agent`);
    expect(answer.status).toBe(426);
    expect(answer.headers.get('upgrade')).toBe('websocket');
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(await answer.json()).toMatchObject({ type: 'urn:queuegate:error:upgrade_required', status: 426, detail: expect.stringContaining(SUBPROTOCOL) });
    expect(upgraded).toEqual([]);
  });

  for (const [title, protocols] of [['a wrong subprotocol', ['mqtt', 'queuegate.v0']], ['no subprotocol', []]] as const) {
    test(`an upgrade with ${title} gets 426`, async () => {
      const { port, upgraded } = await listen('plain');
      const webSocket = new WebSocket(`ws://127.0.0.1:${port}/agent`, [...protocols]);
      webSocket.on('error', () => undefined);
      const status = await new Promise((resolve) => webSocket.once('unexpected-response', (_request, response) => resolve(response.statusCode)));
      expect(status).toBe(426);
      webSocket.terminate();
      expect(upgraded).toEqual([]);
    });
  }

  for (const listener of ['plain', 'secure'] as const) {
    test(`the subprotocol among others comes through, and the deadline is the handshake's own from there (${listener})`, async () => {
      const { port, upgraded } = await listen(listener);
      const scheme = listener === 'plain' ? 'ws' : 'wss';
      const webSocket = new WebSocket(`${scheme}://127.0.0.1:${port}/agent`, ['mqtt', SUBPROTOCOL], { ca: credentials.root });
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
