// Owns how a Fastify instance of Central is made: one per listener, for the life of the process, never bound to a port itself
// (central/listeners/connections.ts hands it sockets), with every error as RFC 9457 problem details.
import { createServer, type Server } from 'node:http';
import { fastify, type FastifyInstance } from 'fastify';
import { httpFault } from './errors.ts';
import { sendError } from './problem.ts';

export interface HttpAppOptions {
  /** From createHttpServer. */
  readonly server: Server;
  readonly maxBodyBytes: number;
  readonly onUnexpected: (error: unknown, url: string) => void;
}

/** A request with a body has to be complete within this time. */
const REQUEST_TIMEOUT_MS = 60_000;
/** Idle HTTP connections are closed after this time. */
const KEEP_ALIVE_MS = 30_000;
/** Enough for a bearer token and a proxy's headers. */
const MAX_HEADER_BYTES = 16 * 1024;

/** An HTTP server that never listens. Headers have to be there within `headersTimeoutMs`. */
export function createHttpServer(headersTimeoutMs: number): Server {
  return createServer({
    headersTimeout: headersTimeoutMs,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Node looks for late headers every 30 s by default (tried).
    connectionsCheckingInterval: 1000,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
}

export function createHttpApp(options: HttpAppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: options.maxBodyBytes,
    // An agent's id has up to 255 characters, each up to nine when it is percent-encoded; Fastify stops at 100.
    routerOptions: { maxParamLength: 255 * 9 },
    // What fails before a route is found: the same problem details as everything else.
    frameworkErrors: (error, request, reply) => void sendError(reply, error, (unexpected) => options.onUnexpected(unexpected, request.url)),
    serverFactory: (handler) => options.server.on('request', handler),
  });
  app.setErrorHandler((error, request, reply) => sendError(reply, error, (unexpected) => options.onUnexpected(unexpected, request.url)));
  app.setNotFoundHandler((request, reply) => sendError(reply, httpFault('not_found', { path: (request.url.split('?', 1)[0] ?? '').slice(0, 256) }), () => undefined));
  return app;
}
