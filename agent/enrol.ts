// Owns becoming an agent: finds the pinned certificate, sends token and request over a connection that trusts only that one,
// and keeps what comes back. Loaded only when it is needed; nothing of it stays in the daemon's steady path.
import { readFile, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { X509Certificate } from 'node:crypto';
import { textOf } from '../shared/errors.ts';
import { misfit, type JsonSchema, type Static } from '../shared/wire/json-schema.ts';
import { answerMac, ENROLLED, pinOf, proofKey, readEnrolmentToken, readPin, requestMac, sameMac, type Enrolled, type EnrolRequest } from '../shared/wire/enrolment.ts';
import { ENROL_PATH, PLAIN_PORT, SECURE_PORT } from '../shared/wire/messages.ts';
import { lookAtCertificate } from './certificate-look.ts';
import { makeRequest } from './certificate-request.ts';
import { explainDialFailure, explainHttpAnswer, targetName, type Target } from './connection-faults.ts';
import { agentFault } from './errors.ts';
import type { AgentKey, Identity } from './identity.ts';

export interface EnrolOrder {
  readonly url: string;
  readonly token: string;
  readonly pin: string | undefined;
  readonly name: string;
  /** Undefined: the thumbprint of the key. */
  readonly id: string | undefined;
  readonly key: AgentKey;
}

export interface EnrolResult {
  readonly identity: Identity;
  /** Central's root, PEM: what the profile's truststore must hold. */
  readonly truststore: string;
}

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 256 * 1024;

/** Enrols once. Throws agent faults; nothing is written here. */
export async function enrol(order: EnrolOrder): Promise<EnrolResult> {
  const target = readEnrolUrl(order.url);
  const token = readEnrolmentToken(order.token);
  if (token === undefined) throw agentFault('token_bad', {});
  const csr = await makeRequest(order.key, order.name);
  const who = { name: order.name, ...(order.id === undefined ? {} : { id: order.id }) };
  let answer: unknown;
  if (target.secure) {
    if (order.pin === undefined) throw agentFault('pin_missing', {});
    const pin = readPin(order.pin);
    if (pin === undefined) throw agentFault('pin_bad', {});
    const ca = await findPinned(target, pin);
    answer = await post(target, { csr: csr.pem, token: order.token, ...who }, ca);
  } else {
    // The token never crosses a plain line: a proof of it does, and Central proves its answer in the same way.
    const key = proofKey(token.secret);
    const mac = requestMac(key, { tokenId: token.id, name: order.name, id: order.id, csrDer: csr.der });
    answer = await post(target, { csr: csr.pem, tokenId: token.id, mac, ...who }, undefined);
    const enrolled = readAnswer(answer);
    if (enrolled.mac === undefined || !sameMac(enrolled.mac, answerMac(key, mac, enrolled))) throw agentFault('enrolment_answer_bad', { found: 'it is not proven with the token' });
  }
  const { id, name, central, signingKey, certificate, truststore } = readAnswer(answer);
  return { identity: { id, name, central, signingKey, certificate, host: target.host, port: target.port, secure: target.secure }, truststore };
}

const ENROLMENT_FILE = {
  type: 'object',
  required: ['url', 'token'],
  properties: { url: { type: 'string', minLength: 1, maxLength: 1024 }, token: { type: 'string', minLength: 1, maxLength: 255 }, pin: { type: 'string', minLength: 1, maxLength: 255 } },
} as const satisfies JsonSchema;

export type EnrolmentFile = Static<typeof ENROLMENT_FILE>;

/** Reads the one-time file that Central leaves for the agent on its own host; undefined when there is none. */
export async function readEnrolmentFile(file: string): Promise<EnrolmentFile | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw agentFault('enrolment_file_bad', { file, found: textOf(error) }, error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw agentFault('enrolment_file_bad', { file, found: 'no JSON' }, error);
  }
  const found = misfit(ENROLMENT_FILE, value);
  if (found !== undefined) throw agentFault('enrolment_file_bad', { file, found });
  // `misfit` has just shown it.
  return value as EnrolmentFile;
}

/** The token in it is used up. */
export async function removeEnrolmentFile(file: string): Promise<void> {
  await rm(file, { force: true });
}

