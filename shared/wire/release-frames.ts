// The frames about releases: what Central asks an agent to take, and what the agent says of it. messages.ts draws the
// conversation.
import { ENVELOPE } from '../releases/instruction.ts';
import type { Static } from './json-schema.ts';

const MAX_NUMBER = Number.MAX_SAFE_INTEGER;
const kind = { enum: ['profile', 'software'] } as const;
const generation = { type: 'integer', minimum: 1, maximum: MAX_NUMBER } as const;
const number = { type: 'integer', minimum: 0, maximum: MAX_NUMBER } as const;
const digest = { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' } as const;
const code = { type: 'string', maxLength: 64 } as const;
const line = { type: 'string', maxLength: 1024 } as const;

/** Take a release: an instruction that Central has signed, and the ticket for its manifest and blobs. */
export const RELEASE_OFFER = {
  type: 'object',
  required: ['type', 'instruction', 'ticket'],
  properties: {
    type: { const: 'release-offer' },
    instruction: ENVELOPE,
    /** For the agents' ports, as `Authorization: Bearer TICKET`. */
    ticket: { type: 'string', minLength: 16, maxLength: 512, pattern: '^[A-Za-z0-9._~-]+$' },
  },
} as const;

/** What the instruction of this generation began, and did not end, ends: the agent stays on its present release. */
export const RELEASE_CANCEL = {
  type: 'object',
  required: ['type', 'kind', 'generation'],
  properties: { type: { const: 'release-cancel' }, kind, generation },
} as const;

/** Measure the releases that run, and say what was found; of agents with the capability `releases.measure` only. */
export const RELEASE_MEASURE = {
  type: 'object',
  required: ['type'],
  properties: { type: { const: 'release-measure' } },
} as const;

/** Of an agent with its newest instruction. */
export const RELEASE_STATES = [
  'offered',
  'synchronizing',
  'synchronized',
  'trying',
  'succeeded',
  'rolled-back',
  'failed',
  'canceled',
] as const;

/**
 * How far the agent is with its newest instruction; at most once a second, and once after each welcome for each kind that
 * has ever had one.
 */
export const RELEASE_STATE = {
  type: 'object',
  required: ['type', 'kind', 'generation', 'release', 'state', 'receivedBytes', 'totalBytes', 'code', 'detail', 'hint'],
  properties: {
    type: { const: 'release-state' },
    kind,
    generation,
    release: digest,
    state: { enum: RELEASE_STATES },
    receivedBytes: number,
    totalBytes: number,
    /** Why it is not further; empty where nothing is wrong. */
    code,
    detail: line,
    hint: line,
  },
} as const;

/** The names of files and keys in one frame: the first of them. */
export const MAX_CHANGED_FILES = 10;
export const MAX_OVERRIDDEN_KEYS = 20;

/** What the agent measured of a release that runs. */
export const RELEASE_MEASURED = {
  type: 'object',
  required: ['type', 'kind', 'release', 'changedFiles', 'overriddenKeys', 'code', 'detail', 'hint'],
  properties: {
    type: { const: 'release-measured' },
    kind,
    release: digest,
    /** Files that differ from the release on the disk. */
    changedFiles: {
      type: 'array',
      maxItems: MAX_CHANGED_FILES,
      items: { type: 'string', minLength: 1, maxLength: 240 },
    },
    /** Keys of a profile's agent.conf in whose place another value counts on this host. */
    overriddenKeys: {
      type: 'array',
      maxItems: MAX_OVERRIDDEN_KEYS,
      items: { type: 'string', minLength: 1, maxLength: 64 },
    },
    /** That files have changed, as a sentence; empty where none has. */
    code,
    detail: line,
    hint: line,
  },
} as const;

export type ReleaseOffer = Static<typeof RELEASE_OFFER>;
export type ReleaseCancel = Static<typeof RELEASE_CANCEL>;
export type ReleaseMeasure = Static<typeof RELEASE_MEASURE>;
export type ReleaseState = Static<typeof RELEASE_STATE>;
export type ReleaseMeasured = Static<typeof RELEASE_MEASURED>;
