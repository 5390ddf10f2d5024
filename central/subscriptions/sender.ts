// Sends one batch to a webhook and says how that ended. TLS is always verified, redirects are not followed, and what a
// receiver answers is bounded and not kept.
import type { IncomingMessage, RequestOptions } from 'node:http';
import { isIP } from 'node:net';
import { finished } from 'node:stream';
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import { request as requestPlain } from '../../shared/http/node-http.ts';
import type { SubscriptionRecord } from '../store/subscriptions/subscription-store.ts';
import { connectTo } from './connection.ts';
import { subscriptionFault } from './errors.ts';
import { hostOf, isAllowedTarget } from './target.ts';

const TIMEOUT_MS = 20_000;
/** Of an answer: the status says all. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** What a piece of it costs, however small it is. */
const PIECE_BYTES = 256;
/** Answers before the answer (RFC 9110 section 15.2); an honest receiver sends one. */
const MAX_INTERIM = 8;
const MAX_RETRY_AFTER_SECONDS = 3_600;
const BATCH_TYPE = 'application/cloudevents-batch+json; charset=utf-8';
/** The receiver slows Central down. */
const SLOWING = new Set([429, 502, 503, 504]);
const TLS_CODE = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|HOSTNAME_MISMATCH)/;

export interface Outcome {
  /** Of HTTP; null: no answer came. */
  readonly status: number | null;
  /** Undefined: the events are delivered. */
  readonly failure: CodedError | undefined;
  /** So long the receiver wants to be left alone. */
  readonly retryAfterMs: number;
}

interface Sending {
  readonly subscription: Pick<SubscriptionRecord, 'ca' | 'target'>;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The parameter webhooks.allowedAddresses. */
  readonly allowed: () => readonly string[];
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

/** Never rejects. Aborted by `signal`: not delivered, as far as is known. */
export async function sendBatch(sending: Sending): Promise<Outcome> {
  const { subscription, allowed, signal, timeoutMs = TIMEOUT_MS } = sending;
  const url = new URL(subscription.target);
  const isPlain = url.protocol === 'http:';
  const host = hostOf(url);
  const failed = (failure: CodedError): Outcome => ({ status: null, failure, retryAfterMs: 0 });
  // A rule that changed since the target was set; Node looks no address up.
  if (isIP(host) !== 0 && !isAllowedTarget(host, allowed(), isPlain))
    return failed(subscriptionFault('webhook_address_denied', { host, address: host }));
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await post(url, sending, AbortSignal.any([signal, timeout]));
    return outcomeOf(response);
  } catch (error) {
    if (timeout.aborted) return failed(subscriptionFault('webhook_timeout', { seconds: timeoutMs / 1000 }));
    if (isCoded(error)) return failed(error);
    const code = (error as { readonly code?: unknown } | null)?.code;
    // What OpenSSL found, without Node's advice to developers.
    const [found = ''] = textOf(error).slice(0, 300).split('; if the root CA');
    const isTls = typeof code === 'string' && TLS_CODE.test(code);
    return failed(subscriptionFault(isTls ? 'webhook_tls_failed' : 'webhook_unreachable', { found }));
  }
}

function post(url: URL, sending: Sending, signal: AbortSignal): Promise<IncomingMessage> {
  const { body, headers } = sending;
  const options: RequestOptions = {
    method: 'POST',
    signal,
    // The protocol is the connection's.
    protocol: 'http:',
    host: hostOf(url),
    path: `${url.pathname}${url.search}`,
    headers: {
      host: url.host,
      ...headers,
      'content-type': BATCH_TYPE,
      'content-length': String(Buffer.byteLength(body)),
      'user-agent': 'Queuegate',
    },
  };
  return new Promise((resolve, reject) => {
    let flood: Error | undefined;
    const request = requestPlain({
      ...options,
      // One connection for each attempt: a kept one could be to an address that is not allowed any more.
      createConnection: (_options, done) => {
        connectTo(url, { ...sending, signal, onFlood: (error) => (flood = error) }, done);
        return undefined;
      },
    });
    let interim = 0;
    request.on('error', reject);
    request.on('information', () => {
      interim += 1;
      if (interim > MAX_INTERIM) request.destroy(new Error(`it sends more than ${MAX_INTERIM} interim answers`));
    });
    request.on('response', (response) => {
      request.off('close', noAnswer);
      let left = MAX_ANSWER_BYTES;
      response.on('data', (piece: Buffer) => {
        left -= Math.max(piece.length, PIECE_BYTES);
        if (left < 0) response.destroy();
      });
      // The status counts, however the answer ends.
      finished(response, () => {
        if (signal.aborted || flood !== undefined) reject(flood ?? new Error('aborted'));
        else resolve(response);
      });
    });
    // Node.js reports no error where the receiver switches protocols (101).
    const noAnswer = (): void => reject(new Error('the connection ended without an answer'));
    request.once('close', noAnswer);
    request.end(body);
  });
}

function outcomeOf({ statusCode: status = 0, headers }: IncomingMessage): Outcome {
  if (status >= 200 && status < 300) return { status, failure: undefined, retryAfterMs: 0 };
  const failure =
    status === 410 ? subscriptionFault('webhook_gone', {}) : subscriptionFault('webhook_refused', { status });
  return { status, failure, retryAfterMs: SLOWING.has(status) ? retryAfterOf(headers['retry-after']) : 0 };
}

/** Seconds, or a date (RFC 9110 section 10.2.3). */
function retryAfterOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const seconds = /^\d{1,9}$/.test(text.trim()) ? Number(text) : (Date.parse(text.slice(0, 64)) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? 0 : Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_SECONDS) * 1000;
}
