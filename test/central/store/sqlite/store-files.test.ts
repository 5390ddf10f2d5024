import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { sqliteStoreFiles } from '../../../../central/store/sqlite/store-files.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const DAY_MS = 86_400_000;

let folder = '';
beforeEach(() => void (folder = temporaryFolder()));

describe('stores that restores replaced', () => {
  const names = ['2026-01-01', '2026-02-01', '2026-03-01'].map((day) => `central.db.before-restore-${day}`);

  it('are deleted a month after the restore, except the newest', async () => {
    for (const name of [...names, 'central.db', 'central.db-wal']) writeFileSync(join(folder, name), '');
    const files = sqliteStoreFiles(folder);
    await files.pruneReplaced(Date.now() + 29 * DAY_MS);
    expect(readdirSync(folder)).toHaveLength(5);
    await files.pruneReplaced(Date.now() + 31 * DAY_MS);
    expect(readdirSync(folder).toSorted()).toEqual(['central.db', 'central.db-wal', names[2]]);
  });
});
