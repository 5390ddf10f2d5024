// Owns taking apart and building the ASN.1 that PKCS#12 needs, on node-forge, which also reads BER (indefinite lengths,
// octet strings in pieces: what NSS, BouncyCastle and macOS write). Loaded only with pkcs12.ts.
import forge from 'node-forge';
import { derFault, type DerLimits } from '../x509/der-check.ts';
import { BadData } from './java-data.ts';

export type Asn1 = forge.asn1.Asn1;

const { Class, Type } = forge.asn1;

/** A list of 10,000 bags has some 200,000 elements. node-forge makes an object of each, and calls itself at each level. */
const LIMITS: DerLimits = { maxBytes: 4 * 1024 * 1024, maxDepth: 32, maxElements: 250_000, form: 'ber', octets: false };

/** Parses exactly one element. Throws BadData. */
export function parseDer(bytes: Buffer, what: string): Asn1 {
  const fault = derFault(bytes, LIMITS);
  if (fault !== undefined) throw new BadData(`${what} is no ASN.1: ${fault}`);
  try {
    return forge.asn1.fromDer(bytes.toString('latin1'), true);
  } catch (error) {
    throw new BadData(`${what} is no ASN.1`, { cause: error });
  }
}

export function toDer(node: Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1');
}

/** The members of a SEQUENCE or SET. */
export function members(node: Asn1 | undefined, what: string): Asn1[] {
  if (
    node?.tagClass !== Class.UNIVERSAL ||
    (node.type !== Type.SEQUENCE && node.type !== Type.SET) ||
    !Array.isArray(node.value)
  )
    throw new BadData(`${what} is no list`);
  return node.value;
}

/** The one element inside [0] EXPLICIT. */
export function explicit(node: Asn1 | undefined, what: string): Asn1 {
  const inner =
    node?.tagClass === Class.CONTEXT_SPECIFIC && node.type === Type.NONE && Array.isArray(node.value)
      ? node.value[0]
      : undefined;
  if (inner === undefined) throw new BadData(`${what} is missing`);
  return inner;
}

/** The bytes of an OCTET STRING, also of one in pieces, also under an implicit tag. */
export function octets(node: Asn1 | undefined, what: string): Buffer {
  const fits =
    node !== undefined &&
    (node.tagClass === Class.CONTEXT_SPECIFIC || (node.tagClass === Class.UNIVERSAL && node.type === Type.OCTETSTRING));
  if (!fits) throw new BadData(`${what} is no octet string`);
  if (typeof node.value === 'string') return Buffer.from(node.value, 'latin1');
  return Buffer.concat(node.value.map((piece) => octets(piece, what)));
}

export function oidOf(node: Asn1 | undefined, what: string): string {
  if (node?.type !== Type.OID || typeof node.value !== 'string' || node.value === '')
    throw new BadData(`${what} is no object identifier`);
  try {
    return forge.asn1.derToOid(node.value);
  } catch (error) {
    throw new BadData(`${what} is no object identifier`, { cause: error });
  }
}

/** A whole number below 2^31. */
export function smallInteger(node: Asn1 | undefined, what: string): number {
  const isInteger = node?.tagClass === Class.UNIVERSAL && node.type === Type.INTEGER && typeof node.value === 'string';
  const bytes = Buffer.from(isInteger ? (node.value as string) : '', 'latin1');
  if (bytes.length === 0 || bytes.length > 4 || (bytes[0] as number) > 0x7f)
    throw new BadData(`${what} is no small number`);
  return bytes.readUIntBE(0, bytes.length);
}

/** True for a SEQUENCE (the shape of algorithm identifiers). */
export function isSequence(node: Asn1 | undefined): node is Asn1 {
  return node?.tagClass === Class.UNIVERSAL && node.type === Type.SEQUENCE;
}

export const build = {
  sequence: (...nodes: Asn1[]): Asn1 => forge.asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, nodes),
  set: (...nodes: Asn1[]): Asn1 => forge.asn1.create(Class.UNIVERSAL, Type.SET, true, nodes),
  /** [0] EXPLICIT and [0] IMPLICIT OCTET STRING: PKCS#12 writes no other tag number. */
  explicit: (node: Asn1): Asn1 => forge.asn1.create(Class.CONTEXT_SPECIFIC, Type.NONE, true, [node]),
  implicitOctets: (bytes: Uint8Array): Asn1 =>
    forge.asn1.create(Class.CONTEXT_SPECIFIC, Type.NONE, false, Buffer.from(bytes).toString('latin1')),
  octets: (bytes: Uint8Array): Asn1 =>
    forge.asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, Buffer.from(bytes).toString('latin1')),
  oid: (oid: string): Asn1 => forge.asn1.create(Class.UNIVERSAL, Type.OID, false, forge.asn1.oidToDer(oid).getBytes()),
  integer: (value: number): Asn1 =>
    forge.asn1.create(Class.UNIVERSAL, Type.INTEGER, false, forge.asn1.integerToDer(value).getBytes()),
  null: (): Asn1 => forge.asn1.create(Class.UNIVERSAL, Type.NULL, false, ''),
  bmp: (text: string): Asn1 => forge.asn1.create(Class.UNIVERSAL, Type.BMPSTRING, false, text),
};

/** The text of a BMPString (forge decodes it by itself); undefined for anything else. */
export function bmpText(node: Asn1 | undefined): string | undefined {
  return node?.type === Type.BMPSTRING && typeof node.value === 'string' ? node.value : undefined;
}

/** Decrypts RC2 in CBC mode (RFC 2268): OpenSSL 3 has it in its legacy provider only, and Node loads that never. */
export function decryptRc2(key: Buffer, effectiveBits: number, iv: Buffer, content: Buffer): Buffer | undefined {
  const cipher = forge.rc2.createDecryptionCipher(key.toString('latin1'), effectiveBits);
  cipher.start(iv.toString('latin1'));
  cipher.update(forge.util.createBuffer(content.toString('latin1')));
  return cipher.finish() ? Buffer.from(cipher.output.getBytes(), 'latin1') : undefined;
}
