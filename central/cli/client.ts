// The client of Central's REST API: one request, its answer as JSON, and every failure as an error with its hint. A
// token goes to the socket in the data folder or over HTTPS with a verified certificate, never over plain HTTP: any
// process may hold a port of this host.
import { randomUUID } from 'node:crypto';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { readBoundedStream } from '../../shared/files/bounded-stream.ts';
import { CodedError, systemCode, textOf } from '../../shared/errors.ts';
import { REQUEST_ID_HEADER } from '../../shared/http/problem.ts';
import { escapeLine } from '../../shared/terminal/escape.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import { cliFault } from './errors.ts';
import { shown } from './print.ts';

/** Where Central is: by HTTPS, or by its socket on this host. */
type Target = { readonly url: URL } | { readonly socket: () => Promise<string>; readonly named: string };

export interface Connection {
  readonly target: Target;
  /** PEM of what to trust; undefined: what Node trusts. */
  readonly ca: string | undefined;
  /** The name of a context that only reads. */
  readonly readOnlyContext?: string | undefined;
}

interface ClientOptions {
  /** Called when the first request is made, and before the token is read. */
  readonly connection: () => Promise<Connection>;
  /** Called when the first request is made. */
  readonly token: () => Promise<string>;
  readonly signal: AbortSignal;
  /** Of requests that are answered at once. */
  readonly timeoutMs?: number | undefined;
  /** Before a request that creates is sent again. */
  readonly resendMs?: number | undefined;
  /** Takes a line for each request; no secrets. */
  readonly trace?: ((line: string) => void) | undefined;
}

/** A list is a parameter that is repeated. */
type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

interface Call {
  readonly query?: Query;
  readonly body?: unknown;
  /** A body that is JSON text already: sent as it is. */
  readonly bodyText?: string;
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
  /**
   * It creates, and its answer has no secret: sent again with the same Idempotency-Key when the connection breaks before
   * the answer, since it may have been carried out.
   */
  readonly isCreating?: true;
}

/** What a GET gave, with its entity tag. */
export interface Tagged {
  readonly value: unknown;
  readonly etag: string | undefined;
}

interface Upload {
  /** POST unless set. */
  readonly method?: 'PUT';
  readonly ifMatch?: string | undefined;
  readonly query: Query;
  readonly headers: Readonly<Record<string, string>>;
  readonly content: Readable;
}

export interface Client {
  /**
   * A request below /api/v1. `path` has its parts encoded. Errors: those of the answer, and those of reaching Central.
   */
  request(method: string, path: string, call?: Call): Promise<unknown>;
  /**
   * GET of something that Central waits for: at once, or when it is no longer `known`, which it gives when the time is
   * over.
   */
  changed(path: string, known: Tagged | undefined, seconds: number): Promise<Tagged>;
  /** GET, for an answer that stays the text that it is. */
  text(path: string, call?: Call): Promise<string>;
  /** An answer of any length, as it comes. */
  download(path: string, call: Call, method?: 'GET' | 'POST'): Promise<Readable>;
  /** A body of any length, as it is read. */
  upload(path: string, upload: Upload): Promise<unknown>;
}

/** The fault of a request, with the list that a problem document may carry. */
export class RestError extends CodedError {
  readonly errors: readonly string[];
  /** As it came. */
  readonly document: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    problem: { readonly text: string; readonly hint: string; readonly status: number },
    errors: readonly string[],
    document: Readonly<Record<string, unknown>>,
  ) {
    super(code, problem, {});
    this.errors = errors;
    this.document = document;
  }
}

/** Longer than the longest long poll. */
const TIMEOUT_MS = 90_000;
/** The longest that Central waits. */
const MAX_WAIT_SECONDS = 55;
/** A store of many gigabytes is copied or validated before the first byte of the answer comes. */
const LONG_TIMEOUT_MS = 3_600_000;
/** A thousand of the largest messages are more than a terminal shows. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** Of a connection that may have taken a request to Central; and of a Central that is being started again. */
const BROKEN: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);
const AWAY: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT']);
const RESENDS = 10;
const RESEND_MS = 500;

