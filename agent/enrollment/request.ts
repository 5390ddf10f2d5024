// Sends one request to Central's /enroll and reads its answer: over a connection that trusts a single certificate, or
// over plain http. enroll.ts and recover.ts decide what to send and what to believe.
import { setTimeout as delay } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { X509Certificate } from 'node:crypto';
import { peerCertificate } from '../../shared/x509/certificates.ts';
import { validate } from '../../shared/wire/json-schema.ts';
import {
  ENROLLED,
  ENROLLMENT_PENDING,
  type Enrolled,
  type EnrollmentPending,
  type EnrollRequest,
} from '../../shared/wire/enrollment.ts';
import { ENROLL_PATH } from '../../shared/wire/messages.ts';
import { probeTls } from '../connection/tls-probe.ts';
import { explainDialFailure, explainHttpAnswer } from '../connection/faults.ts';
import { lineFor } from '../dial/line.ts';
import { targetName, type Target } from '../target.ts';
import { agentFault, refusalOf } from '../errors.ts';
import { request as httpRequest } from '../../shared/http/node-http.ts';

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 256 * 1024;
/**
 * Another machine behind the same address floods the port (these say nothing of the request): the next one may get
 * through.
 */
const BUSY = ['urn:queuegate:error:too_many_requests', 'urn:queuegate:error:responses_unread'];
const MOST_TRIES = 12;
const MAX_WAIT_SECONDS = 20;

/**
 * The first connection: sends nothing, and sees the chain that is shown. Nothing is trusted by it. Errors: those of
 * dialling.
 */
export async function shownBy(target: Target): Promise<readonly X509Certificate[]> {
  try {
    return (await probeTls(target, { timeoutMs: TIMEOUT_MS })).chain;
  } catch (error) {
    throw explain(error, target, undefined);
  }
}

/**
 * Sends the request; `ca` (PEM) is the only certificate that is trusted, undefined on plain. Errors: those of dialling,
 * enrollment_refused_by_central, enrollment_answer_bad.
 */
export async function postEnrollment(
  target: Target,
  body: EnrollRequest,
  ca: string | undefined,
  wait: (ms: number) => Promise<unknown> = delay,
): Promise<Enrolled | EnrollmentPending> {
  for (let tries = 1; ; tries += 1) {
    const { status, text, retryAfter } = await exchange(target, JSON.stringify(body), ca);
    if (tries === MOST_TRIES || !isBusy(text)) return readResponse(target, status, text);
    // Not in step with an attacker who floods.
    await wait(Math.min(MAX_WAIT_SECONDS, retryAfter) * 1000 + Math.random() * 500);
  }
}

function isBusy(text: string): boolean {
  return BUSY.some((type) => text.includes(`"${type}"`));
}

interface Response {
  readonly status: number;
  readonly text: string;
  /** Seconds. */
  readonly retryAfter: number;
}

function exchange(target: Target, body: string, ca: string | undefined): Promise<Response> {
  return new Promise((resolve, reject) => {
    let shown: X509Certificate | undefined;
    const tls = ca === undefined ? undefined : { ca, allowPartialTrustChain: true };
    const request = httpRequest({
      host: target.host,
      port: target.port,
      path: ENROLL_PATH,
      method: 'POST',
      timeout: TIMEOUT_MS,
      headers: { 'content-type': 'application/json' },
      createConnection: lineFor(target, { timeoutMs: TIMEOUT_MS }, tls),
    });
    request.once('socket', (socket) => {
      // The certificate that the peer shows, for the message, should it be refused.
      if ('getPeerX509Certificate' in socket)
        socket.prependOnceListener('secure', () => (shown = peerCertificate(socket as TLSSocket)));
    });
    request.once('timeout', () => request.destroy(new Error('the TLS handshake has timed out')));
    // `on`: a line that opens, or fails, after the timeout ends the request once more.
    request.on('error', (error) => reject(explain(error, target, shown)));
    request.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_BYTES)
          request.destroy(agentFault('enrollment_answer_bad', { found: `more than ${MAX_ANSWER_BYTES} bytes` }));
      });
      // Node tells it only to who listens.
      response.once('error', (error) =>
        reject(
          agentFault(
            'central_unreachable',
            { target: targetName(target), found: 'the line was cut in the middle of its answer' },
            error,
          ),
        ),
      );
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          text,
          retryAfter: Number(/^\d{1,4}$/.exec(response.headers['retry-after'] ?? '')?.[0] ?? 1),
        }),
      );
    });
    request.end(body);
  });
}

function readResponse(target: Target, status: number, text: string): Enrolled | EnrollmentPending {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Central speaks JSON here, but for one sentence: plain spoken to its wss port.
    throw explainHttpAnswer(target, status, text);
  }
  if (status === 200 || status === 202) {
    const found = validate(status === 200 ? ENROLLED : ENROLLMENT_PENDING, value);
    if (found !== undefined) throw agentFault('enrollment_answer_bad', { found });
    // `validate` has just shown it to be the one or the other.
    return value as Enrolled | EnrollmentPending;
  }
  const problem = value as { type?: unknown; detail?: unknown; hint?: unknown } | null;
  // JSON, but not Central's: a proxy in front of it.
  if (!String(problem?.type).startsWith('urn:queuegate:')) throw explainHttpAnswer(target, status, text);
  throw refusalOf('enrollment_refused_by_central', status, {
    found: typeof problem?.detail === 'string' ? problem.detail.slice(0, 1024) : `HTTP ${status}`,
    hint: typeof problem?.hint === 'string' ? problem.hint.slice(0, 1024) : 'Look at the log of Central.',
  });
}

function explain(error: unknown, target: Target, shown: X509Certificate | undefined): Error {
  return explainDialFailure(error, {
    target,
    truststore: 'the pinned certificate',
    shown,
    timeoutSeconds: TIMEOUT_MS / 1000,
    now: new Date(),
  });
}
