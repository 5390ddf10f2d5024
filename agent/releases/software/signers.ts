// The keys of those who may build the software of this agent. They are named on this machine alone: what Central sends (a profile, a
// release) never names one.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { isCoded, textOf } from '../../../shared/errors.ts';
import { parseBuildSignature, verifiedBy } from '../../../shared/releases/build-signature.ts';
import { manifestText, type Manifest } from '../../../shared/releases/manifest.ts';
import { derInPem } from '../../../shared/x509/pem.ts';
import { softwareFault } from './errors.ts';

const MAX_FILE_BYTES = 64 * 1024;
const LABEL = 'PUBLIC KEY';

/** The public keys in these files. Errors: software_signers_missing (there is none), software_signer_unusable, file faults. */
export async function loadSigners(files: readonly string[]): Promise<KeyObject[]> {
  const keys: KeyObject[] = [];
  for (const file of files) {
    const bytes = await readBoundedFile({
      path: file,
      what: 'The public key of the build',
      maxBytes: MAX_FILE_BYTES,
      hint: 'Name files with public keys in software.signers.',
    });
    keys.push(...keysIn(bytes.toString('latin1'), file));
  }
  if (keys.length === 0) throw softwareFault('software_signers_missing', {});
  return keys;
}

/** Errors: release_unsigned, release_signer_unknown, build_signature_invalid. */
export function checkBuildSignature(
  manifest: Manifest,
  release: string,
  signature: string | undefined,
  keys: readonly KeyObject[],
): void {
  if (signature === undefined) throw softwareFault('release_unsigned', { release });
  const text = manifestText(manifest);
  if (!verifiedBy(parseBuildSignature(signature, text), text, keys))
    throw softwareFault('release_signer_unknown', { release });
}

function keysIn(text: string, file: string): KeyObject[] {
  try {
    const keys = derInPem(text, [LABEL]).map((key) => createPublicKey({ key, format: 'der', type: 'spki' }));
    if (keys.length === 0) throw softwareFault('software_signer_unusable', { file, found: `it has no "${LABEL}"` });
    for (const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details } of keys)
      if (type !== 'ed25519' && !(type === 'ec' && details?.namedCurve === 'prime256v1'))
        throw softwareFault('software_signer_unusable', { file, found: `it has a key of the type ${type}` });
    return keys;
  } catch (error) {
    if (isCoded(error)) throw error;
    throw softwareFault('software_signer_unusable', { file, found: textOf(error) }, error);
  }
}
