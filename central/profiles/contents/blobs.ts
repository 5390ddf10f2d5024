// Stores content as blobs, chunk by chunk, and reads small ones whole.
import { createHash } from 'node:crypto';
import { releaseFault } from '../../../shared/releases/errors.ts';
import { MAX_RELEASE_BYTES } from '../../../shared/releases/manifest.ts';
import { CHUNK_BYTES, type BegunBlob, type DraftFile, type ReleaseStore } from '../../store/releases/release-store.ts';
import { profileFault } from '../errors.ts';

/** Chunks that are on their way to the disk at once: some commits take several. */
const IN_FLIGHT = 16;
/** Of what Central itself reads of a profile: agent.conf and truststore. Java's own, with 150 roots, has 200 KB. */
const MAX_READ_BYTES = 2 * 1024 * 1024;

type Blobs = Pick<ReleaseStore, 'appendChunk' | 'beginBlob' | 'blobSize' | 'finishBlob' | 'readChunk'>;

type Stored = Pick<DraftFile, 'sha256' | 'size'>;

/** Small files that are on their way to the disk at once. */
const FILES_IN_FLIGHT = 64;

/**
 * Stores the content of one act, before anything names it. Small files are stored beside each other: each takes three
 * commits, which it shares with the others.
 */
export class BlobIntake {
  readonly #store: Blobs & Pick<ReleaseStore, 'discardBlobs'>;
  readonly #now: () => number;
  readonly #begun: BegunBlob[] = [];
  readonly #writing = new Set<Promise<unknown>>();

  constructor(store: Blobs & Pick<ReleaseStore, 'discardBlobs'>, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Reads a file of this size to its end; `keep` gets what was stored, at the latest before `finish` resolves. Errors:
   * store_reserve.
   */
  async add(size: number, content: AsyncIterable<Buffer>, keep: (stored: Stored) => void): Promise<void> {
    if (size > CHUNK_BYTES) return keep(await this.store(content));
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(Buffer.from(part));
    while (this.#writing.size >= FILES_IN_FLIGHT) await Promise.race(this.#writing);
    const writing = this.storeBytes(Buffer.concat(parts)).then(keep);
    this.#writing.add(writing);
    // A failure stays in the set, for `finish` or the next file.
    void writing.then(
      () => this.#writing.delete(writing),
      () => undefined,
    );
  }

  /** All of it is on the disk. Errors: store_reserve. */
  async finish(): Promise<void> {
    await Promise.all(this.#writing);
  }

  /** Errors: release_too_large, store_reserve. */
  async store(content: AsyncIterable<Buffer>): Promise<Stored> {
    return await storeBlob(this.#store, content, await this.#begin());
  }

  /** Content that is in memory already. Errors: store_reserve. */
  async storeBytes(bytes: Buffer): Promise<Stored> {
    return await this.store(piecesOf(bytes));
  }

  /** What nothing names goes at once, and not only after a day. To be called when the act was refused or only tried. */
  async discard(): Promise<void> {
    // All that was begun, and nothing is added behind it.
    await Promise.allSettled(this.#writing);
    await this.#store.discardBlobs(this.#begun);
  }

  async #begin(): Promise<BegunBlob> {
    const usedAt = this.#now();
    const begun = { blob: await this.#store.beginBlob(usedAt), usedAt };
    this.#begun.push(begun);
    return begun;
  }
}

/**
 * Runs an act that stores content before it is named; what it has stored is discarded when it fails or `isTried` of its
 * outcome.
 */
export async function withIntake<T>(
  intake: BlobIntake,
  act: (intake: BlobIntake) => Promise<T>,
  isTried: (outcome: T) => boolean,
): Promise<T> {
  let keeps = false;
  try {
    const outcome = await act(intake);
    keeps = !isTried(outcome);
    return outcome;
  } finally {
    // Best effort: what is left goes after a day.
    if (!keeps) await intake.discard().catch(() => undefined);
  }
}

async function storeBlob(store: Blobs, content: AsyncIterable<Buffer>, { blob, usedAt }: BegunBlob): Promise<Stored> {
  const hash = createHash('sha256');
  const writing = new Set<Promise<void>>();
  let [filled, index, size] = [0, 0, 0];
  let chunk: Uint8Array<ArrayBuffer> | undefined;
  const flush = async (full: Uint8Array<ArrayBuffer>): Promise<void> => {
    const write = store.appendChunk(blob, index, filled === CHUNK_BYTES ? full : full.slice(0, filled));
    writing.add(write);
    void write.then(
      () => writing.delete(write),
      () => undefined,
    );
    [chunk, filled, index] = [undefined, 0, index + 1];
    if (writing.size >= IN_FLIGHT) await Promise.race(writing);
  };
  try {
    for await (const piece of content) {
      hash.update(piece);
      size += piece.length;
      if (size > MAX_RELEASE_BYTES)
        throw releaseFault('release_too_large', {
          found: `a file of more than ${MAX_RELEASE_BYTES} bytes`,
          allowed: `${MAX_RELEASE_BYTES} bytes`,
        });
      for (let at = 0; at < piece.length;) {
        // Small content needs no more than it has.
        chunk ??= new Uint8Array(CHUNK_BYTES);
        const part = piece.subarray(at, at + CHUNK_BYTES - filled);
        chunk.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled === CHUNK_BYTES) await flush(chunk);
      }
    }
    if (chunk !== undefined && filled > 0) await flush(chunk);
    await Promise.all(writing);
  } catch (error) {
    // None of them comes behind what discards the blob.
    await Promise.allSettled(writing);
    throw error;
  }
  const stored = { sha256: hash.digest('hex'), size };
  await store.finishBlob(blob, stored, usedAt);
  return stored;
}

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** Errors: profile_file_too_large. */
export async function readSmallBlob(
  store: Blobs,
  { path, sha256, size }: Pick<DraftFile, 'path' | 'sha256' | 'size'>,
): Promise<Buffer> {
  if (size > MAX_READ_BYTES) throw profileFault('profile_file_too_large', { path, allowed: MAX_READ_BYTES });
  const parts: Uint8Array[] = [];
  for await (const chunk of readBlob(store, { sha256, size })) parts.push(chunk);
  return Buffer.concat(parts);
}

export async function* readBlob(
  store: Pick<Blobs, 'readChunk'>,
  { sha256, size }: Pick<DraftFile, 'sha256' | 'size'>,
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index * CHUNK_BYTES < size; index += 1) {
    const chunk = await store.readChunk(sha256, index);
    if (chunk === undefined) throw new Error(`the content ${sha256} has no chunk ${index}`);
    yield chunk;
  }
}
