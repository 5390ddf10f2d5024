// Creates and compares the secrets of tokens: random, kept only as a hash, compared in constant time.
// Secrets have 256 random bits, so a plain SHA-256 is enough: a slow hash only protects secrets that can be guessed.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const SECRET_BYTES = 32;
const ID_BYTES = 8;

interface NewSecret {
  readonly id: string;
  /** The whole token, `<prefix>_<id>_<secret>`: shown once. */
  readonly token: string;
  /** SHA-256 of the secret, hex: what is stored. */
  readonly hash: string;
}

export function makeSecret(prefix: 'qg' | 'qge' | 'qgs'): NewSecret {
  const id = randomBytes(ID_BYTES).toString('hex');
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  return { id, token: `${prefix}_${id}_${secret}`, hash: hashOf(secret) };
}

/** True when `hash` is the hash of `secret`; an absent hash costs the same time and is false. */
export function isSecret(secret: string, hash: string | undefined): boolean {
  const found = Buffer.from(hashOf(secret), 'hex');
  const known = Buffer.from(hash ?? '', 'hex');
  return (
    timingSafeEqual(found, known.length === found.length ? known : Buffer.alloc(found.length)) && hash !== undefined
  );
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}
