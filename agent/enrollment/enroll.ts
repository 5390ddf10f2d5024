// Enrolls this machine: finds the pinned certificate, sends the token (or a request without one) over a connection
// that trusts only that certificate, and returns the identity. Loaded on demand, so that the running daemon keeps
// nothing of it in memory.
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { X509Certificate } from 'node:crypto';
import { isCoded } from '../../shared/errors.ts';
import { spkiOf } from '../../shared/x509/public-key.ts';
import type { JsonSchema, Static } from '../../shared/wire/json-schema.ts';
import {
  answerProof,
  pinOf,
  proofKey,
  readEnrollmentToken,
  readPin,
  requestProof,
  sameProof,
  type Enrolled,
  type EnrollmentPending,
} from '../../shared/wire/enrollment.ts';
import { PLAIN_PORT, SECURE_PORT } from '../../shared/wire/messages.ts';
import { makeRequest } from './csr.ts';
import type { ProxySettings } from '../dial/proxy-settings.ts';
import { withProxy, type Target } from '../target.ts';
import { postEnrollment, shownBy } from './request.ts';
import { agentFault } from '../errors.ts';
import { readJsonFile } from '../json-file.ts';
import type { AgentKey, Identity } from '../identity/identity.ts';

interface EnrollOrder {
  readonly url: string;
  /** Undefined: an administrator is asked (policy approve). */
  readonly token: string | undefined;
  readonly pin: string | undefined;
  readonly name: string;
  /** Undefined: the thumbprint of the key. */
  readonly id: string | undefined;
  readonly key: AgentKey;
  readonly proxies: ProxySettings;
  /** Without a token: how long to wait for the administrator, and what to report once the request is pending. */
  readonly waitMs?: number;
  readonly onPending?: (pending: EnrollmentPending) => void;
}

interface EnrollResult {
  readonly identity: Identity;
  /** Central's root, PEM: what the profile's truststore must hold. */
  readonly truststore: string;
}

/** Enrolls once. Throws agent faults; nothing is written here. */
export async function enroll(order: EnrollOrder): Promise<EnrollResult> {
  const target = withProxy(readEnrollUrl(order.url), order.proxies);
  const answer = await (order.token === undefined ? ask(order, target) : withToken(order, order.token, target));
  return { identity: identityOf(answer, target), truststore: answer.truststore };
}

/** What the agent is after the answer of Central at `target`. */
export function identityOf(
  { id, name, centralName, signingKey, certificate }: Enrolled,
  { host, port, secure }: Pick<Target, 'host' | 'port' | 'secure'>,
): Identity {
  return { id, name, central: centralName, signingKey, certificate, host, port, secure };
}

async function withToken(order: EnrollOrder, text: string, target: Target): Promise<Enrolled> {
  const token = readEnrollmentToken(text);
  if (token === undefined) throw agentFault('token_bad', {});
  const csr = await makeRequest(order.key, order.name, order.id);
  const who = { name: order.name, ...(order.id === undefined ? {} : { id: order.id }) };
  if (target.secure)
    return decided(
      await postEnrollment(target, { csr: csr.pem, token: text, ...who }, await findPinned(target, order.pin)),
    );
  // The token never crosses a plain line: a proof of it does, and Central proves its answer in the same way.
  const key = proofKey(token.secret);
  const proof = requestProof(key, { tokenId: token.id, name: order.name, id: order.id, csrDer: csr.der });
  const enrolled = decided(await postEnrollment(target, { csr: csr.pem, tokenId: token.id, proof, ...who }, undefined));
  if (enrolled.proof === undefined || !sameProof(enrolled.proof, answerProof(key, proof, enrolled)))
    throw agentFault('enrollment_answer_bad', { found: 'it is not proven with the token' });
  return enrolled;
}

