// Creates the Fastify instances of Central: one per listener, for the life of the process, never bound to a port itself
// (central/listeners/accept/connections.ts hands it sockets), with every error as RFC 9457 problem details.
import type { IncomingMessage, Server } from 'node:http';
import { fastify, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { CodedError } from '../../shared/errors.ts';
import { gatherBody } from '../../shared/gathered-body.ts';
import { newRequestId, REQUEST_ID_HEADER } from '../../shared/http/problem.ts';
import { AGENT_PATH } from '../../shared/wire/messages.ts';
import { httpFault } from './errors.ts';
import { refuseUnreadable, sendError } from './problem.ts';
import type { RequestGate } from './limits/request-gate.ts';
import { boundUploads } from './limits/upload-pace.ts';
import { createServer } from '../../shared/http/node-http.ts';

/** Logs an error that no part of Central foresaw, with the request that met it. */
export type OnUnexpected = (error: unknown, url: string, requestId: string) => void;

interface HttpAppOptions {
  /** From createHttpServer. */
  readonly server: Server;
  readonly maxBodyBytes: number;
  /** Bounds what one peer may request at once; every listener of Central has one. */
  readonly gate?: RequestGate | undefined;
  readonly onUnexpected: OnUnexpected;
}

/** Idle HTTP connections are closed after this time. */
const KEEP_ALIVE_MS = 30_000;
/** Enough for a bearer token and a proxy's headers. */
const MAX_HEADER_BYTES = 16 * 1024;

/**
 * An HTTP server that never listens. Headers have to arrive within `headersTimeoutMs`. `hasWebSocket` says which GET
 * requests for a WebSocket it takes: those of agents, unless set.
 */
export function createHttpServer(
  headersTimeoutMs: number,
  hasWebSocket: (request: IncomingMessage) => boolean = ({ url }) => url?.split('?', 1)[0] === AGENT_PATH,
): Server {
  const server: Server = createServer({
    headersTimeout: headersTimeoutMs,
    // A large body may take longer than any such bound (boundUploads).
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Node looks for late headers every 30 s by default (tried).
    connectionsCheckingInterval: 1000,
    maxHeaderSize: MAX_HEADER_BYTES,
    // Other upgrades are optional offers of the client (RFC 9110 section 7.8): the request is served as an ordinary
    // one.
    shouldUpgradeCallback: (request) =>
      server.listenerCount('upgrade') > 0 &&
      request.method === 'GET' &&
      request.headers.upgrade?.toLowerCase() === 'websocket' &&
      hasWebSocket(request),
  });
  server.on('request', gatherBody);
  boundUploads(server);
  return server;
}

export function createHttpApp(options: HttpAppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: options.maxBodyBytes,
    genReqId: newRequestId,
    // An agent's id has up to 255 characters, each up to nine when it is percent-encoded; Fastify stops at 100.
    routerOptions: { maxParamLength: 255 * 9 },
    // Errors before a route is found get the same problem details as all others.
    frameworkErrors: (error, request, reply) =>
      void sendError(reply, error, (unexpected) => options.onUnexpected(unexpected, request.url, request.id)),
    clientErrorHandler: (error, socket) => refuseUnreadable(error, socket, MAX_HEADER_BYTES),
    serverFactory: (handler) => options.server.on('request', options.gate?.pass(handler) ?? handler),
  });
  if (options.gate !== undefined) {
    const { gate } = options;
    app.addHook('onSend', (request, reply, payload, done) => done(null, gate.answer(request, reply, payload)));
  }
  // Its connection ends with the answer (shared/gathered-body.ts): a client that is not warned sends its next request on
  // it, and finds it reset.
  app.addHook('onSend', (request, reply, payload, done) => {
    if (!isUnfinished(request.raw)) return done(null, payload);
    // What came in the same packet is parsed until then.
    setImmediate(() => {
      if (isUnfinished(request.raw) && !reply.raw.headersSent) void reply.header('connection', 'close');
      done(null, payload);
    });
  });
  // For browsers: no type sniffing, and a page loads and frames nothing.
  // With a callback: a promise would delay the answer behind garbage that came together with its request.
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers({
      [REQUEST_ID_HEADER]: request.id,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      vary: 'Accept, Accept-Encoding',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
    const path = pathOf(request);
    // Else a path parameter could be empty: /agents/ would be the agent with the id "".
    if (path.includes('//') || (path.endsWith('/') && path !== '/')) done(notFound(path));
    else done();
  });
  app.setErrorHandler((error, request, reply) =>
    sendError(reply, error, (unexpected) => options.onUnexpected(unexpected, request.url, request.id)),
  );
  allowedMethods(app);
  return app;
}

/**
 * Answers 204 to OPTIONS and 405 to other methods on a path of this scope that has none of them, 404 on an unknown
 * path. Call it before routes are added.
 */
export function allowedMethods(scope: FastifyInstance): void {
  const routes: { readonly method: string; readonly pattern: RegExp }[] = [];
  scope.addHook('onRoute', ({ method, url }) => {
    const pattern = new RegExp(
      `^${url
        .replaceAll('.', String.raw`\.`)
        .replaceAll(/:\w+/g, '[^/]+')
        .replace(/\*$/, '.+')}$`,
    );
    for (const name of [method].flat()) routes.push({ method: name, pattern });
  });
  scope.setNotFoundHandler((request, reply) => {
    const path = pathOf(request);
    const methods = new Set(routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method));
    if (methods.size === 0) return sendError(reply, notFound(path), () => {});
    const allowed = [...methods, 'OPTIONS'].join(', ');
    void reply.header('allow', allowed);
    if (request.method === 'OPTIONS') return reply.code(204).send();
    return sendError(
      reply,
      httpFault('method_not_allowed', { path: path.slice(0, 256), method: request.method, allowed }),
      () => {},
    );
  });
}

/** More of its body is to come. */
function isUnfinished({ complete, headers }: IncomingMessage): boolean {
  return !complete && (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0);
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0] ?? '';
}

function notFound(path: string): CodedError {
  return httpFault('not_found', { path: path.slice(0, 256) });
}
