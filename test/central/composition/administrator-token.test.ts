import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAdministratorToken } from '../../../central/composition/administrator-token.ts';
import { openCentralStore } from '../../../central/store/open-store.ts';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'queuegate-token-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const configOf = (dataFolder: string) => ({
  dataFolder,
  advertisedNames: ['central.test'] as const,
  centralName: 'central.test',
  hostName: 'central.test',
});

describe('an administrator token made on the host', () => {
  it('is in a 0600 file and in the audit log, and the tokens before stay', async () => {
    await (await openCentralStore(configOf(folder), () => undefined)).stop();
    await createAdministratorToken(configOf(folder));
    const first = readFileSync(join(folder, 'administrator-token'), 'utf8');
    const file = await createAdministratorToken(configOf(folder));
    const token = readFileSync(file, 'utf8').trim();
    expect(token).toMatch(/^qg_[0-9a-f]{16}_[\w-]{43}$/);
    expect(first.trim()).not.toBe(token);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const store = await openCentralStore(configOf(folder), () => undefined);
    const tokens = await store.tokens.listApiTokens();
    expect(tokens.map(({ role, expiresAt }) => [role, expiresAt])).toEqual([
      ['administrator', null],
      ['administrator', null],
    ]);
    const [entry] = await store.audit.list({ limit: 1 });
    expect(entry).toMatchObject({ action: 'api-tokens.create', who: 'queuegate-central create-administrator-token' });
    await store.stop();
  });

  it('is refused while Central runs', async () => {
    const store = await openCentralStore(configOf(folder), () => undefined);
    await expect(createAdministratorToken(configOf(folder))).rejects.toMatchObject({ code: 'data_in_use' });
    await store.stop();
  });

  it('is refused for a folder without a store, and makes nothing there', async () => {
    const other = join(folder, 'other');
    await expect(createAdministratorToken(configOf(other))).rejects.toMatchObject({ code: 'data_folder_empty' });
    expect(existsSync(other)).toBe(false);
  });
});
