// Writes a certificate revocation list (RFC 5280 section 5): version 2, in DER, signed by the authority whose
// certificates it names. Not with @peculiar/x509, which looks through all entries for each one: a list of 20,000 would
// delay every heartbeat by seconds. central/pki/revocation-lists.ts decides what is on a list.
import { createHash, sign, type KeyObject, type X509Certificate } from 'node:crypto';
import { bits, der, ECDSA_SHA256, integer, octets, oid, positive, sequence, TAG } from '../../../shared/asn1/writer.ts';
import { pemOf } from '../../../shared/x509/pem.ts';
import { KeyUsageFlags, KeyUsagesExtension, PeculiarCertificate } from '../../../shared/x509/library.ts';
import type { Revocation, RevocationReason } from '../../store/certificate-store.ts';
import { keyIdentifierOf, spkiOf } from './certificate.ts';

export interface CrlOrder {
  readonly issuer: X509Certificate;
  readonly key: KeyObject;
  /** Grows with each list of this issuer (section 5.2.3). */
  readonly number: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly entries: readonly { readonly serial: string; readonly revoked: Revocation }[];
}

/** crlExtensions [0] EXPLICIT, and keyIdentifier [0] IMPLICIT. */
const CONTEXT = { extensions: 0xa0, keyIdentifier: 0x80 } as const;
const V2 = 1;

/** Object identifiers, encoded once: a list has thousands of entries. */
const OID = {
  crlNumber: oid('2.5.29.20'),
  reasonCode: oid('2.5.29.21'),
  authorityKeyIdentifier: oid('2.5.29.35'),
  /** RFC 5758 section 3.2. */
  ecdsa: { sha256: oid(ECDSA_SHA256), sha384: oid('1.2.840.10045.4.3.3'), sha512: oid('1.2.840.10045.4.3.4') },
  /** RFC 4055 section 5. */
  rsaSha256: oid('1.2.840.113549.1.1.11'),
} as const;

/** Section 5.3.1. An unspecified reason is left out. */
const REASON_CODES: Readonly<Record<Exclude<RevocationReason, 'unspecified'>, number>> = {
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
};

/** May this authority sign a list? One without a key usage may do anything (section 4.2.1.3). */
export function maySignLists(issuer: X509Certificate): boolean {
  const usages = new PeculiarCertificate(issuer.raw).getExtension(KeyUsagesExtension)?.usages;
  return usages === undefined || (usages & KeyUsageFlags.cRLSign) !== 0;
}

export function makeCrl({ issuer, key, number, thisUpdate, nextUpdate, entries }: CrlOrder): Buffer {
  const { digest, algorithm } = signatureOf(key);
  const rows = entries.map(({ serial, revoked }) => {
    const extensions =
      revoked.reason === 'unspecified'
        ? []
        : [sequence(extension(OID.reasonCode, der(TAG.enumerated, Buffer.from([REASON_CODES[revoked.reason]]))))];
    return sequence(
      positive(Buffer.from(serial.padStart(serial.length + (serial.length % 2), '0'), 'hex')),
      time(revoked.at),
      ...extensions,
    );
  });
  const list = sequence(
    integer(V2),
    algorithm,
    // Byte by byte as in the issuer's certificate: verifiers compare encodings.
    Buffer.from(new PeculiarCertificate(issuer.raw).subjectName.toArrayBuffer()),
    time(thisUpdate),
    time(nextUpdate),
    // Section 5.1.2.6: where nothing is revoked, the list of them is absent.
    ...(rows.length === 0 ? [] : [sequence(...rows)]),
    der(
      CONTEXT.extensions,
      sequence(
        extension(OID.authorityKeyIdentifier, sequence(der(CONTEXT.keyIdentifier, keyIdentifier(issuer)))),
        extension(OID.crlNumber, integer(number)),
      ),
    ),
  );
  return sequence(list, algorithm, bits(sign(digest, list, key)));
}

/** The list as PEM. */
export function crlPem(list: Buffer): string {
  return pemOf('X509 CRL', list);
}

/** The digest is as strong as the curve (as for certificates, key-algorithms.ts). */
function signatureOf(key: KeyObject): { readonly digest: string; readonly algorithm: Buffer } {
  if (key.asymmetricKeyType === 'rsa') return { digest: 'sha256', algorithm: sequence(OID.rsaSha256, der(TAG.null)) };
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const digest = curve === 'secp521r1' ? 'sha512' : curve === 'secp384r1' ? 'sha384' : 'sha256';
  return { digest, algorithm: sequence(OID.ecdsa[digest]) };
}

/** The same as in the certificates that it signed (certificate.ts). */
function keyIdentifier(issuer: X509Certificate): Buffer {
  return Buffer.from(
    keyIdentifierOf(issuer) ?? createHash('sha1').update(spkiOf(issuer.publicKey)).digest('hex'),
    'hex',
  );
}

function extension(name: Buffer, value: Buffer): Buffer {
  return sequence(name, octets(value));
}

/** Section 5.1.2.4: UTCTime through 2049, GeneralizedTime from 2050 on; whole seconds. */
function time(at: number): Buffer {
  const text = `${new Date(at).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`;
  return Number(text.slice(0, 4)) < 2050
    ? der(TAG.utcTime, Buffer.from(text.slice(2)))
    : der(TAG.generalizedTime, Buffer.from(text));
}
