// Turns whatever went wrong while dialing into one line that names the cause and one that names the hint. It takes no guess:
// what TLS or the system say is put beside what the peer showed.
import type { X509Certificate } from 'node:crypto';
import { isCoded, systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import { SUBPROTOCOL } from '../../shared/wire/messages.ts';
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

const UNREACHABLE = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EACCES', 'EADDRNOTAVAIL', 'ENETDOWN', 'EHOSTDOWN']);

interface DialContext {
  readonly target: Target;
  /** Path of the truststore, for the hint. */
  readonly truststore: string;
  /** The certificate that the peer showed, if it came so far. */
  readonly shown: X509Certificate | undefined;
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
  if (UNKNOWN_AUTHORITY.has(code))
    return agentFault(
      'tls_unknown_authority',
      {
        target: name,
        issuer: oneLine(shown?.issuer) ?? 'an unknown authority',
        truststore,
        hint: trustHint(truststore),
      },
      error,
    );
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return agentFault(
      'tls_wrong_name',
      { target: name, host: target.host, names: shown?.subjectAltName ?? 'no name at all' },
      error,
    );
  // OpenSSL does not say which certificate of the chain it means; when it cannot be the one that was shown, it is one above it.
  if (code === 'CERT_HAS_EXPIRED' && shown !== undefined && shown.validToDate > now)
    return agentFault(
      'tls_authority_expired',
      { target: name, name: oneLine(shown.issuer) ?? '', date: 'an unknown date', truststore, now: today },
      error,
    );
  if (code === 'CERT_HAS_EXPIRED')
    return agentFault('tls_expired', { target: name, date: shown?.validTo ?? 'an unknown date', now: today }, error);
  if (code === 'CERT_NOT_YET_VALID')
    return agentFault(
      'tls_not_yet_valid',
      { target: name, date: shown?.validFrom ?? 'an unknown date', now: today },
      error,
    );
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

/** Explains an HTTP answer where a WebSocket was expected. */
export function explainHttpAnswer(target: Target, status: number, body: string): CodedError {
  if (!target.secure && status === 400 && body.includes('speaks TLS'))
    return agentFault('plain_on_secure_port', { target: targetName(target) });
  const problem = status === 403 ? problemOf(body) : undefined;
  if (problem !== undefined)
    return agentFault('refused', { found: `${problem.detail} (${problem.code})`, hint: problem.hint });
  if (status === 426 && body.includes('urn:queuegate:error:upgrade_required'))
    return agentFault('protocol_differs', { target: targetName(target), subprotocol: SUBPROTOCOL });
  const line = body.split('\n', 1)[0]?.slice(0, 120) ?? '';
  return agentFault('no_central', {
    target: targetName(target),
    found: `HTTP ${status}${line === '' ? '' : ` "${line}"`}`,
  });
}

/** What Central says to an upgrade that it refuses (RFC 9457), such as to a client certificate that is revoked. */
function problemOf(
  body: string,
): { readonly code: string; readonly detail: string; readonly hint: string } | undefined {
  let problem: unknown;
  try {
    problem = JSON.parse(body);
  } catch {
    // Somebody else's 403.
    return undefined;
  }
  if (!isRecord(problem)) return undefined;
  const [type, detail, hint] = [problem['type'], problem['detail'], problem['hint']];
  const code = typeof type === 'string' ? /^urn:queuegate:error:(\w+)$/.exec(type)?.[1] : undefined;
  return code === undefined || typeof detail !== 'string' || typeof hint !== 'string'
    ? undefined
    : { code, detail: detail.slice(0, 1024), hint: hint.slice(0, 1024) };
}

/** Reason numbers of OpenSSL's SSL library (sslerr.h) that have a meaning of their own here. */
const SSL_REASONS: Readonly<Record<number, string>> = {
  198: 'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  244: 'ERR_SSL_UNEXPECTED_MESSAGE',
  258: 'ERR_SSL_UNSUPPORTED_PROTOCOL',
  267: 'ERR_SSL_WRONG_VERSION_NUMBER',
  1070: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
};

/** When the handshake fails while something waits to be written, Node says EPROTO, and OpenSSL's packed number is in the text only. */
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
