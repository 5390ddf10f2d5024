import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { holdDataFolder } from '../../../shared/sqlite/data-folder.ts';
import { freshFolder } from '../../../shared/sqlite/fresh-folder.ts';

const folders: string[] = [];
afterEach(() => Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true }))));

async function parent(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'fresh-'));
  folders.push(made);
  return made;
}

async function use(folder: string): Promise<void> {
  holdDataFolder(folder).release();
  await mkdir(join(folder, 'part'));
  await writeFile(join(folder, 'part', 'key'), 'secret');
}

describe('a fresh data folder', () => {
  it('is taken back with the folders above it that were missing', async () => {
    const above = await parent();
    const folder = join(above, 'a', 'b');
    const fresh = freshFolder(folder);
    await use(folder);
    fresh?.takeBack();
    expect(await readdir(above)).toEqual([]);
  });

  it('that existed and was empty is empty again', async () => {
    const folder = await parent();
    const fresh = freshFolder(folder);
    await use(folder);
    fresh?.takeBack();
    expect(await readdir(folder)).toEqual([]);
  });

  it('keeps everything while another process holds it', async () => {
    const folder = await parent();
    const fresh = freshFolder(folder);
    await use(folder);
    const held = holdDataFolder(folder);
    fresh?.takeBack();
    held.release();
    expect(existsSync(join(folder, 'part', 'key'))).toBe(true);
  });

  it('is only one without any file', async () => {
    const folder = await parent();
    await writeFile(join(folder, 'central.db'), '');
    expect(freshFolder(folder)).toBeUndefined();
    expect(freshFolder(join(folder, 'central.db'))).toBeUndefined();
  });
});
