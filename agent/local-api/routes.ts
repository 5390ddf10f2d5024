// The routes of the API for programs on this host: post events, take commands, acknowledge them, read the state. Who may come and how much
// each may hold is server.ts; where it listens, listeners.ts. node:http and no framework: each megabyte counts on every branch PC.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isCoded, titleOf, type CodedError } from '../../shared/errors.ts';
import { readBoundedStream } from '../../shared/files/bounded-stream.ts';
import { bodyText } from '../../shared/delivery/body-text.ts';
import { messageFault } from '../../shared/delivery/errors.ts';
import { faultText, readProduced, type Message } from '../../shared/delivery/message.ts';
import type { Appended } from '../../shared/delivery/log-interfaces.ts';
import { JsonSyntaxError, scanBatch, scanValue } from '../../shared/wire/json-text.ts';
import { LIMITS } from '../../shared/wire/messages.ts';
import { agentFault } from '../errors.ts';

/** A command as a local program takes it. */
interface TakenCommand {
  /** Grows for ever; acknowledge through it. */
  readonly cursor: number;
  /** The CloudEvent as JSON text. */
  readonly json: string;
}

export interface LocalApiPorts {
  append(messages: readonly Message[]): Promise<Appended[]>;
  take(max: number): Promise<TakenCommand[]>;
  /** Resolves when there is a command to take, or after `timeoutMs`, or when `signal` aborts. */
  waitForCommands(timeoutMs: number, signal: AbortSignal): Promise<void>;
  acknowledge(through: number): Promise<void>;
  status(): Promise<Readonly<Record<string, unknown>>>;
  readonly now: () => number;
  /** Of one event; what Central said last. */
  readonly maxMessageBytes: () => number;
  /** Source of events whose producer names none. */
  readonly source: () => string;
  readonly onUnexpected: (error: unknown) => void;
}

export const MAX_BODY_BYTES = 1024 * 1024;
const MAX_EVENTS = 1000;
const MAX_COMMANDS = 1000;
/** Below the minute after which proxies and HTTP clients give up. */
const MAX_WAIT_SECONDS = 55;

/** Answers a request that has authority. Throws agent faults. */
export async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  ports: LocalApiPorts,
  stopping: AbortSignal,
): Promise<void> {
  // Not by URL: it throws for what is none ("//"), and takes "//api/v1/status" for a host. The paths here need no decoding.
  const [path = '', query = ''] = (request.url ?? '/').split('?', 2);
  const route = `${request.method ?? ''} ${path}`;
  const parameters = new URLSearchParams(query);
  switch (route) {
    case 'POST /api/v1/events':
      refuseUnknown(parameters, []);
      return send(response, 202, await postEvents(await readBody(request), ports));
    case 'GET /api/v1/commands':
      refuseUnknown(parameters, ['limit', 'waitSeconds']);
      return await takeCommands(parameters, request, response, ports, stopping);
    case 'POST /api/v1/commands/ack':
      refuseUnknown(parameters, []);
      return send(response, 200, await acknowledgeCommands(await readBody(request), ports));
    case 'GET /api/v1/status':
      refuseUnknown(parameters, []);
      return send(response, 200, await ports.status());
    default:
      throw agentFault('local_not_found', { method: (request.method ?? '').slice(0, 16), path: path.slice(0, 128) });
  }
}

/** One event or an array, all or nothing. Answered after they are on disk. */
async function postEvents(body: string, ports: LocalApiPorts): Promise<unknown> {
  const { isArray, items, count } = scanned(() => scanBatch(body, MAX_EVENTS));
  if (count === 0 || count > MAX_EVENTS)
    throw agentFault('local_body_bad', { found: `${count} events, where 1 to ${MAX_EVENTS} are allowed` });
  const defaults = { source: ports.source(), now: new Date(ports.now()) };
  const maxMessageBytes = Math.min(LIMITS.maxMessageBytes, ports.maxMessageBytes());
  const messages = items.map((item, index) => {
    const message = readProduced(item, defaults, maxMessageBytes);
    if (!('pointer' in message)) return message;
    if (message.kind === 'expired') {
      const pointer = `${isArray ? `/${index}` : ''}${message.pointer}`;
      throw messageFault('message_expired', { pointer, found: message.found, now: defaults.now.toISOString() });
    }
    throw agentFault('local_body_bad', {
      found: isArray ? `event ${index}: ${faultText(message)}` : faultText(message),
    });
  });
  const appended = await ports.append(messages);
  return {
    items: appended.map(({ outcome, number }, index) => ({
      id: messages[index]?.id,
      source: messages[index]?.source,
      outcome,
      number,
    })),
  };
}

