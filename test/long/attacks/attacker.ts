// A process of its own, at the lowest priority: every attack that docs/SECURITY.md names under "Who can make Central
// spend how much", all at once, from one address and with the key of one enrolled agent, until the parent says stop.
// Each loop is bounded in rate and time: some 230 connections a second in all.
import { createPrivateKey, randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { constants, setPriority } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as tlsConnect, TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { makeRequest } from '../../../agent/enrollment/csr.ts';
import { AGENT_PATH, SUBPROTOCOL, type Challenge, type Hello } from '../../../shared/wire/messages.ts';
import { channelBinding, helloTranscript, signTranscript } from '../../../shared/wire/proof.ts';
import { newKey } from '../../flow/raw-agent.ts';
import type { FleetMember } from './honest-fleet.ts';

export interface AttackOrder {
  /** Of Central, by listener. */
  readonly ports: Readonly<Record<'ws' | 'wss' | 'https' | 'http', number>>;
  readonly ca: string;
  /** Of loopback: where every attack comes from. */
  readonly address: string;
  /** Of an honest agent, whose recovery code is guessed. */
  readonly victim: string;
  /** The enrolled agent whose key the attacker has. */
  readonly agent: FleetMember;
  readonly attackMs: number;
  /** Ends by itself after this time, whatever the parent says. */
  readonly longestMs: number;
}

/** How often each attack was carried out, and what came back most often. */
export type AttackReport = Readonly<Record<string, number>>;

const counts: Record<string, number> = {};
const open = new Set<{ destroy(): unknown }>();
let stopping = false;

function count(what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

/** Repeats an attack with a pause in between; what fails is counted, since being refused is what is hoped for. */
async function loop(name: string, everyMs: number, attack: () => Promise<unknown> | unknown): Promise<void> {
  while (!stopping) {
    count(name);
    try {
      await attack();
    } catch {
      count(`${name} failed`);
    }
    await delay(everyMs);
  }
}

function dial(order: AttackOrder, listener: keyof AttackOrder['ports']): Socket {
  count('connections');
  const to = { port: order.ports[listener], host: '127.0.0.1', localAddress: order.address };
  const socket =
    listener === 'wss' || listener === 'https'
      ? tlsConnect({ ...to, servername: 'localhost', ca: order.ca })
      : connect(to);
  open.add(socket);
  socket.on('error', () => count(`${listener} cut`));
  socket.on('close', () => open.delete(socket));
  return socket;
}

/** Writes, reads at most for a while, and goes. */
async function say(
  order: AttackOrder,
  listener: keyof AttackOrder['ports'],
  bytes: string | Buffer,
  forMs: number,
): Promise<string> {
  const socket = dial(order, listener);
  let said = '';
  socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1', 0, 200)));
  socket.write(bytes);
  await Promise.race([delay(forMs), new Promise((resolve) => socket.once('close', resolve))]);
  socket.destroy();
  return said.slice(9, 12);
}

function post(path: string, body: unknown, headers = ''): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nHost: central\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n${headers}\r\n${text}`;
}

async function requestOf(name: string): Promise<string> {
  const key = newKey();
  return (
    await makeRequest({ privateKey: key.privateKey, pem: '', publicKey: key.spki, thumbprint: key.thumbprint }, name)
  ).pem;
}

/** Sound, so that it is the proof beside it which is looked at. */
const SOUND_REQUEST = await requestOf('x');

/** What looks like the headers of a PEM block (RFC 1421), line after line. */
const BAIT = `-----BEGIN CERTIFICATE REQUEST-----\n${' a: b\n'.repeat(60)}-----END CERTIFICATE REQUEST-----\n`;

function strangers(order: AttackOrder): Promise<void>[] {
  const hex = (bytes: number): string => randomBytes(bytes).toString('hex');
  const status =
    (name: string) =>
    (code: string): void =>
      count(`${name}: ${code || 'cut'}`);
  return [
    // Everything that waits for a token, a proof or an administrator, with a request that is expensive to read.
    loop('bait', 50, () =>
      say(order, 'ws', post('/enroll', { csr: BAIT, name: `bait-${hex(4)}` }), 2_000).then(status('bait')),
    ),
    loop('wrong enrollment token', 50, () =>
      say(
        order,
        'wss',
        post('/enroll', { csr: BAIT, name: 'x', token: `qge_${hex(8)}_${randomBytes(32).toString('base64url')}` }),
        2_000,
      ).then(status('wrong enrollment token')),
    ),
    loop('wrong proof', 50, () =>
      say(order, 'ws', post('/enroll', { csr: SOUND_REQUEST, name: 'x', tokenId: hex(8), proof: hex(32) }), 2_000).then(
        status('wrong proof'),
      ),
    ),
    loop('wrong recovery code', 50, () =>
      say(
        order,
        'wss',
        post('/enroll', { csr: SOUND_REQUEST, name: order.victim, pin: null, proof: hex(32) }),
        2_000,
      ).then(status('wrong recovery code')),
    ),
    // Each with another key, so that each would take a place of its own.
    loop('pending enrollment', 50, async () => {
      const name = `pending-${hex(4)}`;
      await say(order, 'wss', post('/enroll', { csr: await requestOf(name), name }), 2_000).then(
        status('pending enrollment'),
      );
    }),
    loop('wrong API token', 20, () =>
      say(
        order,
        'http',
        `GET /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer qg_${hex(8)}_${randomBytes(32).toString('base64url')}\r\n\r\n`,
        2_000,
      ).then(status('wrong API token')),
    ),
    // Many requests at once whose answers are not read.
    ...Array.from({ length: 12 }, (_, i) =>
      loop('unread responses', 500, async () => {
        const socket = dial(order, i % 2 === 0 ? 'ws' : 'wss');
        socket.pause();
        socket.write('GET /crl.pem HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_600));
        await Promise.race([delay(10_000), new Promise((resolve) => socket.once('close', resolve))]);
        socket.destroy();
      }),
    ),
    ...(['ws', 'wss', 'http'] as const).map((listener) =>
      loop('pipelined 404', 100, () =>
        say(order, listener, 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_600), 1_000),
      ),
    ),
    // Places that are taken and not used.
    loop('silent WebSocket', 80, () => {
      count('connections');
      const webSocket = new WebSocket(`wss://localhost:${order.ports.wss}${AGENT_PATH}`, SUBPROTOCOL, {
        ca: order.ca,
        localAddress: order.address,
      });
      const socket = { destroy: () => webSocket.terminate() };
      open.add(socket);
      webSocket.on('error', () => count('silent WebSocket refused'));
      webSocket.on('close', () => open.delete(socket));
    }),
    loop('silent connection', 30, () => {
      dial(order, Math.random() < 0.5 ? 'ws' : 'wss').pause();
    }),
    // Ids that are made up: each a refusal, and none a record of its own.
    loop('hello of a stranger', 30, () => hello(order, { id: hex(16), name: `stranger-${hex(4)}` }, () => undefined)),
    loop('hello under another id', 30, () =>
      hello(order, { name: `other-${hex(4)}`, signature: 'A'.repeat(96) }, () => undefined),
    ),
  ];
}

