// Serves one listener of the local API: who a request is from (the owner of the socket, the owner's key, a token), what
// it may do, and refusals before anything of a body is read. What the routes do is routes.ts.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import { isCoded } from '../../shared/errors.ts';
import { gatherBody } from '../../shared/gathered-body.ts';
import { skipBody } from '../../shared/http/parser.ts';
import type { ReadTurn, ReadTurns } from '../../shared/http/read-turns.ts';
import { agentFault } from '../errors.ts';
import {
  CHALLENGE_PATH,
  daemonProof,
  isNonce,
  newNonce,
  NONCE_HEADER,
  OWNER_SCHEME,
  ownerProof,
  sameProof,
  type Challenge,
} from './proof.ts';
import { prepareAnswer, refuseUnreadable, sendFault, sendJson } from './answers.ts';
import { checkContentType, readParameters } from './requests.ts';
import { MAX_BODY_BYTES } from './routes/schemas.ts';
import { allowedMethods, findRoute } from './routes/table.ts';
import { DEFAULT_CONSUMER } from '../store/routing.ts';
import type { Authority, Exchange, LocalApiPorts, Operation, Route, TokenFiles } from './types.ts';
import { Newcomers, RequestQueue, type LocalShares, type WrongTokens } from './connections.ts';
import { createServer, createTlsServer } from '../../shared/http/node-http.ts';
import type { DeviceCallers } from './devices/callers.ts';
import { deviceFault } from './devices/errors.ts';
import type { DeviceHandshakes } from './devices/handshakes.ts';
import type { DeviceTls } from './devices/port.ts';

/** On the socket of mode 0600 the file system has decided; the others are open to more accounts than one. */
export type ListenerKind = 'owner-socket' | 'group-socket' | 'tcp' | 'device';

/** Of the port for devices, which others than this host reach. */
interface DeviceListener {
  readonly handshakes: DeviceHandshakes;
  readonly callers: DeviceCallers;
  /** By which requests may name it. */
  hosts(): readonly string[];
  readonly tls: DeviceTls;
}

export interface LocalServerNeeds {
  readonly ports: LocalApiPorts;
  readonly tokens: TokenFiles;
  readonly ownerKey: Buffer;
  /** Of programs with a token. */
  readonly shares: LocalShares;
  /** Of the account of the agent: no program with a token keeps its commands out. */
  readonly ownerShares: LocalShares;
  readonly wrongTokens: WrongTokens;
  /** Of all connections, whatever their listener. */
  readonly readTurns: Pick<ReadTurns, 'enter'>;
  readonly stopping: AbortSignal;
}

const BEARER = 'Bearer ';
const OWNER: Authority = { kind: 'owner', consumer: DEFAULT_CONSUMER };
const MAX_HEADERS = 100;
/** Those with authority have turns of their own: strangers hardly delay them. */
const [STRANGERS, PROGRAMS] = ['strangers', 'programs'];
const MAX_HEADER_BYTES = 16 * 1024;

const HTTP = {
  connectionsCheckingInterval: 1000,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 30_000,
  maxHeaderSize: MAX_HEADER_BYTES,
};

export function createLocalServer(kind: Exclude<ListenerKind, 'device'>, needs: LocalServerNeeds): Server {
  const server = createServer(HTTP);
  const serving = serve(server, kind, needs);
  server.on('connection', (socket: Socket) => serving(socket));
  return server;
}

export function createDeviceServer(device: DeviceListener, needs: LocalServerNeeds): Server & TlsServer {
  const server = createTlsServer({ ...HTTP, ...device.tls });
  device.handshakes.watch(server);
  server.on('connection', (socket: Socket) => device.callers.began(socket));
  const serving = serve(server, 'device', needs, device);
  server.on('secureConnection', (socket: TLSSocket) => {
    const carrier = device.handshakes.done(socket);
    if (carrier === undefined) return void socket.destroy();
    carrier.turn.leave();
    serving(socket, carrier.socket);
  });
  return server;
}

/** Answers the requests of a server; the result is called with each connection, and what it reads from. */
function serve(
  server: Server,
  kind: ListenerKind,
  needs: LocalServerNeeds,
  device?: DeviceListener,
): (socket: Socket, carrier?: Socket) => void {
  server.maxHeadersCount = MAX_HEADERS;
  // A connection that cannot be accepted (no descriptor is left, say) is that program's fault to see; it must not end
  // the daemon.
  server.on('error', () => undefined);
  server.on('clientError', (error: Error, socket: Socket) => refuseUnreadable(error, socket, MAX_HEADER_BYTES));
  const newcomers = new Newcomers(needs.shares.limits);
  const connections = new WeakMap<Socket, Connection>();
  const take = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    gatherBody(request, response);
    const connection = connections.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    const requestId = prepareAnswer(response);
    connection.queue.add(response, async () => {
      try {
        await answer({ kind, needs, newcomers, connection, request, response, requestId, expectsContinue, device });
      } catch (error) {
        // A peer that leaves in the middle of a body is not a defect.
        if (!isCoded(error) && !request.socket.destroyed) needs.ports.onUnexpected(error, requestId);
        sendFault(response, error, requestId);
      }
    });
  };
  server.on('request', (request, response) => take(request, response, false));
  // Else Node.js asks for the body before anybody has looked at the token.
  server.on('checkContinue', (request, response) => take(request, response, true));
  return (socket, carrier = socket) => {
    newcomers.add(socket);
    const connection: Connection = {
      queue: new RequestQueue(socket, needs.shares.limits),
      carrier,
      turn: enterTurns(needs, socket, carrier, STRANGERS),
    };
    socket.once('close', () => connection.turn.leave());
    connections.set(socket, connection);
  };
}

