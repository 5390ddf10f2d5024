// Reads the certificates of a PKCS#7 bundle (.p7b, .p7c: SignedData of RFC 2315 section 9.1 and RFC 5652 section 5.1
// without signers) in DER, BER or PEM. A bundle does not say what is trusted: it is something to import from, and never
// a store. Each certificate keeps its bytes: signatures cover bytes.
import { Asn1Element, Asn1Fault, expectTag } from '../asn1/reader.ts';
import { TAG } from '../asn1/writer.ts';
import { decodeBlock, pemBlocks, PemFault } from '../x509/pem.ts';
import { keystoreFault } from './errors.ts';
import { pemText } from './pem.ts';
import { MAX_ENTRIES, MAX_STORE_BYTES, soundnessCheck } from './material.ts';

const FORMAT = 'PKCS#7';
const PEM_LABELS = new Set(['PKCS7', 'PKCS #7 SIGNED DATA', 'CMS', 'CERTIFICATE']);
/** OBJECT IDENTIFIER 1.2.840.113549.1.7.2, signedData. */
const SIGNED_DATA = Buffer.from('06092a864886f70d010702', 'hex');
/** [0], constructed: content of the bundle, and in it the certificates. */
const CONTEXT_0 = 0xa0;

/**
 * The certificates (DER) of a bundle; undefined when the bytes are not a bundle. Throws keystore faults: truncated,
 * damaged, tampered.
 */
export function readPkcs7(bytes: Buffer, file: string): Buffer[] | undefined {
  const der = bundleIn(bytes);
  if (der === undefined) return undefined;
  let certificates: Buffer[];
  try {
    certificates = certificatesOf(der);
  } catch (error) {
    if (!(error instanceof Asn1Fault)) throw error;
    const code = error.truncated ? 'keystore_truncated' : 'keystore_damaged';
    throw keystoreFault(code, { file, format: FORMAT, found: error.message }, error);
  }
  if (certificates.length === 0)
    throw keystoreFault('keystore_no_certificate', { file, format: FORMAT, found: 'a signature or revocation lists' });
  const soundness = soundnessCheck();
  for (const [index, certificate] of certificates.entries()) {
    const verdict = soundness(certificate);
    const place = `certificate ${index + 1} of ${certificates.length}`;
    if (verdict === 'unreadable')
      throw keystoreFault('keystore_damaged', { file, format: FORMAT, found: `${place} is not a certificate` });
    if (verdict === 'broken signature')
      throw keystoreFault('keystore_tampered', {
        file,
        format: FORMAT,
        found: `${place} does not match its own signature`,
      });
  }
  return certificates;
}

/**
 * The bundle's bytes. In PEM it is labelled PKCS7 or CMS, and by Windows' certutil CERTIFICATE like everything else.
 */
function bundleIn(bytes: Buffer): Buffer | undefined {
  if (isBundle(bytes)) return bytes;
  if (bytes[0] === TAG.sequence) return undefined;
  const der = firstBlock(bytes);
  return der !== undefined && isBundle(der) ? der : undefined;
}

/** The reader of PEM stores reports what is wrong with a PEM text. */
function firstBlock(bytes: Buffer): Buffer | undefined {
  try {
    for (const block of pemBlocks(pemText(bytes).text, { maxLength: MAX_STORE_BYTES, maxBlocks: MAX_ENTRIES })) {
      if (PEM_LABELS.has(block.label)) return decodeBlock(block);
    }
    return undefined;
  } catch (error) {
    if (error instanceof PemFault) return undefined;
    throw error;
  }
}

function isBundle(bytes: Buffer): boolean {
  if (bytes[0] !== TAG.sequence) return false;
  const lengthBytes = (bytes[1] ?? 0) > 0x80 ? (bytes[1] as number) & 0x7f : 0;
  return bytes.subarray(2 + lengthBytes, 2 + lengthBytes + SIGNED_DATA.length).equals(SIGNED_DATA);
}

function certificatesOf(bytes: Buffer): Buffer[] {
  // Not checked as a whole before: each certificate is, and what else is in a bundle is skipped.
  const [, content] = new Asn1Element(bytes, 0, bytes.length, 'ber').children();
  const [signed] = expectTag(content, CONTEXT_0, 'the content').children();
  const [version, digests, info, ...rest] = expectTag(signed, TAG.sequence, 'the signed data').children();
  expectTag(version, TAG.integer, 'the version');
  expectTag(digests, TAG.set, 'the list of digests');
  expectTag(info, TAG.sequence, 'the signed content');
  const list = rest.find(({ tag }) => tag === CONTEXT_0);
  if (list === undefined) return [];
  // Attribute certificates and such carry other tags.
  const certificates = list.children().filter(({ tag }) => tag === TAG.sequence);
  if (certificates.length > MAX_ENTRIES)
    throw new Asn1Fault(`it holds ${certificates.length} certificates; allowed are ${MAX_ENTRIES}`);
  return certificates.map(({ whole }) => whole);
}
