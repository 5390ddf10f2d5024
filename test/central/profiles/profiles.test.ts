import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
import { packDirectory } from '../../../central/cli/commands/profiles/archive.ts';
import { openAuthority } from '../../../central/pki/authority/authority.ts';
import { openServerIdentity } from '../../../central/pki/server/server-identity.ts';
import type { ServerCredentials } from '../../../central/pki/server/slots.ts';
import { measureFolder } from '../../../shared/releases/folder.ts';
import { memoryStore } from '../fakes.ts';
import { memoryReleases } from '../memory-releases.ts';

const FIELD = join(import.meta.dirname, '../../fixtures/profile');
const actor = { ...CENTRAL, who: 'admin', comment: 'wss', ticket: 'CHG-1' };
const words = (differences: readonly { readonly text: string }[]): string[] => differences.map(({ text }) => text);

async function imported(name = 'branch', replace = false, opened = memoryReleases()) {
  const archive = packDirectory(FIELD, await measureFolder(FIELD));
  return { ...opened, outcome: await opened.profiles.import(name, archive, { actor, replace }) };
}

describe('an import', () => {
  test('reports settings, unknown keys and the truststore of a profile from the field', async () => {
    const { outcome, audit } = await imported();
    const { conf, truststore, problems } = outcome.report;
    expect(conf?.unknown.map(({ name }) => name)).toEqual(['branch.name', 'jiql.home']);
    expect(conf?.truststore.path).toBe('conf/security/truststore.jks');
    expect(truststore).toMatchObject({
      format: 'jks',
      hasDefaultPassword: true,
      entries: [{ alias: 'examplebank' }, {}],
    });
    expect(problems).toEqual([]);
    expect(words(outcome.differences)).toContain('jetty.jvm.args was set (not shown)');
    expect(audit).toMatchObject([{ action: 'profiles.import', who: 'admin', comment: 'wss', ticket: 'CHG-1' }]);
  });

  test('of a name that is taken is refused, and replaces the files when it says so', async () => {
    const opened = await imported();
    await expect(imported('branch', false, opened)).rejects.toMatchObject({ code: 'profile_exists' });
    expect((await imported('branch', true, opened)).outcome.differences).toEqual([]);
    await expect(imported('a/b')).rejects.toMatchObject({ code: 'profile_name_invalid' });
  });
});

test('an archive without conf/agent.conf is refused, and a profile that lost it is neither set nor prepared', async () => {
  const files = (await measureFolder(FIELD)).filter(({ path }) => path !== 'conf/agent.conf');
  const { profiles } = memoryReleases();
  const missing = { code: 'profile_conf_missing', status: 422 };
  const archive = packDirectory(FIELD, files);
  await expect(profiles.import('branch', archive, { actor, replace: false })).rejects.toMatchObject(missing);
  const opened = await imported();
  await opened.profiles.deleteFile('branch', 'conf/agent.conf', { actor });
  const settings = new Map([['log.level', 'warn']]);
  await expect(opened.profiles.set('branch', settings, { actor })).rejects.toMatchObject(missing);
  await expect(opened.profileReleases.prepare('branch', { actor, force: true })).rejects.toMatchObject(missing);
});

test('a truststore that is not a file of the profile takes no certificate', async () => {
  const { profiles } = await imported();
  const outside = new Map([['truststore', '/etc/pki/truststore.jks']]);
  await profiles.set('branch', outside, { actor });
  const refusal = profiles.addTrusted('branch', { actor });
  await expect(refusal).rejects.toMatchObject({ code: 'profile_truststore_outside', status: 422 });
  await expect(refusal).rejects.toThrow('/etc/pki/truststore.jks');
});

