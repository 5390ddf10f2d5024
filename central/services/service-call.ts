// One call of an exposed service: a stream to the agent, the body there, the answer back, nothing buffered. An answer
// that ends too early cuts the connection: it must not look like a whole one.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { CodedError } from '../../shared/errors.ts';
import { whenClosed } from '../../shared/http/closed.ts';
import { readFields, type HeaderFields } from '../../shared/http/service-path.ts';
import { joinSocket } from '../../shared/session/streams/joined-socket.ts';
import { StreamReset } from '../../shared/session/streams/stream.ts';
import type { AgentStream } from '../forwarding/agent-streams.ts';
import { serviceFault } from './errors.ts';
import { answerFields, type ServiceOpen, type UpgradeOpen } from './request-rules.ts';

interface Answer {
  readonly status: number;
  readonly headers: HeaderFields;
}

interface CallOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly stream: AgentStream;
  readonly open: ServiceOpen | UpgradeOpen;
  readonly agent: string;
  /** What the caller has in front of the paths of the service. */
  readonly prefix: string;
  /** Answers with a problem; nothing was sent before. */
  readonly refuse: (fault: CodedError) => void;
}

/** So long the last bytes of a side that has closed may take to the other one. */
const CLOSE_GRACE_MS = 60_000;

/** Passes the request and its answer; both end, or the connection does. */
export function passCall(options: CallOptions): void {
  const { request, stream, open } = options;
  passAnswer(options);
  if (open.kind === 'http' && open.bodyBytes === 0) stream.end();
  else request.pipe(stream);
}

/** Passes the request for a WebSocket, and all that follows where the service takes it; otherwise its answer. */
export function passUpgrade(options: CallOptions, socket: Socket): void {
  const { response, stream } = options;
  passAnswer(options, ({ headers }) => {
    if (!begin(response, '', { status: 101, headers: [...withoutLength(headers), ...SWITCHING] })) return false;
    response.detachSocket(socket);
    joinSocket(socket, stream, { graceMs: CLOSE_GRACE_MS, code: 'canceled' });
    return true;
  });
  // Read from now on, so that a caller that leaves is noticed.
  socket.pipe(stream);
}

function passAnswer(options: CallOptions, onSwitch?: (answer: Answer) => boolean): void {
  const { request, response, stream, open, prefix, refuse } = options;
  const to = { prefix, host: request.headers.host ?? '' };
  let hasAnswer = false;
  stream.once('head', (head: Readonly<Record<string, unknown>>) => {
    const switches = onSwitch !== undefined && head['status'] === 101;
    const answer = answerOf(head, switches ? 101 : 200, to);
    const method = open.kind === 'http' ? open.method : 'GET';
    hasAnswer = answer !== undefined && (switches ? onSwitch(answer) : begin(response, method, answer));
    if (!hasAnswer) {
      refuse(serviceFault('service_answer_invalid', {}));
      return stream.reset('answer_invalid');
    }
    if (!switches) passBody(options, answer, method !== 'HEAD');
  });
  // Also at the end of the session.
  stream.once('error', (error) => {
    if (hasAnswer) response.destroy();
    else refuse(faultOf(error, options));
  });
  stream.once('end', () => hasAnswer || refuse(serviceFault('service_failed', {})));
  whenClosed(response, () => stream.destroy());
}

const SWITCHING: HeaderFields = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
];

function withoutLength(headers: HeaderFields): HeaderFields {
  return headers.filter(([name]) => name.toLowerCase() !== 'content-length');
}

function answerOf(
  { status, headers }: Readonly<Record<string, unknown>>,
  least: number,
  to: Parameters<typeof answerFields>[1],
): Answer | undefined {
  const fields = readFields(headers);
  if (typeof status !== 'number' || !Number.isInteger(status) || status < least || status > 599) return undefined;
  return fields === undefined ? undefined : { status, headers: answerFields(fields, to) };
}

/** False: the header cannot be sent. */
function begin(response: ServerResponse, method: string, { status, headers }: Answer): boolean {
  const lengths = headers.filter(([name]) => name.toLowerCase() === 'content-length');
  if (lengths.length > 1 || lengths.some(([, value]) => !/^\d{1,15}$/.test(value))) return false;
  try {
    response.sendDate = !headers.some(([name]) => name.toLowerCase() === 'date');
    // Pairs, since a name may come more than once.
    response.writeHead(status, headers.flat());
    // Server-sent events begin long before their first event.
    if (method !== 'HEAD') response.flushHeaders();
    return true;
  } catch {
    return false;
  }
}

function passBody({ response, stream }: CallOptions, answer: Answer | undefined, mayHaveBody: boolean): void {
  const { status = 0, headers = [] } = answer ?? {};
  const hasBody = mayHaveBody && status !== 204 && status !== 304;
  const length = headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1];
  const due = length === undefined || !hasBody ? undefined : Number(length);
  let sent = 0;
  stream.on('data', (chunk: Buffer) => {
    if (!hasBody) return;
    sent += chunk.length;
    if (due !== undefined && sent > due) return void response.destroy();
    if (!response.write(chunk)) stream.pause();
  });
  response.on('drain', () => stream.resume());
  stream.once('end', () => {
    if (due !== undefined && sent !== due) response.destroy();
    else response.end();
  });
}

const WEBSOCKET = 'a request for a WebSocket';

/** What the code of the agent's RESET means to a caller. */
function faultOf(error: Error, { open, agent }: CallOptions): CodedError {
  const code = error instanceof StreamReset ? error.reset : undefined;
  switch (code) {
    case 'service_unknown':
      return serviceFault('service_unknown', { agent, service: open.service });
    case 'service_method_denied':
      return serviceFault('service_method_denied', { method: open.kind === 'http' ? open.method : WEBSOCKET });
    case 'service_upgrade_denied':
      return serviceFault('service_access_denied', { role: 'viewer', method: WEBSOCKET });
    case 'service_request_invalid':
      return serviceFault('service_request_invalid', { found: 'the agent refuses its form' });
    case 'kind_unknown':
      return serviceFault('service_agent_too_old', {});
    case 'service_path_denied':
    case 'service_unreachable':
    case 'service_silent':
    case 'service_answer_invalid':
      return serviceFault(code, {});
    default:
      return serviceFault('service_failed', {});
  }
}
