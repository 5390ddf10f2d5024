// The instruction to take a release: for one agent, with a generation that only grows, in a DSSE envelope (Dead Simple
// Signing Envelope, v1.0.2) signed with Central's signing key, which agents know from their enrollment. A recording of
// one is worthless: it names its agent, its generation and its end.
import type { KeyObject } from 'node:crypto';
import { textOf } from '../errors.ts';
import { validate, type JsonSchema, type Static } from '../wire/json-schema.ts';
import { envelopeSchema, isSignedBy, signEnvelope, type Envelope } from './dsse.ts';
import { releaseFault } from './errors.ts';

export const INSTRUCTION_TYPE = 'application/vnd.queuegate.instruction.v1+json';
/** Of the payload, in bytes. */
const MAX_PAYLOAD_BYTES = 2048;

const digest = { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' } as const;
const id = { type: 'string', minLength: 1, maxLength: 255 } as const;
/** Milliseconds since 1970-01-01T00:00:00Z, by Central's clock. */
const time = { type: 'integer', minimum: 0, maximum: 8_640_000_000_000_000 } as const;

export const INSTRUCTION = {
  type: 'object',
  required: [
    'kind',
    'stage',
    'agent',
    'release',
    'generation',
    'notBefore',
    'expires',
    'trialSeconds',
    'bytesPerSecond',
    'rollout',
  ],
  additionalProperties: false,
  properties: {
    kind: { enum: ['profile', 'software'] },
    /** synchronize: have all files on the disk. upgrade: that, and change to the release. */
    stage: { enum: ['synchronize', 'upgrade'] },
    /** The agent's id. */
    agent: id,
    release: digest,
    /** Larger than of every instruction before, for this agent; a rollback has a new one. */
    generation: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    notBefore: time,
    expires: time,
    /** Within it the agent is welcomed with the release, or returns to the old one by itself. */
    trialSeconds: { type: 'integer', minimum: 30, maximum: 86_400 },
    /** Of downloads; 0: as fast as Central sends. */
    bytesPerSecond: { type: 'integer', minimum: 0, maximum: 10 ** 9 },
    rollout: id,
  },
} as const satisfies JsonSchema;

export type Instruction = Static<typeof INSTRUCTION>;

export const ENVELOPE = envelopeSchema(MAX_PAYLOAD_BYTES);

/** `keyId`: the thumbprint of the key. */
export function signInstruction(instruction: Instruction, key: KeyObject, keyId: string): Envelope {
  return signEnvelope(INSTRUCTION_TYPE, Buffer.from(JSON.stringify(instruction)), key, keyId);
}

/** The instruction in the envelope, when one signature is by `key`. Errors: instruction_invalid. */
export function openInstruction(envelope: Envelope, key: KeyObject): Instruction {
  if (envelope.payloadType !== INSTRUCTION_TYPE)
    throw releaseFault('instruction_invalid', { found: `its type is "${envelope.payloadType}"` });
  if (!isSignedBy(envelope, [key]))
    throw releaseFault('instruction_invalid', { found: 'its signature is not by the signing key of Central' });
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8'));
  } catch (error) {
    throw releaseFault('instruction_invalid', { found: `it is not JSON: ${textOf(error)}` }, error);
  }
  const found = validate(INSTRUCTION, value);
  if (found !== undefined) throw releaseFault('instruction_invalid', { found });
  // `validate` has just shown it.
  return value as Instruction;
}
