// Serves one listener of the local API: who a request is from (the owner of the socket, the owner's key, a token), what it may do, and
// refusals before anything of a body is read. What the routes do is routes.ts.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isCoded } from '../../shared/errors.ts';
import { gatherBody } from '../../shared/gathered-body.ts';
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
import { answer, MAX_BODY_BYTES, send, sendFault, type LocalApiPorts } from './routes.ts';
import { Newcomers, RequestQueue, type LocalShares, type WrongTokens } from './connections.ts';

/** On the socket of mode 0600 the file system has decided; the others are open to more accounts than one. */
export type ListenerKind = 'owner-socket' | 'group-socket' | 'tcp';

interface LocalTokens {
  accepts(token: string): boolean;
  rotate(): Promise<{ readonly previousExpiresAt: string }>;
  /** The file that has the token. */
  readonly path: string;
}

interface LocalServerNeeds {
  readonly ports: LocalApiPorts;
  readonly tokens: LocalTokens;
  readonly ownerKey: Buffer;
  /** Of programs with a token. */
  readonly shares: LocalShares;
  /** Of the account of the agent: no program with a token keeps its commands out. */
  readonly ownerShares: LocalShares;
  readonly wrongTokens: WrongTokens;
  readonly stopping: AbortSignal;
}

type Authority = 'owner' | 'consumer';

const ROTATE = /^\/api\/v1\/consumers\/([^/]{1,64})\/rotate-token$/;
const MAX_HEADERS = 100;

export function createLocalServer(kind: ListenerKind, needs: LocalServerNeeds): Server {
  const server = createServer({
    connectionsCheckingInterval: 1000,
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 30_000,
  });
  server.maxHeadersCount = MAX_HEADERS;
  // A connection that cannot be accepted (no descriptor is left, say) is that program's fault to see; it must not end the daemon.
  server.on('error', () => undefined);
  const newcomers = new Newcomers(needs.shares.limits);
  const connections = new WeakMap<Socket, Connection>();
  server.on('connection', (socket: Socket) => {
    newcomers.add(socket);
    connections.set(socket, { queue: new RequestQueue(socket, needs.shares.limits) });
  });
  const take = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    gatherBody(request);
    const connection = connections.get(request.socket);
    if (connection === undefined) return void request.socket.destroy();
    connection.queue.add(response, async () => {
      try {
        await serve({ kind, needs, newcomers, connection, request, response, expectsContinue });
      } catch (error) {
        // A peer that leaves in the middle of a body is not a defect.
        if (!isCoded(error) && !request.socket.destroyed) needs.ports.onUnexpected(error);
        sendFault(response, error);
      }
    });
  };
  server.on('request', (request, response) => take(request, response, false));
  // Else Node.js asks for the body before anybody has looked at the token.
  server.on('checkContinue', (request, response) => take(request, response, true));
  return server;
}

interface Connection {
  readonly queue: RequestQueue;
  /** Until a request has used it. */
  challenge?: Challenge | undefined;
  challenged?: boolean;
}

interface Exchange {
  readonly kind: ListenerKind;
  readonly needs: LocalServerNeeds;
  readonly newcomers: Newcomers;
  readonly connection: Connection;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly expectsContinue: boolean;
}

async function serve(exchange: Exchange): Promise<void> {
  const { kind, needs, newcomers, connection, request, response, expectsContinue } = exchange;
  const [path = ''] = (request.url ?? '/').split('?', 1);
  const refuse = (error: Error): void => {
    // The body is not read: with the connection it ends.
    response.setHeader('connection', 'close');
    sendFault(response, error);
  };
  if (kind === 'tcp' && isFromBrowser(request))
    return refuse(agentFault('local_browser_refused', { found: foundHost(request) }));
  if (request.method === 'GET' && path === CHALLENGE_PATH && connection.challenged !== true)
    return answerChallenge(exchange);
  const authority = authorityOf(exchange, path);
  if (authority === undefined) {
    await delay(needs.wrongTokens.add(), undefined, { ref: false });
    response.setHeader('www-authenticate', 'Bearer');
    return refuse(agentFault('local_unauthorized', {}));
  }
  const shares = authority === 'owner' ? needs.ownerShares : needs.shares;
  try {
    shares.join(request.socket);
    newcomers.remove(request.socket);
    shares.receiving(request, response, MAX_BODY_BYTES);
  } catch (error) {
    if (!isCoded(error)) throw error;
    return refuse(error);
  }
  if (expectsContinue) response.writeContinue();
  const consumer = ROTATE.exec(path)?.[1];
  if (request.method === 'POST' && consumer !== undefined) return await rotate(exchange, authority, consumer);
  await answer(request, response, bounded(needs.ports, shares, response), needs.stopping);
}

function authorityOf({ kind, needs, connection, request }: Exchange, path: string): Authority | undefined {
  if (kind === 'owner-socket') return 'owner';
  const header = request.headers.authorization ?? '';
  if (header.startsWith('Bearer '))
    return needs.tokens.accepts(header.slice('Bearer '.length)) ? 'consumer' : undefined;
  const { challenge } = connection;
  connection.challenge = undefined;
  if (challenge === undefined || !header.startsWith(OWNER_SCHEME)) return undefined;
  return sameProof(header.slice(OWNER_SCHEME.length), ownerProof(needs.ownerKey, challenge, request.method ?? '', path))
    ? 'owner'
    : undefined;
}

/** Once per connection: a newcomer keeps it for the time of newcomers only. */
function answerChallenge({ needs, connection, request, response }: Exchange): void {
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
  send(response, 200, { nonce: challenge.server, proof: daemonProof(needs.ownerKey, challenge) });
}

async function rotate({ needs, response }: Exchange, authority: Authority, consumer: string): Promise<void> {
  if (authority !== 'owner') throw agentFault('local_owner_only', {});
  if (consumer !== 'default') throw agentFault('local_consumer_unknown', { found: consumer });
  const { previousExpiresAt } = await needs.tokens.rotate();
  send(response, 201, { tokenFile: needs.tokens.path, previousExpiresAt });
}

/** The same ports, with what a request may hold bounded. */
function bounded(ports: LocalApiPorts, shares: LocalShares, response: ServerResponse): LocalApiPorts {
  return {
    ...ports,
    take: (max) =>
      shares.answering(
        response,
        () => ports.take(max),
        (commands) => commands.reduce((bytes, { json }) => bytes + json.length, 0),
      ),
    waitForCommands: (timeoutMs, signal) => shares.waiting(() => ports.waitForCommands(timeoutMs, signal)),
  };
}

/**
 * A page in a browser reaches loopback too, under a name of its own (DNS rebinding) or across origins. Programs name the address; only
 * browsers send Origin and Sec-Fetch-Site (Fetch Standard; W3C Fetch Metadata).
 */
function isFromBrowser({ headers }: IncomingMessage): boolean {
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return true;
  return headers.host !== undefined && !/^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(headers.host);
}

function foundHost({ headers }: IncomingMessage): string {
  return (headers.origin ?? headers.host ?? 'a page').slice(0, 80);
}
