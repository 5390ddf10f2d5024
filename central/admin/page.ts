// The envelope of every list: `items` and `next`, with `limit` and `after`; and how a time is written.
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { adminFault, requestInvalid } from './errors.ts';

/** At most a thousand entries in one answer; a hundred unless the query says otherwise. */
export const limit = Type.Integer({ minimum: 1, maximum: 1000, default: 100 });
/** The query members of every list. `after` is the `next` of an earlier answer, and nothing else. */
export const pageMembers = { limit, after: Type.Optional(Type.String({ maxLength: 1024 })) };

export interface PageQuery {
  readonly limit: number;
  readonly after?: string | undefined;
}

/** RFC 3339, UTC. */
export function timeOf<T extends number | null>(at: T): T extends null ? null : string;
export function timeOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

/** The time in a query parameter: RFC 3339, with any offset. Errors: request_invalid. */
export function timeIn(parameter: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const at = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (!Number.isNaN(at)) return at;
  const detail = `${parameter} is not a time; allowed: RFC 3339, such as 2026-11-27T08:00:00Z.`;
  throw requestInvalid([{ parameter, detail, allowed: null, found: text.slice(0, 64) }]);
}

/** The id of a row in a list with the newest first. */
export function rowId(key: number): string {
  return key.toString(16).padStart(16, '0');
}

export function isRow({ key }: { readonly key: number }, id: string): boolean {
  return rowId(key) === id.toLowerCase();
}

/** What reads the one row with this id: the page of one in front of which it is. Undefined: no row can have it. */
export function pageOfRow(id: string): { readonly limit: 1; readonly before: number } | undefined {
  const key = /^[0-9a-f]{16}$/i.test(id) ? Number.parseInt(id, 16) : Number.NaN;
  return Number.isSafeInteger(key + 1) ? { limit: 1, before: key + 1 } : undefined;
}

/** The position that a cursor stands for. Errors: cursor_invalid, also for a cursor of another list or filter. */
export function positionOf(request: FastifyRequest, { after }: PageQuery): string | undefined {
  if (after === undefined) return undefined;
  const [, list, position] = /^([\w-]{11})\.([\w-]*)$/.exec(after) ?? [];
  if (list !== listOf(request) || position === undefined) throw adminFault('cursor_invalid', {});
  return Buffer.from(position, 'base64url').toString('utf8');
}

/**
 * The envelope of a page. `next`: the position of its last entry, null when there is nothing behind it. The header Link
 * repeats it.
 */
export function pageJson<T>(
  request: FastifyRequest,
  reply: FastifyReply,
  items: readonly T[],
  next: string | null,
): { readonly items: readonly T[]; readonly next: string | null } {
  if (next === null) return { items, next };
  const cursor = `${listOf(request)}.${Buffer.from(next, 'utf8').toString('base64url')}`;
  linkNext(request, reply, cursor);
  return { items, next: cursor };
}

/** Where the page behind the cursor is (RFC 8288). */
export function linkNext(request: FastifyRequest, reply: FastifyReply, cursor: string): void {
  const url = new URL(request.url, 'http://localhost');
  url.searchParams.set('after', cursor);
  void reply.header('link', `<${url.pathname}${url.search}>; rel="next"`);
}

/**
 * The page of a list that is in memory. Errors: cursor_invalid, also when the entry is gone that the cursor stands for.
 */
export function pageOf<T, J>(
  request: FastifyRequest,
  reply: FastifyReply,
  query: PageQuery,
  entries: readonly T[],
  { position, json }: { readonly position: (entry: T) => string; readonly json: (entry: T) => J },
): { readonly items: readonly J[]; readonly next: string | null } {
  const after = positionOf(request, query);
  const at = after === undefined ? -1 : entries.findIndex((entry) => position(entry) === after);
  if (after !== undefined && at === -1) throw adminFault('cursor_invalid', {});
  const page = entries.slice(at + 1, at + 1 + query.limit);
  const last = page.at(-1);
  const hasMore = at + 1 + page.length < entries.length;
  return pageJson(request, reply, page.map(json), last !== undefined && hasMore ? position(last) : null);
}

/** Pages of the store that one request reads at most, where the scope of its token leaves rows out. */
const MAX_READS = 20;
/** Of those behind the first one. */
const READ_ROWS = 1_000;

interface ScopedList<T, P> {
  readonly limit: number;
  /** Where the page begins; undefined: at the beginning. */
  readonly after: P | undefined;
  /** A page of the store, of so many rows behind that place. */
  readonly read: (after: P | undefined, limit: number) => Promise<readonly T[]>;
  /** Those that the token may see. */
  readonly fitting: (rows: readonly T[]) => Promise<readonly T[]> | readonly T[];
  readonly placeOf: (row: T) => P;
  /** True when nothing is behind this page of the store; default: it is shorter than its limit. */
  readonly isLast?: (rows: readonly T[], limit: number) => boolean;
  /** Where the store goes on behind its last page, which may be empty; null: nowhere. Default: behind its last row. */
  readonly nextOf?: () => P | null;
}

/**
 * A page of what a token may see of a list in the store. It may be shorter than its limit, and empty, with a next one:
 * one request reads no more than some pages of the store.
 */
export async function readWithin<T, P>({
  limit: most,
  after,
  read,
  fitting,
  placeOf,
  isLast = (rows, size) => rows.length < size,
  nextOf,
}: ScopedList<T, P>): Promise<{ readonly items: readonly T[]; readonly next: P | null }> {
  const items: T[] = [];
  let place = after;
  let isHidden = false;
  for (let reads = 1; ; reads += 1) {
    const size = reads === 1 ? most : READ_ROWS;
    const rows = await read(place, size);
    const found = await fitting(rows);
    const taken = found.slice(0, most - items.length);
    items.push(...taken);
    const [lastRow, lastItem] = [rows.at(-1), items.at(-1)];
    const own = nextOf?.();
    if (own !== undefined && own !== null) place = own;
    else if (lastRow !== undefined) place = placeOf(lastRow);
    isHidden ||= found.length < rows.length;
    const isEnd = own === undefined ? isLast(rows, size) : own === null;
    if (taken.length === found.length && isEnd) return { items, next: null };
    // The store ended it at the bound of its text.
    const isHeavy = rows.length < size && items.length > 0;
    const isWhole = items.length >= most || found.length === rows.length || isHeavy || reads >= MAX_READS;
    // Rather the place of what the token may see: a cursor can be decoded.
    const isAll = !isHidden && taken.length === found.length;
    if (isWhole) return { items, next: isAll || lastItem === undefined ? (place ?? null) : placeOf(lastItem) };
  }
}

/** The path and the filter of a list, as eleven characters: a cursor is bound to them, not to `limit`. */
function listOf(request: FastifyRequest): string {
  const url = new URL(request.url, 'http://localhost');
  for (const name of ['after', 'limit']) url.searchParams.delete(name);
  url.searchParams.sort();
  return createHash('sha256').update(`${url.pathname}?${url.searchParams.toString()}`).digest('base64url').slice(0, 11);
}
