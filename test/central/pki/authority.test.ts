import { expect, test } from 'vitest';
import { openAuthority } from '../../../central/pki/authority.ts';
import { openSigningKey } from '../../../central/pki/signing-key.ts';
import { readPublicKey, signTranscript, verifyTranscript } from '../../../shared/wire/proof.ts';
import { memoryStore } from '../fakes.ts';
import { openssl, temporaryFolder } from './folder.ts';

test('the authority is made once and loaded ever after', async () => {
  const { keyMaterial, audit } = memoryStore();
  const options = { keyMaterial, central: 'central.test', now: Date.now };
  const first = await openAuthority(options);
  const second = await openAuthority(options);
  expect(second.pem).toBe(first.pem);
  expect(second.pin).toBe(first.pin);
  expect(audit.entries.map(({ action }) => action)).toEqual(['authority.create']);
});

test('the pin is the SHA-256 of the public key of the root, as openssl computes it', async () => {
  const folder = temporaryFolder();
  const authority = await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now: Date.now });
  openssl('x509', '-in', folder.write('root.pem', authority.pem), '-noout', '-pubkey', '-out', folder.path('pub.pem'));
  openssl('pkey', '-pubin', '-in', folder.path('pub.pem'), '-outform', 'DER', '-out', folder.path('pub.der'));
  expect(authority.pin).toBe(`sha256:${openssl('dgst', '-sha256', '-r', folder.path('pub.der')).slice(0, 64)}`);
});

test('half of an authority is damage, never a reason to make a new one', async () => {
  for (const gone of ['authority.key', 'authority.certificate']) {
    const { keyMaterial } = memoryStore();
    const options = { keyMaterial, central: 'central.test', now: Date.now };
    await openAuthority(options);
    keyMaterial.entries.delete(gone);
    await expect(openAuthority(options)).rejects.toMatchObject({ code: 'key_material_damaged' });
  }
});

test('a key that is not the key of the root is refused', async () => {
  const [one, other] = [memoryStore().keyMaterial, memoryStore().keyMaterial];
  await openAuthority({ keyMaterial: one, central: 'a', now: Date.now });
  await openAuthority({ keyMaterial: other, central: 'b', now: Date.now });
  one.entries.set('authority.key', other.entries.get('authority.key') ?? '');
  await expect(openAuthority({ keyMaterial: one, central: 'a', now: Date.now })).rejects.toMatchObject({ code: 'key_material_damaged' });
});

test('the signing key stays the same over a restart, and what it signs verifies', async () => {
  const { keyMaterial } = memoryStore();
  const first = await openSigningKey({ keyMaterial, now: Date.now });
  const second = await openSigningKey({ keyMaterial, now: Date.now });
  expect(second.publicKey).toBe(first.publicKey);
  const key = readPublicKey(first.publicKey);
  if (key === undefined) throw new TypeError('no P-256 key');
  expect(verifyTranscript('welcome', signTranscript('welcome', second.key), key)).toBe(true);
  expect(verifyTranscript('other', signTranscript('welcome', second.key), key)).toBe(false);
});