/** Over the socket there are no names; the path is what counts. */
const SOCKET_URL = new URL('http://localhost/');
/** Explicit, so that no environment variable or option of Node.js changes it. */
const VERIFIED = { rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const;

/** Node's codes for a certificate that cannot be trusted. */
const NOT_TRUSTED = /^(?:ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_SSL)/;

interface Answer {
  readonly status: number;
  readonly type: string;
  /** For the log of Central. */
  readonly requestId: string;
  readonly etag: string | undefined;
  readonly text: string;
}

type TracedAnswer = Pick<Answer, 'requestId' | 'status'>;

export function createClient(options: ClientOptions): Client {
  let known: Promise<Connection> | undefined;
  const connected = async (): Promise<Connected> => {
    const connection = await (known ??= options.connection());
    const { target } = connection;
    return { ...options, ...connection, named: 'url' in target ? target.url.origin : target.named };
  };

  const trace = (method: string, { target: { pathname, search } }: PreparedRequest, answer: TracedAnswer): void =>
    options.trace?.(`${method} ${pathname}${search}: ${answer.status}, request ${answer.requestId}`);

  async function send(method: string, path: string, call: Call): Promise<{ answer: Answer; named: string }> {
    const to = await connected();
    // Over the socket there is no line to save.
    const headers: Readonly<Record<string, string>> = {
      ...('url' in to.target ? { 'accept-encoding': 'gzip' } : {}),
      ...(call.isCreating === true ? { 'idempotency-key': randomUUID() } : {}),
    };
    const prepared = await prepare(to, method, path, call, { headers, timeout: options.timeoutMs ?? TIMEOUT_MS });
    const answer = await reaching(to, () =>
      call.isCreating === true ? exchangeUntilAnswered(prepared, to) : exchange(prepared),
    );
    trace(method, prepared, answer);
    return { answer, named: to.named };
  }

  return {
    async request(method, path, call = {}) {
      const { answer, named } = await send(method, path, call);
      const value = answer.text === '' && isSuccess(answer.status) ? undefined : jsonOf(answer, named);
      if (!isSuccess(answer.status)) throw problemOf(value, answer, named);
      return value;
    },
    async changed(path, known, seconds) {
      const longest = (options.timeoutMs ?? TIMEOUT_MS) / 2000;
      const waitSeconds = Math.max(0, Math.floor(Math.min(seconds, MAX_WAIT_SECONDS, longest)));
      const { answer, named } = await send('GET', path, { query: { waitSeconds }, ifNoneMatch: known?.etag });
      if (answer.status === 304 && known !== undefined) return known;
      const value = jsonOf(answer, named);
      if (!isSuccess(answer.status)) throw problemOf(value, answer, named);
      return { value, etag: answer.etag };
    },
    async text(path, call = {}) {
      const { answer, named } = await send('GET', path, call);
      if (!isSuccess(answer.status)) throw problemOf(jsonOf(answer, named), answer, named);
      return answer.text;
    },
    async download(path, call, method = 'POST') {
      const to = await connected();
      const { named } = to;
      const prepared = await prepare(to, method, path, call, { timeout: LONG_TIMEOUT_MS });
      return await reaching(to, async () => {
        const request = begin(prepared);
        request.end(prepared.payload);
        const response = await responseOf(request);
        trace(method, prepared, { status: response.statusCode ?? 0, requestId: requestIdOf(response) });
        if (isSuccess(response.statusCode ?? 0)) return response;
        const answer = await answerOf(response);
        throw problemOf(jsonOf(answer, named), answer, named);
      });
    },
    async upload(path, { method = 'POST', query, headers, content, ifMatch }) {
      const to = await connected();
      const { named } = to;
      const prepared = await prepare(to, method, path, { query, ifMatch }, { headers, timeout: LONG_TIMEOUT_MS });
      return await reaching(to, async () => {
        const request = begin(prepared);
        const response = responseOf(request);
        // Refused in the middle: the answer says why, the broken pipe does not.
        const sent = pipeline(content, request).catch((error: unknown) => error);
        const answer = await answerOf(await Promise.race([response, sent.then(() => response)]));
        trace(method, prepared, answer);
        if (!isSuccess(answer.status)) throw problemOf(jsonOf(answer, named), answer, named);
        return jsonOf(answer, named);
      });
    },
  };
}

interface Connected extends ClientOptions, Connection {
  /** For errors. */
  readonly named: string;
}

interface PreparedRequest {
  readonly target: URL;
  readonly options: RequestOptions & { readonly timeout: number };
  readonly payload: Buffer | undefined;
}

/** Where a request goes, with its headers and its token. */
async function prepare(
  { target: to, ca, token, signal, readOnlyContext }: Connected,
  method: string,
  path: string,
  { query = {}, body, bodyText, ifMatch, ifNoneMatch }: Call,
  more: { readonly headers?: Readonly<Record<string, string>>; readonly timeout: number },
): Promise<PreparedRequest> {
  if (readOnlyContext !== undefined && method !== 'GET')
    throw cliFault('context_read_only', { name: readOnlyContext, method });
  const target = new URL(`api/v1${path}`, 'url' in to ? to.url : SOCKET_URL);
  for (const [name, value] of Object.entries(query))
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value])
      if (one !== undefined) target.searchParams.append(name, String(one));
  // Before the token is read. `agent: false`: no proxy of the environment is between this process and the socket.
  const way =
    'url' in to
      ? { ...VERIFIED, ...(ca === undefined ? {} : { ca }) }
      : { socketPath: await to.socket(), agent: false as const };
  const json = bodyText ?? (body === undefined ? undefined : JSON.stringify(body));
  const payload = json === undefined ? undefined : Buffer.from(json);
  const headers = {
    authorization: `Bearer ${await token()}`,
    ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
    ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { 'if-none-match': ifNoneMatch }),
    ...more.headers,
  };
  return { target, options: { method, headers, signal, timeout: more.timeout, ...way }, payload };
}

