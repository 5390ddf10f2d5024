// Reads and writes the content of files, in chunks: a row of `blob` for each, and a row of `blob_chunk` for each 64 KiB
// of it. A blob without a SHA-256 is being written, or being deleted.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { blob as bytes, integer, integerOrNull } from '../../../../shared/sqlite/row.ts';
import { handOver } from '../../../../shared/sqlite/worker/side.ts';
import { storeFault } from '../../errors.ts';
import { CHUNK_BYTES, type BegunBlob } from '../../releases/release-store.ts';

/** Chunks of one blob: 1 GiB. `key` of a chunk is the key of its blob times this, plus its index. */
const MAX_CHUNKS = 16_384;
/** Deleted in one step: 8 MiB. */
const PRUNE_STEP = 128;
/** The row of a blob with its index. */
const ROW_COST = 512;

export function blobWrites(database: SqlDatabase, takeRoom: (bytes: number) => void) {
  const begin = database.prepare('INSERT INTO blob (sha256, size, used_at) VALUES (NULL, 0, ?) RETURNING key');
  const append = database.prepare('INSERT INTO blob_chunk (key, data) VALUES (?, ?)');
  const find = database.prepare('SELECT key FROM blob WHERE sha256 = ?');
  const finish = database.prepare('UPDATE blob SET sha256 = ?, size = ?, used_at = ? WHERE key = ?');
  const touch = database.prepare('UPDATE blob SET used_at = ? WHERE key = ?');
  return {
    beginBlob(now: number): number {
      takeRoom(ROW_COST);
      return integer(begin.get(now), 'key');
    },

    appendChunk(blob: number, index: number, data: Uint8Array): void {
      if (index < 0 || index >= MAX_CHUNKS || data.length > CHUNK_BYTES) throw new RangeError('a chunk out of bounds');
      takeRoom(data.length + ROW_COST);
      append.run(blob * MAX_CHUNKS + index, data);
    },

    finishBlob(blob: number, { sha256, size }: { readonly sha256: string; readonly size: number }, now: number): void {
      const known = integerOrNull(find.get(sha256) ?? { key: null }, 'key');
      if (known === null) finish.run(sha256, size, now, blob);
      else {
        // Not deleted before what names it is written; the other copy goes with the next pruning.
        touch.run(now, known);
        touch.run(0, blob);
      }
    },

    ...blobPruning(database),
  };
}

/** The key of a blob that is stored whole. Errors: blob_unknown. */
export function blobKeys(database: SqlDatabase): (sha256: string) => number {
  const find = database.prepare('SELECT key FROM blob WHERE sha256 = ?');
  return (sha256) => {
    const row = find.get(sha256);
    if (row === undefined) throw storeFault('blob_unknown', { sha256 });
    return integer(row, 'key');
  };
}

/** Rows that one step of pruning looks at. */
const SCAN_STEP = 1_000;

function blobPruning(database: SqlDatabase) {
  const unnamed = `NOT EXISTS (SELECT 1 FROM profile_file WHERE profile_file.blob = blob.key)
    AND NOT EXISTS (SELECT 1 FROM release_blob WHERE release_blob.blob = blob.key)`;
  const stepEnd = database.prepare(
    `SELECT max(key) AS last FROM (SELECT key FROM blob WHERE key > ? ORDER BY key LIMIT ${SCAN_STEP}) AS step`,
  );
  const unused = database.prepare(`
    SELECT key FROM blob WHERE key > ? AND key <= ? AND used_at < ? AND (sha256 IS NULL OR ${unnamed}) ORDER BY key LIMIT 1`);
  // What was hidden has 0.
  const discardable = database.prepare(`
    SELECT key FROM blob WHERE key = ?1 AND (used_at = ?2 AND ${unnamed} OR used_at = 0 AND sha256 IS NULL)`);
  const hide = database.prepare('UPDATE blob SET sha256 = NULL, used_at = 0 WHERE key = ?');
  const removeChunks = database.prepare(`
    DELETE FROM blob_chunk WHERE key IN (SELECT key FROM blob_chunk WHERE key BETWEEN ? AND ? LIMIT ${PRUNE_STEP})`);
  const remove = database.prepare('DELETE FROM blob WHERE key = ?');
  /** Where the next step of pruning begins. */
  let after = 0;

  /** How many chunks went; with fewer than PRUNE_STEP, the blob went too. */
  const removeStep = (key: number): number => {
    hide.run(key);
    const { changes } = removeChunks.run(key * MAX_CHUNKS, key * MAX_CHUNKS + MAX_CHUNKS - 1);
    if (Number(changes) < PRUNE_STEP) remove.run(key);
    return Number(changes);
  };
  return {
    /** One step; true while more may be left. What was written or named last before `before`, and nothing names. */
    pruneBlobs(before: number): boolean {
      const last = integerOrNull(stepEnd.get(after), 'last');
      if (last === null) {
        after = 0;
        return false;
      }
      const row = unused.get(after, last, before);
      if (row === undefined) after = last;
      else {
        const key = integer(row, 'key');
        // The same one again while it has chunks.
        after = key - 1;
        removeStep(key);
      }
      return true;
    },

    /** One step: of how many, from the first one on, nothing is left. */
    discardBlobs(blobs: readonly BegunBlob[]): number {
      let [chunks, done] = [0, 0];
      for (const { blob, usedAt } of blobs) {
        const removed = discardable.get(blob, usedAt) === undefined ? 0 : removeStep(blob);
        chunks += removed;
        if (removed >= PRUNE_STEP) break;
        done += 1;
        if (chunks >= PRUNE_STEP) break;
      }
      return done;
    },
  };
}

export function blobReads(database: SqlDatabase) {
  const size = database.prepare('SELECT size FROM blob WHERE sha256 = ?');
  const chunk = database.prepare(
    `SELECT data FROM blob_chunk WHERE key = (SELECT key FROM blob WHERE sha256 = ?) * ${MAX_CHUNKS} + ?`,
  );
  return {
    blobSize(sha256: string): number | undefined {
      const row = size.get(sha256);
      return row === undefined ? undefined : integer(row, 'size');
    },
    readChunk(sha256: string, index: number, into?: ArrayBuffer): Uint8Array<ArrayBuffer> | undefined {
      const row = index < 0 || index >= MAX_CHUNKS ? undefined : chunk.get(sha256, index);
      if (row === undefined) return undefined;
      // SQLite gives memory of its own, which nothing shares.
      const data = bytes(row, 'data') as Uint8Array<ArrayBuffer>;
      if (into === undefined || into.byteLength < data.length) return handOver(data);
      const chunkOfCaller = new Uint8Array(into, 0, data.length);
      chunkOfCaller.set(data);
      // Freed now, and not by the collector.
      data.buffer.transfer(0);
      return handOver(chunkOfCaller);
    },
  };
}
