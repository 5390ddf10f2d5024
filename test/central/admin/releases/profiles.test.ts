// Reading a profile costs what is read of it, however many files it has; what is read may be a secret.
import { chmodSync, linkSync, lstatSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CENTRAL } from '../../../../central/audit.ts';
import { packDirectory } from '../../../../central/cli/commands/profiles/archive.ts';
import { measureFolder } from '../../../../shared/releases/folder.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';
import { queuegateFor } from '../../cli/over-socket.ts';
import { memoryReleases } from '../../memory-releases.ts';
import { startRest } from '../rest.ts';

const PROFILE = join(import.meta.dirname, '../../../fixtures/profile');
const ACTOR = { ...CENTRAL, who: 'admin', comment: undefined, ticket: undefined };

test('no request that reads a profile reads the list of all its files', async () => {
  const { profiles, profileReleases, wholeDrafts } = memoryReleases();
  const files = await measureFolder(PROFILE);
  await profiles.import('branch', packDirectory(PROFILE, files), { actor: ACTOR, replace: false });
  const rest = await startRest(async () => ({ profiles, profileReleases }));
  const before = wholeDrafts();
  for (const path of ['', '/settings', '/truststore', '/files', '/files/conf/agent.conf', '/releases'])
    expect([path, (await rest.request('GET', `/profiles/branch${path}`)).status]).toEqual([path, 200]);
  expect(wholeDrafts()).toBe(before);
});

test('its files are listed page by page, each once', async () => {
  const { profiles } = memoryReleases();
  const files = await measureFolder(PROFILE);
  await profiles.import('branch', packDirectory(PROFILE, files), { actor: ACTOR, replace: false });
  const rest = await startRest(async () => ({ profiles }));
  const paths: string[] = [];
  for (let after = ''; ;) {
    const answer = await rest.request('GET', `/profiles/branch/files?limit=1${after}`);
    const { items, next } = (await answer.json()) as { items: { path: string }[]; next: string | null };
    expect(items).toHaveLength(1);
    paths.push(...items.map(({ path }) => path));
    if (next === null) break;
    after = `&after=${encodeURIComponent(next)}`;
  }
  expect(paths).toEqual(files.map(({ path }) => path).toSorted());
});

test('a file of a profile is written for this account only, never through a link: it may hold a password', async () => {
  const { profiles } = memoryReleases();
  await profiles.import('branch', packDirectory(PROFILE, await measureFolder(PROFILE)), {
    actor: ACTOR,
    replace: false,
  });
  const rest = await startRest(async () => ({ profiles }));
  const queuegate = await queuegateFor(rest);
  const folder = temporaryFolder();
  const [out, victim] = [join(folder, 'out'), join(folder, 'victim')];
  const get = () => queuegate(`profiles files get branch conf/agent.conf --out ${out}`);
  const expected = readFileSync(join(PROFILE, 'conf/agent.conf'), 'utf8');
  writeFileSync(victim, 'untouched', { mode: 0o644 });
  for (const before of [undefined, 'mine before']) {
    if (before !== undefined) {
      writeFileSync(out, before);
      chmodSync(out, 0o666);
    }
    expect(await get()).toMatchObject({ status: 0, error: '' });
    expect([readFileSync(out, 'utf8'), lstatSync(out).mode & 0o7777]).toEqual([expected, 0o600]);
  }
  for (const trap of [symlinkSync, linkSync]) {
    rmSync(out);
    trap(victim, out);
    expect(await get()).toMatchObject({ status: 6, out: '', error: expect.stringContaining('(secret_file_unsafe)') });
  }
  expect([readFileSync(victim, 'utf8'), lstatSync(victim).mode & 0o7777]).toEqual(['untouched', 0o644]);
});
