// Owns what happens between accept and protocol: a named proxy's word on the origin, the first byte that tells TLS from plain, the
// place that a connection has until it is welcomed, and that what does not become something within its time is cut. Fastify never
// listens; sockets are handed to it here.
import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import { systemCode, type CodedError } from '../../../shared/errors.ts';
import { addressBlock, normalAddress, type AddressSet } from '../../auth/address-rules.ts';
import { Places, UNSHARED, type Place } from '../../auth/places.ts';
import { handshakeFault, tlsFault } from './handshake-faults.ts';
import { readProxyHeader } from './proxy-header.ts';
import { Turns } from '../limits/turns.ts';

/** A TLS record of type handshake (RFC 8446 section 5.1): no HTTP request begins with this byte. */
const TLS_HANDSHAKE = 0x16;

export interface ConnectionsOptions {
  readonly http: HttpServer;
  /** Does the handshake first; never bound itself. Absent on a listener that speaks plain. */
  readonly tls?: TlsServer;
  /** From TCP accept until the peer is welcomed or an HTTP request has arrived. */
  readonly deadlineMs: () => number;
  /** Who may send a PROXY protocol header. Absent where none is expected: it is then what it is, no HTTP and no TLS. */
  readonly proxies?: () => AddressSet;
  /** Of this listener alone: no other one starves it. */
  readonly places?: Places;
  /** One for all listeners. */
  readonly turns?: Turns;
  /** The connection comes to nothing: told once for each, and not when a peer that said nothing leaves again. */
  readonly onFailure: (fault: CodedError, address: string) => void;
}

/** Plain text on a port that speaks TLS, and the reverse: readable by people and by tools. */
const SPEAKS_TLS = 'This port speaks TLS: use https:// or wss:// (in agent.conf central.websocket.secure=true).';
const SPEAKS_PLAIN =
  'This port does not speak TLS: use http:// or ws:// (in agent.conf central.websocket.secure=false), or dial the secure port.';

/** What is waited for, as the end of a sentence. */
const WAITING = {
  first: 'no data arrived',
  wrong: 'the peer continued in the wrong protocol',
  tls: 'the TLS handshake was not finished',
  request: 'no request was completed',
} as const;

interface Newcomer {
  readonly acceptedAt: number;
  /** Of the origin, as far as it is known here. */
  address: string;
  /** The address that the PROXY protocol named. */
  announced?: string;
  readonly place: Place;
  /** The beginning of what may become a PROXY protocol header. */
  head: Buffer;
  timer: NodeJS.Timeout | undefined;
  /** `request`: HTTP is waited for, after TLS or without. */
  waitsFor: keyof typeof WAITING;
  told: boolean;
}

