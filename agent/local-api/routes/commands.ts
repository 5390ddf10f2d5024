// GET /api/v1/commands and POST /api/v1/commands/ack: a consumer takes its commands, as a page, after a wait, or as a
// stream of server-sent events (HTML Standard, section 9.2), and acknowledges them.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { whenClosed } from '../../../shared/http/closed.ts';
import { problemOf } from '../../../shared/http/problem.ts';
import type { CodedError } from '../../../shared/errors.ts';
import { agentFault } from '../../errors.ts';
import { acceptedType, readBody, readMembers, readParameters } from '../requests.ts';
import { JsonText } from '../answers.ts';
import type { Exchange, Reply } from '../types.ts';
import { ACK, COMMAND_PARAMETERS } from './schemas.ts';

const DEFAULT_LIMIT = 100;
const STREAM = 'text/event-stream';
/** Of a stream that has nothing to say, so that both ends see a connection that is dead. */
const COMMENT_MS = 15_000;
const RETRY_MS = 2_000;
/** Commands that are read for a stream at once; the next ones when the client has read them. */
const STREAM_BATCH = 100;

/** Those of the consumer of the request that it has not acknowledged, oldest first. */
export async function getCommands(exchange: Exchange): Promise<Reply> {
  const { request, query, authority, ports, shares, stopping } = exchange;
  const { limit = DEFAULT_LIMIT, waitSeconds = 0 } = readParameters(query, COMMAND_PARAMETERS);
  const isStream = acceptedType(request, ['application/json', STREAM]) === STREAM;
  // Nothing is delivered by a request that gets no body.
  if (request.method === 'HEAD') return { status: 200, body: { items: [], next: null } };
  if (isStream) return await shares.waiting(() => streamCommands(exchange));
  let commands = await takePage(exchange, limit);
  if (commands.length === 0 && waitSeconds > 0) {
    const gone = new AbortController();
    whenClosed(exchange.response, () => gone.abort());
    const signal = AbortSignal.any([gone.signal, stopping]);
    await shares.waiting(() => ports.waitForCommands(authority.consumer, waitSeconds * 1000, signal));
    commands = await takePage(exchange, limit);
  }
  // Put together from stored JSON text: nothing is parsed or written a second time.
  const items = commands.map(({ cursor, json }) => `{"cursor":${cursor},"command":${json}}`);
  return { status: 200, body: new JsonText(`{"items":[${items.join(',')}],"next":null}`) };
}

export async function acknowledgeCommands({ request, authority, ports }: Exchange): Promise<Reply> {
  const { through } = readMembers(await readBody(request), ACK);
  await ports.acknowledge(authority.consumer, through);
  return { status: 200, body: { through } };
}

async function takePage({ response, authority, ports, shares }: Exchange, limit: number) {
  const commands = await shares.answering(
    response,
    () => ports.take(authority.consumer, limit),
    (found) => bytesOf(found),
  );
  await deliver(ports, authority.consumer, commands);
  return commands;
}

/** Before they go out: else a program could not acknowledge what it has done, when the agent ends in between. */
async function deliver(
  ports: Exchange['ports'],
  consumer: string,
  commands: readonly { readonly cursor: number }[],
): Promise<void> {
  const last = commands.at(-1);
  if (last !== undefined) await ports.deliver(consumer, last.cursor);
}

/**
 * All that is not acknowledged, and then each command as it comes. It begins with the oldest one on every connection,
 * whatever Last-Event-ID says: what was received and not acknowledged may not have been worked off.
 */
async function streamCommands(exchange: Exchange): Promise<Reply> {
  const { response, authority, ports, shares, stopping } = exchange;
  const { consumer } = authority;
  const gone = new AbortController();
  whenClosed(response, () => gone.abort());
  const signal = AbortSignal.any([gone.signal, stopping]);
  response.writeHead(200, { 'content-type': STREAM });
  response.write(`retry: ${RETRY_MS}\n\n`);
  let after = 0;
  while (!signal.aborted && exchange.isStillAllowed()) {
    // What is stored behind it comes later; what is not there up to it was acknowledged or has expired.
    const last = ports.lastCursor(consumer);
    const { found, release } = await shares.holding(
      () => ports.take(consumer, STREAM_BATCH, after),
      (commands) => bytesOf(commands),
    );
    try {
      await deliver(ports, consumer, found);
      await write(response, found.map(eventText).join(''), shares.limits.readMs);
    } finally {
      release();
    }
    after = found.at(-1)?.cursor ?? Math.max(after, last);
    if (found.length > 0) continue;
    await ports.waitForCommands(consumer, COMMENT_MS, signal, after);
    if (ports.lastCursor(consumer) <= after) await write(response, ':\n\n', shares.limits.readMs);
  }
  if (!gone.signal.aborted)
    response.end(
      endText(
        stopping.aborted ? agentFault('local_stopping', {}) : agentFault('local_unauthorized', {}),
        exchange.requestId,
      ),
    );
  return { status: 200, body: undefined };
}

/** White space of JSON text may hold line ends; each line of it is a line of data. */
function eventText({ cursor, json }: { readonly cursor: number; readonly json: string }): string {
  return `id: ${cursor}\nevent: command\ndata: ${json.split(/\r\n|\r|\n/).join('\ndata: ')}\n\n`;
}

function endText(error: CodedError, requestId: string): string {
  return `event: end\ndata: ${JSON.stringify(problemOf(error, requestId))}\n\n`;
}

/** Resolves when the client has room for more; one that does not read loses the connection. */
async function write(response: ServerResponse, text: string, readMs: number): Promise<void> {
  if (text === '' || response.destroyed || response.write(text)) return;
  const cut = setTimeout(() => response.destroy(), readMs);
  const ended = new AbortController();
  const { signal } = ended;
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  } finally {
    clearTimeout(cut);
    ended.abort();
  }
}

function bytesOf(commands: readonly { readonly json: string }[]): number {
  return commands.reduce((bytes, { json }) => bytes + json.length, 0);
}
