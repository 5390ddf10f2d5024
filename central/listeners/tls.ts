// TLS of Central's listeners, and replacing the certificate of a running one.
import { constants } from 'node:crypto';
import { createServer, type Server, type TlsOptions } from 'node:tls';
import { TLS_PROTOCOL } from '../pki/tls-protocol.ts';

/** What a TLS listener shows. */
export interface Credentials {
  /** Private key, PEM. */
  readonly key: string;
  /** Leaf first, root last, PEM. */
  readonly chain: string;
}

const PROTOCOL = { ...TLS_PROTOCOL, honorCipherOrder: true } as const satisfies TlsOptions;

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

/**
 * A TLS server for the callers of a service, fed as the others. With `clientCa` (PEM) a certificate is requested, and
 * verified against these authorities alone; whether that succeeded is `authorized` of the socket. No session is resumed:
 * each connection shows its certificate.
 */
export function createCallerTlsServer(
  credentials: Credentials,
  handshakeTimeoutMs: number,
  clientCa: string | null,
): Server {
  return createServer({
    ...callerContext(credentials, clientCa),
    handshakeTimeout: handshakeTimeoutMs,
    ALPNProtocols: ['http/1.1'],
    requestCert: clientCa !== null,
    rejectUnauthorized: false, // refused with an answer that says why
  });
}

/** New handshakes show the new certificate; open connections stay. */
export function swapCallerCredentials(server: Server, credentials: Credentials, clientCa: string | null): void {
  server.setSecureContext(callerContext(credentials, clientCa));
}

function callerContext({ key, chain }: Credentials, clientCa: string | null): TlsOptions {
  return {
    ...PROTOCOL,
    secureOptions: PROTOCOL.secureOptions | constants.SSL_OP_NO_TICKET,
    key,
    cert: chain,
    ...(clientCa === null ? {} : { ca: clientCa }),
  };
}

/**
 * A TLS server for other nodes of this Central, fed as the others: TLS 1.3, with a certificate of the authorities `ca`
 * (PEM); whether it has one is `authorized` of the socket.
 */
export function createNodeTlsServer(credentials: Credentials, handshakeTimeoutMs: number, ca: string): Server {
  return createServer({
    ...nodeContext(credentials, ca),
    handshakeTimeout: handshakeTimeoutMs,
    ALPNProtocols: ['http/1.1'],
    requestCert: true,
    rejectUnauthorized: false, // refused with an answer that says why (central/forwarding/node-listener.ts)
  });
}

/** New handshakes show the new certificate, and are verified by these authorities; open connections stay. */
export function swapNodeCredentials(server: Server, credentials: Credentials, ca: string): void {
  server.setSecureContext(nodeContext(credentials, ca));
}

function nodeContext(credentials: Credentials, ca: string): TlsOptions {
  return { ...callerContext(credentials, ca), minVersion: 'TLSv1.3' };
}

/** New handshakes show the new certificate; open connections stay. */
export function swapCredentials(server: Server, credentials: Credentials): void {
  server.setSecureContext({ ...PROTOCOL, key: credentials.key, cert: credentials.chain });
}
