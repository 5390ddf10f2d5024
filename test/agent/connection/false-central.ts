// Centrals of the test's own, which may be false ones, and an agent that dials them.
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import {
  connectOnce,
  type ConnectionEnd,
  type ConnectionPorts,
  type DialPlan,
  type OnlineSession,
} from '../../../agent/connection/connection.ts';
import { keyThumbprint, readPublicKey, welcomeTranscript } from '../../../shared/wire/proof.ts';
import { LIMITS, SUBPROTOCOL, type Hello, type Position, type Welcome } from '../../../shared/wire/messages.ts';
import { HeldInbox, MemoryOutbox } from '../../shared/delivery/session-logs.ts';
import { NO_CONTROL, type Control } from '../../../agent/connection/control.ts';

export const KEYSTORES = 'test/fixtures/keystores';

export function keyPair(privateKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey) {
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const read = readPublicKey(spki);
  return {
    privateKey,
    pem: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    publicKey: spki,
    thumbprint: read === undefined ? '' : keyThumbprint(read),
  };
}

export const central = keyPair();
// An agent shows the certificate of its key, should it be asked for one.
export const agent = keyPair(createPrivateKey(readFileSync(`${KEYSTORES}/central.key`)));

/** An inbox that says where it is; at its beginning unless set. */
export class Inbox extends HeldInbox {
  readonly position: () => Promise<Position | null>;

  constructor(position: () => Promise<Position | null> = async () => null) {
    super();
    this.position = position;
  }
}

/** Dials ws on the port with a plan and ports that may be changed. */
export function dial(
  port: number,
  change: Partial<DialPlan> = {},
  control: Control = NO_CONTROL,
  ports: Partial<ConnectionPorts> = {},
  abort: AbortController = new AbortController(),
) {
  const outbox = new MemoryOutbox();
  const sessions: OnlineSession[] = [];
  const inbox = new Inbox();
  const ended = connectOnce(
    planFor(port, change),
    {
      outbox,
      inbox,
      now: Date.now,
      control,
      onOnline: (session) => void sessions.push(session),
      ...ports,
    },
    abort.signal,
  );
  onTestFinished(() => abort.abort());
  return { outbox, inbox, sessions, ended, abort };
}

/** A plan for ws on the port. */
export function planFor(port: number, change: Partial<DialPlan> = {}): DialPlan {
  return {
    target: { secure: false, host: '127.0.0.1', port },
    ca: [],
    truststore: 'conf/security/truststore.jks',
    key: agent,
    identity: {
      id: 'a1',
      name: 'branch',
      central: 'bank',
      signingKey: central.publicKey,
      certificate: readFileSync(`${KEYSTORES}/central.crt`, 'utf8'),
      host: '127.0.0.1',
      port,
      secure: false,
    },
    name: 'branch',
    version: '0.1.0',
    bootId: 'b'.repeat(32),
    proxied: false,
    release: null,
    ...change,
  };
}

/** Ends only what hangs. */
export const PATIENT = { timeout: 30_000, interval: 5 };

export const CHALLENGE = {
  type: 'challenge',
  nonce: 'c'.repeat(32),
  centralName: 'bank',
  sentAt: '2026-11-27T00:00:00.000Z',
} as const;

interface FalseCentral {
  /** What it sends at first; a challenge unless set. */
  readonly greet?: (socket: WebSocket) => void;
  /** Speaks TLS with the certificate of this host. */
  readonly secure?: boolean;
  /** What it sees of the TCP or TLS connection. */
  readonly onCarrier?: (carrier: Socket) => void;
}

/** A Central that answers a hello as `answer` says; its port. */
export async function falseCentral(
  answer: (socket: WebSocket, hello: Hello, text: Buffer) => void,
  { greet = (socket) => socket.send(JSON.stringify(CHALLENGE)), secure = false, onCarrier }: FalseCentral = {},
): Promise<number> {
  const server = secure
    ? createTlsServer({ key: readFileSync(`${KEYSTORES}/central.key`), cert: readFileSync(`${KEYSTORES}/central.crt`) })
    : createServer();
  const webSockets = new WebSocketServer({ server, handleProtocols: () => SUBPROTOCOL });
  webSockets.on('connection', (socket, request) => {
    onCarrier?.(request.socket);
    socket.on('error', () => undefined);
    socket.once('message', (data: Buffer) => answer(socket, JSON.parse(data.toString()) as Hello, data));
    greet(socket);
  });
  return await listening(server, () => {
    for (const socket of webSockets.clients) socket.terminate();
  });
}

/** The port of a server on loopback, which ends with the test. */
export async function listening(server: Server, atEnd: () => void = () => undefined): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    atEnd();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** `said`: what Central says beside what it has signed. */
export function welcome(hello: Hello, key = central, said: Partial<Welcome> = {}): Welcome {
  const unsigned: Omit<Welcome, 'signature'> = {
    type: 'welcome',
    sessionId: 's1',
    time: 1_790_000_000_000,
    epoch: 1,
    heartbeatSeconds: 60,
    limits: { ...LIMITS },
    logs: { up: null },
  };
  return {
    ...unsigned,
    ...said,
    signature: sign('sha256', Buffer.from(welcomeTranscript(hello, 'bank', unsigned)), key.privateKey).toString(
      'base64',
    ),
  };
}

export async function codeOf(
  ended: Promise<ConnectionEnd>,
): Promise<{ code: string; terminal: boolean; retryAfterMs: number }> {
  const { reason, terminal, retryAfterMs } = await ended;
  return { code: reason.code, terminal, retryAfterMs };
}
