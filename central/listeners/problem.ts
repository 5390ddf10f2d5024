// Answers errors as problem documents (shared/http/problem.ts), from Fastify's routes and from what never reaches one.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply } from 'fastify';
import { isCoded, systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { newRequestId, problemOf, PROBLEM_TYPE, REQUEST_ID_HEADER } from '../../shared/http/problem.ts';
import { httpFault } from './errors.ts';
import { STATUS_CODES } from '../../shared/http/node-http.ts';

/** When a refused request may be sent again. A full outbox empties as fast as its agent reads. */
const RETRY_AFTER_SECONDS: Readonly<Record<string, number>> = {
  outbox_full: 5,
  agent_offline: 60,
  too_many_attempts: 5,
  too_many_sign_ins: 60,
  too_many_waiting: 10,
  too_many_in_progress: 1,
  too_much_in_progress: 1,
  store_away: 2,
  store_failed: 30,
  store_reserve: 60,
  too_many_downloads: 5,
  downloads_full: 10,
  enrollments_per_day: 3_600,
  enrollments_full: 300,
  enrollments_full_of_address: 300,
};

/** With these two statuses the header is the contract; of causes whose end nothing tells. */
const UNSPECIFIED: ReadonlySet<number> = new Set([429, 503]);
const RETRY_SECONDS = 10;
/** How a stream ends that was cut off. */
const CUT: ReadonlySet<string | undefined> = new Set(['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE']);

/** The connection of an unreadable request is cut this long after the answer. */
const LINGER_MS = 1_000;

/** Answers with the problem of `error`. An unexpected one goes to `onUnexpected` and is answered without its text. */
export function sendError(reply: FastifyReply, error: unknown, onUnexpected: (error: unknown) => void): FastifyReply {
  const coded = isCoded(error) ? error : fromFastify(error, reply);
  if (coded === undefined) {
    onUnexpected(error);
    return sendCoded(reply, httpFault('request_failed', {}));
  }
  if (coded.status >= 500 && coded.status !== 503) onUnexpected(coded);
  return sendCoded(reply, coded);
}

function sendCoded(reply: FastifyReply, error: CodedError): FastifyReply {
  const retryAfter = RETRY_AFTER_SECONDS[error.code] ?? (UNSPECIFIED.has(error.status) ? RETRY_SECONDS : undefined);
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  // RFC 9110 section 15.5.2: a 401 says how to authenticate.
  if (error.status === 401) void reply.header('www-authenticate', 'Bearer realm="queuegate"');
  // Also before a route could say it, and instead of what one said: 404, 405 and 410 may be kept otherwise.
  void reply.header('cache-control', 'no-store');
  return reply.code(error.status).type(PROBLEM_TYPE).send(problemOf(error, reply.request.id));
}

/** Answers a request that does not reach a route; the connection ends with it. */
export function endWithProblem(response: ServerResponse, error: CodedError, retryAfterSeconds?: number): void {
  const requestId = newRequestId();
  const body = JSON.stringify(problemOf(error, requestId));
  response.writeHead(error.status, {
    [REQUEST_ID_HEADER]: requestId,
    'content-type': `${PROBLEM_TYPE}; charset=utf-8`,
    'content-length': String(Buffer.byteLength(body)),
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    connection: 'close',
  });
  response.end(body);
}

/** Turns a response that is not sent yet into that of `error`, and returns its body. */
export function problemText(reply: FastifyReply, error: CodedError): string {
  for (const name of Object.keys(reply.getHeaders()))
    if ((name.startsWith('queuegate-') && name !== REQUEST_ID_HEADER) || name === 'content-length')
      void reply.removeHeader(name);
  void reply.code(error.status).type(`${PROBLEM_TYPE}; charset=utf-8`);
  return JSON.stringify(problemOf(error, reply.request.id));
}

/**
 * Answers what Node could not parse as a request, and ends the connection: the start of the next request is unknown.
 */
export function refuseUnreadable(error: Error, socket: Socket, maxHeaderBytes: number): void {
  const code = systemCode(error);
  // A reset; or more data of a request that was answered already.
  if (code === 'ECONNRESET' || !socket.writable) return void (socket.writableEnded || socket.destroy());
  const fault =
    code === 'HPE_HEADER_OVERFLOW'
      ? httpFault('headers_too_large', { maxBytes: maxHeaderBytes }, error)
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? httpFault('request_timeout', {}, error)
        : httpFault('request_unreadable', {}, error);
  const requestId = newRequestId();
  const body = JSON.stringify(problemOf(fault, requestId));
  socket.end(
    `HTTP/1.1 ${fault.status} ${STATUS_CODES[fault.status] ?? ''}\r\nQueuegate-Request-Id: ${requestId}\r\nContent-Type: ${PROBLEM_TYPE}; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  // What still arrives is discarded for a moment, so that the peer sees the answer and not a reset.
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(cut));
}

/** Maps what Fastify itself refuses to our codes; undefined when the request is not at fault. */
function fromFastify(error: unknown, reply: FastifyReply): CodedError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, statusCode } = error as Partial<FastifyError>;
  const { request } = reply;
  // The client left before its body was complete: no defect, and nothing was carried out. The answer has no reader.
  if (CUT.has(code) && !request.raw.complete) return httpFault('request_unreadable', {}, error);
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return httpFault('content_type_unsupported', { found: request.headers['content-type'] ?? '(none)' }, error);
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return httpFault('body_too_large', { maxBytes: request.routeOptions.bodyLimit ?? 0 }, error);
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_ASYNC_CONSTRAINT':
      return httpFault('url_bad', {}, error);
    default:
      break;
  }
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return undefined;
  // Fastify rejects only bodies beyond this: empty, not JSON, a member named __proto__, a wrong length.
  return httpFault('json_unparseable', { found: textOf(error) }, error);
}
