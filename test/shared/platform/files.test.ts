// What file systems differ in, on the system that runs the tests.
import { linkSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  hasOneName,
  isOpenToOthers,
  nativePath,
  stateFolder,
  syncFolder,
  syncFolderSync,
} from '../../../shared/platform/files.ts';

const folder = mkdtempSync(join(tmpdir(), 'queuegate-platform-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(process.platform === 'win32')('on Unix', () => {
  test('a second name and rights of others are noticed', () => {
    const file = join(folder, 'a');
    writeFileSync(file, '', { mode: 0o640 });
    expect(hasOneName(statSync(file))).toBe(true);
    linkSync(file, join(folder, 'b'));
    expect(hasOneName(statSync(file))).toBe(false);
    expect(isOpenToOthers({ mode: 0o640 }, 0o077)).toBe(true);
    expect(isOpenToOthers({ mode: 0o640 }, 0o007)).toBe(false);
  });

  test('paths that were written on Windows are found', () => {
    expect(nativePath('conf\\security\\truststore.jks')).toBe('conf/security/truststore.jks');
  });

  test('state is kept where the XDG Base Directory Specification says', () => {
    expect(stateFolder({ XDG_STATE_HOME: '/state', HOME: '/home/a' })).toBe('/state');
    expect(stateFolder({ XDG_STATE_HOME: '', HOME: '/home/a' })).toBe('/home/a/.local/state');
    expect(stateFolder({})).toBe(join(homedir(), '.local', 'state'));
  });
});

test('a folder is synced, and one that does not exist is an error', async () => {
  await syncFolder(folder);
  syncFolderSync(folder);
  if (process.platform === 'win32') return;
  await expect(syncFolder(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  expect(() => syncFolderSync(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});