/** Sends the request, and repeats it at the pace that Central sets, until it is decided or the time is up. */
async function ask(order: EnrollOrder, target: Target): Promise<Enrolled> {
  const { waitMs = 0 } = order;
  const deadline = performance.now() + waitMs;
  const csr = await makeRequest(order.key, order.name, order.id);
  const body = { csr: csr.pem, name: order.name, ...(order.id === undefined ? {} : { id: order.id }) };
  for (let pending: EnrollmentPending | undefined; ;) {
    try {
      const answer = await postEnrollment(
        target,
        body,
        target.secure ? await findPinned(target, order.pin) : undefined,
      );
      if (!('state' in answer)) return answer;
      if (answer.keyThumbprint !== order.key.thumbprint)
        throw agentFault('enrollment_answer_bad', { found: 'it is about the key of another machine' });
      if (pending === undefined) order.onPending?.(answer);
      pending = answer;
    } catch (error) {
      // Central may restart while the administrator decides.
      if (pending === undefined || !isCoded(error) || !error.retryable) throw error;
    }
    const againMs = pending.retryAfterSeconds * 1000;
    if (performance.now() + againMs > deadline)
      throw agentFault('enrollment_undecided', { seconds: Math.round(waitMs / 1000), key: order.key.thumbprint });
    await delay(againMs);
  }
}

/** Only a request without a token may be pending. */
function decided(answer: Enrolled | EnrollmentPending): Enrolled {
  if ('state' in answer)
    throw agentFault('enrollment_answer_bad', { found: 'it asks to wait, although the request has a token' });
  return answer;
}

const MAX_FILE_BYTES = 16 * 1024;

const ENROLLMENT_FILE = {
  type: 'object',
  required: ['url', 'token'],
  properties: {
    url: { type: 'string', minLength: 1, maxLength: 1024 },
    token: { type: 'string', minLength: 1, maxLength: 255 },
    pin: { type: 'string', minLength: 1, maxLength: 255 },
  },
} as const satisfies JsonSchema;

type EnrollmentFile = Static<typeof ENROLLMENT_FILE>;

/** Reads the one-time file that Central leaves for the agent on its own host; undefined when there is none. */
export async function readEnrollmentFile(file: string): Promise<EnrollmentFile | undefined> {
  return (await readJsonFile({
    path: file,
    what: 'The enrollment file',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Restart Central, which writes it again.',
    schema: ENROLLMENT_FILE,
    damaged: (found, cause) => agentFault('enrollment_file_bad', { file, found }, cause),
  })) as EnrollmentFile | undefined;
}

/** The token in it is used up. */
export async function removeEnrollmentFile(file: string): Promise<void> {
  await rm(file, { force: true });
}

/** Where an enrollment line points. Throws enroll_url_bad. */
export function readEnrollUrl(text: string): Target {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw agentFault('enroll_url_bad', { found: text.slice(0, 200) }, error);
  }
  const secure = url.protocol === 'https:' || url.protocol === 'wss:';
  if (!secure && url.protocol !== 'http:' && url.protocol !== 'ws:')
    throw agentFault('enroll_url_bad', { found: text.slice(0, 200) });
  // The URL parser drops the port that is the scheme's default: 443 and 80 must then have been written out or meant.
  const written = /:(\d+)\/?$/.exec(text.trim())?.[1];
  const port =
    url.port !== '' ? Number(url.port) : written !== undefined ? Number(written) : secure ? SECURE_PORT : PLAIN_PORT;
  return { secure, host: url.hostname.replaceAll(/^\[|\]$/g, ''), port };
}

/** The certificate with the pin, PEM: the second connection verifies chain and host name against that one alone. */
async function findPinned(target: Target, text: string | undefined): Promise<string> {
  if (text === undefined) throw agentFault('pin_missing', {});
  const pin = readPin(text);
  if (pin === undefined) throw agentFault('pin_bad', {});
  return pinnedIn(await shownBy(target), pin, target).toString();
}

/** The certificate of the chain whose public key has the pin. Throws pin_mismatch. */
export function pinnedIn(chain: readonly X509Certificate[], pin: string, { host }: Target): X509Certificate {
  const pins = chain.map((certificate) => pinOf(spkiOf(certificate.publicKey)));
  const pinned = chain[pins.indexOf(pin)];
  if (pinned === undefined) throw agentFault('pin_mismatch', { host, pin, found: pins.join(', ') || 'none' });
  return pinned;
}
