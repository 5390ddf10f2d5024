// What Central speaks over TLS, as a server and as a client: versions, cipher suites and groups that cost both sides
// little, and no second handshake in one connection. TLS runs on the event loop.
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';

/**
 * TLS 1.2 (RFC 5246) for tools, proxies and receivers, 1.3 (RFC 8446) for agents; AEAD with forward secrecy only (RFC
 * 9325 section 4.2), over elliptic curves: with DHE a server chooses the numbers, and 10,000 bits cost its client more
 * than a second.
 */
export const TLS_PROTOCOL = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
  // The peer chooses of these. OpenSSL's own list has groups that cost a handshake several times as much (P-521, finite
  // fields), which no peer needs: RFC 8446 section 9.1 demands P-256 and recommends X25519.
  ecdhCurve: 'X25519MLKEM768:X25519:prime256v1:secp384r1',
  // A TLS 1.2 peer could repeat the costly part of the handshake in one connection; none needs that.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
} as const satisfies SecureContextOptions;