test('what an import, a file or a setting has stored is discarded when it is refused or only tried', async () => {
  const opened = await imported();
  const { profiles, blobs } = opened;
  expect(blobs.discarded).toEqual([]);
  const before = blobs.begun();
  const archive = async () => packDirectory(FIELD, await measureFolder(FIELD));
  await profiles.import('other', await archive(), { actor, replace: false, dryRun: true });
  async function* cut() {
    let left = 5_000;
    for await (const piece of await archive()) {
      yield piece.subarray(0, left);
      if ((left -= piece.length) <= 0) return;
    }
  }
  await expect(profiles.import('other', cut(), { actor, replace: false })).rejects.toMatchObject({
    code: 'archive_invalid',
  });
  const old = { actor, ifMatch: 99 };
  async function* content() {
    yield Buffer.from('x');
  }
  await expect(
    profiles.putFile('branch', 'conf/x', { ...old, content: content(), executable: false }),
  ).rejects.toMatchObject({ code: 'version_conflict' });
  await expect(profiles.set('branch', new Map([['central.host', 'c']]), old)).rejects.toMatchObject({
    code: 'version_conflict',
  });
  expect(blobs.begun()).toBeGreaterThan(before);
  expect(blobs.discarded.toSorted((one, other) => one - other)).toEqual(
    Array.from({ length: blobs.begun() - before }, (_, i) => before + 1 + i),
  );
});