/** Where an enrolment line points. Throws enrol_url_bad. */
export function readEnrolUrl(text: string): Target {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw agentFault('enrol_url_bad', { found: text.slice(0, 200) }, error);
  }
  const secure = url.protocol === 'https:' || url.protocol === 'wss:';
  if (!secure && url.protocol !== 'http:' && url.protocol !== 'ws:') throw agentFault('enrol_url_bad', { found: text.slice(0, 200) });
  // The URL parser drops the port that is the scheme's default: 443 and 80 must then have been written out or meant.
  const written = /:(\d+)\/?$/.exec(text.trim())?.[1];
  const port = url.port !== '' ? Number(url.port) : written !== undefined ? Number(written) : secure ? SECURE_PORT : PLAIN_PORT;
  return { secure, host: url.hostname.replaceAll(/^\[|\]$/g, ''), port };
}

/**
 * The first connection: sends nothing, and finds the certificate with the pin in the chain that is shown. Nothing is trusted by
 * it: the second connection verifies chain and host name against that one certificate.
 */
async function findPinned(target: Target, pin: string): Promise<string> {
  let chain: readonly X509Certificate[];
  try {
    ({ chain } = await lookAtCertificate(target, { timeoutMs: TIMEOUT_MS }));
  } catch (error) {
    throw explain(error, target, undefined);
  }
  return pinnedIn(chain, pin, target).toString();
}

/** The certificate of the chain whose public key has the pin. Throws pin_mismatch. */
export function pinnedIn(chain: readonly X509Certificate[], pin: string, { host }: Target): X509Certificate {
  const pins = chain.map((certificate) => pinOf(certificate.publicKey.export({ format: 'der', type: 'spki' })));
  const pinned = chain[pins.indexOf(pin)];
  if (pinned === undefined) throw agentFault('pin_mismatch', { host, pin, found: pins.join(', ') || 'none' });
  return pinned;
}

async function post(target: Target, body: EnrolRequest, ca: string | undefined): Promise<unknown> {
  const { status, text } = await exchange(target, JSON.stringify(body), ca);
  return readResponse(target, status, text);
}

function exchange(target: Target, body: string, ca: string | undefined): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    let shown: X509Certificate | undefined;
    const options = { host: target.host, port: target.port, path: ENROL_PATH, method: 'POST', timeout: TIMEOUT_MS, agent: false, headers: { 'content-type': 'application/json' } };
    const request = ca === undefined ? httpRequest(options) : httpsRequest({ ...options, ca, allowPartialTrustChain: true, minVersion: 'TLSv1.3', ...(isIP(target.host) === 0 ? { servername: target.host } : {}) });
    request.once('socket', (socket) => {
      // The certificate that the peer shows, for the message, should it be refused.
      if ('getPeerX509Certificate' in socket) socket.prependOnceListener('secure', () => (shown = (socket as TLSSocket).getPeerX509Certificate()));
    });
    request.once('timeout', () => request.destroy(new Error('the TLS handshake has timed out')));
    request.once('error', (error) => reject(explain(error, target, shown)));
    request.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_BYTES) request.destroy(agentFault('enrolment_answer_bad', { found: `more than ${MAX_ANSWER_BYTES} bytes` }));
      });
      // Node tells it only to who listens.
      response.once('error', (error) => reject(agentFault('central_unreachable', { target: targetName(target), found: 'the line was cut in the middle of its answer' }, error)));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.end(body);
  });
}

function readResponse(target: Target, status: number, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Central speaks JSON here, but for one sentence: plain spoken to its secure port.
    throw explainHttpAnswer(target, status, text);
  }
  if (status === 200) return value;
  const problem = value as { detail?: unknown; hint?: unknown } | null;
  throw agentFault('enrolment_refused_by_central', {
    found: typeof problem?.detail === 'string' ? problem.detail.slice(0, 1024) : `HTTP ${status}`,
    mend: typeof problem?.hint === 'string' ? problem.hint.slice(0, 1024) : 'Look at the log of Central.',
  });
}

function readAnswer(value: unknown): Enrolled {
  const found = misfit(ENROLLED, value);
  if (found !== undefined) throw agentFault('enrolment_answer_bad', { found });
  // `misfit` has just shown it.
  return value as Enrolled;
}

function explain(error: unknown, target: Target, shown: X509Certificate | undefined): Error {
  return explainDialFailure(error, { target, truststore: 'the pinned certificate', shown, timeoutSeconds: TIMEOUT_MS / 1000, now: new Date() });
}
