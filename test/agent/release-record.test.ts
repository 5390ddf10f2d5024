// Which profile an agent runs with: by its record of releases, and where that, or the folder that it names, is gone.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { loadAgentConf } from '../../agent/conf.ts';
import { profileReleaseFolder, releaseRecordFile, saveReleaseRecord } from '../../agent/release-record.ts';
import { temporaryFolder } from '../temporary-folder.ts';

let folder = '';
beforeEach(async () => {
  folder = temporaryFolder();
});

const current = 'c'.repeat(64);
const previous = 'b'.repeat(64);

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

/** A base profile, and a record that names both releases. */
async function recorded() {
  const [base, data] = [join(folder, 'branch'), join(folder, 'data')];
  await write(join(base, 'conf', 'agent.conf'), 'central.host=base\n');
  await saveReleaseRecord(data, {
    profile: {
      instruction: {
        kind: 'profile',
        stage: 'upgrade',
        agent: 'a1',
        release: current,
        generation: 3,
        notBefore: 0,
        expires: 1,
        trialSeconds: 300,
        bytesPerSecond: 0,
        rollout: 'r-1',
      },
      ticket: '',
      state: 'succeeded',
      acceptedAt: 0,
      receivedBytes: 0,
      totalBytes: 0,
      tries: 1,
      code: '',
      detail: '',
      hint: '',
      current,
      candidate: null,
      previous,
    },
    software: null,
  });
  const inRelease = (release: string, path: string): string => join(profileReleaseFolder(data, release), path);
  const load = async () =>
    await loadAgentConf({ profileFolder: base, environment: {}, flags: { 'data-folder': data }, hostName: 'pc' });
  return { base, data, inRelease, load };
}

it('runs with the release of the record, else with the one before, else with the profile of the command line', async () => {
  const { data, inRelease, load } = await recorded();
  await write(inRelease(current, 'conf/agent.conf'), 'central.host=current\ndata.folder=elsewhere\n');
  await write(inRelease(previous, 'conf/agent.conf'), 'central.host=previous\n');
  const conf = await load();
  expect([conf.profile.release, conf.central.endpoints[0]?.host, conf.warnings]).toEqual([current, 'current', []]);
  expect(conf.dataFolder).toBe(data);
  await rm(profileReleaseFolder(data, current), { recursive: true });
  const before = await load();
  expect([before.profile.release, before.central.endpoints[0]?.host]).toEqual([previous, 'previous']);
  expect(before.warnings.join()).toContain('is missing');
  await rm(profileReleaseFolder(data, previous), { recursive: true });
  expect((await load()).profile.release).toBeNull();
  await write(releaseRecordFile(data), '{"format":1');
  const damaged = await load();
  expect([damaged.profile.release, damaged.central.endpoints[0]?.host]).toEqual([null, 'base']);
  expect(damaged.warnings.join()).toContain('cannot be used');
});

it('takes a relative path from where it is named, and what a release does not hold from the base', async () => {
  const { base, data, inRelease, load } = await recorded();
  await write(
    inRelease(current, 'conf/agent.conf'),
    'central.proxy=http://user@proxy:3128\ncentral.proxy.passwordFile=conf/proxy-password\n',
  );
  await write(inRelease(current, 'conf/security/truststore.jks'), '');
  const conf = await load();
  expect(conf.truststore.path).toBe(inRelease(current, 'conf/security/truststore.jks'));
  expect(conf.central.proxies.wss?.proxy.passwordFile).toBe(join(base, 'conf/proxy-password'));
  await write(join(base, 'conf', 'agent.local.conf'), 'truststore=conf/security/truststore.jks\nagent.name=here\n');
  const local = await load();
  expect([local.truststore.path, local.name]).toEqual([join(base, 'conf/security/truststore.jks'), 'here']);
  expect(local.profile).toEqual({
    name: 'branch',
    folder: profileReleaseFolder(data, current),
    base,
    release: current,
  });
});
