// An agent in tests of sessions: its key and its hello, and its WebSocket, which keeps what Central sends and emits
// what the agent sends.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { AgentRecord } from '../../../central/store/agent-store.ts';
import type { Challenge, Hello } from '../../../shared/wire/messages.ts';
import type { ReleaseState } from '../../../shared/wire/release-frames.ts';
import { helloTranscript, shownThumbprint, signTranscript } from '../../../shared/wire/proof.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).toString('base64');

/** As it is registered, as far as a handshake looks. */
export const AGENT = {
  id: 'a1',
  state: 'enrolled',
  keyThumbprint: shownThumbprint(spki),
  certificate: null,
  next: null,
  quarantinedUntil: null,
  revocation: null,
} as unknown as AgentRecord;

/** What it reports of a release on trial. */
export const RELEASE_STATE: ReleaseState = {
  type: 'release-state',
  kind: 'profile',
  generation: 1,
  release: '0'.repeat(64),
  state: 'trying',
  receivedBytes: 0,
  totalBytes: 0,
  code: '',
  detail: '',
  hint: '',
};

/** Its hello on ws. What is changed is signed as well, but for a signature. */
export function hello(challenge: Challenge, change: Partial<Hello> = {}): Buffer {
  const unsigned: Omit<Hello, 'signature'> = {
    type: 'hello',
    id: 'a1',
    name: 'branch',
    key: spki,
    version: '0.1.0',
    bootId: 'b'.repeat(32),
    challenge: challenge.nonce,
    nonce: 'n'.repeat(32),
    transport: 'ws',
    binding: null,
    releases: { profile: null, runtime: null, program: null },
    capabilities: [],
    logs: { down: null },
    ...change,
  };
  const signature = signTranscript(helloTranscript(challenge, unsigned), privateKey);
  return Buffer.from(JSON.stringify({ ...unsigned, signature, ...change }));
}

export class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  isPaused = true;
  /** As they were sent. */
  readonly texts: string[] = [];
  readonly sent: { type: string; [name: string]: unknown }[] = [];
  /** Called when the operating system has taken a frame; kept while `takes` is false. */
  readonly written: (() => void)[] = [];
  takes = true;
  closed: number | undefined;
  terminations = 0;

  /** As its users know it. */
  get webSocket(): WebSocket {
    return this as unknown as WebSocket;
  }

  send(text: string | Buffer, written?: () => void): void {
    if (typeof text !== 'string') return written?.();
    this.texts.push(text);
    this.sent.push(JSON.parse(text) as { type: string });
    if (written === undefined) return;
    if (this.takes) written();
    else this.written.push(written);
  }

  ping(): void {}

  close(code: number): void {
    this.closed = code;
    this.readyState = 2;
  }

  terminate(): void {
    this.terminations += 1;
    this.emit('close', 1006, Buffer.alloc(0));
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

/** The TCP connection beneath it, with `more` of its members. */
export function fakeConnection(more: object = {}): Socket {
  const counters = { bytesRead: 0, bytesWritten: 0, writableLength: 0 };
  return Object.assign(new EventEmitter(), counters, more) as unknown as Socket;
}
