// A file by which local programs and commands find the local API (socket, address, token): local-api.json, and one for
// each other consumer (tokens.ts). It names only what this daemon listens on. Beside it a key of this run, by which
// commands and daemon prove themselves to each other.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { lstat, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isCoded, systemCode } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import { replaceGroupFile, replaceSecretFile } from '../../shared/files/secret-file.ts';
import { hasOneName } from '../../shared/platform/files.ts';
import type { JsonSchema, Static } from '../../shared/wire/json-schema.ts';
import { readJsonFile } from '../json-file.ts';

/** Where local programs find the API. */
export const LOCAL_API_FILE = 'local-api.json';
/** Of one run of the daemon; only its own account may read it. */
const OWNER_KEY_FILE = 'local-owner.key';

const MAX_FILE_BYTES = 64 * 1024;
/** After a rotation, so long do programs with the token before have to take the new one. */
const PREVIOUS_VALID_MS = 86_400_000;
const HEX_256 = /^[0-9a-f]{64}$/;
const TOKEN = /^qgl_[\w-]{43}$/;

const text = { type: 'string', maxLength: 4096 } as const;
const textOrNull = { anyOf: [{ type: 'null' }, text] } as const;
const FILE = {
  type: 'object',
  required: ['token'],
  properties: {
    /** Path of the Unix socket. */
    socket: textOrNull,
    /** http://127.0.0.1:PORT */
    url: textOrNull,
    token: text,
    /** The token before a rotation: SHA-256 in lower-case hex, and until when it is valid. */
    previous: {
      anyOf: [
        { type: 'null' },
        { type: 'object', required: ['sha256', 'expiresAt'], properties: { sha256: text, expiresAt: text } },
      ],
    },
  },
} as const satisfies JsonSchema;

export type LocalApiAddresses = { readonly socket: string | null; readonly url: string | null };

/** The token that programs send; 256 bits. */
function newLocalToken(): string {
  return `qgl_${randomBytes(32).toString('base64url')}`;
}

interface TokenFileOptions {
  readonly path: string;
  readonly now: () => number;
  readonly groupId?: number | undefined;
  readonly onWritten?: ((text: string) => Promise<void>) | undefined;
}

interface Previous {
  readonly sha256: string;
  readonly expiresAt: string;
}

/** The daemon's side: it alone writes the file. */
export class TokenFile {
  readonly path: string;
  readonly #now: () => number;
  /** Whose members may read it; undefined: the account of the agent alone. */
  readonly #groupId: number | undefined;
  readonly #onWritten: ((text: string) => Promise<void>) | undefined;
  #token: string;
  #current: Buffer;
  #previous: Previous | null;
  #addresses: LocalApiAddresses = { socket: null, url: null };
  readonly #writing = new Mutex();

  private constructor({ path, now, groupId, onWritten }: TokenFileOptions, token: string, previous: Previous | null) {
    this.path = path;
    this.#now = now;
    this.#groupId = groupId;
    this.#onWritten = onWritten;
    this.#token = token;
    this.#current = tokenDigest(token);
    this.#previous = previous;
  }

  /** Goes on with the tokens of the file: local programs keep them in their own configuration. */
  static async open(options: TokenFileOptions): Promise<TokenFile> {
    const { path } = options;
    // A token that another account put there would be known to it.
    const own = await isOwnFile(path);
    if (!own) await rm(path, { force: true });
    const found = own ? await readTokenFile(path).catch(ignoreDamaged) : undefined;
    const kept = found !== undefined && TOKEN.test(found.token) ? found : undefined;
    return new TokenFile(options, kept?.token ?? newLocalToken(), previousOf(kept?.previous));
  }

  /** Writes the file with what is listened on now. */
  async publish(addresses: LocalApiAddresses): Promise<void> {
    this.#addresses = addresses;
    await this.#write();
  }

