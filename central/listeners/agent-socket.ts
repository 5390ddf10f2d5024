// The routes of the ws and the wss listener: the agents' WebSocket, enrollment, releases, revocation lists, and a
// greeting. Both listeners have the same routes on two Fastify instances; `listener` says which one it is.
import type { X509Certificate } from 'node:crypto';
import type { Server, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import fastifyWebsocket from '@fastify/websocket';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import { isCoded, type CodedError } from '../../shared/errors.ts';
import { AGENT_PATH, ENROLL_PATH, SUBPROTOCOL } from '../../shared/wire/messages.ts';
import { peerCertificate } from '../../shared/x509/certificates.ts';
import type { Handshake } from '../sessions/handshake.ts';
import { isOfThisHost, isUnknown, originOf, type Origin } from '../auth/address-rules.ts';
import { authFault } from '../auth/errors.ts';
import type { AddressAccess, AddressSet } from '../parameters/address-access.ts';
import type { Connections } from './accept/connections.ts';
import { httpFault } from './errors.ts';
import { handshakeFault } from './accept/handshake-faults.ts';
import { downloadRoutes, type DownloadsPort } from './downloads/routes.ts';
import { createHttpApp, type OnUnexpected } from './http.ts';
import { sendError } from './problem.ts';
import type { RequestGate } from './limits/request-gate.ts';
import { revocationRoutes, type RevocationListsPort } from './revocation-routes.ts';

export interface EnrollmentPort {
  /** The answer; with `retryAfterSeconds` it means that nothing is decided yet. */
  enroll(
    body: unknown,
    connection: { readonly over: 'ws' | 'wss'; readonly address: string; readonly direct: boolean },
  ): Promise<object>;
}

export interface AgentSocketOptions {
  readonly listener: 'ws' | 'wss';
  readonly central: string;
  readonly handshake: Handshake;
  readonly enrollment: EnrollmentPort;
  readonly revocationLists: RevocationListsPort;
  readonly downloads: DownloadsPort;
  /** Why a client certificate is rejected; such a connection is not upgraded. */
  readonly checkClientCertificate: (shown: X509Certificate) => Promise<CodedError | undefined>;
  readonly trustedProxies: () => AddressSet;
  readonly addressAccess: AddressAccess;
  readonly maxFrameBytes: number;
  readonly server: Server;
  readonly gate?: RequestGate;
  readonly connections: Pick<Connections, 'acceptedAt' | 'announced' | 'settle' | 'upgraded' | 'welcomed'>;
  readonly onUnexpected: OnUnexpected;
  /** A connection or an enrollment was refused. */
  readonly onFailure: (fault: CodedError, address: string) => void;
}

/** The socket is cut unless a close frame is answered within this time. */
const CLOSE_GRACE_MS = 2_000;
/** RFC 6455 section 4.1: 16 bytes in base64. */
const WEBSOCKET_KEY = /^[+/0-9A-Za-z]{22}==$/;
/** An enrollment request is a CSR and a token. */
const MAX_BODY_BYTES = 32 * 1024;

/**
 * An incomplete frame is kept in the pieces in which it was read, each with some 200 bytes of overhead (measured): a
 * TLS record or a fragment may have one byte. A frame of 1 MiB arrives in 2,000 pieces over the smallest segments of
 * TCP (RFC 9293 section 3.7.1).
 */
const MAX_PIECES = 8_192;

interface AgentSocketApp {
  readonly app: FastifyInstance;
  /** Bounds the frames of new connections. */
  setMaxFrameBytes(bytes: number): void;
}

export async function createAgentSocketApp(options: AgentSocketOptions): Promise<AgentSocketApp> {
  const { connections } = options;
  const app = createHttpApp({
    server: options.server,
    maxBodyBytes: MAX_BODY_BYTES,
    gate: options.gate,
    onUnexpected: options.onUnexpected,
  });
  await app.register(fastifyWebsocket, {
    options: {
      maxPayload: options.maxFrameBytes,
      perMessageDeflate: false,
      maxBufferedChunks: MAX_PIECES,
      maxFragments: MAX_PIECES,
      handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    },
    errorHandler: (_error, webSocket: WebSocket) => cutBroken(webSocket),
    // Sessions are ended by their owner (central/sessions/sessions.ts), not by the closing of an app.
    preClose: (done) => done(),
  });
  const originOfRequest = requestOrigin(options);
  socketRoute(app, options, originOfRequest);
  enrollmentRoute(app, options, originOfRequest);
  revocationRoutes(app, options.revocationLists);
  downloadRoutes(app, options.downloads);
  greetingRoute(app, options);
  // An ordinary HTTP request has arrived: from here Node's own request and keep-alive timeouts bound the connection.
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.ws) return done();
    connections.settle(request.raw.socket);
    done(addressFault(options, originOfRequest(request)));
  });
  await app.ready();
  return {
    app,
    setMaxFrameBytes(bytes): void {
      app.websocketServer.options.maxPayload = bytes;
    },
  };
}

/** Of a WebSocket, the handshake refuses: a frame says why. */
function addressFault(
  { listener, addressAccess, onFailure }: AgentSocketOptions,
  origin: Origin,
): CodedError | undefined {
  const { address } = origin;
  if (isOfThisHost(origin) || addressAccess.admits(listener, address)) return undefined;
  const fault = authFault('address_denied', { address, rule: `access.${listener}` });
  onFailure(fault, address);
  return fault;
}

type OriginOfRequest = (request: FastifyRequest) => Origin;