test('an archive of more than a release may have is refused before it is stored', async () => {
  // The header of a file of two GiB, and nothing of it.
  const header = Buffer.alloc(512);
  header.write('conf/large', 0);
  header.write('0000644', 100);
  header.write((2 * 1024 ** 3).toString(8).padStart(11, '0'), 124);
  header.write('        0', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const { profiles } = memoryReleases();
  async function* archive() {
    yield header;
  }
  await expect(profiles.import('large', archive(), { actor, replace: false })).rejects.toMatchObject({
    code: 'release_too_large',
  });
});

test('settings keep comments, order, separators and encoding; the rest of the file is the same', async () => {
  const { profiles, audit } = await imported();
  const before = readFileSync(join(FIELD, 'conf/agent.conf'), 'latin1');
  const changes = new Map([
    ['central.websocket.secure.port', '9151'],
    ['branch.name', null],
    ['central.hosts', 'central.example.com'],
  ]);
  const { differences } = await profiles.set('branch', changes, { actor });
  expect(words(differences)).toEqual([
    'central.websocket.secure.port 9150 -> 9151',
    'branch.name Köln Hauptbahnhof -> (not set)',
    'central.hosts (not set) -> central.example.com',
  ]);
  const { content } = await profiles.read('branch', 'conf/agent.conf');
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  expect(Buffer.concat(parts).toString('latin1')).toBe(
    `${before.replace('port: 9150', 'port: 9151').replace(/branch\.name=.*\n/, '')}central.hosts = central.example.com\n`,
  );
  expect(audit.at(-1)).toMatchObject({ action: 'profiles.set' });
  await expect(profiles.set('branch', new Map([['log.level', 'loud']]), { actor })).rejects.toMatchObject({
    code: 'profile_setting_invalid',
    message: expect.stringContaining('log.level: found "loud"'),
  });
  const unknown = new Map([['central.websocket.secur', 'true']]);
  await expect(profiles.set('branch', unknown, { actor })).rejects.toMatchObject({ code: 'profile_setting_unknown' });
  expect(await profiles.set('branch', unknown, { actor, force: true, dryRun: true })).toMatchObject({
    differences: [{}],
  });
  await expect(profiles.set('branch', changes, { actor, ifMatch: 1 })).rejects.toMatchObject({
    code: 'version_conflict',
  });
});

test('files are put and deleted; agent.local.conf and names that Windows does not have are refused', async () => {
  const { profiles } = await imported();
  async function* content(): AsyncGenerator<Buffer> {
    yield Buffer.from('#!/bin/sh\n');
  }
  const put = (path: string) => profiles.putFile('branch', path, { actor, content: content(), executable: true });
  expect(words((await put('bin/run')).differences)).toEqual(['+ bin/run (10 bytes)']);
  for (const path of ['conf/agent.local.conf', '../x', 'aux.txt', 'CONF/agent.conf'])
    await expect(put(path)).rejects.toMatchObject({ code: 'release_path_invalid' });
  expect(words((await profiles.deleteFile('branch', 'bin/run', { actor })).differences)).toEqual(['- bin/run']);
  await expect(profiles.deleteFile('branch', 'bin/run', { actor })).rejects.toMatchObject({
    code: 'profile_file_unknown',
  });
});

describe('a release', () => {
  let certificate: ServerCredentials | undefined;
  let root: Buffer;
  beforeAll(async () => {
    const { keyMaterial } = memoryStore();
    const authority = await openAuthority({
      keyMaterial,
      central: 'central.test',
      lifetimeDays: () => 100,
      now: Date.now,
    });
    const identity = await openServerIdentity({ keyMaterial, authority, now: Date.now });
    await identity.adopt(
      await identity.stage({
        names: ['central.test'],
        subjectAlternativeNames: [],
        distinguishedName: '',
        lifetimeDays: 10,
      }),
      CENTRAL,
    );
    certificate = identity.slots.current;
    root = authority.roots()[0]?.raw ?? Buffer.alloc(0);
  });

  test('is refused while agents with it would not accept Central, unless it is forced', async () => {
    const { profiles, profileReleases, settings, audit } = await imported();
    settings.certificate = certificate;
    settings.bundle = [root];
    await expect(profileReleases.prepare('branch', { actor })).rejects.toMatchObject({
      code: 'truststore_does_not_verify',
    });
    const forced = await profileReleases.prepare('branch', { actor, force: true });
    expect(forced.overridden).toMatchObject([{ code: 'truststore_does_not_verify' }]);
    expect(JSON.parse(audit.at(-1)?.detail ?? '')).toMatchObject({ forced: ['truststore_does_not_verify'] });

    const added = await profiles.addTrusted('branch', { actor });
    expect(words(added.differences)).toEqual([expect.stringMatching(/^truststore: \+ .*, until 20\d\d-\d\d-\d\d$/)]);
    const prepared = await profileReleases.prepare('branch', { actor });
    expect([prepared.isNew, prepared.overridden, words(prepared.differences)]).toEqual([
      true,
      [],
      words(added.differences),
    ]);
    expect(await profileReleases.prepare('branch', { actor })).toMatchObject({ isNew: false, digest: prepared.digest });
    expect(await profileReleases.filesOf({ digest: prepared.digest })).toHaveLength(prepared.release?.fileCount ?? 0);
    const { differences } = await profileReleases.diff(
      'branch',
      forced.digest.slice(0, 8),
      `branch@${prepared.digest.slice(0, 8)}`,
    );
    expect(words(differences)).toEqual(words(added.differences));
    await expect(profileReleases.find('branch', 'abc')).rejects.toMatchObject({ code: 'profile_release_unknown' });

    const deleted = await profiles.deleteTrusted('branch', 'queuegate-root', { actor });
    expect(words(deleted.differences)).toEqual([expect.stringMatching(/^truststore: - /)]);
    await expect(profiles.deleteTrusted('branch', 'queuegate-root', { actor })).rejects.toMatchObject({ status: 422 });
  });

  test('is refused over a transport that Central does not accept now', async () => {
    const { profiles, profileReleases, settings } = await imported();
    settings.wss = false;
    await expect(profileReleases.prepare('branch', { actor })).rejects.toMatchObject({
      code: 'profile_transport_refused',
      message: expect.stringContaining('wss'),
    });
    await profiles.set('branch', new Map([['central.websocket.secure', 'false']]), { actor });
    expect((await profileReleases.prepare('branch', { actor, dryRun: true })).overridden).toEqual([]);
    settings.ws = false;
    await expect(profileReleases.prepare('branch', { actor })).rejects.toMatchObject({
      message: expect.stringContaining('ws'),
    });
  });
});
