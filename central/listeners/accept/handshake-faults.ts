// Owns the causes with which a connection comes to nothing before anybody said hello: told to administrators as the errors of
// agents are, with the hint. Refusals of a hello are shared/wire/refusals.ts; those of an enrollment, central/pki/errors.ts.
import { defineErrors, systemCode, textOf, type CodedError, type ErrorTable } from '../../../shared/errors.ts';

export const HANDSHAKE_ERRORS = {
  tls_on_plain: {
    text: 'TLS was spoken to a port that does not speak it.',
    hint: 'Let the peer dial the secure port (websocket.secure.port, 9150 by default; of the administration https.port), or set central.websocket.secure=false there.',
  },
  plain_on_tls: {
    text: 'Something other than TLS was spoken to a port that speaks TLS.',
    hint: 'Set central.websocket.secure=true there, or let the peer dial the plain port (websocket.port, 8787 by default).',
  },
  peer_unknown_authority: {
    text: 'The peer does not trust the authority of Central (TLS alert unknown_ca).',
    hint: 'Give it the root of Central: "queuegate ca trust-bundle" here, "queue-agent truststore import" or keytool there.',
  },
  peer_rejects_certificate: {
    text: 'The peer refused the certificate of Central (TLS alert {found}).',
    hint: 'Java says so of an authority that it does not trust, of a wrong name and of dates alike: look into its log, and compare names and dates with "queuegate status".',
  },
  peer_certificate_expired: {
    text: 'To the peer the certificate of Central has expired (TLS alert certificate_expired).',
    hint: 'Compare its dates ("queuegate status") with the clock of the peer.',
  },
  peer_old_protocol: {
    text: 'The peer speaks no version of TLS that is spoken here ({found}).',
    hint: 'Central speaks TLS 1.2 and 1.3, agents 1.3: bring that software up to date.',
  },
  peer_no_common_cipher: {
    text: 'The peer offers no cipher, group or signature that is taken here ({found}).',
    hint: 'Central takes AEAD ciphers with forward secrecy: bring that software up to date, or look at its settings of TLS.',
  },
  peer_left_in_tls: {
    text: 'The peer hung up during the TLS handshake.',
    hint: 'A queue agent does so when it does not take the certificate of Central: "queue-agent doctor" there says why. If it is no agent, look into its log, and at the line.',
  },
  tls_handshake_failed: {
    text: 'The TLS handshake failed: {found}.',
    hint: 'Look at the software of the peer, and at what stands between it and Central.',
  },
  not_http: {
    text: 'What came is no HTTP ({found}).',
    hint: 'Something other than a queue agent dials this port: find out what has this address.',
  },
  handshake_timeout: {
    text: 'Nothing came of the connection within {seconds} seconds: {found}.',
    hint: 'The line is very slow, or something other than a queue agent holds connections open.',
  },
  proxy_header_untrusted: {
    text: 'A PROXY protocol header came from {peer}, which is not a trusted proxy.',
    hint: 'If that is your proxy, add its address to websocket.trustedProxies; else find out what sends it.',
  },
  proxy_header_version: {
    text: 'The proxy {peer} sent a PROXY protocol header of version 1; only version 2 is allowed.',
    hint: 'Let the proxy send version 2 (HAProxy: "send-proxy-v2" instead of "send-proxy"; nginx cannot: remove "proxy_protocol on").',
  },
  proxy_header_malformed: {
    text: 'The PROXY protocol header of {peer} cannot be read: {found}. Allowed: version 2, LOCAL or PROXY, TCP over IPv4 or IPv6.',
    hint: 'Look at the software and the settings of that proxy.',
  },
  forwarded_for_unreadable: {
    text: 'The proxy {peer} forwarded a connection without an address in X-Forwarded-For; found: {found}.',
    hint: 'Let that proxy set X-Forwarded-For to the bare address of its client (HAProxy: "option forwardfor"; nginx: "proxy_set_header X-Forwarded-For $remote_addr"), or send PROXY protocol version 2. Until then its agents count as remote, with one share for all.',
  },
  too_many_pipelined: {
    text: 'More than {most} requests were sent on one connection without waiting for a response.',
    hint: 'Let the client wait for a response before it sends so many requests.',
  },
  response_unread: {
    text: 'The peer read nothing of a response within {seconds} s.',
    hint: 'Look at the client and at the line; a client that only probes should close the connection.',
  },
} as const satisfies ErrorTable;

export const handshakeFault = defineErrors(HANDSHAKE_ERRORS);

/** OpenSSL's codes (as Node spells them) that have a cause of their own. */
const CAUSES: Readonly<Record<string, `peer_${string}` & keyof typeof HANDSHAKE_ERRORS>> = {
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'peer_unknown_authority',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'peer_rejects_certificate',
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 'peer_rejects_certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'peer_rejects_certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'peer_rejects_certificate',
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: 'peer_rejects_certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'peer_certificate_expired',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'peer_old_protocol',
  ERR_SSL_VERSION_TOO_LOW: 'peer_old_protocol',
  ERR_SSL_WRONG_VERSION_NUMBER: 'peer_old_protocol',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'peer_old_protocol',
  ERR_SSL_NO_SHARED_CIPHER: 'peer_no_common_cipher',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'peer_no_common_cipher',
  ERR_SSL_NO_SHARED_GROUPS: 'peer_no_common_cipher',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'peer_no_common_cipher',
};

/** What TLS says of a handshake that failed; undefined for a line that was only cut, which the end of its socket tells. */
export function tlsFault(error: unknown, seconds: number): CodedError | undefined {
  const code = systemCode(error) ?? '';
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT')
    return handshakeFault('handshake_timeout', { seconds, found: 'the TLS handshake was not finished' }, error);
  const found = reasonOf(error, code);
  const cause = CAUSES[code];
  if (cause === undefined) return handshakeFault('tls_handshake_failed', { found }, error);
  // Some of the texts have no place for it; it does no harm there.
  return handshakeFault(cause, { found }, error);
}

/** The reason that OpenSSL gives, without file and line of its source. */
function reasonOf(error: unknown, code: string): string {
  const reason =
    error instanceof Error && 'reason' in error && typeof error.reason === 'string'
      ? error.reason
      : code === ''
        ? textOf(error)
        : code;
  return reason
    .replace(/^(?:sslv3|tlsv1|tlsv13|ssl\/tls) alert /, '')
    .replaceAll(/\s+/g, ' ')
    .slice(0, 200);
}
