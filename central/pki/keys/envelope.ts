// Encrypts private keys for the store with AES-256-GCM, in an envelope that names its version and the key that opens
// it. That key comes from key-encryption-key.ts.
//
//   qgk1:<key id>:<iv>:<ciphertext and tag>      the last two base64url
//
// The name under which it is kept is authenticated too, so that no envelope opens under another name.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  randomBytes,
  type KeyObject,
} from 'node:crypto';

const VERSION = 'qgk1';
const ENVELOPE = /^qgk1:([0-9a-f]{16}):([A-Za-z0-9_-]{16}):([A-Za-z0-9_-]{22,})$/;
const CIPHER = 'aes-256-gcm';
export const KEY_BYTES = 32;
/** NIST SP 800-38D section 8.2.2: 96 random bits serve for 2^32 envelopes under one key; here there are a few dozen. */
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** A key-encryption key. Its id tells it from others and nothing about it. */
export interface KeyEncryptionKey {
  readonly id: string;
  readonly key: KeyObject;
  /** Where it was found, for messages. */
  readonly origin: string;
}

export function keyEncryptionKey(bytes: Uint8Array, origin: string): KeyEncryptionKey {
  const id = createHmac('sha256', bytes).update('queuegate.key-encryption-key.v1').digest('hex').slice(0, 16);
  return { id, key: createSecretKey(bytes), origin };
}

export function isEncrypted(value: string): boolean {
  return value.startsWith(`${VERSION}:`);
}

/** The id of the key that opens it; undefined when it is not an envelope. */
export function encryptionKeyId(value: string): string | undefined {
  return ENVELOPE.exec(value)?.[1];
}

export function encrypt({ id, key }: KeyEncryptionKey, name: string, text: string): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(name, id));
  const content = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${VERSION}:${id}:${iv.toString('base64url')}:${content.toString('base64url')}`;
}

/** The text; undefined when the envelope was modified, or was made for another name or with another key. */
export function decrypt({ id, key }: KeyEncryptionKey, name: string, value: string): string | undefined {
  const [, keyId, iv = '', content = ''] = ENVELOPE.exec(value) ?? [];
  if (keyId !== id) return undefined;
  const bytes = Buffer.from(content, 'base64url');
  const decipher = createDecipheriv(CIPHER, key, Buffer.from(iv, 'base64url'), { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(name, id));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8');
  } catch {
    return undefined; // the tag does not match: GCM says no more than that, and neither may we
  }
}

/** JSON of an array of strings has one form only: no two different lists share it. */
function associatedData(name: string, id: string): Buffer {
  return Buffer.from(JSON.stringify([VERSION, id, name]), 'utf8');
}
