// One request of Central to a service of this host: stream in, HTTP to the service, its answer back, nothing buffered.
// A WebSocket passes after its request. What may be requested has been checked (services.ts).
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { LookupFunction, Socket } from 'node:net';
import { systemCode } from '../../shared/errors.ts';
import { request as httpRequest } from '../../shared/http/node-http.ts';
import { endToEnd, fieldsOf, type HeaderFields } from '../../shared/http/service-path.ts';
import { joinSocket } from '../../shared/session/streams/joined-socket.ts';
import type { Stream } from '../../shared/session/streams/stream.ts';
import type { ServiceSettings } from './service-settings.ts';

export interface ServiceRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderFields;
  /** Null: unknown, it ends with the stream. */
  readonly bodyBytes: number | null;
  /** To a WebSocket: what follows the request on the stream is of that. */
  readonly isUpgrade: boolean;
}

/** A service of this host cannot need longer lines. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Interim answers (1xx) in front of the answer: each keeps the request from being silent. */
const MAX_INTERIM = 8;

/** Sends the request, and the answer or the reason why there is none into the stream. */
export function callService(settings: ServiceSettings, call: ServiceRequest, stream: Stream): void {
  const { host, port, responseSeconds, idleSeconds } = settings;
  const request = httpRequest({
    host,
    port,
    // Never a name server: a false answer would lead out of this host.
    ...(host === 'localhost' ? { lookup: toLoopback } : {}),
    method: call.method,
    path: call.target,
    headers: requestFields(settings, call),
    agent: false,
    timeout: responseSeconds * 1000,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
  let isSilent = false;
  let answer: IncomingMessage | undefined;
  const endSilent = (): void => {
    isSilent = true;
    request.destroy();
  };
  request.on('timeout', endSilent);
  // A service that answers byte by byte is never silent, and gets no further either.
  let answerDue: NodeJS.Timeout | undefined;
  request.once('finish', () => (answerDue = setTimeout(endSilent, responseSeconds * 1000)));
  request.on('error', (error) => {
    if (answer?.complete === true) return;
    stream.reset(answer !== undefined ? 'service_failed' : isSilent ? 'service_silent' : causeOf(error));
  });
  let interim = 0;
  request.on('information', () => {
    interim += 1;
    if (interim > MAX_INTERIM) stream.reset('service_answer_invalid');
  });
  request.on('response', (response) => {
    answer = response;
    clearTimeout(answerDue);
    request.setTimeout(idleSeconds * 1000);
    passAnswer(settings, response, stream, call);
  });
  request.on('upgrade', (response, socket, head) => {
    clearTimeout(answerDue);
    passUpgraded(settings, response, { socket, head, stream, isWanted: call.isUpgrade });
  });
  // Also at the end of the session, and when the caller has left.
  stream.once('close', () => request.destroy());
  request.once('close', () => clearTimeout(answerDue));
  sendBody(call, request, stream);
}

function sendBody({ bodyBytes, isUpgrade }: ServiceRequest, request: ClientRequest, stream: Stream): void {
  if (bodyBytes !== 0) return void stream.pipe(request);
  // What the caller sends early waits until the service has switched to the other protocol.
  if (!isUpgrade) stream.resume();
  request.end();
}

interface Upgraded {
  readonly socket: Socket;
  /** What came with the answer already. */
  readonly head: Buffer;
  readonly stream: Stream;
  readonly isWanted: boolean;
}

function passUpgraded(
  { idleSeconds }: ServiceSettings,
  { rawHeaders, headers: { upgrade } }: IncomingMessage,
  { socket, head, stream, isWanted }: Upgraded,
): void {
  // A reset only ends the connection; `close` follows.
  socket.on('error', () => undefined);
  const answer = { status: 101, headers: endToEnd(fieldsOf(rawHeaders)) };
  if (!isWanted || upgrade?.toLowerCase() !== 'websocket' || stream.destroyed || !stream.sendHead(answer)) {
    socket.destroy();
    return stream.reset('service_answer_invalid');
  }
  // Without a byte in either direction; the pings of a WebSocket are some.
  socket.setTimeout(idleSeconds * 1000, () => socket.destroy());
  if (head.length > 0) socket.unshift(head);
  joinSocket(socket, stream, { graceMs: idleSeconds * 1000, code: 'service_failed' });
  socket.pipe(stream);
}

function passAnswer(
  settings: ServiceSettings,
  answer: IncomingMessage,
  stream: Stream,
  { isUpgrade }: ServiceRequest,
): void {
  const { statusCode: status, rawHeaders } = answer;
  const headers = endToEnd(fieldsOf(rawHeaders)).map(([name, value]) =>
    name.toLowerCase() === 'location'
      ? ([name, withoutOrigin(value, settings.authority)] as const)
      : ([name, value] as const),
  );
  if (!stream.sendHead({ status, headers })) return stream.reset('service_answer_invalid');
  answer.on('error', () => stream.reset('service_failed'));
  // A service that dies in mid-answer must not look like the end of the answer.
  answer.on('close', () => {
    if (!answer.complete) return stream.reset('service_failed');
    // An upload that the service has answered before its end goes nowhere.
    stream.unpipe();
    stream.resume();
  });
  // What the caller has sent of another protocol has no reader.
  if (isUpgrade) stream.resume();
  answer.pipe(stream);
}

/** Where the service redirects to itself, the caller stays at the address that it knows. */
function withoutOrigin(location: string, authority: string): string {
  if (!location.toLowerCase().startsWith(authority)) return location;
  const path = location.slice(authority.length);
  return path === '' ? '/' : path.startsWith('/') ? path : location;
}

function requestFields({ authority, hostHeader }: ServiceSettings, call: ServiceRequest): string[] {
  const { method, headers, bodyBytes, isUpgrade } = call;
  const host = headers.find(([name]) => name.toLowerCase() === 'host')?.[1];
  const framing: [string, string][] =
    bodyBytes === null
      ? [['Transfer-Encoding', 'chunked']]
      : bodyBytes > 0 || ['POST', 'PUT', 'PATCH'].includes(method)
        ? [['Content-Length', String(bodyBytes)]]
        : [];
  return [
    ['Host', hostHeader === 'keep' && host !== undefined ? host : authority.slice('http://'.length)],
    ...endToEnd(headers).filter(([name]) => !['host', 'content-length'].includes(name.toLowerCase())),
    ...framing,
    ...(isUpgrade
      ? [['Connection', 'Upgrade'] as const, ['Upgrade', 'websocket'] as const]
      : [['Connection', 'close']]),
  ].flat();
}

const toLoopback: LookupFunction = (_hostname, { all }, done) => {
  if (all === true)
    return done(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ]);
  return done(null, '127.0.0.1', 4);
};

function causeOf(error: unknown): 'service_answer_invalid' | 'service_unreachable' {
  return (systemCode(error) ?? '').startsWith('HPE_') ? 'service_answer_invalid' : 'service_unreachable';
}
