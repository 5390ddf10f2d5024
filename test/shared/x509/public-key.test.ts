import { createPublicKey, ECDH, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { canonicalP256, readP256, spkiOf } from '../../../shared/x509/public-key.ts';

const HEAD = '301306072a8648ce3d020106082a8648ce3d030107';
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const spki = publicKey.export({ type: 'spki', format: 'der' });
const point = spki.subarray(26);

/** A SubjectPublicKeyInfo around this point, whatever its form. */
function around(bytes: Buffer): Buffer {
  const bits = Buffer.concat([Buffer.from([3, bytes.length + 1, 0]), bytes]);
  const body = Buffer.concat([Buffer.from(HEAD, 'hex'), bits]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

function converted(form: 'compressed' | 'hybrid'): Buffer {
  return around(Buffer.from(ECDH.convertKey(point, 'prime256v1', undefined, undefined, form) as Buffer));
}

describe('a P-256 key', () => {
  it('has one SubjectPublicKeyInfo, whatever form its point came in', () => {
    for (const shown of [spki, converted('compressed'), converted('hybrid')])
      expect(canonicalP256(shown)).toEqual(spki);
    expect(spkiOf(createPublicKey({ key: converted('compressed'), format: 'der', type: 'spki' }))).toEqual(spki);
    expect(readP256(converted('compressed'))?.equals(publicKey)).toBe(true);
  });

  it('is refused with a byte that DER would not have there, whichever it is', () => {
    for (let at = 0; at < 27; at += 1) {
      const changed = Buffer.from(spki);
      changed[at] = (changed[at] ?? 0) ^ 0x40;
      expect(canonicalP256(changed), `byte ${at}`).toBeUndefined();
    }
    for (const cut of [spki.subarray(0, -1), Buffer.concat([spki, Buffer.from([0])]), Buffer.alloc(0)])
      expect(canonicalP256(cut)).toBeUndefined();
  });

  it('is refused when its point is not on the curve', () => {
    const off = Buffer.from(spki);
    off[off.length - 1] = (off[off.length - 1] ?? 0) ^ 1;
    expect(readP256(off)).toBeUndefined();
    expect(canonicalP256(around(Buffer.concat([Buffer.from([2]), Buffer.alloc(32, 0xff)])))).toBeUndefined();
  });

  it('is refused with a form of its point that does not belong to its length', () => {
    expect(canonicalP256(around(Buffer.concat([Buffer.from([4]), point.subarray(1, 33)])))).toBeUndefined();
    expect(canonicalP256(around(Buffer.concat([Buffer.from([2]), point.subarray(1)])))).toBeUndefined();
  });
});

it('a key of another kind keeps the form that OpenSSL writes, and is not read as P-256', () => {
  for (const key of [
    generateKeyPairSync('ed25519').publicKey,
    generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey,
  ]) {
    const written = key.export({ type: 'spki', format: 'der' });
    expect(spkiOf(key)).toEqual(written);
    expect(readP256(written)).toBeUndefined();
  }
});
