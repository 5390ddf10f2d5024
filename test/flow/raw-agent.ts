// An agent of the tests' own that speaks the protocol by hand, so that it can speak it wrongly: frames are kept as they
// come, and every hello can be changed before or after it is signed.
import { createPublicKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { makeRequest } from '../../agent/enrollment/csr.ts';
import { withChecksum } from '../../shared/wire/checksum.ts';
import { AGENT_PATH, type Challenge, type Hello, SUBPROTOCOL } from '../../shared/wire/messages.ts';
import {
  channelBinding,
  helloTranscript,
  keyThumbprint,
  readPublicKey,
  signTranscript,
} from '../../shared/wire/proof.ts';
import { type CentralProcess, type Cleanup, until } from './processes.ts';

export interface RawKey {
  readonly privateKey: KeyObject;
  readonly spki: string;
  readonly thumbprint: string;
}

export function newKey(): RawKey {
  return rawKey(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey);
}

export function rawKey(privateKey: KeyObject): RawKey {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).toString('base64');
  const publicKey = readPublicKey(spki);
  if (publicKey === undefined) throw new Error('no key');
  return { privateKey, spki, thumbprint: keyThumbprint(publicKey) };
}

/** Registers the key over wss with a fresh token; the id of the agent. */
export async function enrollKey(central: CentralProcess, key: RawKey, name: string, id?: string): Promise<string> {
  const [, url = '', , token = ''] = await central.enrollment();
  const csr = await makeRequest(
    { privateKey: key.privateKey, pem: '', publicKey: key.spki, thumbprint: key.thumbprint },
    name,
  );
  const { request } = await import('node:https');
  const ca = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
  const body = JSON.stringify({ csr: csr.pem, name, token, ...(id === undefined ? {} : { id }) });
  return await new Promise((resolve, reject) => {
    const sent = request(
      new URL('/enroll', url),
      { method: 'POST', ca, headers: { 'content-type': 'application/json' } },
      (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () =>
          answer.statusCode === 200 ? resolve((JSON.parse(text) as { id: string }).id) : reject(new Error(text)),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** A TLS session that Central gives to a client with this certificate, or without one; to be resumed. */
export async function tlsSession(
  cleanup: Cleanup,
  central: CentralProcess,
  client: { readonly cert?: string; readonly key?: string } = {},
): Promise<Buffer> {
  const socket = connect({
    host: 'localhost',
    servername: 'localhost',
    port: central.ports.wss,
    ca: String((await central.rest('GET', '/ca/trust-bundle.pem')).body),
    minVersion: 'TLSv1.3',
    ...client,
  });
  cleanup.add(() => socket.destroy());
  socket.on('data', () => undefined);
  const [session] = (await once(socket, 'session')) as [Buffer];
  return session;
}

export interface Frame {
  readonly type: string;
  readonly [name: string]: unknown;
}

export interface HelloOrder {
  readonly id: string;
  readonly key: RawKey;
  readonly name: string;
  readonly bootId?: string;
  /** Changes what is signed. */
  readonly change?: Partial<Hello>;
  /** Changes it after it was signed. */
  readonly tamper?: Partial<Hello>;
}

export class RawAgent {
  readonly webSocket: WebSocket;
  readonly frames: Frame[] = [];
  closed: { code: number; reason: string } | undefined;
  #carrier: IncomingMessage['socket'] | undefined;

  private constructor(webSocket: WebSocket) {
    this.webSocket = webSocket;
    webSocket.on('upgrade', (response: IncomingMessage) => (this.#carrier = response.socket));
    webSocket.on('message', (data: Buffer) => this.frames.push(JSON.parse(data.toString()) as Frame));
    webSocket.on('close', (code: number, reason: Buffer) => (this.closed = { code, reason: reason.toString() }));
    webSocket.on('error', () => undefined);
  }

  static async dial(
    cleanup: Cleanup,
    url: string,
    ca?: string,
    client: {
      readonly cert?: string;
      readonly key?: string;
      readonly session?: Buffer;
      readonly servername?: string;
      readonly localAddress?: string;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<RawAgent> {
    const webSocket = new WebSocket(`${url}${AGENT_PATH}`, SUBPROTOCOL, {
      perMessageDeflate: false,
      ...(ca === undefined ? {} : { ca, minVersion: 'TLSv1.3' }),
      ...client,
    });
    const agent = new RawAgent(webSocket);
    cleanup.add(() => webSocket.terminate());
    await agent.frame('challenge');
    return agent;
  }

  /** The TLS handshake was cut short by one from before. */
  get resumed(): boolean {
    return this.#carrier instanceof TLSSocket && this.#carrier.isSessionReused();
  }

  static async ws(cleanup: Cleanup, central: CentralProcess): Promise<RawAgent> {
    return await RawAgent.dial(cleanup, `ws://127.0.0.1:${central.ports.ws}`);
  }

  static async wss(
    cleanup: Cleanup,
    central: CentralProcess,
    client: { readonly cert?: string; readonly key?: string; readonly session?: Buffer } = {},
  ): Promise<RawAgent> {
    return await RawAgent.dial(
      cleanup,
      `wss://localhost:${central.ports.wss}`,
      String((await central.rest('GET', '/ca/trust-bundle.pem')).body),
      client,
    );
  }

  /** The first frame of a type; fails when the connection closes without it. */
  async frame(type: string): Promise<Frame> {
    return await until(
      () => {
        const found = this.frames.find((frame) => frame.type === type);
        if (found === undefined && this.closed !== undefined)
          throw new Error(`closed without ${type}: ${JSON.stringify([this.closed, this.frames])}`);
        return found;
      },
      15_000,
      () => `no ${type}: ${JSON.stringify(this.frames)}`,
    );
  }

  async close(): Promise<{ code: number; reason: string }> {
    return await until(
      () => this.closed,
      15_000,
      () => `not closed: ${JSON.stringify(this.frames)}`,
    );
  }

  hello({ id, key, name, bootId, change, tamper }: HelloOrder): Hello {
    const challenge = this.frames[0] as unknown as Challenge;
    const carrier = this.#carrier;
    const hello: Omit<Hello, 'signature'> = {
      type: 'hello',
      id,
      name,
      key: key.spki,
      version: 'raw',
      bootId: bootId ?? randomBytes(24).toString('base64url'),
      challenge: challenge.nonce,
      nonce: randomBytes(24).toString('base64url'),
      transport: carrier instanceof TLSSocket ? 'wss' : 'ws',
      binding: carrier instanceof TLSSocket ? (channelBinding(carrier) ?? null) : null,
      releases: { profile: null, runtime: null, program: null },
      capabilities: [],
      logs: { down: null },
      ...change,
    };
    return { ...hello, signature: signTranscript(helloTranscript(challenge, hello), key.privateKey), ...tamper };
  }

  send(frame: object): void {
    this.sendText(JSON.stringify(frame));
  }

  /** A frame as it is, with the checksum that plain ws asks for. */
  sendText(json: string): void {
    this.webSocket.send(this.#carrier instanceof TLSSocket ? json : withChecksum(json));
  }

  /** Sends a hello and waits for the refusal: its code, and the close code. */
  async refused(order: HelloOrder): Promise<{ code: unknown; close: number }> {
    this.send(this.hello(order));
    const refuse = await this.frame('refuse');
    return { code: refuse['code'], close: (await this.close()).code };
  }

  async welcomed(order: HelloOrder): Promise<Frame> {
    this.send(this.hello(order));
    return await this.frame('welcome');
  }
}