  /** Makes another token. The one before stays valid for a day; one that is older ends now. */
  async rotate(): Promise<{ readonly previousExpiresAt: string }> {
    const [token, current, previous] = [this.#token, this.#current, this.#previous];
    const expiresAt = new Date(this.#now() + PREVIOUS_VALID_MS).toISOString();
    this.#previous = { sha256: current.toString('hex'), expiresAt };
    this.#token = newLocalToken();
    this.#current = tokenDigest(this.#token);
    try {
      await this.#write();
    } catch (error) {
      // On disk is what was valid before, and so it stays.
      [this.#token, this.#current, this.#previous] = [token, current, previous];
      throw error;
    }
    return { previousExpiresAt: expiresAt };
  }

  /**
   * Digests of one length are compared, both of them, whatever was sent: nothing can be learned from the time this
   * takes.
   */
  accepts(sent: Buffer): boolean {
    const current = timingSafeEqual(sent, this.#current);
    const previous = this.#previous;
    const before = timingSafeEqual(
      sent,
      previous === null ? Buffer.alloc(sent.length) : Buffer.from(previous.sha256, 'hex'),
    );
    return current || (before && previous !== null && this.#now() < Date.parse(previous.expiresAt));
  }

  async #write(): Promise<void> {
    await this.#writing.runExclusive(async () => {
      const previous =
        this.#previous !== null && this.#now() < Date.parse(this.#previous.expiresAt) ? this.#previous : null;
      const bytes = Buffer.from(`${JSON.stringify({ ...this.#addresses, token: this.#token, previous })}\n`);
      if (this.#groupId === undefined) await replaceSecretFile(this.path, bytes);
      else await replaceGroupFile(this.path, bytes, this.#groupId);
      await this.#onWritten?.(bytes.toString());
    });
  }
}

/** What the file says; undefined when there is none. Errors: file faults, SyntaxError. */
export async function readTokenFile(path: string): Promise<Static<typeof FILE> | undefined> {
  return (await readJsonFile({
    path,
    what: 'The address of the local API',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Remove it and restart the agent.',
    schema: FILE,
    damaged: (found, cause) => new SyntaxError(found, { cause }),
  })) as Static<typeof FILE> | undefined;
}

/** A fresh key for this run, on disk for the owner's commands. */
export async function writeOwnerKey(folder: string): Promise<Buffer> {
  const key = randomBytes(32);
  const path = join(folder, OWNER_KEY_FILE);
  if (!(await isOwnFile(path))) await rm(path, { force: true });
  await replaceSecretFile(path, Buffer.from(`${key.toString('hex')}\n`));
  return key;
}

/** Undefined: no daemon runs, or it is another account's. */
export async function readOwnerKey(folder: string): Promise<Buffer | undefined> {
  const found = (await readFile(join(folder, OWNER_KEY_FILE), 'utf8').catch(() => '')).trim();
  return HEX_256.test(found) ? Buffer.from(found, 'hex') : undefined;
}

export async function removeOwnerKey(folder: string): Promise<void> {
  await rm(join(folder, OWNER_KEY_FILE), { force: true });
}

/** A regular file of this account (or root) with one name. */
async function isOwnFile(path: string): Promise<boolean> {
  try {
    const found = await lstat(path);
    const own = process.geteuid === undefined || found.uid === process.geteuid() || found.uid === 0;
    return found.isFile() && own && hasOneName(found);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return true;
    throw error;
  }
}

function previousOf(found: Previous | null | undefined): Previous | null {
  return found !== null &&
    found !== undefined &&
    HEX_256.test(found.sha256) &&
    !Number.isNaN(Date.parse(found.expiresAt))
    ? found
    : null;
}

/** What somebody damaged is written again. */
function ignoreDamaged(error: unknown): undefined {
  if (!(error instanceof SyntaxError) && !isCoded(error, 'file_too_large')) throw error;
  return undefined;
}

/** What `accepts` compares. */
export function tokenDigest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
