// All requests of the dashboard: REST below /api/v1 with the cookie of the session, problems as errors, entity tags,
// pages, and Central's clock.
import { store } from './store.ts';
import type { Page, ProblemDocument } from './types.ts';

const BASE = '/api/v1';

/** A refusal: what Central says of it. */
export class Refused extends Error {
  readonly problem: ProblemDocument;
  /** Seconds, where Central said when to come again. */
  readonly retryAfter: number | null;
  /** The tag of what is there now, with 412. */
  readonly etag: string | null;

  constructor(problem: ProblemDocument, headers: Headers | undefined) {
    super(problem.detail);
    this.problem = problem;
    const retry = Number(headers?.get('retry-after') ?? Number.NaN);
    this.retryAfter = Number.isFinite(retry) ? retry : null;
    this.etag = headers?.get('etag') ?? null;
  }
}

export interface Answer<T> {
  readonly data: T;
  readonly status: number;
  readonly etag: string | null;
}

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>;

/** Why an act is done, and how (REST, "Terms of an act"). */
export type Terms = {
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly comment?: string;
  readonly ticket?: string;
  readonly confirmWithinSeconds?: number;
  readonly confirmShare?: number;
};

interface Sent {
  readonly body?: unknown;
  readonly query?: Query & Terms;
  /** If-Match. */
  readonly etag?: string | null;
  /** Of an act that creates: carried out once, however often it is sent. */
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

/** Called when the session has ended: the cookie is missing, expired, or its token was deleted. */
let onSignedOut: (problem: ProblemDocument) => void = () => {};
export function whenSignedOut(act: (problem: ProblemDocument) => void): void {
  onSignedOut = act;
}

export interface StoreAway {
  readonly problem: ProblemDocument;
  /** Central's time when it was found. */
  readonly asOf: number;
}

/** Beside working and failed: Central works, and cannot reach its store. Null: it can, as far as is known. */
export const storeAway = store<StoreAway | null>(null);

export function isStoreAway({ code }: ProblemDocument): boolean {
  return code === 'store_away' || code === 'store_away_unknown';
}

let offset = 0;
/** Central's time, by the header Date of its last answer: up to a second late. */
export function centralNow(): number {
  return Date.now() + offset;
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<Answer<T>> {
  return await request<T>('GET', path, { query, ...(signal === undefined ? {} : { signal }) });
}

export async function send<T>(
  method: 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  path: string,
  sent: Sent = {},
): Promise<Answer<T>> {
  return await request<T>(method, path, sent);
}

/** All pages of a list, one after the other. */
export async function* pages<T>(path: string, query: Query = {}, signal?: AbortSignal): AsyncGenerator<readonly T[]> {
  let after: string | null = null;
  do {
    const { data }: Answer<Page<T>> = await get<Page<T>>(path, { ...query, after }, signal);
    yield data.items;
    after = data.next;
  } while (after !== null);
}

/** The whole list. */
export async function all<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const items of pages<T>(path, { limit: 1000, ...query }, signal)) found.push(...items);
  return found;
}

export function addressOf(path: string, query: Query = {}): string {
  const terms = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === '') continue;
    for (const one of [value].flat()) terms.append(name, String(one));
  }
  const text = terms.toString();
  return `${BASE}${path}${text === '' ? '' : `?${text}`}`;
}

async function request<T>(method: string, path: string, sent: Sent): Promise<Answer<T>> {
  const { body, query, etag, idempotencyKey, signal } = sent;
  const headers = new Headers({ accept: 'application/json' });
  if (method !== 'GET') headers.set('queuegate-csrf', '1');
  if (body !== undefined)
    headers.set('content-type', method === 'PATCH' ? 'application/merge-patch+json' : 'application/json');
  if (etag !== undefined && etag !== null) headers.set('if-match', etag);
  if (idempotencyKey !== undefined) headers.set('idempotency-key', idempotencyKey);
  let response: Response;
  try {
    response = await fetch(addressOf(path, query), {
      method,
      headers,
      credentials: 'same-origin',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new Refused(unreachable(), undefined);
  }
  keepTime(response.headers.get('date'));
  if (!response.ok) throw await refusalOf(response, path);
  // Whatever is answered to a session was looked up there.
  storeAway.set(null);
  const text = await response.text();
  const data = (text === '' ? null : JSON.parse(text)) as T;
  return { data, status: response.status, etag: response.headers.get('etag') };
}

/** The bytes of an answer as they come; a line that is cut ends them with another error. Errors: Refused. */
export async function* getBytes(path: string, query: Query, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const response = await fetch(addressOf(path, query), { credentials: 'same-origin', signal }).catch(
    (error: unknown) => {
      throw signal.aborted ? error : new Refused(unreachable(), undefined);
    },
  );
  if (!response.ok) throw await refusalOf(response, path);
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) yield part.value;
}

/** The text of an address that is not of REST's JSON. Errors: Refused. */
export async function getText(address: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(address, { credentials: 'same-origin', signal }).catch((error: unknown) => {
    throw signal.aborted ? error : new Refused(unreachable(), undefined);
  });
  if (!response.ok) throw await refusalOf(response, address);
  return await response.text();
}

async function refusalOf(response: Response, path: string): Promise<Refused> {
  const text = await response.text();
  let problem: ProblemDocument;
  try {
    problem = JSON.parse(text) as ProblemDocument;
  } catch {
    problem = { ...unreachable(), status: response.status, detail: `Central answered ${response.status}.` };
  }
  const before = storeAway.get();
  if (isStoreAway(problem)) storeAway.set({ problem, asOf: before?.asOf ?? centralNow() });
  if (response.status === 401 && path !== '/login') onSignedOut(problem);
  return new Refused(problem, response.headers);
}

function unreachable(): ProblemDocument {
  return {
    code: 'central_unreachable',
    title: 'Central unreachable',
    status: 0,
    detail: 'Central did not answer.',
    hint: 'Check that Central runs and that this network reaches it. The page tries again.',
  };
}

function keepTime(date: string | null): void {
  const at = date === null ? Number.NaN : Date.parse(date);
  // The header has whole seconds: in the middle of one it is wrong by half of one at most.
  if (!Number.isNaN(at)) offset = at + 500 - Date.now();
}

/** The problem of whatever was thrown. */
export function problemOf(error: unknown): ProblemDocument {
  if (error instanceof Refused) return error.problem;
  return {
    code: 'page_failed',
    title: 'Page failed',
    status: 0,
    detail: error instanceof Error ? error.message : String(error),
    hint: 'Load the page again. If it fails again, report it with the version of Central.',
  };
}
