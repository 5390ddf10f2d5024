// Creates the Fastify instances of Central: one per listener, for the life of the process, never bound to a port itself
// (central/listeners/accept/connections.ts hands it sockets), with every error as RFC 9457 problem details.
import { createServer, type Server } from 'node:http';
import { fastify, type FastifyInstance } from 'fastify';
import { gatherBody } from '../../shared/gathered-body.ts';
import { AGENT_PATH } from '../../shared/wire/messages.ts';
import { httpFault } from './errors.ts';
import { refuseUnreadable, sendError } from './problem.ts';
import type { RequestGate } from './limits/request-gate.ts';

interface HttpAppOptions {
  /** From createHttpServer. */
  readonly server: Server;
  readonly maxBodyBytes: number;
  /** Bounds what one peer may request at once; every listener of Central has one. */
  readonly gate?: RequestGate | undefined;
  readonly onUnexpected: (error: unknown, url: string) => void;
}

/** A request with a body has to be complete within this time. */
const REQUEST_TIMEOUT_MS = 60_000;
/** Idle HTTP connections are closed after this time. */
const KEEP_ALIVE_MS = 30_000;
/** Enough for a bearer token and a proxy's headers. */
const MAX_HEADER_BYTES = 16 * 1024;

/** An HTTP server that never listens. Headers have to arrive within `headersTimeoutMs`. */
export function createHttpServer(headersTimeoutMs: number): Server {
  const server: Server = createServer({
    headersTimeout: headersTimeoutMs,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Node looks for late headers every 30 s by default (tried).
    connectionsCheckingInterval: 1000,
    maxHeaderSize: MAX_HEADER_BYTES,
    // Other upgrades are optional offers of the client (RFC 9110 section 7.8): the request is served as an ordinary
    // one.
    shouldUpgradeCallback: ({ method, url, headers }) =>
      server.listenerCount('upgrade') > 0 &&
      method === 'GET' &&
      url?.split('?', 1)[0] === AGENT_PATH &&
      headers.upgrade?.toLowerCase() === 'websocket',
  });
  server.on('request', gatherBody);
  return server;
}

export function createHttpApp(options: HttpAppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: options.maxBodyBytes,
    // An agent's id has up to 255 characters, each up to nine when it is percent-encoded; Fastify stops at 100.
    routerOptions: { maxParamLength: 255 * 9 },
    // Errors before a route is found get the same problem details as all others.
    frameworkErrors: (error, request, reply) =>
      void sendError(reply, error, (unexpected) => options.onUnexpected(unexpected, request.url)),
    clientErrorHandler: (error, socket) => refuseUnreadable(error, socket, MAX_HEADER_BYTES),
    serverFactory: (handler) => options.server.on('request', options.gate?.pass(handler) ?? handler),
  });
  if (options.gate !== undefined) {
    const { gate } = options;
    app.addHook('onSend', (request, reply, payload, done) => done(null, gate.answer(request, reply, payload)));
  }
  // For browsers: no type sniffing, and a page loads and frames nothing.
  // With a callback: a promise would delay the answer behind garbage that came together with its request.
  app.addHook('onRequest', (_request, reply, done) => {
    void reply.headers({
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
    done();
  });
  app.setErrorHandler((error, request, reply) =>
    sendError(reply, error, (unexpected) => options.onUnexpected(unexpected, request.url)),
  );
  allowedMethods(app);
  return app;
}

/**
 * Answers 405 on a path of this scope that has other methods, 404 on an unknown path. Call it before routes are added.
 */
export function allowedMethods(scope: FastifyInstance): void {
  const routes: { readonly method: string; readonly pattern: RegExp }[] = [];
  scope.addHook('onRoute', ({ method, url }) => {
    const pattern = new RegExp(`^${url.replaceAll('.', String.raw`\.`).replaceAll(/:\w+/g, '[^/]+')}$`);
    for (const name of [method].flat()) routes.push({ method: name, pattern });
  });
  scope.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = [...new Set(routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))].join(
      ', ',
    );
    if (allowed === '') return sendError(reply, httpFault('not_found', { path: path.slice(0, 256) }), () => {});
    return sendError(
      reply.header('allow', allowed),
      httpFault('method_not_allowed', { path: path.slice(0, 256), method: request.method, allowed }),
      () => {},
    );
  });
}
