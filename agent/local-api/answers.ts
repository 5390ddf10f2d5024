// Sends the answers of the local API: JSON, and errors as problem documents (RFC 9457). Each answer names its request.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { isCoded, systemCode, type CodedError } from '../../shared/errors.ts';
import { newRequestId, problemOf, PROBLEM_TYPE, REQUEST_ID_HEADER } from '../../shared/http/problem.ts';
import { agentFault } from '../errors.ts';
import { STATUS_CODES } from '../../shared/http/node-http.ts';

/** An outbox that is full empties when the connection is back: soon, or not at all. */
const RETRY_AFTER_SECONDS = '5';
/** The connection of an unreadable request is cut this long after the answer. */
const LINGER_MS = 1_000;

/** JSON text that is put together already. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Headers that every answer has. */
export function prepareAnswer(response: ServerResponse): string {
  const requestId = newRequestId();
  response.setHeader(REQUEST_ID_HEADER, requestId);
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  return requestId;
}

export function sendJson(response: ServerResponse, status: number, value: object | JsonText): void {
  const text = value instanceof JsonText ? value.text : JSON.stringify(value);
  sendText(response, status, 'application/json; charset=utf-8', text);
}

function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': type, 'content-length': String(Buffer.byteLength(text)) }).end(text);
}

/** An error without a code is answered without its text. */
export function sendFault(response: ServerResponse, error: unknown, requestId: string): void {
  if (response.headersSent) return void response.destroy();
  const fault: CodedError = isCoded(error) ? error : agentFault('local_failed', {}, error);
  const { status } = fault;
  if (status === 503) response.setHeader('retry-after', RETRY_AFTER_SECONDS);
  if (status === 413) response.setHeader('connection', 'close');
  // RFC 9110 section 15.5.2: a 401 says how to authenticate.
  if (status === 401) response.setHeader('www-authenticate', 'Bearer realm="queue-agent"');
  sendText(response, status, PROBLEM_TYPE, JSON.stringify(problemOf(fault, requestId)));
}

/**
 * Answers what Node.js could not parse as a request, and ends the connection: the start of the next request is unknown.
 */
export function refuseUnreadable(error: Error, socket: Socket, maxHeaderBytes: number): void {
  const code = systemCode(error);
  if (code === 'ECONNRESET' || !socket.writable) return void (socket.writableEnded || socket.destroy());
  const fault =
    code === 'HPE_HEADER_OVERFLOW'
      ? agentFault('local_headers_too_large', { maxBytes: maxHeaderBytes }, error)
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? agentFault('local_request_timeout', {}, error)
        : agentFault('local_request_unreadable', {}, error);
  endUnanswered(socket, fault);
}

/** Answers on a connection that has no request. */
export function endUnanswered(socket: Socket, fault: CodedError): void {
  const requestId = newRequestId();
  const body = JSON.stringify(problemOf(fault, requestId));
  socket.end(
    [
      `HTTP/1.1 ${fault.status} ${STATUS_CODES[fault.status] ?? ''}`,
      `Content-Type: ${PROBLEM_TYPE}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      `Queuegate-Request-Id: ${requestId}`,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  // What still arrives is discarded for a moment, so that the peer sees the answer and not a reset.
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(cut));
}
