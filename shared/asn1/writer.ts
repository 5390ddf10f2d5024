// Owns writing DER (X.690): enough for a certificate request and a revocation list, where @peculiar/x509 would cost 40 MiB on a
// branch PC or seconds at Central. Reading is for whoever loads a library.

export const TAG = {
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Any element. Section 8.1.3: the length in one byte up to 127, else the number of its bytes and then these. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const hex = content.length.toString(16);
  const length = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(TAG.sequence, ...parts);
}

/** An object identifier, given as the hex of its contents. */
export function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}

/** A BIT STRING of whole bytes. */
export function bits(bytes: Uint8Array): Buffer {
  return der(TAG.bits, Buffer.from([0]), bytes);
}

/** An INTEGER of an unsigned number, in the least number of bytes. */
export function positive(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const least = bytes.subarray(start);
  return der(TAG.integer, (least[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.from([0]), least]) : least);
}

/** RFC 7468: base64 in lines of 64 between its two marks. */
export function pemOf(label: string, bytes: Buffer): string {
  return `-----BEGIN ${label}-----\n${bytes.toString('base64').replaceAll(/(.{64})(?=.)/g, '$1\n')}\n-----END ${label}-----\n`;
}

/** 1.2.840.10045.4.3.2 (RFC 5758 section 3.2). */
export const ECDSA_SHA256 = '2a8648ce3d040302';
