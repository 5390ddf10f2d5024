// Handles accepted sockets until their protocol is known: reads the PROXY header of a trusted proxy, tells TLS from
// plain by the first byte, holds a place until the peer is welcomed, and cuts connections that miss their deadline.
// Fastify never listens; it gets its sockets here.
import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import { systemCode, type CodedError } from '../../../shared/errors.ts';
import { ReadTurns, type ReadTurn } from '../../../shared/http/read-turns.ts';
import { addressBlock } from '../../auth/address-rules.ts';
import { normalAddress, type AddressSet } from '../../parameters/address-access.ts';
import { Places, UNSHARED, type Place } from '../../auth/places.ts';
import { handshakeFault, tlsFault } from './handshake-faults.ts';
import { readProxyHeader } from './proxy-header.ts';
import { TlsOverhead } from '../limits/tls-overhead.ts';
import { Turns } from '../limits/turns.ts';

/** A TLS record of type handshake (RFC 8446 section 5.1): no HTTP request begins with this byte. */
const TLS_HANDSHAKE = 0x16;
/**
 * Of the peer: hello, certificates and signature take 10 KiB at most. OpenSSL accepts a hello of 128 KiB in records of
 * one byte each: 770 KiB, which cost 33 ms.
 */
const MAX_HANDSHAKE_BYTES = 32 * 1024;

interface ConnectionsOptions {
  readonly http: HttpServer;
  /** Does the TLS handshake; never bound itself. Absent on a ws listener. */
  readonly tls?: TlsServer;
  /** From TCP accept until the peer is welcomed or an HTTP request has arrived. */
  readonly deadlineMs: () => number;
  /** Who may send a PROXY protocol header. Absent where none is expected: then it is neither HTTP nor TLS. */
  readonly proxies?: () => AddressSet;
  /** Of this listener only: no other one starves it. */
  readonly places?: Places;
  /** One for all listeners. */
  readonly turns?: Turns;
  readonly tlsOverhead?: TlsOverhead;
  readonly readTurns?: Pick<ReadTurns, 'enter'>;
  /** The connection failed: called once for each, and not when a silent peer leaves again. */
  readonly onFailure: (fault: CodedError, address: string) => void;
}

/** The answers to plain text on a TLS port, and the reverse. */
const SPEAKS_TLS = 'This port speaks TLS: use https:// or wss:// (in agent.conf central.websocket.secure=true).';
const SPEAKS_PLAIN =
  'This port does not speak TLS: use http:// or ws:// (in agent.conf central.websocket.secure=false), or dial the wss port.';

/** What a timed-out connection did not do, for `handshake_timeout`. */
const WAITING = {
  first: 'no data arrived',
  wrong: 'the peer continued in the wrong protocol',
  tls: 'the TLS handshake was not finished',
  request: 'no request was completed',
} as const;

interface PendingConnection {
  /** TCP; with TLS, what carries it. */
  readonly socket: Socket;
  readonly acceptedAt: number;
  /** Of the origin, as far as known. */
  address: string;
  /** The address that the PROXY protocol named. */
  announced?: string;
  readonly place: Place;
  /** Until it is welcomed. */
  readTurn?: ReadTurn;
  /** Looks for a flood of TLS records without data. */
  checkTls?: () => void;
  /** The beginning of what may become a PROXY protocol header. */
  head: Buffer;
  timer: NodeJS.Timeout | undefined;
  /** `request`: HTTP is waited for, after TLS or without. */
  waitsFor: keyof typeof WAITING;
  reported: boolean;
}

