// Reads certificates to be trusted (PEM, DER, PKCS#7), and checks whether they are suitable.
import { readBoundedFile } from '../files/bounded-file.ts';
import { FORMAT_NAMES, MAX_STORE_BYTES, parseCertificate, subjectLine, thumbprint } from '../keystore/material.ts';
import { openStore } from '../keystore/open.ts';
import { readPkcs7 } from '../keystore/pkcs7.ts';
import { trustedEntries } from './entries.ts';
import { truststoreFault } from './errors.ts';

/** Extended key usages (RFC 5280 section 4.2.1.12) with which a certificate may stand for a server. */
const SERVER_USAGES = new Set(['1.3.6.1.5.5.7.3.1', '2.5.29.37.0']);
const USAGES: Readonly<Record<string, string>> = {
  '1.3.6.1.5.5.7.3.2': 'clients',
  '1.3.6.1.5.5.7.3.3': 'signing code',
  '1.3.6.1.5.5.7.3.4': 'mail',
  '1.3.6.1.5.5.7.3.8': 'time stamps',
  '1.3.6.1.5.5.7.3.9': 'answers on revocation',
};

/**
 * The certificates of a file, as DER, in its order: all of them, or it is refused. Throws file, keystore and truststore
 * faults.
 */
export async function certificatesIn(
  path: string,
): Promise<{ readonly certificates: readonly Buffer[]; readonly warnings: readonly string[] }> {
  const bytes = await readBoundedFile({
    path,
    what: 'The certificate',
    maxBytes: MAX_STORE_BYTES,
    hint: 'Name the file of the certificate (.cer, .crt, .pem, .p7b).',
  });
  const bundle = readPkcs7(bytes, path);
  if (bundle !== undefined) return { certificates: bundle, warnings: [] };
  const store = await openStore({ bytes, file: path });
  if (store.format !== 'pem' && store.format !== 'der')
    throw truststoreFault('truststore_not_certificates', {
      certificate: path,
      found: `a ${FORMAT_NAMES[store.format]} store`,
    });
  const [fault] = store.leftOut ?? [];
  if (fault !== undefined) throw fault;
  return { certificates: trustedEntries(store, path).map(({ certificates: [der] }) => der), warnings: store.warnings };
}

/** Authorities of one name whose signatures are tried; an authority renews its certificate a few times. */
const MAX_NAMESAKES = 20;

interface Chain {
  /** What to trust. */
  readonly kept: readonly Buffer[];
  /** Leaf certificates that another certificate of the file issued: with that one trusted they need no entry. */
  readonly vouched: readonly { readonly subject: string; readonly by: string }[];
}

/** Parts a chain (a server's certificate with those that signed it) into what to trust and what follows from that. */
export function partChain(certificates: readonly Buffer[]): Chain {
  const parsed = certificates.map((der) => ({ der, certificate: parseCertificate(der) }));
  const authorities = Map.groupBy(
    parsed.filter(({ certificate }) => certificate?.ca === true),
    ({ certificate }) => certificate?.subject,
  );
  const kept: Buffer[] = [];
  const vouched: { subject: string; by: string }[] = [];
  for (const { der, certificate } of parsed) {
    // One whose names are equal OpenSSL takes for self-signed: trusting its issuer does not make it trusted (tried).
    const candidates =
      certificate?.ca === false && certificate.issuer !== certificate.subject
        ? (authorities.get(certificate.issuer) ?? []).slice(0, MAX_NAMESAKES)
        : [];
    const issuer = candidates.find(
      (other) =>
        certificate !== undefined &&
        other.certificate !== undefined &&
        certificate.checkIssued(other.certificate) &&
        certificate.verify(other.certificate.publicKey),
    );
    if (certificate === undefined || issuer?.certificate === undefined) kept.push(der);
    else vouched.push({ subject: subjectLine(certificate), by: subjectLine(issuer.certificate) });
  }
  return { kept, vouched };
}

/** The purpose of a certificate when it is trusted. */
type Purpose = 'authority' | 'server' | { readonly other: string };

/**
 * An authority, a server (by its usages, or because it names none: what keytool -genkeypair makes), or something else.
 */
export function purposeOf(der: Buffer): Purpose {
  const certificate = parseCertificate(der);
  if (certificate === undefined) return { other: 'nothing that OpenSSL reads' };
  if (certificate.ca) return 'authority';
  // Node calls the extended key usages so; undefined where the certificate names none.
  const usages: readonly string[] | undefined = certificate.keyUsage;
  if (usages === undefined || usages.length === 0 || usages.some((usage) => SERVER_USAGES.has(usage))) return 'server';
  return { other: `one for ${usages.map((usage) => USAGES[usage] ?? usage).join(', ')}` };
}

/** A SHA-256 fingerprint as somebody typed it, in the form of `thumbprint`. Throws truststore_fingerprint_bad. */
export function readFingerprint(text: string): string {
  const hex = text
    .trim()
    .replace(/^sha-?256[:=\s]*/i, '')
    .replaceAll(/[:\s]/g, '')
    .toUpperCase();
  if (!/^[0-9A-F]{64}$/.test(hex)) throw truststoreFault('truststore_fingerprint_bad', { found: text.slice(0, 200) });
  return hex.replaceAll(/(..)(?!$)/g, '$1:');
}

/** Every certificate has to have one of the fingerprints. Throws truststore_fingerprint_differs. */
export function checkFingerprints(certificates: readonly Buffer[], allowed: readonly string[], origin: string): void {
  for (const der of certificates) {
    const found = thumbprint(der);
    if (!allowed.includes(found))
      throw truststoreFault('truststore_fingerprint_differs', {
        subject: subjectLine(parseCertificate(der)),
        certificate: origin,
        found,
      });
  }
}