interface Session {
  readonly socket: WebSocket;
  /** Where Central is in the events of this agent. */
  readonly next: number;
}

const INCARNATION = randomBytes(12).toString('hex');

/** Says hello with the key of the agent; `during` is what the session is used for. Resolves when it is over. */
async function hello(
  order: AttackOrder,
  change: Partial<Hello>,
  during: (session: Session) => Promise<unknown> | unknown,
): Promise<void> {
  count('connections');
  const webSocket = new WebSocket(`wss://localhost:${order.ports.wss}${AGENT_PATH}`, SUBPROTOCOL, {
    ca: order.ca,
    minVersion: 'TLSv1.3',
    localAddress: order.address,
  });
  open.add({ destroy: () => webSocket.terminate() });
  let carrier: IncomingMessage['socket'] | undefined;
  webSocket.on('upgrade', (response) => (carrier = response.socket));
  webSocket.on('error', () => count('agent cut'));
  const over = new Promise((resolve) => webSocket.once('close', resolve));
  webSocket.on('message', (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as { readonly type: string } & Readonly<Record<string, unknown>>;
    if (frame.type === 'refuse') count(`agent refused: ${String(frame['code'])}`);
    if (frame.type === 'challenge') {
      const said: Omit<Hello, 'signature'> = {
        type: 'hello',
        id: order.agent.id,
        name: order.agent.name,
        key: order.agent.spki,
        version: 'raw',
        bootId: 'A'.repeat(32),
        challenge: (frame as unknown as Challenge).nonce,
        nonce: randomBytes(24).toString('base64url'),
        transport: 'wss',
        binding: carrier instanceof TLSSocket ? (channelBinding(carrier) ?? null) : null,
        releases: { profile: null, runtime: null, program: null },
        capabilities: ['renewal', 'trust', 'consumers'],
        logs: { down: null },
        ...change,
      };
      const signature =
        change.signature ??
        signTranscript(helloTranscript(frame as unknown as Challenge, said), createPrivateKey(order.agent.privateKey));
      webSocket.send(JSON.stringify({ ...said, signature }));
    }
    if (frame.type === 'welcome') {
      const { up } = frame['logs'] as { readonly up: { readonly incarnation: string; readonly number: number } | null };
      count('agent welcomed');
      const next = up?.incarnation === INCARNATION ? up.number + 1 : 1;
      webSocket.send(JSON.stringify({ type: 'begin', incarnation: INCARNATION, next, missing: null }));
      void Promise.resolve(during({ socket: webSocket, next })).finally(() => webSocket.terminate());
    }
  });
  await Promise.race([over, delay(8_000)]);
  webSocket.terminate();
}

