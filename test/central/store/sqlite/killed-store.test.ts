// Central's store in a process that is killed while it writes: what it answered is there when it opens again.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { linesUntilKilled } from '../../../killed-writer.ts';
import { allEventIds, claimOf, DAY } from '../samples.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('loses nothing that it answered when it is killed while it writes', async () => {
  let before = 0;
  for (let round = 0; round < 5; round += 1) {
    const answered = await killedWriter(folder, 40 + 30 * round);
    expect(answered).toBeGreaterThan(before);
    const store = await openSqliteStore({
      folder,
      deduplicationMs: 7 * DAY,
      namesOfCentral: ['central.test'],
      onFailure: (error) => {
        throw error;
      },
    });
    try {
      const { up } = await store.agents.claimSession(claimOf('a1', { session: `round ${round}` }));
      expect(up?.number ?? 0).toBeGreaterThanOrEqual(answered);
      const ids = await allEventIds(store);
      expect(ids).toEqual(Array.from({ length: up?.number ?? 0 }, (_, index) => `e${index + 1}`));
      before = ids.length;
    } finally {
      await store.stop();
    }
  }
});

/** Runs a process that appends events, and kills it after so many answers. Returns the number of the last one. */
async function killedWriter(folderOfStore: string, afterAnswers: number): Promise<number> {
  const lines = await linesUntilKilled(new URL('./killed-writer.ts', import.meta.url), folderOfStore, afterAnswers);
  return Number(lines.at(-1) ?? 0);
}
