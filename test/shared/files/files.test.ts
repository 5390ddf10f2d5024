// readBoundedFile and replaceFile (shared/files/bounded-file.ts, shared/files/atomic-file.ts) on a real file system.
import { execFileSync } from 'node:child_process';
import { chmod, lchown, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { replaceFile } from '../../../shared/files/atomic-file.ts';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

let folder: string;
beforeEach(() => void (folder = temporaryFolder()));

function read(path: string) {
  return readBoundedFile({ path, what: 'The truststore', maxBytes: 8, hint: 'Name another.' });
}

describe('readBoundedFile', () => {
  test('reads a file up to the bound', async () => {
    await writeFile(join(folder, 'a'), '12345678');
    expect((await read(join(folder, 'a'))).toString()).toBe('12345678');
  });

  test('refuses what is missing, too large, a folder or a pipe, each by its own code or text', async () => {
    await writeFile(join(folder, 'large'), '123456789');
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(read(join(folder, 'none'))).rejects.toMatchObject({
      code: 'file_missing',
      message: `The truststore ${join(folder, 'none')} does not exist.`,
      hint: 'Name another.',
    });
    await expect(read(join(folder, 'large'))).rejects.toMatchObject({ code: 'file_too_large' });
    await expect(read(folder)).rejects.toMatchObject({
      code: 'file_not_regular',
      message: expect.stringContaining('a folder'),
    });
    await expect(read(join(folder, 'pipe'))).rejects.toMatchObject({ code: 'file_not_regular' });
  });

  test('gives undefined for a missing file only where that is asked for', async () => {
    expect(
      await readBoundedFile({ path: join(folder, 'none'), what: 'x', maxBytes: 1, hint: '', ifMissing: 'ignore' }),
    ).toBeUndefined();
  });
});

describe('replaceFile', () => {
  test('makes a new file with the given mode, and keeps the mode of an old one', async () => {
    const path = join(folder, 'a');
    await replaceFile(path, Buffer.from('one'), 0o640);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    await chmod(path, 0o604);
    await replaceFile(path, Buffer.from('two'), 0o640);
    expect([(await stat(path)).mode & 0o777, await readFile(path, 'utf8'), await readdir(folder)]).toEqual([
      0o604,
      'two',
      ['a'],
    ]);
  });

  test('follows a link instead of replacing it', async () => {
    await writeFile(join(folder, 'real'), 'one');
    await symlink('real', join(folder, 'link'));
    await replaceFile(join(folder, 'link'), Buffer.from('two'), 0o600);
    expect([await readlink(join(folder, 'link')), await readFile(join(folder, 'real'), 'utf8')]).toEqual([
      'real',
      'two',
    ]);
  });

  test.runIf(process.geteuid?.() === 0)(
    'follows no link of another account, neither to the file nor on its path',
    async () => {
      await mkdir(join(folder, 'target'));
      await writeFile(join(folder, 'target', 'real'), 'one');
      await symlink('target/real', join(folder, 'link'));
      await symlink('target', join(folder, 'way'));
      for (const name of ['link', 'way']) await lchown(join(folder, name), 65_534, 65_534);
      for (const path of ['link', 'way/real', 'way/new']) {
        await expect(replaceFile(join(folder, path), Buffer.from('two'), 0o600)).rejects.toMatchObject({
          code: 'secret_file_unsafe',
          message: expect.stringContaining('uid 65534'),
        });
      }
      expect([await readFile(join(folder, 'target', 'real'), 'utf8'), await readdir(join(folder, 'target'))]).toEqual([
        'one',
        ['real'],
      ]);
    },
  );

  test('leaves everything as it was when it cannot write', async () => {
    await mkdir(join(folder, 'target'));
    await expect(replaceFile(join(folder, 'target'), Buffer.from('x'), 0o600)).rejects.toMatchObject({
      code: 'file_unwritable',
    });
    await expect(replaceFile(join(folder, 'no', 'where'), Buffer.from('x'), 0o600)).rejects.toMatchObject({
      code: 'file_unwritable',
    });
    expect(await readdir(folder)).toEqual(['target']);
  });
});
