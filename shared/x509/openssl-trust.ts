// Reads "TRUSTED CERTIFICATE", OpenSSL's own form (openssl x509 -trustout): a certificate, and behind it for what it is
// trusted, for what it is not, and its alias (X509_CERT_AUX in openssl/crypto/x509/x_x509a.c).
import { Asn1Fault, elementsIn, membersOf, oidOf, type Asn1Element } from '../asn1/reader.ts';
import { TAG } from '../asn1/writer.ts';

interface TrustedCertificate {
  readonly der: Buffer;
  readonly alias: string | undefined;
  /** The marks exclude servers. */
  readonly refused: boolean;
}

/** serverAuth and anyExtendedKeyUsage. */
const FOR_SERVERS = new Set(['1.3.6.1.5.5.7.3.1', '2.5.29.37.0']);
const REJECTED = 0xa0;

/** Undefined when the bytes do not have that form. */
export function trustedCertificate(bytes: Buffer): TrustedCertificate | undefined {
  try {
    const [certificate, marks, ...more] = elementsIn(bytes, 'der');
    if (certificate === undefined || more.length > 0) return undefined;
    const members = marks === undefined ? [] : membersOf(marks, 'the marks of trust');
    const trusted = members.find(({ tag }) => tag === TAG.sequence);
    const rejected = members.find(({ tag }) => tag === REJECTED);
    return {
      der: certificate.whole,
      alias: members.find(({ tag }) => tag === TAG.utf8)?.content.toString('utf8'),
      refused: (trusted !== undefined && !namesServers(trusted)) || (rejected !== undefined && namesServers(rejected)),
    };
  } catch (error) {
    if (error instanceof Asn1Fault) return undefined;
    throw error;
  }
}

function namesServers(list: Asn1Element): boolean {
  return list.children().some((usage) => FOR_SERVERS.has(oidOf(usage, 'a usage')));
}
