// Validates a server certificate before it is used: key, chain, dates, usage, names, strength. Reports every fault at
// once.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { KeyUsageFlags, KeyUsagesExtension, PeculiarCertificate } from '../../../shared/x509/library.ts';
import { alternativeName, hostsOf } from '../x509/certificate.ts';
import { chainFaults, isAuthority, type BuiltChain, type CertificateFault } from '../x509/chain.ts';

/** Node gives `keyUsage` as the OIDs of the extended key usage. */
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/**
 * Each TLS handshake of a stranger computes with the key, on the event loop: 8192 bits take some 30 ms, and 16384 more
 * than 200.
 */
const MOST_RSA_BITS = 4_096;

/** All that is wrong with a server certificate; empty: it may be used. */
export function serverFaults({
  key,
  built,
  names,
  now,
}: {
  readonly key: KeyObject;
  readonly built: Pick<BuiltChain, 'chain' | 'complete'>;
  readonly names: readonly string[];
  readonly now: number;
}): CertificateFault[] {
  const [leaf] = built.chain;
  const faults: CertificateFault[] = [];
  if (!leaf.checkPrivateKey(key))
    faults.push({ fault: 'key_mismatch', text: 'the private key is not the key of the certificate' });
  const { modulusLength = 0 } = leaf.publicKey.asymmetricKeyDetails ?? {};
  if (modulusLength > MOST_RSA_BITS)
    faults.push({
      fault: 'key_slow',
      text: `its key is RSA ${modulusLength}, which makes each TLS handshake slow; allowed are RSA up to ${MOST_RSA_BITS} bits, and EC`,
    });
  faults.push(...chainFaults(built, now));
  if (isAuthority(leaf))
    faults.push({ fault: 'usage', text: 'it is the certificate of an authority, not of a server' });
  // Without that extension any use is allowed (RFC 5280 section 4.2.1.12).
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.includes(SERVER_AUTH))
    faults.push({ fault: 'usage', text: 'it may not be used by a server (extended key usage)' });
  const usages = new PeculiarCertificate(leaf.raw).getExtension(KeyUsagesExtension)?.usages;
  // RFC 8446 section 4.4.2.2: what TLS 1.3 asks of a server's certificate.
  if (usages !== undefined && (usages & KeyUsageFlags.digitalSignature) === 0)
    faults.push({ fault: 'usage', text: 'its key may not sign (key usage without digitalSignature), which TLS needs' });
  const uncovered = uncoveredNames(leaf, names);
  if (uncovered.length > 0)
    faults.push({
      fault: 'names_missing',
      text: `it does not contain ${uncovered.join(', ')}; its subject alternative names are ${hostsOf(leaf).join(', ') || 'empty'}`,
    });
  return faults;
}

/** The names that a TLS client which dialled them would not find in the certificate. */
export function uncoveredNames(leaf: X509Certificate, names: readonly string[]): string[] {
  return names.filter((name) => !covers(leaf, name));
}

/**
 * True when a TLS client that dialled `host` would accept the certificate's names. The common name does not count (RFC
 * 9525).
 */
function covers(certificate: X509Certificate, host: string): boolean {
  const { type, value } = alternativeName(host);
  return (
    (type === 'ip' ? certificate.checkIP(value) : certificate.checkHost(value, { subject: 'never' })) !== undefined
  );
}

/** IPv6 addresses have many spellings; the URL parser knows the one form (RFC 5952). */
export function canonicalHost(host: string): string {
  const { value } = alternativeName(host);
  return isIP(value) === 6 ? new URL(`http://[${value}]`).hostname.slice(1, -1) : value;
}
