// Owns how a Fastify instance of Central is made: one per listener, for the life of the process, never bound to a port itself
// (central/listeners/connections.ts hands it sockets), with every error as RFC 9457 problem details.
import { createServer, type Server } from 'node:http';
import { fastify, type FastifyInstance, type FastifyReply } from 'fastify';
import { isCoded } from '../../shared/errors.ts';

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
    serverFactory: (handler) => options.server.on('request', handler),
  });
  app.setErrorHandler((error, request, reply) => sendProblem(reply, error, (unexpected) => options.onUnexpected(unexpected, request.url)));
  app.setNotFoundHandler((request, reply) =>
    problem(reply, { code: 'not_found', status: 404, title: `There is nothing at ${request.method} ${request.url.split('?', 1)[0]}.`, hint: 'Look at the path and the method.' }),
  );
  return app;
}

export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly hint: string;
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Answers with problem details (RFC 9457 section 3). */
export function problem(reply: FastifyReply, found: Problem): FastifyReply {
  return reply
    .code(found.status)
    .type('application/problem+json')
    .send({ type: `urn:queuegate:error:${found.code}`, title: found.title, status: found.status, hint: found.hint, ...found.more });
}

function sendProblem(reply: FastifyReply, error: unknown, onUnexpected: (error: unknown) => void): FastifyReply {
  if (isCoded(error)) return problem(reply, { code: error.code, status: error.status, title: error.message, hint: error.hint });
  const status = error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500;
  if (status < 500 && error instanceof Error) return problem(reply, { code: 'bad_request', status, title: error.message, hint: 'Mend the request and send it again.' });
  onUnexpected(error);
  return problem(reply, { code: 'internal', status: 500, title: 'Central could not answer this request.', hint: 'Look at the log of Central at this time.' });
}
