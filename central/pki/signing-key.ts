// Owns the key that Central signs its welcomes with. It is no TLS key: agents learn it at enrolment and take commands from
// nobody else, whatever certificate stands in front.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { textOf } from '../../shared/errors.ts';
import { auditEntry, CENTRAL } from '../audit.ts';
import type { KeyMaterialStore } from '../store/store.ts';
import { makeKeyPair, privateKeyPem, spkiOf } from './certificate.ts';
import { pkiFault } from './errors.ts';

const KEY = 'signing.key';

export interface SigningKey {
  /** SubjectPublicKeyInfo, DER, base64: what agents keep. */
  readonly publicKey: string;
  /** For `signTranscript` (shared/wire/proof.ts). */
  readonly key: KeyObject;
}

/** Loads the signing key, or makes it when the store has none. Errors: key_material_damaged. */
export async function openSigningKey(options: { readonly keyMaterial: KeyMaterialStore; readonly now: () => number }): Promise<SigningKey> {
  const stored = await options.keyMaterial.get(KEY);
  if (stored !== undefined) {
    try {
      return signingKeyOf(createPrivateKey(stored));
    } catch (error) {
      throw pkiFault('key_material_damaged', { name: KEY, found: textOf(error) }, error);
    }
  }
  const { privateKey } = await makeKeyPair();
  await options.keyMaterial.put([{ name: KEY, value: privateKeyPem(privateKey) }], auditEntry(CENTRAL, 'signing-key.create', {}, options.now()));
  return signingKeyOf(privateKey);
}

function signingKeyOf(key: KeyObject): SigningKey {
  return { publicKey: spkiOf(createPublicKey(key)).toString('base64'), key };
}
