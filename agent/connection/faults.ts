// Turns whatever went wrong while dialing into one line that names the cause and one that names the hint. It takes no
// guess: what TLS or the system say is put beside what the peer showed.
import type { X509Certificate } from 'node:crypto';
import { isCoded, systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { firstInPem } from '../../shared/x509/certificates.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import { SUBPROTOCOL } from '../../shared/wire/messages.ts';
import { byExpiry, timeLine, validityOf } from '../../shared/x509/validity.ts';
import { agentFault } from '../errors.ts';
import { trustHint } from '../trust/import-command.ts';
import { targetName, type Target } from '../target.ts';

/** OpenSSL's codes for a chain that does not end at something trusted. */
const UNKNOWN_AUTHORITY = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_CA',
  'CERT_UNTRUSTED',
]);

/** What OpenSSL says of a date that is not in the calendar; Node.js has no code for it. */
const UNREADABLE_DATE = /format error in certificate's not(Before|After) field/;

const UNREACHABLE = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EACCES', 'EADDRNOTAVAIL', 'ENETDOWN', 'EHOSTDOWN']);

interface DialContext {
  readonly target: Target;
  /** Path of the truststore, for the hint. */
  readonly truststore: string;
  /** The certificate that the peer showed, if it came so far. */
  readonly shown: X509Certificate | undefined;
  /** What is trusted (PEM). */
  readonly ca?: readonly string[];
  readonly timeoutSeconds: number;
  readonly now: Date;
}

