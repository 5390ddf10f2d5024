// The signature of the build key over the manifest of a release of the software, in a DSSE envelope. Central does not
// hold that key: what runs on every branch machine is decided by those who build, not by Central alone.
import type { KeyObject } from 'node:crypto';
import { textOf } from '../errors.ts';
import { validate } from '../wire/json-schema.ts';
import { envelopeSchema, isSignedBy, signEnvelope, type Envelope } from './dsse.ts';
import { releaseFault } from './errors.ts';
import { MANIFEST_TYPE } from './manifest.ts';

/** A manifest of a thousand files fits; a part of the software has some twenty. */
const MAX_MANIFEST_BYTES = 384 * 1024;
/** Of the text of an envelope. */
export const MAX_SIGNATURE_BYTES = 512 * 1024 + 4096;
const SIGNATURE = envelopeSchema(MAX_MANIFEST_BYTES);

/** `manifest`: the canonical text. `key`: Ed25519 or P-256. `keyId`: its thumbprint. */
export function signManifest(manifest: string, key: KeyObject, keyId: string): Envelope {
  return signEnvelope(MANIFEST_TYPE, Buffer.from(manifest), key, keyId);
}

/**
 * The envelope in `text`, which is of this manifest; who signed it, `verifiedBy` says. Errors: build_signature_invalid.
 */
export function parseBuildSignature(text: string, manifest: string): Envelope {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw releaseFault('build_signature_invalid', { found: `it is not JSON: ${textOf(error)}` }, error);
  }
  const found = validate(SIGNATURE, value);
  if (found !== undefined) throw releaseFault('build_signature_invalid', { found });
  // `validate` has just shown it.
  const envelope = value as Envelope;
  if (envelope.payloadType !== MANIFEST_TYPE)
    throw releaseFault('build_signature_invalid', { found: `its type is "${envelope.payloadType}"` });
  if (!isOf(envelope, manifest))
    throw releaseFault('build_signature_invalid', { found: 'it is the signature of another manifest' });
  return envelope;
}

/** The envelope is of this manifest, and one of its signatures is by one of the public keys. */
export function verifiedBy(envelope: Envelope, manifest: string, keys: readonly KeyObject[]): boolean {
  return envelope.payloadType === MANIFEST_TYPE && isOf(envelope, manifest) && isSignedBy(envelope, keys);
}

function isOf({ payload }: Envelope, manifest: string): boolean {
  return Buffer.from(payload, 'base64').equals(Buffer.from(manifest));
}
