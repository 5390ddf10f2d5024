import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceFile } from '../../../shared/files/atomic-file.ts';
import { diskFaultOf, makeFolder, writing } from '../../../shared/files/disk-faults.ts';
import { replaceSecretFile } from '../../../shared/files/secret-file.ts';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;

describe('a file that cannot be written', () => {
  it.each([
    ['ENOSPC', 'disk_full', 'df -h'],
    ['EDQUOT', 'disk_quota_exceeded', 'quota'],
    ['EROFS', 'disk_read_only', 'Mount'],
    ['EIO', 'disk_failed', 'smartctl'],
    ['EMFILE', 'too_many_open_files', 'LimitNOFILE'],
    ['ENFILE', 'too_many_open_files', 'LimitNOFILE'],
  ])('because of %s is %s, with a hint of its own', (system, code, hint) => {
    const fault = diskFaultOf('/tmp/file', Object.assign(new Error(`${system}: text`), { code: system }));
    expect(fault).toMatchObject({ code, hint: expect.stringContaining(hint) });
    expect(fault?.message).toContain(system);
  });

  it('because of its permissions is file_unwritable; a fault that has a code already keeps it', async () => {
    const denied = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    await expect(writing('/tmp/file', () => Promise.reject(denied))).rejects.toMatchObject({ code: 'file_unwritable' });
    const coded = diskFaultOf('/tmp/file', Object.assign(new Error('EIO'), { code: 'EIO' }));
    await expect(writing('/tmp/other', () => Promise.reject(coded as Error))).rejects.toBe(coded);
  });
});

describe.runIf(canMount)('on a real file system', () => {
  let folder = '';
  const mount = (options: string): void => {
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]).status).toBe(0);
  };
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'queuegate-disk-'))));
  afterEach(() => {
    spawnSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true });
  });

  it('without free inodes every way to write names the inodes, and leaves the old file', async () => {
    mount('size=1m,nr_inodes=4');
    const file = join(folder, 'old');
    writeFileSync(file, 'old');
    for (const name of ['a', 'b']) writeFileSync(join(folder, name), '');
    const writes = [
      () => replaceFile(file, Buffer.from('new'), 0o600),
      () => replaceSecretFile(join(folder, 'secret'), Buffer.from('new')),
      () => makeFolder(join(folder, 'sub'), 0o700),
    ];
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'disk_inodes_full', status: 507 });
  });

  it('without free space every way to write says that the disk is full', async () => {
    mount('size=64k');
    const file = join(folder, 'file');
    for (const write of [replaceFile, replaceSecretFile])
      await expect(write(file, Buffer.alloc(100_000), 0o600)).rejects.toMatchObject({ code: 'disk_full' });
  });
});
