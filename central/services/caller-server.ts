// What is behind a port of services: TLS with the certificate of Central, on an origin of its own. The administration is
// not there: a page of a branch could otherwise use it with the cookies of its readers. Who binds the port feeds it.
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { CodedError } from '../../shared/errors.ts';
import { whenClosed } from '../../shared/http/closed.ts';
import { ServerResponse } from '../../shared/http/node-http.ts';
import { Connections } from '../listeners/accept/connections.ts';
import { createHttpServer } from '../listeners/http.ts';
import { endWithProblem, refuseUnreadable } from '../listeners/problem.ts';
import { createCallerTlsServer, swapCallerCredentials, type Credentials } from '../listeners/tls.ts';
import { Places } from '../auth/places.ts';

interface CallerServerOptions {
  readonly credentials: Credentials;
  /** PEM of the authorities of callers; null: no certificate is requested. */
  readonly clientCa: string | null;
  readonly deadlineMs: () => number;
  /** Connections at once. */
  readonly places: () => number;
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void;
  /** A request for a WebSocket; what follows it waits at the socket. The response is for answers other than 101. */
  readonly onUpgrade: (request: IncomingMessage, response: ServerResponse, socket: Socket) => void;
  readonly onFailure: (fault: CodedError, address: string) => void;
}

const MAX_HEADER_BYTES = 16 * 1024;
const LINGER_MS = 1_000;

export class CallerServer {
  readonly #server: Server;
  readonly #tls: TlsServer;
  readonly #clientCa: string | null;
  readonly #connections: Connections;
  /** Calls in progress; more than one where requests are sent ahead. */
  readonly #calls = new WeakMap<Socket, number>();

  constructor({ credentials, clientCa, deadlineMs, places, onRequest, onUpgrade, onFailure }: CallerServerOptions) {
    this.#server = createHttpServer(deadlineMs(), hasNoBody);
    this.#tls = createCallerTlsServer(credentials, deadlineMs(), clientCa);
    this.#clientCa = clientCa;
    this.#connections = new Connections({
      http: this.#server,
      tls: this.#tls,
      deadlineMs,
      places: new Places(places),
      onFailure,
    });
    this.#server.on('clientError', (error, socket) => refuseUnreadable(error, socket as Socket, MAX_HEADER_BYTES));
    this.#server.on('request', (request, response) => {
      this.#connections.settle(request.socket);
      this.#hold(request.socket, response);
      onRequest(request, response);
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head, onUpgrade));
    // As every method that no service may have: it is refused with an answer.
    this.#server.on('connect', (request, socket, head) => this.#upgrade(request, socket as Socket, head, onRequest));
  }

  /** Takes a connection that a port has accepted. */
  accept(socket: Socket): void {
    this.#connections.accept(socket);
  }

  /** New handshakes show this certificate. */
  show(credentials: Credentials): void {
    swapCallerCredentials(this.#tls, credentials, this.#clientCa);
  }

  /** Another server takes its place, with other rules: connections of this one end. */
  close(): void {
    this.#connections.destroyAll();
    this.#server.close();
  }

  /** A call in progress gives its place to no new connection, whichever has been silent for longest. */
  #hold(socket: Socket, response: ServerResponse): void {
    const place = this.#connections.placeOf(socket);
    this.#calls.set(socket, (this.#calls.get(socket) ?? 0) + 1);
    place?.works();
    whenClosed(response, () => {
      const left = (this.#calls.get(socket) ?? 1) - 1;
      this.#calls.set(socket, left);
      if (left === 0) place?.waits();
    });
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer, onCall: CallerServerOptions['onUpgrade']): void {
    // A reset only ends the connection; `close` follows.
    socket.on('error', () => undefined);
    // The answer to a request before it is not finished: both would be mixed.
    if ((socket as { readonly _httpMessage?: unknown })._httpMessage) return void socket.destroy();
    this.#connections.settle(socket);
    // It is open for long, and gives its place to no new connection.
    this.#connections.placeOf(socket)?.works();
    if (head.length > 0) socket.unshift(head);
    onCall(request, answerOn(socket, request), socket);
  }
}

/** With a body it is an ordinary request: none is expected there, and programs could read it in two ways. */
function hasNoBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
}

/** As Node answers ordinary requests; the connection ends with the answer. */
function answerOn(socket: Socket, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  const goOn = (): void => void response.emit('drain');
  socket.on('drain', goOn);
  response.once('finish', () => {
    socket.end();
    // What still arrives is discarded for a moment, so that the peer sees the answer and not a reset.
    socket.resume();
    const cut = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(cut));
  });
  return response;
}

/** Answers a call that has no answer of the service; the connection ends with it. */
export function refuseCall(response: ServerResponse, fault: CodedError, allowed?: string): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  if (allowed !== undefined) response.setHeader('allow', allowed);
  endWithProblem(response, fault, fault.status === 503 ? RETRY_AFTER_SECONDS : undefined);
}

const RETRY_AFTER_SECONDS = 10;
