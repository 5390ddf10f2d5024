// Owns what happens between accept and protocol: the first byte tells TLS from plain, and a connection that does not become
// something within its time is cut. Fastify never listens; sockets are handed to it here.
import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import { systemCode, type CodedError } from '../../shared/errors.ts';
import { handshakeFault, tlsFault } from './handshake-faults.ts';

/** A TLS record of type handshake (RFC 8446 section 5.1): no HTTP request begins with this byte. */
const TLS_HANDSHAKE = 0x16;

export interface ConnectionsOptions {
  readonly http: HttpServer;
  /** Does the handshake first; never bound itself. Absent on a listener that speaks plain. */
  readonly tls?: TlsServer;
  /** From TCP accept until the peer is welcomed or an HTTP request has arrived. */
  readonly deadlineMs: () => number;
  /** The connection comes to nothing: told once for each, and not when a peer that said nothing leaves again. */
  readonly onFailure: (fault: CodedError, address: string) => void;
}

/** Plain text on a port that speaks TLS, and the reverse: readable by people and by tools. */
const SPEAKS_TLS = 'This port speaks TLS: use https:// or wss:// (in agent.conf central.websocket.secure=true).';
const SPEAKS_PLAIN = 'This port does not speak TLS: use http:// or ws:// (in agent.conf central.websocket.secure=false), or dial the secure port.';

/** What is waited for, as the end of a sentence. */
const WAITING = { first: 'it said nothing', wrong: 'it went on in the wrong protocol', tls: 'the TLS handshake was not finished', request: 'no request was finished' } as const;

interface Newcomer {
  readonly acceptedAt: number;
  readonly address: string;
  readonly timer: NodeJS.Timeout;
  /** `request`: HTTP is waited for, after TLS or without. */
  waitsFor: keyof typeof WAITING;
  told: boolean;
}

/** Connections that are accepted and not yet anything; keyed by the peer's address and port, which TLS does not change. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #newcomers = new Map<string, Newcomer>();
  readonly #open = new Set<Socket>();
  #tls: TlsServer | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    // Node starts its own header and request timeouts when an HTTP server begins to listen; this one never does (tried).
    options.http.emit('listening');
    // Fastify answers it; here it is told. What a settled connection sends later is no handshake.
    options.http.on('clientError', (error, socket) => {
      const code = systemCode(error) ?? '';
      if (code.startsWith('HPE_') && 'remotePort' in socket) this.#fail(this.#newcomers.get(keyOf(socket as Socket)), handshakeFault('not_http', { found: code }, error));
    });
    if (options.tls !== undefined) this.useTls(options.tls);
  }

  /** Handshakes from now on are done by this one; connections that came through the one before live on. */
  useTls(tls: TlsServer): void {
    this.#tls = tls;
    tls.on('secureConnection', (socket) => {
      const newcomer = this.#newcomers.get(keyOf(socket));
      if (newcomer !== undefined) newcomer.waitsFor = 'request';
      this.#options.http.emit('connection', socket);
    });
    tls.on('tlsClientError', (error, socket) => {
      const fault = tlsFault(error, this.#deadlineSeconds());
      if (fault !== undefined) this.#fail(this.#newcomers.get(keyOf(socket)), fault);
      socket.destroy();
    });
  }

  /** For openBinding. */
  readonly accept = (socket: Socket): void => {
    const key = keyOf(socket);
    const timer = setTimeout(() => {
      this.#fail(newcomer, handshakeFault('handshake_timeout', { seconds: this.#deadlineSeconds(), found: WAITING[newcomer.waitsFor] }));
      socket.destroy();
    }, this.#options.deadlineMs());
    const newcomer: Newcomer = { acceptedAt: performance.now(), address: socket.remoteAddress ?? '', timer, waitsFor: 'first', told: false };
    this.#newcomers.set(key, newcomer);
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      // Node hangs up before its last message of the handshake when it does not take the certificate (tried). Whoever finishes it and
      // leaves has looked at it (balancers, the doctor, an enrolment); whoever said nothing, at the port.
      if (newcomer.waitsFor === 'tls') this.#fail(newcomer, handshakeFault('peer_left_in_tls', {}));
      this.settle(socket, key);
    });
    // Until a protocol takes the socket over, a reset by the peer is nothing but its end; `close` follows.
    socket.on('error', () => undefined);
    socket.once('readable', () => this.#dispatch(socket));
  };

  /** When the connection under this socket was accepted (performance.now()). */
  acceptedAt(socket: Socket): number {
    return this.#newcomers.get(keyOf(socket))?.acceptedAt ?? performance.now();
  }

  /** The connection has become something: its deadline is lifted. */
  settle(socket: Socket, key = keyOf(socket)): void {
    const newcomer = this.#newcomers.get(key);
    if (newcomer === undefined) return;
    clearTimeout(newcomer.timer);
    this.#newcomers.delete(key);
  }

  /** Cuts whatever is left. */
  destroyAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #fail(newcomer: Newcomer | undefined, fault: CodedError): void {
    if (newcomer === undefined || newcomer.told) return;
    newcomer.told = true;
    this.#options.onFailure(fault, newcomer.address);
  }

  #deadlineSeconds(): number {
    return this.#options.deadlineMs() / 1000;
  }

  #dispatch(socket: Socket): void {
    const chunk: unknown = socket.read();
    if (!Buffer.isBuffer(chunk) || chunk.length === 0) return;
    socket.unshift(chunk);
    const speaksTls = chunk[0] === TLS_HANDSHAKE;
    const { http } = this.#options;
    const tls = this.#tls;
    const newcomer = this.#newcomers.get(keyOf(socket));
    if (newcomer !== undefined) newcomer.waitsFor = speaksTls !== (tls !== undefined) ? 'wrong' : speaksTls ? 'tls' : 'request';
    if (speaksTls === (tls !== undefined)) {
      (tls ?? http).emit('connection', socket);
      return;
    }
    // No agent sends HEAD, but the doctor asks so what the time is here (agent/doctor-line.ts): no failure.
    if (chunk.toString('latin1', 0, 5) !== 'HEAD ') this.#fail(newcomer, handshakeFault(speaksTls ? 'tls_on_plain' : 'plain_on_tls', {}));
    socket.end(wrongProtocol(speaksTls ? SPEAKS_PLAIN : SPEAKS_TLS));
    // What the peer still sends is read away, so that it sees the answer and not a reset; the deadline bounds it.
    socket.resume();
  }
}

/** With the time of Central's clock, as every answer of an HTTP server has it (RFC 9110 section 6.6.1). */
function wrongProtocol(text: string): string {
  return `HTTP/1.1 400 Bad Request\r\nDate: ${new Date().toUTCString()}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${text}\n`;
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? 0}`;
}
