// Writes DER (X.690): certificate requests, revocation lists and key stores. A library would cost an agent 40 MiB of
// memory, and Central seconds for a long list.

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmp: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** An element with this tag. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  return Buffer.concat([header(tag, length), ...parts]);
}

/** Section 8.1.3: the length in one byte up to 127, else the number of its bytes and then these. */
function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.from([tag, length]);
  const hex = length.toString(16);
  const digits = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.from([tag, 0x80 | digits.length, ...digits]);
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(TAG.sequence, ...parts);
}

export function set(...parts: readonly Uint8Array[]): Buffer {
  return der(TAG.set, ...parts);
}

/** [0] EXPLICIT. */
export function explicit(part: Uint8Array): Buffer {
  return der(0xa0, part);
}

export function octets(bytes: Uint8Array): Buffer {
  return der(TAG.octets, bytes);
}

/** [0] IMPLICIT OCTET STRING. */
export function implicitOctets(bytes: Uint8Array): Buffer {
  return der(0x80, bytes);
}

/** A BIT STRING of whole bytes. */
export function bits(bytes: Uint8Array): Buffer {
  return der(TAG.bits, Buffer.from([0]), bytes);
}

/** An object identifier in its usual notation: "1.2.840.10045.4.3.2" (section 8.19). */
export function oid(text: string): Buffer {
  const [root = 0, second = 0, ...others] = text.split('.').map(Number);
  return der(TAG.oid, Buffer.from([40 * root + second, ...others].flatMap((part) => base128(part))));
}

/** Seven bits in each byte; all but the last have the eighth set. */
function base128(part: number): number[] {
  const bytes = [part % 128];
  for (let rest = Math.floor(part / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift(0x80 | (rest % 128));
  return bytes;
}

/** An INTEGER of an unsigned number, in the least number of bytes. */
export function positive(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const least = bytes.subarray(start);
  return der(TAG.integer, (least[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.from([0]), least]) : least);
}

/** An INTEGER of a number from 0 to 2^53 - 1. */
export function integer(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return positive(bytes);
}

/** A BMPString: UTF-16, the high byte first. */
export function bmp(text: string): Buffer {
  return der(TAG.bmp, Buffer.from(text, 'utf16le').swap16());
}

/** RFC 5758 section 3.2. */
export const ECDSA_SHA256 = '1.2.840.10045.4.3.2';