/** Writes without a look at what comes back, so much and no more, until the session ends. */
async function flood(socket: WebSocket, frame: string | (() => string), perTurn: number, forMs: number): Promise<void> {
  const end = performance.now() + forMs;
  while (socket.readyState === WebSocket.OPEN && performance.now() < end && !stopping) {
    if (socket.bufferedAmount < 4 * 1024 * 1024)
      for (let i = 0; i < perTurn; i += 1) socket.send(typeof frame === 'string' ? frame : frame());
    await delay(5);
  }
}

/** What an enrolled agent can do, one after the other, over and over. */
function insider(order: AttackOrder): Promise<void>[] {
  const thumbprint = (): string => randomBytes(32).toString('hex');
  const ends = 2_000;
  const attacks: readonly (readonly [string, (session: Session) => Promise<unknown> | unknown])[] = [
    [
      'trusted',
      ({ socket }) => flood(socket, () => JSON.stringify({ type: 'trusted', thumbprints: [thumbprint()] }), 20, ends),
    ],
    [
      'renew-installed',
      ({ socket }) =>
        flood(socket, () => JSON.stringify({ type: 'renew-installed', thumbprint: thumbprint() }), 20, ends),
    ],
    [
      'renew',
      ({ socket }) =>
        flood(
          socket,
          () => JSON.stringify({ type: 'renew', csr: BAIT, thumbprint: thumbprint(), signature: 'A'.repeat(96) }),
          5,
          ends,
        ),
    ],
    ['pause and resume', ({ socket }) => flood(socket, '{"type":"pause"}', 200, ends)],
    [
      'junk items',
      ({ socket, next }) =>
        socket.send(JSON.stringify({ type: 'messages', first: next, items: Array.from({ length: 2_000 }, () => 0) })),
    ],
    [
      'bad items',
      ({ socket, next }) =>
        socket.send(
          JSON.stringify({
            type: 'messages',
            first: next,
            items: Array.from({ length: 2_000 }, (_, i) => ({ id: `${next + i}`, source: '/x', type: '' })),
          }),
        ),
    ],
    [
      'pings',
      ({ socket }) =>
        Promise.race([
          delay(ends),
          (async () => {
            while (socket.readyState === WebSocket.OPEN && !stopping) {
              for (let i = 0; i < 200; i += 1) socket.ping(Buffer.alloc(125));
              await delay(5);
            }
          })(),
        ]),
    ],
    [
      'beyond the window',
      ({ socket, next }) =>
        flood(
          socket,
          JSON.stringify({
            type: 'messages',
            first: next,
            items: Array.from({ length: 100 }, (_, i) => ({
              specversion: '1.0',
              id: `w-${next + i}`,
              source: '/x',
              type: 'w',
              data: 'x'.repeat(8_000),
            })),
          }),
          5,
          ends,
        ),
    ],
  ];
  let turn = 0;
  return [
    loop('insider', 20, async () => {
      const [name, during] = attacks[turn % attacks.length] ?? attacks[0]!;
      turn += 1;
      count(`insider: ${name}`);
      await hello(order, {}, during);
    }),
    // In the second half only: until then the attacks above have the logins that one agent may make.
    delay(order.attackMs / 2).then(() => loop('login', 20, () => hello(order, {}, () => undefined))),
  ];
}

/**
 * Linux has a priority for each thread: those of V8, which collect the garbage of the attacks, would compete with
 * Central.
 */
function yieldToOthers(): void {
  for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), constants.priority.PRIORITY_LOW);
}

process.on(
  'message',
  (message: { readonly kind: 'start'; readonly order: AttackOrder } | { readonly kind: 'stop' }) => {
    if (message.kind === 'start') {
      yieldToOthers();
      setTimeout(() => process.exit(3), message.order.longestMs).unref();
      void Promise.all([...strangers(message.order), ...insider(message.order)]);
      return;
    }
    stopping = true;
    for (const socket of open) socket.destroy();
    process.send?.(counts);
    setTimeout(() => process.exit(0), 200);
  },
);
