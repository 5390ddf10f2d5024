// Stores content as blobs, chunk by chunk, and reads small ones whole.
import { createHash } from 'node:crypto';
import { releaseFault } from '../../../shared/releases/errors.ts';
import { MAX_RELEASE_BYTES } from '../../../shared/releases/manifest.ts';
import { CHUNK_BYTES, type DraftFile, type ReleaseStore } from '../../store/releases/release-store.ts';
import { profileFault } from '../errors.ts';

/** Chunks that are on their way to the disk at once: some commits take several. */
const IN_FLIGHT = 16;
/** Of what Central itself reads of a profile: agent.conf and truststore. Java's own, with 150 roots, has 200 KB. */
const MAX_READ_BYTES = 2 * 1024 * 1024;

type Blobs = Pick<ReleaseStore, 'appendChunk' | 'beginBlob' | 'blobSize' | 'finishBlob' | 'readChunk'>;

/** Errors: release_too_large, store_reserve. */
export async function storeBlob(
  store: Blobs,
  content: AsyncIterable<Buffer>,
  now: number,
): Promise<Pick<DraftFile, 'sha256' | 'size'>> {
  const blob = await store.beginBlob(now);
  const hash = createHash('sha256');
  const writing = new Set<Promise<void>>();
  let [chunk, filled, index, size] = [new Uint8Array(CHUNK_BYTES), 0, 0, 0];
  const flush = async (): Promise<void> => {
    const write = store.appendChunk(blob, index, filled === CHUNK_BYTES ? chunk : chunk.slice(0, filled));
    writing.add(write);
    void write.then(
      () => writing.delete(write),
      () => undefined,
    );
    [chunk, filled, index] = [new Uint8Array(CHUNK_BYTES), 0, index + 1];
    if (writing.size >= IN_FLIGHT) await Promise.race(writing);
  };
  for await (const piece of content) {
    hash.update(piece);
    size += piece.length;
    if (size > MAX_RELEASE_BYTES)
      throw releaseFault('release_too_large', {
        found: `a file of more than ${MAX_RELEASE_BYTES} bytes`,
        allowed: `${MAX_RELEASE_BYTES} bytes`,
      });
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + CHUNK_BYTES - filled);
      chunk.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === CHUNK_BYTES) await flush();
    }
  }
  if (filled > 0) await flush();
  await Promise.all(writing);
  const stored = { sha256: hash.digest('hex'), size };
  await store.finishBlob(blob, stored, now);
  return stored;
}

/** Content that is in memory already. */
export async function storeBytes(
  store: Blobs,
  bytes: Buffer,
  now: number,
): Promise<Pick<DraftFile, 'sha256' | 'size'>> {
  return await storeBlob(
    store,
    (async function* () {
      yield bytes;
    })(),
    now,
  );
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