/** Where a request comes from; an unreadable X-Forwarded-For of a trusted proxy is recorded. */
function requestOrigin({ listener, connections, trustedProxies, onFailure }: AgentSocketOptions): OriginOfRequest {
  return ({ raw: { socket, headers } }) => {
    const found = originOf(socket.remoteAddress, listener, headers, trustedProxies(), connections.announced(socket));
    const { 'x-forwarded-for': forwardedFor = '(none)' } = headers;
    const { peer, address } = found;
    if (isUnknown(address))
      onFailure(
        handshakeFault('forwarded_for_unreadable', { peer, found: String(forwardedFor).slice(0, 100) }),
        address,
      );
    return found;
  };
}

function socketRoute(app: FastifyInstance, options: AgentSocketOptions, originOfRequest: OriginOfRequest): void {
  const { listener, connections } = options;
  app.route({
    method: 'GET',
    url: AGENT_PATH,
    exposeHeadRoute: false,
    // RFC 9110 section 15.5.22 and RFC 6455 section 4.4: says what to upgrade to. What ws itself would refuse is
    // refused here.
    preValidation: async (request, reply) => {
      const refuse = (fault: CodedError): FastifyReply => {
        connections.settle(request.raw.socket);
        options.onFailure(fault, originOfRequest(request).address);
        return sendError(reply, fault, () => undefined);
      };
      if (!isUpgrade(request)) {
        void reply.headers({ upgrade: 'websocket', 'sec-websocket-version': '13' });
        return refuse(upgradeFault(request));
      }
      // Only where websocket.secure.clientAuth requests one; a resumed session shows none, and is checked at the hello.
      const { socket } = request.raw;
      const shown = socket instanceof TLSSocket ? peerCertificate(socket) : undefined;
      const fault = shown === undefined ? undefined : await options.checkClientCertificate(shown);
      if (fault !== undefined) return refuse(fault);
      // Until the challenge: one write, and one packet, for the 101 and what follows it.
      socket.cork();
      return undefined;
    },
    handler: (_request, reply) => reply.code(426).send(),
    wsHandler: (webSocket, request) => {
      const { socket: connection } = request.raw;
      forgetRequest(webSocket, request);
      const acceptedAt = connections.acceptedAt(connection);
      // From here the handshake's own timer bounds the time to the welcome.
      connections.upgraded(connection);
      try {
        // Sends the challenge before it waits for anything.
        return options.handshake.run({
          webSocket,
          connection,
          listener,
          origin: originOfRequest(request),
          acceptedAt,
          onWelcome: () => connections.welcomed(connection),
        });
      } finally {
        connection.uncork();
      }
    },
  });
}

/** A WebSocket upgrade to our subprotocol (RFC 6455 section 4.2.1). */
function isUpgrade(request: FastifyRequest): boolean {
  const { 'sec-websocket-version': version, 'sec-websocket-key': key = '' } = request.headers;
  return (
    request.ws && subprotocolsOf(request.headers).includes(SUBPROTOCOL) && version === '13' && WEBSOCKET_KEY.test(key)
  );
}

/** Every agent sends all headers of a WebSocket: some of them without the others passed through a proxy. */
function upgradeFault({ ws, headers }: FastifyRequest): CodedError {
  const offers = subprotocolsOf(headers).includes(SUBPROTOCOL);
  if (headers.upgrade === undefined && (offers || headers['sec-websocket-key'] !== undefined))
    return httpFault('upgrade_removed', {});
  return httpFault(ws && !offers ? 'subprotocol_required' : 'upgrade_required', { subprotocol: SUBPROTOCOL });
}

function subprotocolsOf(headers: FastifyRequest['headers']): string[] {
  return headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
}

function enrollmentRoute(
  app: FastifyInstance,
  { listener, enrollment, onFailure }: AgentSocketOptions,
  originOfRequest: OriginOfRequest,
): void {
  app.post(ENROLL_PATH, async (request, reply) => {
    const from = originOfRequest(request);
    try {
      const answer = await enrollment.enroll(request.body, {
        over: from.scheme,
        address: from.address,
        direct: listener === 'wss' && !from.proxied,
      });
      return await (
        'retryAfterSeconds' in answer ? reply.code(202).header('retry-after', String(answer.retryAfterSeconds)) : reply
      ).send(answer);
    } catch (error) {
      if (isCoded(error)) onFailure(error, from.address);
      throw error;
    }
  });
}

/** For a browser or a health check that is pointed here. */
function greetingRoute(app: FastifyInstance, { central, listener }: AgentSocketOptions): void {
  app.get('/', (_request, reply) =>
    reply
      .type('text/plain; charset=utf-8')
      .send(
        `Queuegate Central "${central}", WebSocket (${listener}). Queue agents connect at ${AGENT_PATH}; the REST API is on the admin port.\n`,
      ),
  );
}

/**
 * ws has reported a broken frame in a close frame, which cutting here would lose. A socket that is still open failed on
 * our side.
 */
function cutBroken(webSocket: WebSocket): void {
  if (webSocket.readyState === webSocket.OPEN) return webSocket.terminate();
  const cut = setTimeout(() => webSocket.terminate(), CLOSE_GRACE_MS);
  webSocket.once('close', () => clearTimeout(cut));
}

/**
 * A session lives for weeks; the plugin's error listener and the response that Node keeps at the socket would keep the
 * request alive that long.
 */
function forgetRequest(webSocket: WebSocket, { raw: { socket } }: FastifyRequest): void {
  webSocket.removeAllListeners('error');
  webSocket.on('error', () => cutBroken(webSocket));
  const { _httpMessage: response } = socket as { readonly _httpMessage?: ServerResponse | null };
  response?.detachSocket(socket);
}
