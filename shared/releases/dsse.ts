// DSSE envelopes (Dead Simple Signing Envelope, v1.0.2): a payload with its type and signatures over both. Instructions
// and the manifests of the software travel with them.
import { sign, verify, type KeyObject } from 'node:crypto';
import type { JsonSchema, Static } from '../wire/json-schema.ts';

/** The schema of an envelope whose payload has at most so many bytes. */
export function envelopeSchema(maxPayloadBytes: number) {
  return {
    type: 'object',
    required: ['payloadType', 'payload', 'signatures'],
    properties: {
      payloadType: { type: 'string', minLength: 1, maxLength: 128 },
      /** Base64. */
      payload: { type: 'string', minLength: 4, maxLength: Math.ceil(maxPayloadBytes / 3) * 4 },
      signatures: {
        type: 'array',
        maxItems: 4,
        items: {
          type: 'object',
          required: ['keyid', 'sig'],
          properties: {
            /** SHA-256 of the signing key, for people: every signature is tried with the keys that are known. */
            keyid: { type: 'string', maxLength: 128 },
            sig: { type: 'string', minLength: 4, maxLength: 512 },
          },
        },
      },
    },
  } as const satisfies JsonSchema;
}

export type Envelope = Static<ReturnType<typeof envelopeSchema>>;

/** `keyId`: the thumbprint of the key, which is an Ed25519 or a P-256 key. */
export function signEnvelope(type: string, payload: Buffer, key: KeyObject, keyId: string): Envelope {
  const sig = sign(hashOf(key), preAuthEncoding(type, payload), key).toString('base64');
  return { payloadType: type, payload: payload.toString('base64'), signatures: [{ keyid: keyId, sig }] };
}

/** One of its signatures is by one of the public keys. */
export function isSignedBy({ payloadType, payload, signatures }: Envelope, keys: readonly KeyObject[]): boolean {
  const signed = preAuthEncoding(payloadType, Buffer.from(payload, 'base64'));
  return signatures.some(({ sig }) => keys.some((key) => verify(hashOf(key), signed, key, Buffer.from(sig, 'base64'))));
}

/** Ed25519 has a hash of its own (RFC 8032). */
function hashOf({ asymmetricKeyType }: KeyObject): 'sha256' | null {
  return asymmetricKeyType === 'ed25519' ? null : 'sha256';
}

/** DSSE, "Signature Definition": lengths in bytes, so that no two pairs of type and payload have the same encoding. */
function preAuthEncoding(type: string, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `), payload]);
}