/** Turns a failure to reach Central into an error with its hint. */
async function reaching<T>({ signal, named }: Connected, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted || error instanceof CodedError) throw error;
    const code = systemCode(error) ?? '';
    throw cliFault(
      NOT_TRUSTED.test(code) ? 'central_not_trusted' : 'administration_unreachable',
      { url: named, found: escapeLine(textOf(error) || code) },
      error,
    );
  }
}

async function exchange(prepared: PreparedRequest): Promise<Answer> {
  const request = begin(prepared);
  request.end(prepared.payload);
  return await answerOf(await responseOf(request));
}

/** Central carries out a request with an Idempotency-Key once, however often it gets it. */
async function exchangeUntilAnswered(
  prepared: PreparedRequest,
  { signal, resendMs = RESEND_MS }: Connected,
): Promise<Answer> {
  let hasBroken = false;
  for (let left = RESENDS; ; left -= 1) {
    try {
      const answer = await exchange(prepared);
      if (left === 0 || !(answer.status === 409 && answer.text.includes('"idempotency_key_in_progress"')))
        return answer;
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (left === 0 || signal.aborted || !(BROKEN.has(code) || (hasBroken && AWAY.has(code)))) throw error;
      hasBroken = true;
    }
    await delay(resendMs, undefined, { signal });
  }
}

function begin({ target, options }: PreparedRequest): ClientRequest {
  const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, options);
  request.on('timeout', () => request.destroy(new Error(`no answer within ${options.timeout / 1000} seconds`)));
  return request;
}

function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
  });
}

/** Compressed answers are bounded by what they hold. */
function contentOf(response: IncomingMessage): Readable {
  if (response.headers['content-encoding'] !== 'gzip') return response;
  const content = createGunzip();
  pipeline(response, content).catch(() => undefined);
  return content;
}

async function answerOf(response: IncomingMessage): Promise<Answer> {
  const bytes = await readBoundedStream(
    contentOf(response),
    MAX_ANSWER_BYTES,
    () => new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`),
  );
  return {
    status: response.statusCode ?? 0,
    type: response.headers['content-type'] ?? '',
    requestId: requestIdOf(response),
    etag: response.headers.etag,
    text: bytes.toString('utf8'),
  };
}

/** A redirect is not one: a token goes where it was sent, and nowhere else. */
function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function jsonOf(answer: Answer, url: string): unknown {
  try {
    return JSON.parse(answer.text);
  } catch (error) {
    throw cliFault(
      'no_administration',
      { url, found: `HTTP ${answer.status}, ${escapeLine(answer.type) || 'without a content type'}` },
      error,
    );
  }
}

function problemOf(value: unknown, answer: Answer, url: string): CodedError {
  const code =
    isRecord(value) && typeof value['type'] === 'string'
      ? /^urn:queuegate:error:(\w+)$/.exec(value['type'])?.[1]
      : undefined;
  if (!isRecord(value) || code === undefined)
    return cliFault('no_administration', { url, found: `HTTP ${answer.status}` });
  const { title, detail, hint, errors, candidates } = value;
  const list = Array.isArray(errors)
    ? errors.flatMap((error: unknown) =>
        isRecord(error) && typeof error['detail'] === 'string' ? [error['detail']] : [],
      )
    : [];
  // Of a word that matches several agents.
  const fitting = Array.isArray(candidates)
    ? candidates.map((candidate: unknown) =>
        isRecord(candidate) ? `${shown(candidate['name'])}  ${shown(candidate['id'])}` : '',
      )
    : [];
  const text = { text: shown(detail ?? title), hint: shown(hint), status: answer.status };
  return new RestError(code, text, [...list, ...fitting], value);
}

function requestIdOf({ headers }: IncomingMessage): string {
  return String(headers[REQUEST_ID_HEADER] ?? '-');
}
