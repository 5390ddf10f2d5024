// Owns taking certificates out of a PKCS#7 bundle (.p7b, .p7c: SignedData of RFC 2315 section 9.1 and RFC 5652 section 5.1
// without signers), DER, BER or PEM. A bundle says nothing of trust, so it is something to import from and never a store.
// Each certificate is handed out byte by byte as it stands there: signatures cover bytes, and no library's way of writing them.
import { decodeBlock, pemBlocks, PemFault } from '../x509/pem.ts';
import { keystoreFault } from './errors.ts';
import { BadData, EndOfData } from './java-data.ts';
import { MAX_ENTRIES, MAX_STORE_BYTES, soundness } from './material.ts';

const FORMAT = 'PKCS#7';
const PEM_LABELS = new Set(['PKCS7', 'PKCS #7 SIGNED DATA', 'CMS', 'CERTIFICATE']);
/** OBJECT IDENTIFIER 1.2.840.113549.1.7.2, signedData. */
const SIGNED_DATA = Buffer.from('06092a864886f70d010702', 'hex');
const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
/** [0], constructed: content of the bundle, and in it the certificates. */
const CONTEXT_0 = 0xa0;
/** Certificates have some ten levels; a forged file must not have more than a stack. */
const MAX_DEPTH = 32;

interface Element {
  readonly tag: number;
  /** Of the whole element. */
  readonly start: number;
  /** Of its content. */
  readonly begin: number;
  readonly end: number;
  /** Behind the element, end mark included. */
  readonly next: number;
}

/** The certificates (DER) of a bundle; undefined when the bytes are none. Throws keystore faults: truncated, damaged, tampered. */
export function readPkcs7(bytes: Buffer, file: string): Buffer[] | undefined {
  const der = bundleIn(bytes);
  if (der === undefined) return undefined;
  let certificates: Buffer[];
  try {
    certificates = certificatesOf(der);
  } catch (error) {
    if (error instanceof EndOfData)
      throw keystoreFault('keystore_truncated', { file, format: FORMAT, found: error.message }, error);
    if (error instanceof BadData)
      throw keystoreFault('keystore_damaged', { file, format: FORMAT, found: error.message }, error);
    throw error;
  }
  if (certificates.length === 0)
    throw keystoreFault('keystore_no_certificate', { file, format: FORMAT, found: 'a signature or revocation lists' });
  for (const [index, certificate] of certificates.entries()) {
    const verdict = soundness(certificate);
    const place = `certificate ${index + 1} of ${certificates.length}`;
    if (verdict === 'unreadable')
      throw keystoreFault('keystore_damaged', { file, format: FORMAT, found: `${place} is none` });
    if (verdict === 'broken signature')
      throw keystoreFault('keystore_tampered', {
        file,
        format: FORMAT,
        found: `${place} does not fit its own signature`,
      });
  }
  return certificates;
}

/** The bundle's bytes. In PEM it is labelled PKCS7 or CMS, and by Windows' certutil CERTIFICATE like everything else. */
function bundleIn(bytes: Buffer): Buffer | undefined {
  if (isBundle(bytes)) return bytes;
  if (bytes[0] === SEQUENCE) return undefined;
  const der = firstBlock(bytes);
  return der !== undefined && isBundle(der) ? der : undefined;
}

/** What is wrong with a PEM text is for the reader of PEM stores to say. */
function firstBlock(bytes: Buffer): Buffer | undefined {
  try {
    for (const block of pemBlocks(bytes.toString('latin1'), { maxLength: MAX_STORE_BYTES, maxBlocks: MAX_ENTRIES })) {
      if (PEM_LABELS.has(block.label)) return decodeBlock(block);
    }
    return undefined;
  } catch (error) {
    if (error instanceof PemFault) return undefined;
    throw error;
  }
}

function isBundle(bytes: Buffer): boolean {
  if (bytes[0] !== SEQUENCE) return false;
  const lengthBytes = (bytes[1] ?? 0) > 0x80 ? (bytes[1] as number) & 0x7f : 0;
  return bytes.subarray(2 + lengthBytes, 2 + lengthBytes + SIGNED_DATA.length).equals(SIGNED_DATA);
}

function certificatesOf(bytes: Buffer): Buffer[] {
  const outer = elementAt(bytes, 0, bytes.length, 0);
  const content = expect(childrenOf(bytes, outer)[1], CONTEXT_0, 'the content');
  const signed = expect(childrenOf(bytes, content)[0], SEQUENCE, 'the signed data');
  const [version, digests, info, ...rest] = childrenOf(bytes, signed);
  expect(version, INTEGER, 'the version');
  expect(digests, SET, 'the list of digests');
  expect(info, SEQUENCE, 'the signed content');
  const list = rest.find(({ tag }) => tag === CONTEXT_0);
  if (list === undefined) return [];
  // Attribute certificates and such carry other tags.
  const certificates = childrenOf(bytes, list).filter(({ tag }) => tag === SEQUENCE);
  if (certificates.length > MAX_ENTRIES)
    throw new BadData(`it holds ${certificates.length} certificates; allowed are ${MAX_ENTRIES}`);
  return certificates.map(({ start, next }) => bytes.subarray(start, next));
}

function expect(element: Element | undefined, tag: number, what: string): Element {
  if (element?.tag !== tag) throw new BadData(`${what} is missing`);
  return element;
}

function childrenOf(bytes: Buffer, parent: Element): Element[] {
  const children: Element[] = [];
  for (let offset = parent.begin; offset < parent.end;) {
    const child = elementAt(bytes, offset, parent.end, 0);
    children.push(child);
    offset = child.next;
  }
  return children;
}

/** X.690 section 8.1: a tag of one byte, a length of one form or the other, or an end mark (00 00) behind the content. */
function elementAt(bytes: Buffer, start: number, limit: number, depth: number): Element {
  const need = (count: number, offset: number): void => {
    if (offset + count > limit)
      throw new EndOfData(
        `at offset ${offset} ${count} bytes should follow, but ${Math.max(0, limit - offset)} are left`,
      );
  };
  need(2, start);
  const tag = bytes[start] as number;
  const first = bytes[start + 1] as number;
  if ((tag & 0x1f) === 0x1f) throw new BadData(`the tag at offset ${start} has more than one byte`);
  if (first === 0x80) return indefiniteAt(bytes, start, limit, depth);
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 4) throw new BadData(`the length at offset ${start + 1} has ${lengthBytes} bytes`);
  need(lengthBytes, start + 2);
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(start + 2, lengthBytes);
  const begin = start + 2 + lengthBytes;
  need(length, begin);
  return { tag, start, begin, end: begin + length, next: begin + length };
}

function indefiniteAt(bytes: Buffer, start: number, limit: number, depth: number): Element {
  if (depth > MAX_DEPTH) throw new BadData(`its elements are nested deeper than ${MAX_DEPTH}`);
  const begin = start + 2;
  for (let offset = begin; ;) {
    const child = elementAt(bytes, offset, limit, depth + 1);
    if (child.tag === 0 && child.next === child.start + 2)
      return { tag: bytes[start] as number, start, begin, end: offset, next: child.next };
    offset = child.next;
  }
}
