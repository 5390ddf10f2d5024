// TLS settings of Central: versions, cipher suites, and replacing the certificate of a running listener.
import { constants } from 'node:crypto';
import { createServer, type Server, type TlsOptions } from 'node:tls';

/** What a TLS listener shows. */
export interface Credentials {
  /** Private key, PEM. */
  readonly key: string;
  /** Leaf first, root last, PEM. */
  readonly chain: string;
}

/**
 * TLS 1.2 (RFC 5246) for tools and proxies, 1.3 (RFC 8446) for agents; AEAD with forward secrecy only (RFC 9325 section
 * 4.2).
 */
const PROTOCOL: TlsOptions = {
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
  honorCipherOrder: true,
  // The peer chooses of these. OpenSSL's own list has groups that cost a handshake several times as much (P-521, finite
  // fields), which no client needs: RFC 8446 section 9.1 demands P-256 and recommends X25519.
  ecdhCurve: 'X25519MLKEM768:X25519:prime256v1:secp384r1',
  // A TLS 1.2 peer could repeat the costly part of the handshake in one connection; no client of Central needs that.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
};

/**
 * A TLS server that is never bound: it is fed sockets (central/listeners/accept/connections.ts). WebSocket upgrades
 * need HTTP/1.1. A client certificate is requested but not required here, so that enrollment keeps its port; it is
 * validated at /agent.
 */
export function createTlsServer(
  credentials: Credentials,
  handshakeTimeoutMs: number,
  asksForCertificate = false,
): Server {
  return createServer({
    ...PROTOCOL,
    key: credentials.key,
    cert: credentials.chain,
    handshakeTimeout: handshakeTimeoutMs,
    ALPNProtocols: ['http/1.1'],
    requestCert: asksForCertificate,
    rejectUnauthorized: false, // verified by central/auth/client-certificate.ts: its key, chain and dates
  });
}

/** New handshakes show the new certificate; open connections stay. */
export function swapCredentials(server: Server, credentials: Credentials): void {
  server.setSecureContext({ ...PROTOCOL, key: credentials.key, cert: credentials.chain });
}
