import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { removeUnfinishedFiles, unfinishedName } from '../../../shared/files/unfinished-files.ts';

const folders: string[] = [];
afterEach(() => Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true }))));

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'unfinished-'));
  folders.push(made);
  return made;
}

/** The number of a process that has ended. */
const ended = (): number => spawnSync(process.execPath, ['--version']).pid;

describe('unfinished files', () => {
  it('of ended processes are removed, with and without a process in their name; those of a running one and all others stay', async () => {
    const path = await folder();
    const gone = [
      `.agent-key.pem.${ended()}-0123456789ab.tmp`,
      '.agent-key.pem.0123456789ab.tmp',
      basename(unfinishedName(join(path, 'identity.json'))),
    ];
    const stay = [`.identity.json.${process.ppid}-0123456789ab.tmp`, 'identity.json', '.hidden', 'a.tmp', '.a.xyz.tmp'];
    for (const name of [...gone, ...stay]) await writeFile(join(path, name), 'secret');
    await mkdir(join(path, '.folder.0123456789ab.tmp'));
    await removeUnfinishedFiles(path);
    expect((await readdir(path)).toSorted()).toEqual([...stay, '.folder.0123456789ab.tmp'].toSorted());
  });

  it('of other files stay, where only one name is meant', async () => {
    const path = await folder();
    for (const name of ['.truststore.jks.0123456789ab.tmp', '.other.jks.0123456789ab.tmp'])
      await writeFile(join(path, name), '');
    await removeUnfinishedFiles(path, 'truststore.jks');
    expect(await readdir(path)).toEqual(['.other.jks.0123456789ab.tmp']);
  });

  it('are none in a folder that does not exist', async () => {
    await expect(removeUnfinishedFiles(join(await folder(), 'missing'))).resolves.toBeUndefined();
  });
});
