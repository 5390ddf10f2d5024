// How the files of an act are stored: small ones beside each other, so that they share commits, and nothing of an act
// that fails.
import { expect, test } from 'vitest';
import { BlobIntake, withIntake } from '../../../../central/profiles/contents/blobs.ts';
import { CHUNK_BYTES, type BegunBlob } from '../../../../central/store/releases/release-store.ts';

/** A store whose calls wait for the next commit, and share it. */
function countingStore(fault?: (blob: number) => Error | undefined) {
  let [blobs, commits] = [0, 0];
  let commit: Promise<void> | undefined;
  const committed = (): Promise<void> => {
    commit ??= new Promise((resolve) =>
      setImmediate(() => {
        [commit, commits] = [undefined, commits + 1];
        resolve();
      }),
    );
    return commit;
  };
  const lengths: number[] = [];
  const discarded: BegunBlob[] = [];
  return {
    lengths,
    discarded,
    commits: () => commits,
    begun: () => blobs,
    store: {
      async beginBlob() {
        blobs += 1;
        const blob = blobs;
        await committed();
        return blob;
      },
      async appendChunk(blob: number, _index: number, data: Uint8Array) {
        lengths.push(data.buffer.byteLength);
        await committed();
        const found = fault?.(blob);
        if (found !== undefined) throw found;
      },
      finishBlob: committed,
      blobSize: async () => undefined,
      readChunk: async () => undefined,
      discardBlobs: async (begun: readonly BegunBlob[]) => void discarded.push(...begun),
    },
  };
}

async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

test('a thousand small files share commits, and come out in their order', async () => {
  const { store, commits, begun, lengths } = countingStore();
  const intake = new BlobIntake(store, () => 1);
  const sizes: number[] = [];
  for (let i = 0; i < 1_000; i += 1)
    await intake.add(i, pieces('x'.repeat(i)), ({ size }) => {
      sizes[i] = size;
    });
  await intake.finish();
  expect(sizes).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  // Three for each by itself.
  expect([begun(), commits() < 300]).toEqual([1_000, true]);
  // What a small file hands over is as long as the file.
  expect(Math.max(...lengths)).toBe(999);
});

test('a large file is stored by itself, in chunks', async () => {
  const { store, lengths } = countingStore();
  const intake = new BlobIntake(store, () => 1);
  const half = 'x'.repeat(CHUNK_BYTES / 2 + 1);
  let stored = 0;
  await intake.add(2 * half.length, pieces(half, half), ({ size }) => {
    stored = size;
  });
  expect([stored, lengths]).toEqual([CHUNK_BYTES + 2, [CHUNK_BYTES, 2]]);
});

test('an act that fails, or was only tried, discards what was begun, once nothing of it is written any more', async () => {
  const { store, discarded, begun } = countingStore((blob) => (blob === 3 ? new Error('full') : undefined));
  const act = withIntake(
    new BlobIntake(store, () => 7),
    async (intake) => {
      for (let i = 0; i < 5; i += 1) await intake.add(1, pieces('x'), () => undefined);
      await intake.finish();
    },
    () => false,
  );
  await expect(act).rejects.toThrow('full');
  expect(discarded).toEqual(Array.from({ length: begun() }, (_, i) => ({ blob: i + 1, usedAt: 7 })));

  const tried = countingStore();
  await withIntake(
    new BlobIntake(tried.store, () => 7),
    async (intake) => await intake.storeBytes(Buffer.from('x')),
    () => true,
  );
  expect(tried.discarded).toHaveLength(1);
});
