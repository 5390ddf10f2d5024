// Owns talking to Central's REST: one request, its answer as JSON, and every failure as an error with its mend.
// HTTPS is always verified; a token never goes over plain HTTP to another host.
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { CodedError, systemCode, textOf } from '../../shared/errors.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import { isLoopback } from '../auth/address-rules.ts';
import { cliFault } from './errors.ts';
import { shown } from './print.ts';

export interface ClientOptions {
  readonly url: URL;
  /** PEM of what to trust; undefined: what Node trusts. */
  readonly ca: string | undefined;
  /** Asked for when the first request is made. */
  readonly token: () => Promise<string>;
  readonly signal: AbortSignal;
}

export interface Call {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
}

export interface Client {
  /** A request below /api/v1. `path` has its parts encoded. Errors: those of the answer, and those of reaching Central. */
  request(method: string, path: string, call?: Call): Promise<unknown>;
  /** The same, for an answer that is text. */
  text(path: string): Promise<string>;
}

/** The fault of a request, with the list that a problem document may carry. */
export class RestError extends CodedError {
  readonly errors: readonly string[];

  constructor(code: string, problem: { readonly text: string; readonly hint: string; readonly status: number }, errors: readonly string[]) {
    super(code, problem, {});
    this.errors = errors;
  }
}

/** Longer than the longest long poll. */
const TIMEOUT_MS = 90_000;
/** A thousand of the largest messages would be more than a terminal wants. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** Node's codes for a certificate that cannot be trusted. */
const NOT_TRUSTED = /^(?:ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_SSL)/;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

export function createClient({ url, ca, token, signal }: ClientOptions): Client {
  async function send(method: string, path: string, { query = {}, body }: Call): Promise<Answer> {
    const target = new URL(`api/v1${path}`, url);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) target.searchParams.set(name, String(value));
    if (target.protocol === 'http:' && !isOwnHost(target.hostname)) throw cliFault('token_over_plain_http', { url: url.origin });
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = { authorization: `Bearer ${await token()}`, ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length }) };
    const options = { method, headers, signal, timeout: TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) };
    try {
      return await exchange(target, options, payload);
    } catch (error) {
      if (signal.aborted) throw error;
      const code = systemCode(error) ?? '';
      throw cliFault(NOT_TRUSTED.test(code) ? 'central_not_trusted' : 'administration_unreachable', { url: url.origin, found: textOf(error) || code }, error);
    }
  }

  return {
    async request(method, path, call = {}) {
      const answer = await send(method, path, call);
      const value = answer.text === '' ? undefined : jsonOf(answer, url);
      if (answer.status >= 400) throw problemOf(value, answer, url);
      return value;
    },
    async text(path) {
      const answer = await send('GET', path, {});
      if (answer.status >= 400) throw problemOf(jsonOf(answer, url), answer, url);
      return answer.text;
    },
  };
}

function exchange(target: URL, options: RequestOptions, payload: Buffer | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text: Buffer.concat(chunks).toString('utf8') }));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} seconds`)));
    request.on('error', reject);
    request.end(payload);
  });
}

function isOwnHost(hostname: string): boolean {
  return hostname === 'localhost' || isLoopback(hostname.replaceAll(/[[\]]/g, ''));
}

function jsonOf(answer: Answer, url: URL): unknown {
  try {
    return JSON.parse(answer.text);
  } catch (error) {
    throw cliFault('no_administration', { url: url.origin, found: `HTTP ${answer.status}, ${answer.type || 'without a content type'}` }, error);
  }
}

function problemOf(value: unknown, answer: Answer, url: URL): CodedError {
  const type = isRecord(value) && typeof value['type'] === 'string' ? /^urn:queuegate:error:(\w+)$/.exec(value['type'])?.[1] : undefined;
  if (!isRecord(value) || type === undefined) return cliFault('no_administration', { url: url.origin, found: `HTTP ${answer.status}` });
  const { title, detail, hint, errors } = value;
  const list = Array.isArray(errors) ? errors.flatMap((error: unknown) => (isRecord(error) && typeof error['text'] === 'string' ? [error['text']] : [])) : [];
  return new RestError(type, { text: shown(detail ?? title), hint: shown(hint), status: answer.status }, list);
}
