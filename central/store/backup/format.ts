// The format of a backup, independent of files and databases: a plaintext head that describes the encryption, then the
// content in chunks of AES-256-GCM under a key that scrypt derives from the password (RFC 7914). The content is the key
// that seals the private keys in the store (32 bytes, central/pki/keys/envelope.ts), then the store.
//
//   "QGBACKUP" | length of the head, 4 bytes, big endian | head, JSON | chunk | chunk | ... | last chunk
//
// Each chunk is `chunkBytes` of the content (the last one: the rest, at least one byte) and its tag of 16 bytes. Its
// nonce is its number in 11 bytes and one byte that is 1 for the last chunk: no chunk can be left out, repeated, moved
// or appended. The whole head, from the first byte on, is authenticated with each chunk. The key is new for each backup
// (its salt is), so no nonce is used twice.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  randomBytes,
  scrypt,
  timingSafeEqual,
  type CipherGCM,
  type DecipherGCM,
} from 'node:crypto';
import { isCoded } from '../../../shared/errors.ts';
import { validate, type Static } from '../../../shared/wire/json-schema.ts';
import { backupFault } from './errors.ts';

const MAGIC = Buffer.from('QGBACKUP');
const FORMAT = 2;
const MAX_HEAD_BYTES = 4096;
const CHUNK_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const STORE_KEY_BYTES = 32;
const CIPHER = 'aes-256-gcm';
/** 128 MiB and some 0.4 s for each guess (OWASP password storage, 2^17). A backup derives it once. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1 } as const;
/** An uploaded head may not make Central use more memory, or more time, than twice that. */
const MAX_SCRYPT_BYTES = 2 * 128 * SCRYPT.N * SCRYPT.r;

export const LEAST_PASSWORD = 12;
export const MOST_PASSWORD = 1024;
/** Of a Central, in characters. */
export const MOST_NAME = 255;

/** No control characters: nothing that a terminal or a log would obey. */
const PRINTABLE = String.raw`^[^\p{Cc}]*$`;

// Not TypeBox: the command line verifies backups, and would load it for each of its commands.
const HEAD = {
  type: 'object',
  properties: {
    format: { type: 'integer', minimum: FORMAT, maximum: FORMAT },
    /** When, by which Central, with which version; for display. */
    created: { type: 'string', maxLength: 24, pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{3})?Z$' },
    central: { type: 'string', maxLength: MOST_NAME, pattern: PRINTABLE },
    version: { type: 'string', maxLength: 64, pattern: PRINTABLE },
    /** Of the store, in plaintext. */
    bytes: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    kdf: {
      type: 'object',
      properties: {
        name: { const: 'scrypt' },
        N: { type: 'integer', minimum: 2 ** 14, maximum: 2 ** 20 },
        r: { type: 'integer', minimum: 1, maximum: 32 },
        p: { type: 'integer', minimum: SCRYPT.p, maximum: SCRYPT.p },
        salt: { type: 'string', maxLength: 64, pattern: '^[A-Za-z0-9_-]{22,64}$' },
      },
      required: ['name', 'N', 'r', 'p', 'salt'],
    },
    cipher: { const: CIPHER },
    chunkBytes: { type: 'integer', minimum: 4096, maximum: 1024 * 1024 },
    /** Detects a wrong password before anything is read: HMAC-SHA256 of a fixed text under the key. */
    check: { type: 'string', maxLength: 43, pattern: '^[A-Za-z0-9_-]{43}$' },
  },
  required: ['format', 'created', 'central', 'version', 'bytes', 'kdf', 'cipher', 'chunkBytes', 'check'],
} as const;

type BackupHead = Static<typeof HEAD>;
export type BackupFacts = Pick<BackupHead, 'created' | 'central' | 'version' | 'bytes'>;

/** Errors: backup_password_short. */
export function checkPassword(password: string): void {
  if (password.length < LEAST_PASSWORD || password.length > MOST_PASSWORD)
    throw backupFault('backup_password_short', { found: password.length, least: LEAST_PASSWORD, most: MOST_PASSWORD });
}

/**
 * Seals the store's key and the store, which is read in pieces of any size. Its bytes have to be as many as `facts`
 * says. `cost` is lower in tests only.
 */
export async function* sealBackup(
  facts: BackupFacts,
  password: string,
  { storeKey, store }: BackupContent,
  cost: { readonly N: number; readonly r: number; readonly p: number } = SCRYPT,
): AsyncGenerator<Buffer> {
  const kdf = { name: 'scrypt' as const, ...cost, salt: randomBytes(16).toString('base64url') };
  const key = await keyOf(password, kdf);
  const head: BackupHead = {
    format: FORMAT,
    ...facts,
    kdf,
    cipher: CIPHER,
    chunkBytes: CHUNK_BYTES,
    check: checkOf(key),
  };
  const prefix = prefixOf(Buffer.from(JSON.stringify(head)));
  yield prefix;
  let number = 0;
  let sealed = 0;
  const bytes = STORE_KEY_BYTES + facts.bytes;
  for await (const chunk of chunksOf(storeKey, store, CHUNK_BYTES)) {
    sealed += chunk.length;
    const cipher = withHead(createCipheriv(CIPHER, key, nonceOf(number, sealed === bytes)), prefix);
    yield Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
    number += 1;
  }
  if (sealed !== bytes)
    throw new Error(`${sealed - STORE_KEY_BYTES} bytes were read where ${facts.bytes} were announced`);
}