/** Explains why dialing failed. */
export function explainDialFailure(error: unknown, context: DialContext): CodedError {
  if (isCoded(error)) return error;
  const { target, truststore, shown, now } = context;
  const name = targetName(target);
  const code = tlsCode(error) ?? systemCode(error) ?? '';
  const today = now.toISOString();
  if (code === 'ECONNREFUSED') return agentFault('connection_refused', { target: name }, error);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return agentFault('host_unknown', { host: target.host }, error);
  if (code === 'ETIMEDOUT' || textOf(error).includes('handshake has timed out'))
    return agentFault('connect_timeout', { target: name, seconds: context.timeoutSeconds }, error);
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH')
    return agentFault(
      'identity_damaged',
      { file: 'identity.json', found: 'its certificate belongs to another key than agent-key.pem' },
      error,
    );
  if (UNREACHABLE.has(code)) return agentFault('central_unreachable', { target: name, found: code }, error);
  if (UNKNOWN_AUTHORITY.has(code)) {
    const issuer = oneLine(shown?.issuer) ?? 'an unknown authority';
    const facts = { target: name, issuer, truststore, hint: trustHint(truststore) };
    // OpenSSL says so when the chain is this one certificate.
    const alone = code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' && shown !== undefined;
    return alone && isIssuerMissing(shown, (context.ca ?? []).map(firstInPem))
      ? agentFault('tls_issuer_missing', facts, error)
      : agentFault('tls_unknown_authority', facts, error);
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return agentFault(
      'tls_wrong_name',
      { target: name, host: target.host, names: shown?.subjectAltName ?? 'no name at all' },
      error,
    );
  // OpenSSL does not say which certificate of the chain it means; when it cannot be the one that was shown, it is one
  // above it.
  const dates = shown && validityOf(shown);
  if (shown !== undefined && dates !== undefined) {
    const issuer = issuerAmong(context.ca ?? [], shown);
    const facts = { target: name, name: oneLine(shown.issuer) ?? '', truststore, now: today };
    if (code === 'CERT_HAS_EXPIRED' && dates.to > now)
      return agentFault('tls_authority_expired', { ...facts, date: dateOf(issuer && validityOf(issuer).to) }, error);
    if (code === 'CERT_NOT_YET_VALID' && dates.from <= now)
      return agentFault(
        'tls_authority_not_yet_valid',
        { ...facts, date: dateOf(issuer && validityOf(issuer).from) },
        error,
      );
  }
  if (code === 'CERT_HAS_EXPIRED')
    return agentFault('tls_expired', { target: name, date: dateOf(dates?.to), now: today }, error);
  if (code === 'CERT_NOT_YET_VALID')
    return agentFault('tls_not_yet_valid', { target: name, date: dateOf(dates?.from), now: today }, error);
  if (UNREADABLE_DATE.test(textOf(error))) return agentFault('tls_date_unreadable', { target: name }, error);
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return agentFault('tls_plain_port', { target: name }, error);
  if (code === 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' || code === 'ERR_SSL_UNSUPPORTED_PROTOCOL')
    return agentFault('tls_old_protocol', { target: name }, error);
  // An echo, or another protocol that begins alike; and what llhttp says of an answer that is not HTTP.
  if (code === 'ERR_SSL_UNEXPECTED_MESSAGE')
    return agentFault('no_central', { target: name, found: 'with something other than a TLS handshake' }, error);
  if (code.startsWith('HPE_'))
    return agentFault('no_central', { target: name, found: 'with something other than HTTP' }, error);
  if (code.startsWith('ERR_SSL') || code === 'EPROTO' || code.startsWith('ERR_TLS'))
    return agentFault('tls_failed', { target: name, found: reasonOf(error) }, error);
  return agentFault('central_unreachable', { target: name, found: code === '' ? textOf(error) : code }, error);
}

/** The trusted certificate that bears the name of its issuer, for a message: the one whose dates end last. */
function issuerAmong(ca: readonly string[], shown: X509Certificate): X509Certificate | undefined {
  return ca
    .map(firstInPem)
    .filter(({ subject }) => subject === shown.issuer)
    .toSorted(byExpiry)[0];
}

function dateOf(date: Date | undefined): string {
  return date === undefined ? 'an unknown date' : timeLine(date);
}

/**
 * A host that sent this certificate alone, whose issuer nothing here bears the name of. A root of that name would be
 * another one.
 */
export function isIssuerMissing(shown: X509Certificate, trusted: readonly X509Certificate[]): boolean {
  return shown.issuer !== shown.subject && trusted.every(({ subject }) => subject !== shown.issuer);
}

/** What Central and nginx say of plain HTTP that was sent to their TLS port. */
const SPEAKS_TLS = /speaks TLS|plain HTTP request was sent to HTTPS port/i;
const GATEWAY_STATUS = new Set([502, 503, 504]);
/**
 * Central's words for a request without Upgrade, and for one without the other headers of a WebSocket: the agent sends
 * them all.
 */
const NO_UPGRADE = new Set(['upgrade_required', 'upgrade_removed']);

/** Explains an HTTP answer where a WebSocket was expected: what of it is Central's, and what is a proxy's. */
export function explainHttpAnswer(target: Target, status: number, body: string): CodedError {
  const name = targetName(target);
  if (!target.secure && status === 400 && SPEAKS_TLS.test(body))
    return agentFault('plain_on_secure_port', { target: name });
  const problem = problemOf(body);
  if (problem !== undefined && NO_UPGRADE.has(problem.code)) return agentFault('proxy_drops_upgrade', { target: name });
  if (problem?.code === 'subprotocol_required')
    return agentFault('protocol_differs', { target: name, subprotocol: SUBPROTOCOL });
  if (problem?.detail !== undefined && status !== 404)
    return agentFault('refused', { found: `${problem.detail} (${problem.code})`, hint: problem.hint });
  const line = body.split('\n', 1)[0]?.trim().slice(0, 120) ?? '';
  const found = `HTTP ${status}${line === '' ? '' : ` "${line}"`}`;
  if (status === 407)
    return agentFault('proxy_login_required', { proxy: name, status, found: 'it answered in place of Central' });
  if (GATEWAY_STATUS.has(status)) return agentFault('proxy_gateway_failed', { target: name, found });
  return agentFault('no_central', { target: name, found });
}

/** What Central says to a request that it refuses (RFC 9457), such as to a client certificate that is revoked. */
function problemOf(
  body: string,
): { readonly code: string; readonly detail: string | undefined; readonly hint: string } | undefined {
  let problem: unknown;
  try {
    problem = JSON.parse(body);
  } catch {
    // Somebody else's answer.
    return undefined;
  }
  if (!isRecord(problem)) return undefined;
  const [type, detail, hint] = [problem['type'], problem['detail'], problem['hint']];
  const code = typeof type === 'string' ? /^urn:queuegate:error:(\w+)$/.exec(type)?.[1] : undefined;
  if (code === undefined) return undefined;
  return typeof detail === 'string' && typeof hint === 'string'
    ? { code, detail: detail.slice(0, 1024), hint: hint.slice(0, 1024) }
    : { code, detail: undefined, hint: '' };
}

/** Reason numbers of OpenSSL's SSL library (sslerr.h) that have a meaning of their own here. */
const SSL_REASONS: Readonly<Record<number, string>> = {
  198: 'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  244: 'ERR_SSL_UNEXPECTED_MESSAGE',
  258: 'ERR_SSL_UNSUPPORTED_PROTOCOL',
  267: 'ERR_SSL_WRONG_VERSION_NUMBER',
  1070: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
};

/**
 * When the handshake fails while something waits to be written, Node says EPROTO, and OpenSSL's packed number is in the
 * text only.
 */
function tlsCode(error: unknown): string | undefined {
  if (systemCode(error) !== 'EPROTO') return undefined;
  // ERR_PACK (err.h): library in bits 23 to 30 (20 is SSL), reason in the low 23.
  const packed = Number.parseInt(/:error:([0-9A-F]{8}):/i.exec(textOf(error))?.[1] ?? '0', 16);
  return packed >>> 23 === 20 ? SSL_REASONS[packed & 0x7f_ff_ff] : undefined;
}

/** OpenSSL's text has file and line of its source in it, and a line break; its reason is what a person can use. */
function reasonOf(error: unknown): string {
  return error instanceof Error && 'reason' in error && typeof error.reason === 'string'
    ? error.reason
    : textOf(error).trim().replaceAll(/\s+/g, ' ');
}

function oneLine(name: string | undefined): string | undefined {
  return name?.replaceAll('\n', ', ');
}
