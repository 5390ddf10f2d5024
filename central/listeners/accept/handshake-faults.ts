// The causes with which a connection fails before a hello, with hints for administrators. Refusals of a hello are in
// shared/wire/refusals.ts, those of an enrollment in central/pki/errors.ts.
import { defineErrors, systemCode, textOf, type CodedError, type ErrorTable } from '../../../shared/errors.ts';

export const HANDSHAKE_ERRORS = {
  tls_on_plain: {
    text: 'The peer spoke TLS to a port without TLS.',
    hint: 'Let the peer connect to the wss port (websocket.secure.port, 9150 by default; https.port for the administration), or set central.websocket.secure=false there.',
  },
  plain_on_tls: {
    text: 'The peer did not speak TLS to a TLS port.',
    hint: 'Set central.websocket.secure=true there, or let the peer connect to the ws port (websocket.port, 8787 by default).',
  },
  peer_unknown_authority: {
    text: 'The peer does not trust the authority of Central (TLS alert unknown_ca).',
    hint: 'Import the root of Central there: "queuegate ca trust-bundle" on Central, "queue-agent truststore import" or keytool on the peer.',
  },
  peer_rejects_certificate: {
    text: 'The peer rejected the certificate of Central (TLS alert {found}).',
    hint: 'Java sends this alert for an untrusted authority, a wrong name and wrong dates alike: check its log, and compare names and dates with "queuegate status".',
  },
  peer_certificate_expired: {
    text: 'The peer considers the certificate of Central expired (TLS alert certificate_expired).',
    hint: 'Compare its dates ("queuegate status") with the clock of the peer.',
  },
  peer_old_protocol: {
    text: 'The peer supports no TLS version of Central ({found}).',
    hint: 'Central supports TLS 1.2 and 1.3, agents 1.3: update the software of the peer.',
  },
  peer_no_common_cipher: {
    text: 'The peer offers no supported cipher, group or signature algorithm ({found}).',
    hint: 'Central supports AEAD ciphers with forward secrecy: update the software of the peer, or check its TLS settings.',
  },
  peer_left_in_tls: {
    text: 'The peer closed the connection during the TLS handshake.',
    hint: 'A queue agent does so when it rejects the certificate of Central: run "queue-agent doctor" there. For another peer, check its log and the network.',
  },
  tls_handshake_failed: {
    text: 'The TLS handshake failed: {found}.',
    hint: 'Check the software of the peer, and proxies between it and Central.',
  },
  tls_without_data: {
    text: 'The peer sent {bytes} bytes in TLS records that contain no data, such as key updates.',
    hint: 'No client does that: find out what runs at this address.',
  },
  not_http: {
    text: 'The peer did not send HTTP ({found}).',
    hint: 'A program that is not a queue agent connects to this port: find out what runs at this address.',
  },
  handshake_timeout: {
    text: 'The handshake timed out after {seconds} s: {found}.',
    hint: 'Check the network, and find out whether a program that is not a queue agent holds connections open.',
  },
  proxy_header_untrusted: {
    text: '{peer} sent a PROXY protocol header but is not a trusted proxy.',
    hint: 'If it is your proxy, add its address to websocket.trustedProxies. Otherwise find out what sends it.',
  },
  proxy_header_version: {
    text: 'The proxy {peer} sent a PROXY protocol header of version 1; only version 2 is allowed.',
    hint: 'Let the proxy send version 2 (HAProxy: "send-proxy-v2" instead of "send-proxy"; nginx cannot: remove "proxy_protocol on").',
  },
  proxy_header_malformed: {
    text: 'The PROXY protocol header of {peer} is malformed: {found}. Allowed: version 2, LOCAL or PROXY, TCP over IPv4 or IPv6.',
    hint: 'Check the software and the settings of that proxy.',
  },
  forwarded_for_unreadable: {
    text: 'The proxy {peer} forwarded a connection without an address in X-Forwarded-For; found: {found}.',
    hint: 'Let that proxy set X-Forwarded-For to the bare address of its client (HAProxy: "option forwardfor"; nginx: "proxy_set_header X-Forwarded-For $remote_addr"), or send PROXY protocol version 2. Until then its agents count as remote and share one bound.',
  },
  too_many_pipelined: {
    text: 'More than {most} requests were sent on one connection without waiting for a response.',
    hint: 'Let the client wait for responses before it sends more requests.',
  },
  response_unread: {
    text: 'The peer read none of a response within {seconds} s.',
    hint: 'Check the client and the network; a client that only probes should close the connection.',
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

/** The fault of a failed TLS handshake; undefined for a cut connection, which the end of its socket reports. */
export function tlsFault(error: unknown, seconds: number): CodedError | undefined {
  const code = systemCode(error) ?? '';
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT')
    return handshakeFault('handshake_timeout', { seconds, found: 'the TLS handshake was not finished' }, error);
  const found = reasonOf(error, code);
  const cause = CAUSES[code];
  if (cause === undefined) return handshakeFault('tls_handshake_failed', { found }, error);
  // Some of the texts have no placeholder for it, which is harmless.
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
