// createSecretFile, replaceSecretFile and beginSecretFile (shared/files/secret-file.ts) against what another account
// may have put in their way.
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  beginSecretFile,
  checkSecretFile,
  createSecretFile,
  replaceSecretFile,
} from '../../../shared/files/secret-file.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const SECRET = Buffer.from('s3cret');
/** Only root may give files away; what needs that is skipped for others. */
const asRoot = process.geteuid?.() === 0;
const STRANGER = 65_534;

let folder: string;
let file: string;
beforeEach(async () => {
  folder = temporaryFolder();
  file = join(folder, 'secret');
});

const WRITERS = [
  ['createSecretFile', createSecretFile],
  ['replaceSecretFile', replaceSecretFile],
] as const;

describe.each(WRITERS)('%s', (_name, write) => {
  test('makes a file that only this account may read, whatever the umask, and leaves nothing beside it', async () => {
    for (const umask of [0o000, 0o022, 0o777]) {
      const before = process.umask(umask);
      const path = `${file}-${umask}`;
      await write(path, SECRET).finally(() => process.umask(before));
      const { mode, uid, nlink } = await lstat(path);
      expect([mode & 0o7777, uid, nlink, await readFile(path, 'utf8')]).toEqual([
        0o600,
        process.geteuid?.(),
        1,
        's3cret',
      ]);
    }
    expect(await readdir(folder)).toHaveLength(3);
  });

  test('never writes through a symbolic link, also not through one that points nowhere', async () => {
    await writeFile(join(folder, 'victim'), 'untouched');
    for (const target of ['victim', 'nowhere']) {
      await symlink(join(folder, target), file);
      await expect(write(file, SECRET)).rejects.toMatchObject({
        code: expect.stringMatching(/^secret_file_(exists|unsafe)$/),
      });
      expect(await readlink(file)).toBe(join(folder, target));
      await rm(file);
    }
    expect([await readFile(join(folder, 'victim'), 'utf8'), await readdir(folder)]).toEqual(['untouched', ['victim']]);
  });

  test('never writes into a file with another name', async () => {
    await writeFile(join(folder, 'victim'), 'untouched');
    await link(join(folder, 'victim'), file);
    await expect(write(file, SECRET)).rejects.toMatchObject({
      code: expect.stringMatching(/^secret_file_(exists|unsafe)$/),
    });
    expect(await readFile(join(folder, 'victim'), 'utf8')).toBe('untouched');
  });

  test.skipIf(!asRoot)('never writes into a file of another account', async () => {
    await writeFile(file, 'theirs');
    await chown(file, STRANGER, STRANGER);
    await expect(write(file, SECRET)).rejects.toMatchObject({
      code: expect.stringMatching(/^secret_file_(exists|unsafe)$/),
    });
    expect([await readFile(file, 'utf8'), (await stat(file)).uid]).toEqual(['theirs', STRANGER]);
  });

  test.skipIf(!asRoot)('takes no path on which another account has put a link', async () => {
    await mkdir(join(folder, 'real'));
    await symlink(join(folder, 'real'), join(folder, 'way'));
    await write(join(folder, 'way', 'a'), SECRET);
    await rm(join(folder, 'way'));
    await symlink(join(folder, 'real'), join(folder, 'way'));
    await lchown(join(folder, 'way'), STRANGER, STRANGER);
    await expect(write(join(folder, 'way', 'b'), SECRET)).rejects.toMatchObject({
      code: 'secret_file_unsafe',
      message: expect.stringContaining('symbolic link of another account'),
    });
    expect(await readdir(join(folder, 'real'))).toEqual(['a']);
  });

  test('takes no folder in which every account may exchange files, but one with the sticky bit', async () => {
    await chmod(folder, 0o777);
    await expect(write(file, SECRET)).rejects.toMatchObject({
      code: 'secret_file_unsafe',
      hint: expect.stringContaining('chmod o-w'),
    });
    expect(await readdir(folder)).toEqual([]);
    await chmod(folder, 0o1777);
    await write(file, SECRET);
    expect(await readdir(folder)).toEqual(['secret']);
  });

  test('takes no folder, pipe or missing folder, and leaves nothing behind', async () => {
    await mkdir(file);
    await expect(write(file, SECRET)).rejects.toMatchObject({
      code: expect.stringMatching(/^secret_file_(exists|unsafe)$/),
    });
    await expect(write(join(folder, 'none', 'secret'), SECRET)).rejects.toMatchObject({ code: 'file_unwritable' });
    expect(await readdir(folder)).toEqual(['secret']);
  });
});

describe('createSecretFile', () => {
  test('refuses what exists, and checkSecretFile says so before', async () => {
    await checkSecretFile(file);
    await createSecretFile(file, SECRET);
    await expect(createSecretFile(file, Buffer.from('other'))).rejects.toMatchObject({ code: 'secret_file_exists' });
    await expect(checkSecretFile(file)).rejects.toMatchObject({ code: 'secret_file_exists' });
    expect([await readFile(file, 'utf8'), await readdir(folder)]).toEqual(['s3cret', ['secret']]);
  });
});

describe('replaceSecretFile', () => {
  test('replaces its own file as a whole, and does not keep a wider mode', async () => {
    await writeFile(file, 'old', { mode: 0o644 });
    const { ino } = await stat(file);
    await replaceSecretFile(file, SECRET);
    const now = await stat(file);
    expect([now.mode & 0o7777, now.ino === ino, await readFile(file, 'utf8'), await readdir(folder)]).toEqual([
      0o600,
      false,
      's3cret',
      ['secret'],
    ]);
  });
});

describe('beginSecretFile', () => {
  test('gives the file its name at the end only, and never that of something that came meanwhile', async () => {
    const first = await beginSecretFile(file, `${file}.unfinished`);
    await first.handle.writeFile('one');
    expect([await readdir(folder), (await stat(first.temporary)).mode & 0o7777]).toEqual([
      ['secret.unfinished'],
      0o600,
    ]);
    await first.finish();
    await rm(file);
    const second = await beginSecretFile(file);
    await second.handle.writeFile('two');
    await symlink('/dev/null', file);
    await expect(second.finish()).rejects.toMatchObject({ code: 'secret_file_exists' });
    await second.discard();
    expect(await readdir(folder)).toEqual(['secret']);
  });

  test('removes what an earlier attempt left, but uses no link and no file of another account that has its name', async () => {
    await writeFile(`${file}.unfinished`, 'left behind', { mode: 0o644 });
    const again = await beginSecretFile(file, `${file}.unfinished`);
    await again.handle.writeFile('whole');
    await again.finish();
    await rm(file);
    await writeFile(join(folder, 'victim'), 'untouched');
    await symlink(join(folder, 'victim'), `${file}.unfinished`);
    await expect(beginSecretFile(file, `${file}.unfinished`)).rejects.toMatchObject({ code: 'secret_file_unsafe' });
    expect(await readFile(join(folder, 'victim'), 'utf8')).toBe('untouched');
    await rm(`${file}.unfinished`);
    if (!asRoot) return;
    await writeFile(`${file}.unfinished`, 'theirs');
    await chown(`${file}.unfinished`, STRANGER, STRANGER);
    await expect(beginSecretFile(file, `${file}.unfinished`)).rejects.toMatchObject({
      code: 'secret_file_unsafe',
      message: expect.stringContaining('belongs to another account'),
    });
  });
});
