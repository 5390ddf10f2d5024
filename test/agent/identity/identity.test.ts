// The files that say who an agent is, in a folder where another account, or a mistake, has been before.
import { chmod, chown, link, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  loadCredentials,
  loadIdentity,
  loadOrCreateKey,
  loadOrCreateNextKey,
  loadOrCreateRecoveryKey,
  saveIdentity,
  type Identity,
} from '../../../agent/identity/identity.ts';
import { Cleanup } from '../../flow/processes.ts';

const cleanup = new Cleanup();
let folder: string;
beforeEach(async () => {
  folder = await cleanup.folder();
});
afterEach(() => cleanup.run());

const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.warn('SKIPPED: tests with other accounts need root.');
const STRANGER = 65_534;
const FILES = {
  'agent-key.pem': loadOrCreateKey,
  'agent-key.next.pem': loadOrCreateNextKey,
  'agent-key-recovery.pem': loadOrCreateRecoveryKey,
} as const;
const IDENTITY: Identity = {
  id: 'a',
  name: 'a',
  central: 'c',
  signingKey: 'k'.repeat(64),
  certificate: 'x'.repeat(64),
  host: 'h',
  port: 1,
  secure: true,
};

describe.each(Object.entries(FILES))('%s', (name, loadOrCreate) => {
  it('is made once with mode 0600, by whichever of two processes is first, and nothing else is left', async () => {
    const umask = process.umask(0);
    try {
      const made = await Promise.all(Array.from({ length: 8 }, () => loadOrCreate(folder)));
      expect(new Set(made.map(({ thumbprint }) => thumbprint)).size).toBe(1);
    } finally {
      process.umask(umask);
    }
    expect(await readdir(folder)).toEqual([name]);
    expect((await lstat(join(folder, name))).mode & 0o7777).toBe(0o600);
  });

  it('is not made through a link, and not taken from one: what the link names stays as it is', async () => {
    const other = join(folder, 'other');
    await mkdir(other);
    await loadOrCreateKey(other);
    const known = await readFile(join(other, 'agent-key.pem'), 'utf8');
    for (const target of [join(other, 'agent-key.pem'), join(folder, 'missing')]) {
      await symlink(target, join(folder, name));
      await expect(loadOrCreate(folder)).rejects.toMatchObject({
        code: 'identity_damaged',
        message: expect.stringContaining('symbolic link'),
      });
      await rm(join(folder, name));
    }
    expect(await readFile(join(other, 'agent-key.pem'), 'utf8')).toBe(known);
    await expect(lstat(join(folder, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.runIf(isRoot)('of another account is not taken: that account has the key too', async () => {
    await loadOrCreate(folder);
    await chown(join(folder, name), STRANGER, STRANGER);
    await expect(loadOrCreate(folder)).rejects.toMatchObject({
      code: 'identity_damaged',
      message: expect.stringContaining(`uid ${STRANGER}`),
    });
    // Root looks at the folder of the account that the agent runs under.
    await chown(folder, STRANGER, STRANGER);
    await expect(loadOrCreate(folder)).resolves.toBeDefined();
  });
});

describe('identity.json', () => {
  const file = (): string => join(folder, 'identity.json');

  it('is 0600 after it was written, whatever mode it had', async () => {
    await writeFile(file(), '{}');
    await chmod(file(), 0o666);
    await saveIdentity(folder, IDENTITY);
    expect((await lstat(file())).mode & 0o7777).toBe(0o600);
    expect(JSON.parse(await readFile(file(), 'utf8'))).toEqual(IDENTITY);
  });

  it('is neither read nor written through a link, soft or hard', async () => {
    const victim = join(folder, 'victim');
    await writeFile(victim, 'mine');
    for (const place of [symlink, link]) {
      await place(victim, file());
      await expect(saveIdentity(folder, IDENTITY)).rejects.toMatchObject({ code: 'secret_file_unsafe' });
      await expect(loadIdentity(folder)).rejects.toMatchObject({ code: 'identity_damaged' });
      await rm(file());
    }
    expect(await readFile(victim, 'utf8')).toBe('mine');
  });

  it.runIf(isRoot)('of another account is not believed', async () => {
    await saveIdentity(folder, IDENTITY);
    await chown(file(), STRANGER, STRANGER);
    await expect(loadCredentials(folder)).rejects.toMatchObject({
      code: 'identity_damaged',
      message: expect.stringContaining('another account'),
    });
    await expect(saveIdentity(folder, IDENTITY)).rejects.toMatchObject({ code: 'secret_file_unsafe' });
  });
});
