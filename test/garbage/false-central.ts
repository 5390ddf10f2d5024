// A Central of the tests' own that says what a test wants: right up to a point, and wrong from there. It has the
// signing key that its agents learnt at "enrollment", so that they believe its welcome.
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { withChecksum } from '../../shared/wire/checksum.ts';
import { LIMITS, SUBPROTOCOL, type Challenge, type Hello, type Welcome } from '../../shared/wire/messages.ts';
import { signTranscript, welcomeTranscript } from '../../shared/wire/proof.ts';
import type { Cleanup } from '../flow/processes.ts';

export const CENTRAL_NAME = 'false.central.example';

/** What one connection gets; the agent's frames come as they are. */
export type Part = (line: FalseLine) => void | Promise<void>;

export class FalseLine {
  readonly webSocket: WebSocket;
  readonly frames: Record<string, unknown>[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #key: KeyObject;
  #wake: () => void = () => undefined;

  constructor(webSocket: WebSocket, key: KeyObject) {
    this.webSocket = webSocket;
    this.#key = key;
    webSocket.on('error', () => undefined);
    webSocket.on('message', (data: Buffer) => {
      this.frames.push(JSON.parse(data.toString()) as Record<string, unknown>);
      this.#wake();
    });
    this.closed = new Promise((resolve) =>
      webSocket.once('close', (code: number, reason: Buffer) => resolve({ code, reason: reason.toString() })),
    );
  }

  /** A text is sent as it is, anything else with its checksum. */
  send(frame: unknown): void {
    this.webSocket.send(typeof frame === 'string' ? frame : withChecksum(JSON.stringify(frame)));
  }

  /** The first frame of a type; undefined when the connection closes without it. */
  async frame(type: string): Promise<Record<string, unknown> | undefined> {
    for (;;) {
      const found = this.frames.find((frame) => frame['type'] === type);
      if (found !== undefined) return found;
      const closed = await Promise.race([
        this.closed,
        new Promise<undefined>((resolve) => (this.#wake = () => resolve(undefined))),
      ]);
      if (closed !== undefined) return undefined;
    }
  }

  /** Challenge, hello, welcome: from here the agent believes what this Central says. */
  async welcome(change: Partial<Welcome> = {}): Promise<void> {
    const challenge: Challenge = {
      type: 'challenge',
      nonce: randomBytes(24).toString('base64url'),
      centralName: CENTRAL_NAME,
      sentAt: new Date().toISOString(),
    };
    this.send(challenge);
    const hello = (await this.frame('hello')) as Hello | undefined;
    if (hello === undefined) throw new Error('no hello came');
    const unsigned: Omit<Welcome, 'signature'> = {
      type: 'welcome',
      sessionId: randomBytes(8).toString('hex'),
      epoch: 1,
      time: Date.now(),
      heartbeatSeconds: 60,
      limits: { ...LIMITS },
      logs: { up: null },
      ...change,
    };
    this.send({ ...unsigned, signature: signTranscript(welcomeTranscript(hello, CENTRAL_NAME, unsigned), this.#key) });
  }
}

export class FalseCentral {
  readonly port: number;
  /** SubjectPublicKeyInfo, DER, base64. */
  readonly signingKey: string;
  readonly #webSockets: WebSocketServer;
  readonly #server: Server;
  /** Of each connection the next one; when there is none left, `rest`. */
  readonly parts: Part[] = [];
  rest: Part = (line) => line.webSocket.close(1001);
  /** Connections that came so far. */
  dialled = 0;

  private constructor(server: Server, key: KeyObject, signingKey: string) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.signingKey = signingKey;
    this.#webSockets = new WebSocketServer({ server, handleProtocols: () => SUBPROTOCOL });
    this.#webSockets.on('connection', (webSocket) => {
      this.dialled += 1;
      // A part that fails shows in what its test waits for.
      void Promise.resolve((this.parts.shift() ?? this.rest)(new FalseLine(webSocket, key))).catch(() =>
        webSocket.terminate(),
      );
    });
  }

  static async start(cleanup: Cleanup): Promise<FalseCentral> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const central = new FalseCentral(
      server,
      privateKey,
      publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
    );
    cleanup.add(() => central.stop());
    return central;
  }

  stop(): void {
    for (const webSocket of this.#webSockets.clients) webSocket.terminate();
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