/** Connections by their two ends, which TLS does not change. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #places: Places;
  readonly #turns: Turns;
  /** All that are open, also those that have become something. */
  readonly #newcomers = new Map<string, Newcomer>();
  readonly #open = new Set<Socket>();
  #tls: TlsServer | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#places = options.places ?? new Places(() => Number.POSITIVE_INFINITY);
    this.#turns = options.turns ?? new Turns();
    // Node starts its own header and request timeouts when an HTTP server begins to listen; this one never does (tried).
    options.http.emit('listening');
    // Fastify answers it; here it is told. What a settled connection sends later is no handshake.
    options.http.on('clientError', (error, socket) => {
      const code = systemCode(error) ?? '';
      const newcomer = 'remotePort' in socket ? this.#newcomers.get(keyOf(socket as Socket)) : undefined;
      if (code.startsWith('HPE_') && newcomer?.timer !== undefined)
        this.#fail(newcomer, handshakeFault('not_http', { found: code }, error));
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
    const address = normalAddress(socket.remoteAddress);
    // A reset by the peer is nothing but its end; `close` follows. Later a protocol takes the socket over.
    socket.on('error', () => undefined);
    // Reset before it was accepted (health checks of balancers do so): nobody is there, and nobody knows who was.
    if (socket.remoteAddress === undefined && socket.localPort !== undefined) return void socket.destroy();
    // Until it has said for whom it connects, a named proxy has no share of its own.
    const place = this.#places.enter(this.#isProxy(address) ? UNSHARED : address, (fault) => {
      this.#fail(newcomer, fault);
      socket.destroy();
    });
    if (!('leave' in place)) {
      this.#options.onFailure(place, address);
      return void socket.destroy();
    }
    const timer = setTimeout(() => {
      this.#fail(
        newcomer,
        handshakeFault('handshake_timeout', { seconds: this.#deadlineSeconds(), found: WAITING[newcomer.waitsFor] }),
      );
      socket.destroy();
    }, this.#options.deadlineMs());
    const newcomer: Newcomer = {
      acceptedAt: performance.now(),
      address,
      place,
      head: Buffer.alloc(0),
      timer,
      waitsFor: 'first',
      told: false,
    };
    this.#newcomers.set(key, newcomer);
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      place.leave();
      // Node hangs up before its last message of the handshake when it does not take the certificate (tried). Whoever finishes it and
      // leaves has looked at it (balancers, the doctor, an enrollment); whoever said nothing, at the port.
      if (newcomer.waitsFor === 'tls') this.#fail(newcomer, handshakeFault('peer_left_in_tls', {}));
      clearTimeout(newcomer.timer);
      if (this.#newcomers.get(key) === newcomer) this.#newcomers.delete(key);
    });
    this.#expectBytes(socket, newcomer);
  };

  /** When the connection under this socket was accepted (performance.now()). */
  acceptedAt(socket: Socket): number {
    return this.#newcomers.get(keyOf(socket))?.acceptedAt ?? performance.now();
  }

  /** The source address that a named proxy has announced for it (PROXY protocol). */
  announced(socket: Socket): string | undefined {
    return this.#newcomers.get(keyOf(socket))?.announced;
  }

  /** The place that it has until it is welcomed. */
  placeOf(socket: Socket): Place | undefined {
    return this.#newcomers.get(keyOf(socket))?.place;
  }

  /** The connection has become something: its deadline is lifted. */
  settle(socket: Socket): void {
    const newcomer = this.#newcomers.get(keyOf(socket));
    clearTimeout(newcomer?.timer);
    if (newcomer !== undefined) newcomer.timer = undefined;
  }

  /** It is a WebSocket now: its deadline and its place are the handshake's. */
  upgraded(socket: Socket): void {
    this.settle(socket);
    this.placeOf(socket)?.leave();
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

  #isProxy(address: string): boolean {
    return this.#options.proxies?.().has(address) === true;
  }

  /** What comes first is looked at in a turn of its own: a TLS handshake costs a signature. */
  #expectBytes(socket: Socket, newcomer: Newcomer): void {
    socket.once('readable', () =>
      this.#turns.take(addressBlock(newcomer.address), () => this.#dispatch(socket, newcomer)),
    );
  }

  #dispatch(socket: Socket, newcomer: Newcomer): void {
    if (socket.destroyed) return;
    const chunk: unknown = socket.read();
    if (!Buffer.isBuffer(chunk) || chunk.length === 0)
      return void (socket.readableEnded || this.#expectBytes(socket, newcomer));
    const said = newcomer.head.length === 0 ? chunk : Buffer.concat([newcomer.head, chunk]);
    newcomer.head = Buffer.alloc(0);
    const first =
      this.#options.proxies === undefined || newcomer.announced !== undefined
        ? said
        : this.#afterProxyHeader(socket, newcomer, said);
    if (first !== undefined) this.#handOver(socket, newcomer, first);
  }

  /** What follows the PROXY protocol header, or came without one; undefined when more has to come or the connection has ended. */
  #afterProxyHeader(socket: Socket, newcomer: Newcomer, said: Buffer): Buffer | undefined {
    const header = readProxyHeader(said);
    const { address: peer } = newcomer;
    if (header.kind === 'absent') return said;
    const end = (fault: CodedError): undefined => {
      this.#fail(newcomer, fault);
      socket.destroy();
    };
    if (header.kind === 'incomplete') {
      newcomer.head = said;
      this.#expectBytes(socket, newcomer);
      return undefined;
    }
    if (!this.#isProxy(peer)) return end(handshakeFault('proxy_header_untrusted', { peer }));
    if (header.kind === 'version1') return end(handshakeFault('proxy_header_version', { peer }));
    if (header.kind === 'malformed')
      return end(handshakeFault('proxy_header_malformed', { peer, found: header.found }));
    const source = normalAddress(header.source ?? peer);
    newcomer.announced = source;
    if (header.source !== undefined && !this.#isProxy(source)) {
      newcomer.address = source;
      const refused = newcomer.place.move(source);
      if (refused !== undefined) return end(refused);
    }
    const rest = said.subarray(header.bytes);
    if (rest.length > 0) return rest;
    this.#expectBytes(socket, newcomer);
    return undefined;
  }

  #handOver(socket: Socket, newcomer: Newcomer, chunk: Buffer): void {
    socket.unshift(chunk);
    const speaksTls = chunk[0] === TLS_HANDSHAKE;
    const { http } = this.#options;
    const tls = this.#tls;
    newcomer.waitsFor = speaksTls !== (tls !== undefined) ? 'wrong' : speaksTls ? 'tls' : 'request';
    if (speaksTls === (tls !== undefined)) {
      (tls ?? http).emit('connection', socket);
      return;
    }
    // No agent sends HEAD, but the doctor asks so what the time is here (agent/doctor/network.ts): no failure.
    if (chunk.toString('latin1', 0, 5) !== 'HEAD ')
      this.#fail(newcomer, handshakeFault(speaksTls ? 'tls_on_plain' : 'plain_on_tls', {}));
    socket.end(wrongProtocol(speaksTls ? SPEAKS_PLAIN : SPEAKS_TLS));
    // What the peer still sends is read away, so that it sees the answer and not a reset; the deadline bounds it.
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