/** Connections by their two ends, which TLS does not change. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #places: Places;
  readonly #turns: Turns;
  readonly #tlsOverhead: TlsOverhead;
  readonly #readTurns: Pick<ReadTurns, 'enter'>;
  /** All open connections, settled ones included. */
  readonly #pending = new Map<string, PendingConnection>();
  readonly #open = new Set<Socket>();
  #tls: TlsServer | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#places = options.places ?? new Places(() => Number.POSITIVE_INFINITY);
    this.#turns = options.turns ?? new Turns();
    this.#tlsOverhead = options.tlsOverhead ?? new TlsOverhead();
    this.#readTurns = options.readTurns ?? new ReadTurns();
    // Node starts its own header and request timeouts when an HTTP server begins to listen; this one never does
    // (tried).
    options.http.emit('listening');
    // Fastify answers it; here it is reported. What a settled connection sends later is not a handshake.
    options.http.on('clientError', (error, socket) => {
      const code = systemCode(error) ?? '';
      const connection = 'remotePort' in socket ? this.#pending.get(keyOf(socket as Socket)) : undefined;
      if (code.startsWith('HPE_') && connection?.timer !== undefined)
        this.#fail(connection, handshakeFault('not_http', { found: code }, error));
    });
    if (options.tls !== undefined) this.useTls(options.tls);
  }

  /** New handshakes use this server; connections of the one before stay open. */
  useTls(tls: TlsServer): void {
    this.#tls = tls;
    tls.on('secureConnection', (socket) => {
      const connection = this.#pending.get(keyOf(socket));
      if (connection !== undefined) {
        connection.waitsFor = 'request';
        connection.checkTls = this.#tlsOverhead.watch(connection.socket, socket, (bytes) =>
          this.#failFlood(connection, bytes),
        );
        connection.readTurn?.serves(socket);
      }
      this.#options.http.emit('connection', socket);
    });
    tls.on('tlsClientError', (error, socket) => {
      const fault = tlsFault(error, this.#deadlineSeconds());
      if (fault !== undefined) this.#fail(this.#pending.get(keyOf(socket)), fault);
      socket.destroy();
    });
  }

  /** For openBinding. */
  readonly accept = (socket: Socket): void => {
    const key = keyOf(socket);
    const address = normalAddress(socket.remoteAddress);
    // A reset only ends the connection; `close` follows. Later a protocol takes the socket over.
    socket.on('error', () => undefined);
    // Reset before it was accepted (as health checks of load balancers do): the peer is gone and its address unknown.
    if (socket.remoteAddress === undefined && socket.localPort !== undefined) return void socket.destroy();
    // Until it has named the origin, a trusted proxy has no share of its own.
    const place = this.#places.enter(this.#isProxy(address) ? UNSHARED : address, (fault) => {
      this.#fail(connection, fault);
      socket.destroy();
    });
    if (!('leave' in place)) {
      this.#options.onFailure(place, address);
      return void socket.destroy();
    }
    const timer = setTimeout(() => {
      this.#fail(
        connection,
        handshakeFault('handshake_timeout', { seconds: this.#deadlineSeconds(), found: WAITING[connection.waitsFor] }),
      );
      socket.destroy();
    }, this.#options.deadlineMs());
    const connection: PendingConnection = {
      socket,
      acceptedAt: performance.now(),
      address,
      place,
      head: Buffer.alloc(0),
      timer,
      waitsFor: 'first',
      reported: false,
    };
    this.#pending.set(key, connection);
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      place.leave();
      connection.readTurn?.leave();
      // A Node client that rejects the certificate hangs up before its last handshake message (tried). A client that
      // finishes the handshake and leaves has inspected the certificate (load balancers, the doctor, an enrollment); a
      // silent one has probed the port.
      if (connection.waitsFor === 'tls') this.#fail(connection, handshakeFault('peer_left_in_tls', {}));
      clearTimeout(connection.timer);
      if (this.#pending.get(key) === connection) this.#pending.delete(key);
    });
    this.#expectBytes(socket, connection);
  };

  /** When the connection under this socket was accepted (performance.now()). */
  acceptedAt(socket: Socket): number {
    return this.#pending.get(keyOf(socket))?.acceptedAt ?? performance.now();
  }

  /** The origin that a trusted proxy has named (PROXY protocol). */
  announced(socket: Socket): string | undefined {
    return this.#pending.get(keyOf(socket))?.announced;
  }

  /** The place of a connection that is not yet welcomed. */
  placeOf(socket: Socket): Place | undefined {
    return this.#pending.get(keyOf(socket))?.place;
  }

  /** The protocol is established: the deadline is lifted. */
  settle(socket: Socket): void {
    const connection = this.#pending.get(keyOf(socket));
    clearTimeout(connection?.timer);
    if (connection !== undefined) connection.timer = undefined;
  }

  /** It is a WebSocket now: the handshake has a deadline and a place of its own. */
  upgraded(socket: Socket): void {
    this.settle(socket);
    this.placeOf(socket)?.leave();
  }

  /** It is a session of an agent now: reading it has bounds of its own. */
  welcomed(socket: Socket): void {
    this.#pending.get(keyOf(socket))?.readTurn?.leave();
  }

  /** Closes all open connections. */
  destroyAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #boundHandshake(connection: PendingConnection): void {
    const { socket } = connection;
    const check = (): void => {
      if (socket.bytesRead <= MAX_HANDSHAKE_BYTES) return;
      this.#failFlood(connection, socket.bytesRead);
      socket.destroy();
    };
    connection.checkTls = check;
    check();
  }

  #failFlood(connection: PendingConnection, bytes: number): void {
    this.#tlsOverhead.slowDown(addressBlock(connection.address));
    this.#fail(connection, handshakeFault('tls_without_data', { bytes }));
  }

  #fail(connection: PendingConnection | undefined, fault: CodedError): void {
    if (connection === undefined || connection.reported) return;
    connection.reported = true;
    this.#options.onFailure(fault, connection.address);
  }

  #deadlineSeconds(): number {
    return this.#options.deadlineMs() / 1000;
  }

  #isProxy(address: string): boolean {
    return this.#options.proxies?.().has(address) === true;
  }

  /** The first bytes are handled in a turn of their own: a TLS handshake costs a signature. */
  #expectBytes(socket: Socket, connection: PendingConnection): void {
    socket.once('readable', () =>
      this.#turns.take(addressBlock(connection.address), () => this.#dispatch(socket, connection)),
    );
  }

  #dispatch(socket: Socket, connection: PendingConnection): void {
    if (socket.destroyed) return;
    const chunk: unknown = socket.read();
    if (!Buffer.isBuffer(chunk) || chunk.length === 0)
      return void (socket.readableEnded || this.#expectBytes(socket, connection));
    const said = connection.head.length === 0 ? chunk : Buffer.concat([connection.head, chunk]);
    connection.head = Buffer.alloc(0);
    const first =
      this.#options.proxies === undefined || connection.announced !== undefined
        ? said
        : this.#afterProxyHeader(socket, connection, said);
    if (first !== undefined) this.#handOver(socket, connection, first);
  }

  /**
   * The bytes after a PROXY header, or all bytes without one; undefined when more are needed or the connection has
   * ended.
   */
  #afterProxyHeader(socket: Socket, connection: PendingConnection, said: Buffer): Buffer | undefined {
    const header = readProxyHeader(said);
    const { address: peer } = connection;
    if (header.kind === 'absent') return said;
    const end = (fault: CodedError): undefined => {
      this.#fail(connection, fault);
      socket.destroy();
    };
    // Others send nothing more of it: 4 KiB in pieces of a byte are copied with each (200 connections: 4 s, 150 MiB).
    const isCertain = header.kind !== 'incomplete' || header.isHeader;
    if (isCertain && !this.#isProxy(peer)) return end(handshakeFault('proxy_header_untrusted', { peer }));
    if (header.kind === 'incomplete') {
      connection.head = said;
      this.#expectBytes(socket, connection);
      return undefined;
    }
    if (header.kind === 'version1') return end(handshakeFault('proxy_header_version', { peer }));
    if (header.kind === 'malformed')
      return end(handshakeFault('proxy_header_malformed', { peer, found: header.found }));
    const source = normalAddress(header.source ?? peer);
    connection.announced = source;
    if (header.source !== undefined && !this.#isProxy(source)) {
      connection.address = source;
      const refused = connection.place.move(source);
      if (refused !== undefined) return end(refused);
    }
    const rest = said.subarray(header.bytes);
    if (rest.length > 0) return rest;
    this.#expectBytes(socket, connection);
    return undefined;
  }

  #handOver(socket: Socket, connection: PendingConnection, chunk: Buffer): void {
    const speaksTls = chunk[0] === TLS_HANDSHAKE;
    const { http } = this.#options;
    const tls = this.#tls;
    connection.waitsFor = speaksTls !== (tls !== undefined) ? 'wrong' : speaksTls ? 'tls' : 'request';
    if (speaksTls === (tls !== undefined)) {
      const emit = (): void => {
        if (socket.destroyed) return;
        if (speaksTls) this.#boundHandshake(connection);
        if (socket.destroyed) return;
        socket.unshift(chunk);
        (tls ?? http).emit('connection', socket);
        const block = addressBlock(connection.address);
        if (tls === undefined) (connection.readTurn = this.#readTurns.enter(socket, block)).serves(socket);
        else connection.readTurn = this.#readTurns.enter(socket, block, () => connection.checkTls?.());
      };
      const delayMs = speaksTls ? this.#tlsOverhead.delayOf(addressBlock(connection.address)) : 0;
      if (delayMs === 0) emit();
      // The deadline of the connection goes on.
      else setTimeout(emit, delayMs).unref();
      return;
    }
    socket.unshift(chunk);
    // Only the doctor sends HEAD, to read the clock of Central (agent/doctor/network.ts): not a failure.
    if (chunk.toString('latin1', 0, 5) !== 'HEAD ')
      this.#fail(connection, handshakeFault(speaksTls ? 'tls_on_plain' : 'plain_on_tls', {}));
    socket.end(wrongProtocol(speaksTls ? SPEAKS_PLAIN : SPEAKS_TLS));
    // What the peer still sends is discarded, so that it sees the answer and not a reset; the deadline bounds it.
    socket.resume();
  }
}

/** With the time of Central's clock, as every answer of an HTTP server has it (RFC 9110 section 6.6.1). */
function wrongProtocol(text: string): string {
  return `HTTP/1.1 400 Bad Request\r\nDate: ${new Date().toUTCString()}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${text}\n`;
}

function keyOf({ remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