interface Connection {
  readonly queue: RequestQueue;
  /** Itself without TLS. */
  readonly carrier: Socket;
  /** When it is read: 64 KiB take the parser up to 2 ms. */
  turn: ReadTurn;
  hasJoined?: boolean;
  /** Until a request has used it. */
  challenge?: Challenge | undefined;
  challenged?: boolean;
}

function enterTurns(
  { readTurns }: Pick<LocalServerNeeds, 'readTurns'>,
  socket: Socket,
  carrier: Socket,
  block: string,
): ReadTurn {
  const turn = readTurns.enter(carrier, block);
  turn.serves(socket);
  return turn;
}

/** It has authority from here. Throws local_busy. */
function join({ newcomers, connection, request: { socket }, needs }: Arrival, shares: LocalShares): void {
  shares.join(socket);
  newcomers.remove(socket);
  if (connection.hasJoined === true) return;
  connection.hasJoined = true;
  connection.turn.leave();
  connection.turn = enterTurns(needs, socket, connection.carrier, PROGRAMS);
}

/** A request of which nothing is known yet. */
interface Arrival {
  readonly kind: ListenerKind;
  readonly needs: LocalServerNeeds;
  readonly newcomers: Newcomers;
  readonly connection: Connection;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly expectsContinue: boolean;
  /** Of the port for devices. */
  readonly device: DeviceListener | undefined;
}

async function answer(arrival: Arrival): Promise<void> {
  const { kind, needs, connection, request, response, requestId, expectsContinue, device } = arrival;
  // Not by URL: it throws for what is none ("//"), and takes "//api/v1/status" for a host. The paths here need no
  // decoding.
  const [path = '', query = ''] = (request.url ?? '/').split('?', 2);
  const refuse = (error: Error): void => {
    // The body is not read: with the connection it ends, and what of it came along is not made.
    skipBody(request.socket);
    response.setHeader('connection', 'close');
    sendFault(response, error, requestId);
  };
  if (device !== undefined && isFromBrowser(request, device.hosts()))
    return refuse(deviceFault('device_browser_refused', { found: foundHost(request) }));
  if (kind === 'tcp' && isFromBrowser(request))
    return refuse(agentFault('local_browser_refused', { found: foundHost(request) }));
  if (request.method === 'GET' && path === CHALLENGE_PATH && device === undefined && connection.challenged !== true)
    return answerChallenge(arrival);
  const found = findRoute(path);
  // Others than this host see nothing without a token.
  const isOpen = device === undefined && (found?.route.GET ?? found?.route.POST)?.who === 'none';
  const authority = isOpen ? OWNER : authorityOf(arrival, path);
  if (authority === undefined || authority instanceof Error) {
    skipBody(request.socket);
    await needs.wrongTokens.slow(response);
    const unknown =
      device === undefined ? agentFault('local_unauthorized', {}) : deviceFault('device_unauthorized', {});
    return refuse(authority ?? unknown);
  }
  const shares = authority.kind === 'owner' ? needs.ownerShares : needs.shares;
  if (!isOpen) {
    try {
      join(arrival, shares);
      shares.receiving(request, response, MAX_BODY_BYTES);
    } catch (error) {
      if (!isCoded(error)) throw error;
      return refuse(error);
    }
  }
  if (found === undefined)
    throw agentFault('local_not_found', { method: (request.method ?? '').slice(0, 16), path: path.slice(0, 128) });
  const operation = operationFor(found.route, request, response);
  if (operation === undefined) return;
  checkAuthority(operation, authority, found.segment);
  if (operation.body !== undefined) checkContentType(request, operation.body.types);
  if (expectsContinue) response.writeContinue();
  const { ports, tokens, stopping } = needs;
  const isStillAllowed = (): boolean => {
    const sent = request.headers.authorization;
    if (device !== undefined && sent === undefined)
      return device.callers.consumerOf(request.socket, connection.carrier) === authority.consumer;
    return (
      sent?.startsWith(BEARER) !== true || tokens.holderOf(sent.slice(BEARER.length))?.consumer === authority.consumer
    );
  };
  const parameters = new URLSearchParams(query);
  if (Object.keys(operation.parameters).length === 0) readParameters(parameters, operation.parameters);
  await reply(operation, {
    request,
    response,
    requestId,
    query: parameters,
    segment: found.segment,
    authority,
    isStillAllowed,
    ports,
    tokens,
    shares,
    stopping,
  });
}

