// The keys of those who may build the software of this agent. They are named on this machine alone: what Central sends
// (a profile, a release) never names one.
import type { KeyObject } from 'node:crypto';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { textOf, type CodedError } from '../../../shared/errors.ts';
import { parseBuildSignature, verifiedBy } from '../../../shared/releases/build-signature.ts';
import { manifestText, type Manifest } from '../../../shared/releases/manifest.ts';
import { derInPem } from '../../../shared/x509/pem.ts';
import { readEd25519, readP256 } from '../../../shared/x509/public-key.ts';
import { softwareFault } from './errors.ts';

const MAX_FILE_BYTES = 64 * 1024;
const LABEL = 'PUBLIC KEY';

/**
 * The public keys in these files. Errors: software_signers_missing (there is none), software_signer_unusable, file
 * faults.
 */
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
  const unusable = (found: string, cause?: unknown): CodedError =>
    softwareFault('software_signer_unusable', { file, found }, cause);
  let found: Buffer[];
  try {
    found = derInPem(text, [LABEL]);
  } catch (error) {
    throw unusable(textOf(error), error);
  }
  if (found.length === 0) throw unusable(`it has no "${LABEL}"`);
  return found.map((der) => {
    const key = readEd25519(der) ?? readP256(der);
    if (key === undefined) throw unusable('it has a key that is neither Ed25519 nor P-256');
    return key;
  });
}
