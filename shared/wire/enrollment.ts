// The whole conversation of an enrollment: one POST to /enroll on the agents' own port, one answer. Both sides share
// the schemas, the proofs and the pin.
//
//   over wss  The agent looks at the chain first, finds the certificate whose key has the pin, and trusts only that one in
//             the connection that carries token and request.
//   over ws   The token never crosses. The agent sends the token's id and a proof: HMAC-SHA256 under SHA-256 of the secret
//             (Central stores just that hash) over request, name and id. Central proves its answer in the same way, so that a
//             stranger in the line can neither enroll another key nor answer in Central's place.
//   approval  Without a token (policy approve). The certificate request itself contains name and id, so that no one else can use
//             others with its key. Central answers that an administrator has to accept it, and the agent repeats the request.
//   recovery  shared/wire/recovery.ts.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { MAX_ID_LENGTH, HELLO } from './messages.ts';
import type { JsonSchema, Static } from './json-schema.ts';

/** A request with a P-256 key has 400 characters; this leaves room for long names. */
const csr = { type: 'string', minLength: 64, maxLength: 8192 } as const;
const id = { type: 'string', minLength: 1, maxLength: MAX_ID_LENGTH } as const;
/**
 * Of an agent that is registered from now on: plain printable ASCII without blanks. Older ones may have another, and
 * keep it.
 */
export const NEW_ID = { ...id, pattern: '^[!-~]+$' } as const;
const { name } = HELLO.properties;
const proof = { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' } as const;
const pem = { type: 'string', minLength: 64, maxLength: 65_536 } as const;

/** With the token (wss only). */
export const ENROLL_WITH_TOKEN = {
  type: 'object',
  required: ['csr', 'name', 'token'],
  properties: { csr, name, id: NEW_ID, token: { type: 'string', minLength: 1, maxLength: 255 } },
} as const satisfies JsonSchema;

/** With the proof of the token (ws, and wss too). */
export const ENROLL_WITH_PROOF = {
  type: 'object',
  required: ['csr', 'name', 'tokenId', 'proof'],
  properties: { csr, name, id: NEW_ID, tokenId: { type: 'string', minLength: 1, maxLength: 64 }, proof },
} as const satisfies JsonSchema;

/** Without a token: an administrator has to accept it. */
export const ENROLL_WITHOUT_TOKEN = {
  type: 'object',
  required: ['csr', 'name'],
  properties: { csr, name, id: NEW_ID },
} as const satisfies JsonSchema;

/** With the proof of a recovery code (recovery.ts). */
export const ENROLL_BY_RECOVERY = {
  type: 'object',
  required: ['csr', 'name', 'pin', 'proof'],
  properties: {
    csr,
    name,
    id,
    /** Of the top certificate that the agent was shown; null where it speaks plain, or TLS ends at a proxy. */
    pin: {
      anyOf: [{ type: 'null' }, { type: 'string', minLength: 71, maxLength: 71, pattern: '^sha256:[0-9a-f]{64}$' }],
    },
    proof,
  },
} as const satisfies JsonSchema;

/** HTTP 202: not decided yet. */
export const ENROLLMENT_PENDING = {
  type: 'object',
  required: ['state', 'keyThumbprint', 'retryAfterSeconds'],
  properties: {
    state: { const: 'pending' },
    /** SHA-256 of the agent's key as Central got it: what the administrator compares. */
    keyThumbprint: proof,
    retryAfterSeconds: { type: 'integer', minimum: 1, maximum: 3600 },
  },
} as const satisfies JsonSchema;

export const ENROLLED = {
  type: 'object',
  required: ['id', 'name', 'centralName', 'signingKey', 'certificate', 'truststore'],
  properties: {
    id,
    name,
    /** Central's name, as its challenges carry it. */
    centralName: id,
    /** Central's signing key: SubjectPublicKeyInfo, DER, base64. */
    signingKey: { type: 'string', minLength: 64, maxLength: 1024, pattern: '^[A-Za-z0-9+/]+=*$' },
    /** The agent's certificate and the intermediates up to the root, PEM. */
    certificate: pem,
    /** What to trust Central by, PEM. */
    truststore: pem,
    /** There when the request came with a proof. */
    proof,
  },
} as const satisfies JsonSchema;

export type EnrollWithToken = Static<typeof ENROLL_WITH_TOKEN>;
export type EnrollWithProof = Static<typeof ENROLL_WITH_PROOF>;
export type EnrollWithoutToken = Static<typeof ENROLL_WITHOUT_TOKEN>;
export type EnrollByRecovery = Static<typeof ENROLL_BY_RECOVERY>;
export type EnrollRequest = EnrollWithToken | EnrollWithProof | EnrollWithoutToken | EnrollByRecovery;
export type EnrollmentPending = Static<typeof ENROLLMENT_PENDING>;
export type Enrolled = Static<typeof ENROLLED>;

const TOKEN = /^qge_([0-9a-f]{16})_([A-Za-z0-9_-]{43,64})$/;

/** The parts of an enrollment token `qge_<id>_<secret>`; undefined when it is none. */
export function readEnrollmentToken(token: string): { readonly id: string; readonly secret: string } | undefined {
  const [, id, secret] = TOKEN.exec(token.trim()) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** SHA-256 of a token's secret: what Central stores, and the key of both proofs. */
export function proofKey(secret: string): Buffer {
  return createHash('sha256').update(secret, 'utf8').digest();
}

/** What the agent proves. `csrDer` is the request as bytes, so that line ends of the PEM do not matter. */
export function requestProof(
  key: Uint8Array,
  request: {
    readonly tokenId: string;
    readonly name: string;
    readonly id: string | undefined;
    readonly csrDer: Uint8Array;
  },
): string {
  return proofOf(key, [
    'queuegate.v1 enroll',
    request.tokenId,
    request.name,
    request.id ?? null,
    Buffer.from(request.csrDer).toString('base64'),
  ]);
}

/** What Central proves. It covers the request's own proof, so that no older answer fits. */
export function answerProof(key: Uint8Array, ofRequest: string, answer: Omit<Enrolled, 'proof'>): string {
  return proofOf(key, [
    'queuegate.v1 enrolled',
    ofRequest,
    answer.id,
    answer.name,
    answer.centralName,
    answer.signingKey,
    answer.certificate,
    answer.truststore,
  ]);
}

/** Compares two proofs without telling by its time how much of them fits. */
export function sameProof(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** `sha256:<hex>` over a public key (SubjectPublicKeyInfo, DER). */
export function pinOf(spkiDer: Uint8Array): string {
  return `sha256:${createHash('sha256').update(spkiDer).digest('hex')}`;
}

/**
 * A pin as somebody typed it, in the form of `pinOf`: upper case, colons and blanks are forgiven. Undefined when it is
 * none.
 */
export function readPin(text: string): string | undefined {
  const hex = text
    .trim()
    .toLowerCase()
    .replace(/^sha-?256:/, '')
    .replaceAll(/[:\s]/g, '');
  return /^[0-9a-f]{64}$/.test(hex) ? `sha256:${hex}` : undefined;
}

/**
 * HMAC-SHA256, lower-case hex. JSON of an array of strings and nulls has one form only, and no two different lists
 * share it.
 */
export function proofOf(key: Uint8Array, parts: readonly (string | null)[]): string {
  return createHmac('sha256', key).update(JSON.stringify(parts)).digest('hex');
}
