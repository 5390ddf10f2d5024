// What the daemon tells about itself: consumers, status, incidents, dead letters, health.
import { causeOf } from '../../../shared/delivery/dead-letters.ts';
import { mayHaveMore } from '../../../shared/text-page.ts';
import { agentFault } from '../../errors.ts';
import { readParameters } from '../requests.ts';
import type { Exchange, LocalApiPorts, Reply, TokenFiles } from '../types.ts';
import { LIST_PARAMETERS } from './schemas.ts';

const DEFAULT_LIMIT = 100;

/** The owner sees all consumers, a consumer itself. */
export async function listConsumers({ authority, ports, tokens }: Exchange): Promise<Reply> {
  const found = await ports.consumers();
  const shown = authority.kind === 'owner' ? found : found.filter(({ name }) => name === authority.consumer);
  return { status: 200, body: { items: shown.map((consumer) => consumerJson(consumer, tokens)), next: null } };
}

export async function getConsumer({ segment, ports, tokens }: Exchange): Promise<Reply> {
  const found = (await ports.consumers()).find(({ name }) => name === segment);
  if (found === undefined) throw agentFault('local_consumer_unknown', { found: segment.slice(0, 64) });
  return { status: 200, body: consumerJson(found, tokens) };
}

export async function rotateToken({ segment, tokens }: Exchange): Promise<Reply> {
  return { status: 201, body: await tokens.rotate(segment) };
}

export async function getStatus({ ports }: Exchange): Promise<Reply> {
  return { status: 200, body: await ports.status() };
}

export async function listIncidents(exchange: Exchange): Promise<Reply> {
  const page = pageOf(exchange, 'i');
  const found = await exchange.ports.incidents(page);
  const last = mayHaveMore(found, page.limit, ({ detail }) => detail) ? found.at(-1) : undefined;
  const items = found.map(({ at, kind, detail }) => ({
    code: kind,
    occurredAt: timeOf(at),
    detail: JSON.parse(detail) as unknown,
  }));
  return listReply(exchange, page, items, last && `i-${last.key}`);
}

export async function listDeadLetters(exchange: Exchange): Promise<Reply> {
  const page = pageOf(exchange, 'd');
  const found = await exchange.ports.deadLetters(page);
  const last = mayHaveMore(found, page.limit, ({ json }) => json) ? found.at(-1) : undefined;
  const items = found.map(({ at, direction, number, id, reason, json }) => ({
    deadAt: timeOf(at),
    direction,
    number: number === 0 ? null : number,
    id,
    ...causeOf(reason),
    text: json,
  }));
  return listReply(exchange, page, items, last && `d-${last.key}`);
}

export function getLive(): Reply {
  return { status: 200, body: { state: 'ok', reasons: [] } };
}

/** Ready: programs can post events. Without a connection to Central they can, until the outbox is full. */
export async function getReady({ ports, stopping }: Exchange): Promise<Reply> {
  const reasons = stopping.aborted ? ['local_stopping'] : await ports.notReady();
  return reasons.length === 0
    ? { status: 200, body: { state: 'ok', reasons: [] } }
    : { status: 503, body: { state: 'failing', reasons } };
}

function consumerJson(
  {
    name,
    types,
    messages,
    bytes,
    delivered,
    acknowledged,
    oldestAt,
  }: Awaited<ReturnType<LocalApiPorts['consumers']>>[number],
  tokens: TokenFiles,
) {
  return {
    name,
    types,
    tokenFile: tokens.pathOf(name) ?? '',
    cursor: acknowledged === 0 ? null : acknowledged,
    deliveredCursor: delivered === 0 ? null : delivered,
    waitingCount: messages,
    waitingBytes: bytes,
    oldestAt: timeOf(oldestAt),
  };
}

interface ReadPage {
  readonly limit: number;
  readonly before: number | null;
}

/** `list` is the first letter of the cursors of the list. Errors: local_cursor_invalid. */
function pageOf({ query }: Exchange, list: string): ReadPage {
  const { limit = DEFAULT_LIMIT, after } = readParameters(query, LIST_PARAMETERS);
  if (after === undefined) return { limit, before: null };
  const [, key] = new RegExp(`^${list}-(\\d{1,15})$`).exec(after) ?? [];
  if (key === undefined) throw agentFault('local_cursor_invalid', {});
  return { limit, before: Number(key) };
}

/** `next` undefined: there is nothing behind the page. */
function listReply(
  { request }: Exchange,
  { limit }: ReadPage,
  items: readonly object[],
  next: string | null = null,
): Reply {
  const [path = ''] = (request.url ?? '').split('?', 1);
  return {
    status: 200,
    body: { items, next },
    ...(next === null ? {} : { headers: { link: `<${path}?limit=${limit}&after=${next}>; rel="next"` } }),
  };
}

function timeOf(at: number): string;
function timeOf(at: number | null): string | null;
function timeOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
