// Names public keys by their value: a P-256 key has one SubjectPublicKeyInfo here, whatever form its point came in, so
// that a revoked key stays revoked when it is shown in another one. Used by both sides wherever a key is read or
// compared.
import { createPublicKey, ECDH, type KeyObject } from 'node:crypto';
import { bits, sequence, TAG } from '../asn1/writer.ts';

/** AlgorithmIdentifier { id-ecPublicKey, prime256v1 } (RFC 5480 section 2.1.1). */
const P256 = Buffer.from('301306072a8648ce3d020106082a8648ce3d030107', 'hex');
const POINT_BYTES = 65;
/** What is before the 32 bytes of an Ed25519 key (RFC 8410 section 4). */
const ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/** The one SubjectPublicKeyInfo of a key, DER. Keys other than P-256 as OpenSSL writes them. */
export function spkiOf(key: KeyObject): Buffer {
  const spki = key.export({ type: 'spki', format: 'der' });
  return canonicalP256(spki) ?? spki;
}

/**
 * A P-256 SubjectPublicKeyInfo in its one form, with the point uncompressed. Undefined for anything else: another
 * algorithm or curve, parameters written out, lengths that are not DER, a point that is not on the curve.
 */
export function canonicalP256(spki: Uint8Array): Buffer | undefined {
  const point = pointOf(Buffer.from(spki.buffer, spki.byteOffset, spki.byteLength));
  if (point === undefined) return undefined;
  if (point[0] === 0x04) return spkiOfPoint(point);
  try {
    // Compressed and hybrid points (SEC 1 section 2.3.3).
    return spkiOfPoint(
      Buffer.from(ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'uncompressed') as Buffer),
    );
  } catch {
    return undefined; // no point of the curve has these bytes
  }
}

/** Reads a SubjectPublicKeyInfo (DER) as a P-256 key; undefined when it is something else. */
export function readP256(spki: Uint8Array): KeyObject | undefined {
  const canonical = canonicalP256(spki);
  if (canonical === undefined) return undefined;
  try {
    return createPublicKey({ key: canonical, format: 'der', type: 'spki' });
  } catch {
    return undefined; // an uncompressed point that is not on the curve
  }
}

/**
 * Reads a SubjectPublicKeyInfo (DER) as an Ed25519 key, which has one form only; undefined when it is something else.
 */
export function readEd25519(spki: Uint8Array): KeyObject | undefined {
  const bytes = Buffer.from(spki.buffer, spki.byteOffset, spki.byteLength);
  if (bytes.length !== ED25519.length + 32 || !bytes.subarray(0, ED25519.length).equals(ED25519)) return undefined;
  return createPublicKey({ key: bytes, format: 'der', type: 'spki' });
}

/**
 * The point in the BIT STRING, which has one of two lengths. The bytes around it are exactly those that DER has for
 * them.
 */
function pointOf(spki: Buffer): Buffer | undefined {
  const head = 2 + P256.length;
  const length = spki.length - head - 2;
  if (length !== 1 + 33 && length !== 1 + POINT_BYTES) return undefined;
  const fits =
    spki[0] === TAG.sequence &&
    spki[1] === spki.length - 2 &&
    spki.subarray(2, head).equals(P256) &&
    spki[head] === TAG.bits &&
    spki[head + 1] === length &&
    spki[head + 2] === 0;
  if (!fits) return undefined;
  const point = spki.subarray(head + 3);
  const form = point[0] ?? 0;
  return (point.length === POINT_BYTES ? form === 4 || form === 6 || form === 7 : form === 2 || form === 3)
    ? point
    : undefined;
}

function spkiOfPoint(point: Buffer): Buffer {
  return sequence(P256, bits(point));
}
