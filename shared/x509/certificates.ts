// Reads certificates from outside: linear PEM, then a bounded look at the structure, then OpenSSL. Nothing else may hand bytes or
// text of others to an X.509 parser (test/shared/x509/untrusted-parsers.test.ts).
import { X509Certificate } from 'node:crypto';
import { CERTIFICATE_LIMITS, structureFault } from '../asn1/structure.ts';
import { derInPem, PEM_LIMITS, type PemLimits } from './pem.ts';

const LABELS = ['CERTIFICATE', 'X509 CERTIFICATE'];

/** One certificate in DER. Throws with the end of a sentence. */
export function readCertificate(der: Uint8Array): X509Certificate {
  const fault = structureFault(der, CERTIFICATE_LIMITS);
  if (fault !== undefined) throw new TypeError(fault);
  return new X509Certificate(der);
}

/** All certificates of a PEM text, in its order; text around them is passed over. Throws PemFault, TypeError, and what OpenSSL says. */
export function certificatesInPem(text: string, limits: PemLimits = PEM_LIMITS): X509Certificate[] {
  return derInPem(text, LABELS, limits).map((der) => readCertificate(der));
}

/** The first certificate of a PEM text: the leaf of a chain. Throws as `certificatesInPem`. */
export function firstInPem(text: string): X509Certificate {
  const [first] = certificatesInPem(text);
  if (first === undefined) throw new TypeError('it holds no -----BEGIN CERTIFICATE-----');
  return first;
}
