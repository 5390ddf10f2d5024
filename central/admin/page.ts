// The envelope of every list: `items` and `next`, with `limit` and `after`; and how a time is written.
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { adminFault, requestInvalid } from './errors.ts';

/** At most a thousand entries in one answer; a hundred unless the query says otherwise. */
export const limit = Type.Integer({ minimum: 1, maximum: 1000, default: 100 });
/** The query members of every list. `after` is the `next` of an earlier answer, and nothing else. */
export const pageMembers = { limit, after: Type.Optional(Type.String({ maxLength: 1024 })) };

interface PageQuery {
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
  const url = new URL(request.url, 'http://localhost');
  url.searchParams.set('after', cursor);
  void reply.header('link', `<${url.pathname}${url.search}>; rel="next"`);
  return { items, next: cursor };
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

/** The path and the filter of a list, as eleven characters: a cursor is bound to them, not to `limit`. */
function listOf(request: FastifyRequest): string {
  const url = new URL(request.url, 'http://localhost');
  for (const name of ['after', 'limit']) url.searchParams.delete(name);
  url.searchParams.sort();
  return createHash('sha256').update(`${url.pathname}?${url.searchParams.toString()}`).digest('base64url').slice(0, 11);
}
