// Reads certificates from outside: linear PEM, then a bounded look at the structure, then OpenSSL. Nothing else may
// hand bytes or text of others to an X.509 parser (test/shared/x509/untrusted-parsers.test.ts).
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { CERTIFICATE_LIMITS, structureFault } from '../asn1/structure.ts';
import { textOf } from '../errors.ts';
import { derInPem, PEM_LIMITS, pemOf, type PemLimits } from './pem.ts';

const LABELS = ['CERTIFICATE', 'X509 CERTIFICATE'];

/** One certificate in DER. Throws with the end of a sentence. */
export function readCertificate(der: Uint8Array): X509Certificate {
  const fault = structureFault(der, CERTIFICATE_LIMITS);
  if (fault !== undefined) throw new TypeError(fault);
  return withNames(new X509Certificate(der));
}

/** Why `readCertificate` throws, as the end of a sentence; undefined when it does not. */
export function unreadableReason(der: Uint8Array): string | undefined {
  const fault = structureFault(der, CERTIFICATE_LIMITS);
  if (fault !== undefined) return fault;
  try {
    // Of DER, Node.js reports only that it is not PEM; of PEM it reports what OpenSSL says of the content.
    void new X509Certificate(pemOf('CERTIFICATE', der));
    return undefined;
  } catch (error) {
    // "error:068000E9:asn1 encoding routines::utctime is too short"
    return textOf(error).split('::').at(-1);
  }
}

/** The certificate that the other side of a TLS connection presented. */
export function peerCertificate(socket: TLSSocket): X509Certificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate && withNames(certificate);
}

/**
 * An empty name is legal (RFC 5280 section 4.1.2.6: the subject is in the alternative names only), and Caddy, step-ca
 * and Let's Encrypt issue it. Node.js leaves `subject` or `issuer` undefined then, whatever its types say: every reader
 * would need a guard.
 */
function withNames(certificate: X509Certificate): X509Certificate {
  const names: { readonly subject: unknown; readonly issuer: unknown } = certificate;
  if (names.subject === undefined) Object.defineProperty(certificate, 'subject', { value: '' });
  if (names.issuer === undefined) Object.defineProperty(certificate, 'issuer', { value: '' });
  return certificate;
}

/**
 * All certificates of a PEM text, in its order; text around them is passed over. Throws PemFault, TypeError, and what
 * OpenSSL says.
 */
export function certificatesInPem(text: string, limits: PemLimits = PEM_LIMITS): X509Certificate[] {
  return derInPem(text, LABELS, limits).map((der) => readCertificate(der));
}

/** The first certificate of a PEM text: the leaf of a chain. Throws as `certificatesInPem`. */
export function firstInPem(text: string): X509Certificate {
  const [first] = certificatesInPem(text);
  if (first === undefined) throw new TypeError('it holds no -----BEGIN CERTIFICATE-----');
  return first;
}