async function reply(operation: Operation, exchange: Exchange): Promise<void> {
  const { status, body, headers = {} } = await operation.handle(exchange);
  if (body === undefined) return;
  for (const [name, value] of Object.entries(headers)) exchange.response.setHeader(name, value);
  sendJson(exchange.response, status, body);
}

/** Undefined: it was OPTIONS, and is answered. Errors: local_method_not_allowed. */
function operationFor(route: Route, request: IncomingMessage, response: ServerResponse): Operation | undefined {
  const { method = '' } = request;
  const operation = method === 'GET' || method === 'HEAD' ? route.GET : method === 'POST' ? route.POST : undefined;
  if (operation !== undefined) return operation;
  response.setHeader('allow', allowedMethods(route));
  if (method !== 'OPTIONS')
    throw agentFault('local_method_not_allowed', {
      method: method.slice(0, 16),
      path: route.path,
      allowed: allowedMethods(route),
    });
  response.writeHead(204).end();
  return undefined;
}

/** Errors: local_owner_only, local_task_events_only. */
function checkAuthority({ who }: Operation, authority: Authority, segment: string): void {
  if (authority.kind === 'owner' || who === 'none' || who === 'producer') return;
  if (authority.kind === 'task') throw agentFault('local_task_events_only', {});
  if (who === 'any') return;
  if (who === 'own' && authority.consumer === segment) return;
  throw agentFault('local_owner_only', {});
}

/** A token says who the request is from on every listener, also where none is needed. */
function authorityOf(arrival: Arrival, path: string): Authority | Error | undefined {
  const { kind, needs, connection, request, device } = arrival;
  const header = request.headers.authorization ?? '';
  if (device !== undefined) return deviceAuthority(arrival, device);
  if (header.startsWith(BEARER)) return needs.tokens.holderOf(header.slice(BEARER.length));
  if (kind === 'owner-socket') return OWNER;
  const { challenge } = connection;
  connection.challenge = undefined;
  if (challenge === undefined || !header.startsWith(OWNER_SCHEME)) return undefined;
  return sameProof(header.slice(OWNER_SCHEME.length), ownerProof(needs.ownerKey, challenge, request.method ?? '', path))
    ? OWNER
    : undefined;
}

/**
 * A token counts before a certificate. Of the tokens only those of named consumers: the others belong to the account of
 * the agent and to running tasks.
 */
function deviceAuthority(
  { request, connection, needs: { tokens } }: Arrival,
  { callers }: DeviceListener,
): Authority | Error | undefined {
  const { authorization: header } = request.headers;
  if (header === undefined) {
    const consumer = callers.consumerOf(request.socket, connection.carrier);
    return typeof consumer === 'string' ? { kind: 'consumer', consumer } : consumer;
  }
  const holder = header.startsWith(BEARER) ? tokens.holderOf(header.slice(BEARER.length)) : undefined;
  return holder?.kind === 'consumer' && holder.consumer !== DEFAULT_CONSUMER ? holder : undefined;
}

/** Once per connection: a newcomer keeps it for the time of newcomers only. */
function answerChallenge({ needs, connection, request, response }: Arrival): void {
  const client = request.headers[NONCE_HEADER];
  if (!isNonce(client))
    throw agentFault('local_query_bad', {
      name: NONCE_HEADER,
      found: String(client ?? '').slice(0, 64),
      allowed: '43 characters of base64url',
    });
  const challenge = { client, server: newNonce() };
  connection.challenge = challenge;
  connection.challenged = true;
  sendJson(response, 200, { nonce: challenge.server, proof: daemonProof(needs.ownerKey, challenge) });
}

/**
 * A page in a browser reaches loopback too, under a name of its own (DNS rebinding) or across origins. Programs name
 * the address; only browsers send Origin and Sec-Fetch-Site (Fetch Standard; W3C Fetch Metadata).
 */
function isFromBrowser({ headers }: IncomingMessage, hosts?: readonly string[]): boolean {
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return true;
  if (hosts !== undefined) return !hosts.includes(bareHost(headers.host ?? ''));
  return headers.host !== undefined && !/^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(headers.host);
}

/** Without port and brackets, in small letters. */
function bareHost(host: string): string {
  return host
    .slice(0, 300)
    .toLowerCase()
    .replace(/:\d{1,5}$/, '')
    .replace(/^\[(.*)\]$/, '$1');
}

function foundHost({ headers }: IncomingMessage): string {
  return (headers.origin ?? headers.host ?? 'a page').slice(0, 80);
}