interface BackupContent {
  /** 32 bytes. */
  readonly storeKey: Buffer;
  readonly store: AsyncIterable<Buffer>;
}

interface OpenBackup {
  readonly facts: BackupFacts;
  readonly storeKey: Buffer;
  /** The store, chunk by chunk; each is verified before it is yielded. Errors: backup_truncated, backup_tampered. */
  readonly store: AsyncIterable<Buffer>;
}

/**
 * Reads the head and the first chunk.
 * Errors: backup_unknown, backup_newer, backup_truncated, backup_tampered, backup_password_wrong.
 */
export async function openBackup(sealed: AsyncIterable<Buffer>, password: string): Promise<OpenBackup> {
  const source = new ByteSource(sealed);
  const start = await source.take(MAGIC.length + 4);
  if (start.length < MAGIC.length + 4 || !start.subarray(0, MAGIC.length).equals(MAGIC))
    throw backupFault('backup_unknown', { found: 'it does not begin like one' });
  const length = start.readUInt32BE(MAGIC.length);
  if (length > MAX_HEAD_BYTES) throw backupFault('backup_unknown', { found: `its head has ${length} bytes` });
  const text = await source.take(length);
  const head = readHead(text);
  const key = await keyOf(password, head.kdf);
  if (!timingSafeEqual(Buffer.from(checkOf(key)), Buffer.from(head.check)))
    throw backupFault('backup_password_wrong', { created: head.created });
  const { created, central, version, bytes } = head;
  const chunks = openChunks(source, head, key, prefixOf(text));
  const { value: first = Buffer.alloc(0) } = await chunks.next();
  return {
    facts: { created, central, version, bytes },
    storeKey: first.subarray(0, STORE_KEY_BYTES),
    store: following(first.subarray(STORE_KEY_BYTES), chunks),
  };
}

async function* following(first: Buffer, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* chunks;
}

async function* openChunks(source: ByteSource, head: BackupHead, key: Buffer, prefix: Buffer): AsyncGenerator<Buffer> {
  let opened = 0;
  const bytes = STORE_KEY_BYTES + head.bytes;
  for (let number = 0; opened < bytes; number += 1) {
    const size = Math.min(head.chunkBytes, bytes - opened);
    const chunk = await source.take(size + TAG_BYTES);
    if (chunk.length < size + TAG_BYTES)
      throw backupFault('backup_truncated', { found: opened + Math.max(0, chunk.length - TAG_BYTES), bytes });
    const decipher = withHead(createDecipheriv(CIPHER, key, nonceOf(number, opened + size === bytes)), prefix);
    decipher.setAuthTag(chunk.subarray(size));
    const plain = decipher.update(chunk.subarray(0, size));
    try {
      decipher.final();
    } catch (error) {
      throw backupFault('backup_tampered', { at: opened }, error);
    }
    yield plain;
    opened += size;
  }
  if ((await source.take(1)).length > 0) throw backupFault('backup_tampered', { at: opened });
}

function readHead(text: Buffer): BackupHead {
  try {
    const head: unknown = JSON.parse(text.toString('utf8'));
    const format = typeof head === 'object' && head !== null && 'format' in head ? head.format : undefined;
    if (typeof format === 'number' && format > FORMAT)
      throw backupFault('backup_newer', { found: `format ${format}`, known: `format ${FORMAT}` });
    if (!isHead(head) || 128 * head.kdf.N * head.kdf.r > MAX_SCRYPT_BYTES)
      throw backupFault('backup_unknown', { found: 'its head is malformed' });
    return head;
  } catch (error) {
    if (isCoded(error)) throw error;
    throw backupFault('backup_unknown', { found: 'its head cannot be read' }, error);
  }
}

function isHead(head: unknown): head is BackupHead {
  return validate(HEAD, head) === undefined;
}

function prefixOf(head: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  return Buffer.concat([MAGIC, length, head]);
}

function keyOf(password: string, { N, r, p, salt }: BackupHead['kdf']): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // NFC: the same password typed on two keyboards is one (RFC 8265 section 4.2.2).
    scrypt(
      password.normalize('NFC'),
      Buffer.from(salt, 'base64url'),
      KEY_BYTES,
      { N, r, p, maxmem: 256 * N * r },
      (error, key) => (error === null ? resolve(key) : reject(error)),
    );
  });
}

function checkOf(key: Buffer): string {
  return createHmac('sha256', key).update('queuegate backup').digest('base64url');
}

function nonceOf(number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

function withHead<C extends CipherGCM | DecipherGCM>(cipher: C, prefix: Buffer): C {
  cipher.setAAD(prefix);
  return cipher;
}

async function* chunksOf(first: Buffer, rest: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  const bytes = new ByteSource(following(first, rest));
  try {
    for (;;) {
      const chunk = await bytes.take(size);
      if (chunk.length > 0) yield chunk;
      if (chunk.length < size) return;
    }
  } finally {
    await bytes.close();
  }
}

/** Bytes that come in pieces of any size, taken in pieces of a wanted one. Holds one of each. */
class ByteSource {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Fewer only at the end. */
  async take(size: number): Promise<Buffer> {
    const found: Buffer[] = [];
    let missing = size;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const { value, done } = await this.#pieces.next();
        if (done === true) break;
        this.#rest = value;
      }
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.length);
      missing -= part.length;
      found.push(part);
    }
    return Buffer.concat(found);
  }

  /** Nothing more is taken: a file behind it is closed. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
