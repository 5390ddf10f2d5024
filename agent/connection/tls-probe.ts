// Reads the certificates that a host presents without sending anything to it: for the pin of an enrollment and for
// the doctor. The one place where TLS itself does not verify; the caller does.
import type { X509Certificate } from 'node:crypto';
import type { ConnectionOptions, DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { readCertificate } from '../../shared/x509/certificates.ts';
import { openLine, startTls } from '../dial/line.ts';
import type { Target } from '../target.ts';

export interface TlsProbe {
  /** As the host sent it, its own certificate first; the root too if it was sent. */
  readonly chain: readonly X509Certificate[];
  /** TLSv1.3 and the like. */
  readonly protocol: string;
  readonly cipher: string;
}

interface TlsProbeOptions {
  readonly timeoutMs: number;
  /** Below TLS 1.3: to see what an old peer speaks, never to say anything to it. */
  readonly oldest?: 'TLSv1';
}

/** The end of TLS is on its way within this time, or the line is dead. */
const PARTING_MS = 1_000;
/** A forged chain must not become work. */
const MAX_CHAIN = 10;

/**
 * Shakes hands, looks, hangs up. Rejects with what TLS or the system say. What is said to an unverified peer is the TLS
 * handshake itself and its end; this connection cannot be made to send more.
 */
export async function probeTls(target: Target, { timeoutMs, oldest }: TlsProbeOptions): Promise<TlsProbe> {
  const line = await openLine(target, { timeoutMs });
  return await new Promise((resolve, reject) => {
    const versions: ConnectionOptions =
      oldest === undefined ? {} : { minVersion: oldest, ciphers: 'DEFAULT@SECLEVEL=0' };
    const socket = startTls(line, target, {
      ...versions,
      rejectUnauthorized: false, // nothing is sent, and nothing that is received counts
    });
    const timer = setTimeout(() => socket.destroy(new Error('the TLS handshake has timed out')), timeoutMs);
    const done = (): void => {
      clearTimeout(timer);
      // An orderly end: Central records peers that break off in the middle of a handshake, and a probe is not a
      // failure.
      socket.end();
      const parting = setTimeout(() => socket.destroy(), PARTING_MS);
      socket.once('close', () => clearTimeout(parting));
      socket.resume();
    };
    socket.once('error', (error) => {
      done();
      reject(error);
    });
    // It may hang up instead: without an error, when it took our hello for the end of its business.
    socket.once('close', () =>
      reject(Object.assign(new Error('it hung up during the TLS handshake'), { code: 'ECONNRESET' })),
    );
    socket.once('secureConnect', () => {
      resolve({
        chain: shownChain(socket),
        protocol: socket.getProtocol() ?? 'unknown',
        cipher: socket.getCipher().name,
      });
      done();
    });
  });
}

/** A host may show anything: what is not a certificate to us ends the chain, and no connection is trusted by it. */
function readable(der: Uint8Array): X509Certificate | undefined {
  try {
    return readCertificate(der);
  } catch {
    return undefined;
  }
}

export function shownChain(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // A self-signed certificate is its own issuer: there the chain ends.
  while (next?.raw !== undefined && chain.length < MAX_CHAIN) {
    const certificate = readable(next.raw);
    if (certificate === undefined) break;
    chain.push(certificate);
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}