async function takeCommands(
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
  ports: LocalApiPorts,
  stopping: AbortSignal,
): Promise<void> {
  const limit = readNumber(query, 'limit', 1, MAX_COMMANDS, 100);
  const waitSeconds = readNumber(query, 'waitSeconds', 0, MAX_WAIT_SECONDS, 0);
  let commands = await ports.take(limit);
  if (commands.length === 0 && waitSeconds > 0) {
    const gone = new AbortController();
    request.once('close', () => gone.abort());
    await ports.waitForCommands(waitSeconds * 1000, AbortSignal.any([gone.signal, stopping]));
    commands = await ports.take(limit);
  }
  // Put together from stored JSON text: nothing is parsed or written a second time.
  const items = commands.map(({ cursor, json }) => `{"cursor":${cursor},"command":${json}}`);
  sendText(response, 200, `{"items":[${items.join(',')}],"next":null}`);
}

async function acknowledgeCommands(body: string, ports: LocalApiPorts): Promise<unknown> {
  const { members, fault } = scanned(() => scanValue(body));
  if (fault !== undefined)
    throw agentFault('local_body_bad', { found: `${fault.pointer || 'the body'} ${fault.found}` });
  const unknown = members.find(({ name }) => name !== 'through');
  if (unknown !== undefined)
    throw agentFault('local_body_bad', { found: `${JSON.stringify(unknown.name.slice(0, 64))} is not a member of it` });
  const member = members.find(({ kind }) => kind === 'number');
  const through = member === undefined ? undefined : Number(body.slice(member.from, member.to));
  if (typeof through !== 'number' || !Number.isSafeInteger(through) || through < 0)
    throw agentFault('local_body_bad', {
      found: 'no {"through": CURSOR} with the cursor of the last command that was worked off',
    });
  await ports.acknowledge(through);
  return { through };
}

/** Throws local_query_bad for the first parameter that is not one of `allowed`. */
function refuseUnknown(query: URLSearchParams, allowed: readonly string[]): void {
  for (const name of query.keys()) {
    if (allowed.includes(name)) continue;
    throw agentFault('local_parameter_unknown', {
      found: name.slice(0, 64),
      allowed: allowed.length === 0 ? 'none' : allowed.join(', '),
    });
  }
}

function readNumber(query: URLSearchParams, name: string, minimum: number, maximum: number, fallback: number): number {
  const text = query.get(name);
  if (text === null) return fallback;
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < minimum || value > maximum)
    throw agentFault('local_query_bad', { name, found: text.slice(0, 64), allowed: `${minimum} to ${maximum}` });
  return value;
}

/** Errors: local_body_too_large, body_not_utf8. */
async function readBody(request: IncomingMessage): Promise<string> {
  return bodyText(
    await readBoundedStream(request, MAX_BODY_BYTES, () =>
      agentFault('local_body_too_large', { maxBytes: MAX_BODY_BYTES }),
    ),
  );
}

function scanned<T>(scan: () => T): T {
  try {
    return scan();
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw agentFault('local_body_bad', { found: `not JSON: ${error.message}` }, error);
  }
}

export function sendFault(response: ServerResponse, error: unknown): void {
  const fault: CodedError | undefined = isCoded(error) ? error : undefined;
  const status = fault?.status ?? 500;
  if (response.headersSent) return void response.destroy();
  // An outbox that is full empties when the line is back: soon, or not at all.
  if (status === 503) response.setHeader('retry-after', '5');
  if (status === 413) response.setHeader('connection', 'close');
  const code = fault?.code ?? 'internal';
  const problem = {
    type: `urn:queuegate:error:${code}`,
    code,
    title: titleOf(code),
    status,
    detail: fault?.message ?? 'The agent could not answer this request.',
    hint: fault?.hint ?? 'Look at the log of the agent at this time.',
  };
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
}

export function send(response: ServerResponse, status: number, value: unknown): void {
  sendText(response, status, JSON.stringify(value));
}

function sendText(response: ServerResponse, status: number, text: string): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(text);
}
