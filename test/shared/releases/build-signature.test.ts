// The build signature: what the build key has signed, of exactly this manifest (shared/releases/build-signature.ts,
// dsse.ts).
import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { parseBuildSignature, signManifest, verifiedBy } from '../../../shared/releases/build-signature.ts';
import { manifestText } from '../../../shared/releases/manifest.ts';

const file = { path: 'agent/cli.js', size: 1, sha256: 'a'.repeat(64), executable: false };
const manifest = manifestText({ kind: 'software', name: 'queue-agent-program-0.2.0', files: [file] });
const other = manifestText({ kind: 'software', name: 'queue-agent-program-0.2.1', files: [file] });
const keys = [generateKeyPairSync('ed25519'), generateKeyPairSync('ec', { namedCurve: 'prime256v1' })];
const foreign = keys.map(({ publicKey: { asymmetricKeyType } }) =>
  asymmetricKeyType === 'ed25519'
    ? generateKeyPairSync('ed25519').publicKey
    : generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey,
);

it('is verified by any of the keys that are known, Ed25519 and P-256', () => {
  for (const { privateKey, publicKey } of keys) {
    const envelope = parseBuildSignature(JSON.stringify(signManifest(manifest, privateKey, 'build')), manifest);
    expect(verifiedBy(envelope, manifest, [publicKey])).toBe(true);
    expect(verifiedBy(envelope, manifest, [...foreign, publicKey])).toBe(true);
  }
});

it('is not verified by a foreign key, without keys, of another manifest, or with another type', () => {
  for (const { privateKey, publicKey } of keys) {
    const envelope = signManifest(manifest, privateKey, 'build');
    expect(verifiedBy(envelope, manifest, foreign)).toBe(false);
    expect(verifiedBy(envelope, manifest, [])).toBe(false);
    expect(verifiedBy(envelope, other, [publicKey])).toBe(false);
    expect(verifiedBy({ ...envelope, payloadType: 'text/plain' }, manifest, [publicKey])).toBe(false);
    expect(verifiedBy({ ...envelope, signatures: [] }, manifest, [publicKey])).toBe(false);
    const swapped = { ...envelope, payload: Buffer.from(other).toString('base64') };
    expect(verifiedBy(swapped, other, [publicKey])).toBe(false);
  }
});

it('is refused when it is not an envelope of this manifest', () => {
  const envelope = signManifest(manifest, keys[0]!.privateKey, 'build');
  for (const text of [
    '',
    '[]',
    JSON.stringify({ ...envelope, payload: 7 }),
    JSON.stringify({ ...envelope, payloadType: 'text/plain' }),
    JSON.stringify(signManifest(other, keys[0]!.privateKey, 'build')),
  ])
    expect(() => parseBuildSignature(text, manifest), text).toThrow(
      expect.objectContaining({ code: 'build_signature_invalid' }),
    );
});
