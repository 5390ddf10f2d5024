// What an agent does with a release that Central offers: from the offer to the commit, and back.
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, statSync } from 'node:fs';
import { link, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, expect, it } from 'vitest';
import { profileReleaseFolder } from '../../../agent/release-record.ts';
import { branch, cleanup, FalseCentral, foreignKey, release, run } from './central.ts';

afterEach(async () => {
  for (const act of cleanup.splice(0).toReversed()) await act();
});

const conf = (port: number, more = ''): string =>
  `central.host=127.0.0.1\ncentral.websocket.secure=false\ncentral.websocket.port=${port}\n${more}`;

const until = async (look: () => boolean): Promise<void> => {
  while (!look()) await new Promise((resolve) => setImmediate(resolve));
};

async function online() {
  const central = await new FalseCentral().listen();
  const folders = await branch({ 'conf/agent.conf': conf(central.port), 'conf/agent.local.conf': 'agent.name=here\n' });
  const agent = await run(folders);
  const first = await central.hello(() => true);
  expect(first.releases).toEqual({ profile: null, runtime: null, program: null });
  return { central, folders, agent };
}

it('takes a release: downloads it, is welcomed with it beside its session, and runs with it from then on', async () => {
  const { central, folders, agent } = await online();
  const files = { 'conf/agent.conf': conf(central.port, 'log.level=warn\n'), 'lib/tool.jar': 'x'.repeat(300_000) };
  const digest = central.add(release(files));
  central.offer({ release: digest, generation: 1 });
  expect(await central.state('succeeded')).toMatchObject({
    release: digest,
    generation: 1,
    receivedBytes: Buffer.byteLength(Object.values(files).join('')),
    code: '',
  });
  expect(central.hellos.map(({ releases }) => releases.profile)).toEqual([null, digest]);
  expect(new Set(central.hellos.map(({ bootId }) => bootId)).size).toBe(1);
  const now = await agent.conf();
  expect(now).toMatchObject({ name: 'here', logLevel: 'warn', profile: { base: folders.profile, release: digest } });
  expect(now.profile.folder).toBe(profileReleaseFolder(folders.data, digest));
  expect(agent.releases.status()).toMatchObject({
    profile: { release: digest, previousRelease: null, instruction: { state: 'succeeded' }, changedFiles: [] },
  });
  expect(existsSync(join(folders.data, 'releases', 'blobs'))).toBe(false);
  // Only what it does not have is downloaded; the previous release stays for a rollback, which downloads nothing.
  const second = central.add(release({ ...files, 'conf/agent.conf': conf(central.port) }));
  central.requests.length = 0;
  central.offer({ release: second, generation: 2 });
  await central.state('succeeded');
  expect(central.requests.map(({ path }) => path.split('/')[1])).toEqual(['releases', 'blobs']);
  central.requests.length = 0;
  central.offer({ release: digest, generation: 3 });
  expect(await central.state('succeeded')).toMatchObject({ release: digest, generation: 3 });
  expect(central.requests).toEqual([]);
  expect(central.hellos.map(({ releases }) => releases.profile)).toEqual([null, digest, second, digest]);
  // A process that starts again runs with it, and says so.
  await agent.stop();
  await run(folders);
  expect(await central.state('succeeded')).toMatchObject({ generation: 3 });
  expect(central.hellos.at(-1)?.releases.profile).toBe(digest);
});

it('refuses what is not for it, not new, not valid now or not signed by Central, and says why', async () => {
  const { central, folders } = await online();
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port) }));
  central.offer({ release: digest, generation: 5, stage: 'synchronize' });
  expect(await central.state('synchronized')).toMatchObject({ generation: 5 });
  const refusals: [Parameters<typeof central.offer>[0], string][] = [
    [{ release: digest, generation: 4 }, 'instruction_refused'],
    [{ release: 'a'.repeat(64), generation: 5 }, 'instruction_refused'],
    [{ release: digest, generation: 6, agent: 'a2' }, 'instruction_refused'],
    [{ release: digest, generation: 6, kind: 'software' }, 'software_without_launcher'],
    [{ release: digest, generation: 6, expires: 1_780_000_000_000 }, 'instruction_refused'],
    [{ release: digest, generation: 6, notBefore: 1_790_000_900_000 }, 'instruction_refused'],
  ];
  for (const [instruction, code] of refusals) {
    central.offer(instruction);
    const { code: found, generation, detail, hint } = await central.state('failed');
    expect([found, generation], JSON.stringify(instruction)).toEqual([code, instruction.generation]);
    expect(detail.length * hint.length).toBeGreaterThan(0);
  }
  central.offer({ release: digest, generation: 6 }, foreignKey);
  expect(await central.state('failed')).toMatchObject({ code: 'instruction_invalid', generation: 6 });
  const record = JSON.parse(await readFile(join(folders.data, 'releases', 'state.json'), 'utf8'));
  expect(record.profile).toMatchObject({ state: 'synchronized', instruction: { generation: 5 }, current: null });
  expect(central.hellos).toHaveLength(1);
});

it('continues a cut download at its byte, and takes no blob that is not the one it should be', async () => {
  const { central, folders } = await online();
  const big = 'b'.repeat(200_000);
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port), 'big.bin': big }));
  const sha256 = createHash('sha256').update(big).digest('hex');
  const part = join(folders.data, 'releases', 'blobs', `${sha256}.part`);
  let cuts = 0;
  central.onDownload = ({ url = '', headers }, response) => {
    if (!url.startsWith(`/blobs/${sha256}`) || headers.range !== undefined || cuts > 1) return false;
    if ((cuts += 1) === 1) response.writeHead(200).end(Buffer.alloc(200_000));
    else {
      response.writeHead(200).write(big.slice(0, 70_000));
      // The line is cut once all of it is on the disk.
      void until(() => statSync(part, { throwIfNoEntry: false })?.size === 70_000).then(() => response.destroy());
    }
    return true;
  };
  central.offer({ release: digest, generation: 1, stage: 'synchronize' });
  expect(await central.state('synchronized')).toMatchObject({ code: '' });
  const ranges = central.requests.map(({ range }) => range).filter((range) => range !== undefined);
  expect(ranges).toEqual(['bytes=70000-']);
});

it('continues no download in a link, in a file with another name or in one that others may read', async () => {
  const { central, folders } = await online();
  const big = 'b'.repeat(200_000);
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port), 'big.bin': big }));
  const blobs = join(folders.data, 'releases', 'blobs');
  const part = join(blobs, `${createHash('sha256').update(big).digest('hex')}.part`);
  const victim = join(folders.data, 'victim');
  const left: readonly (() => Promise<void>)[] = [
    () => symlink(victim, part),
    () => link(victim, part),
    () => writeFile(part, big.slice(0, 1000), { mode: 0o644 }),
  ];
  for (const [index, leave] of left.entries()) {
    await mkdir(blobs, { recursive: true });
    await writeFile(victim, big.slice(0, 1000), { mode: 0o600 });
    await rm(part, { force: true });
    await leave();
    central.requests.length = 0;
    let mode: number | undefined;
    central.onDownload = ({ url = '' }, response) => {
      if (!url.startsWith('/blobs/') || !part.includes(url.split(/[/?]/)[2] ?? 'none')) return false;
      response.writeHead(200).write(big.slice(0, 100_000));
      void until(() => lstatSync(part, { throwIfNoEntry: false })?.size === 100_000).then(() => {
        mode = lstatSync(part).mode & 0o7777;
        response.end(big.slice(100_000));
      });
      return true;
    };
    central.offer({ release: digest, generation: index + 1, stage: 'synchronize' });
    expect(await central.stateOf(index + 1, 'synchronized')).toMatchObject({ code: '' });
    expect(await readFile(victim, 'utf8')).toBe(big.slice(0, 1000));
    expect([index, mode, central.requests.some(({ range }) => range !== undefined)]).toEqual([index, 0o600, false]);
    await rm(join(folders.data, 'releases', digest), { recursive: true, force: true });
    await rm(profileReleaseFolder(folders.data, digest), { recursive: true, force: true });
  }
});

it('downloads files compressed, and takes none that unpacks to more than it should be, to something else, or to nothing', async () => {
  const { central } = await online();
  const big = 'b'.repeat(2_000_000);
  const files = { 'conf/agent.conf': conf(central.port), 'big.bin': big };
  central.offer({ release: central.add(release(files)), generation: 1, stage: 'synchronize' });
  expect(await central.state('synchronized')).toMatchObject({
    receivedBytes: Buffer.byteLength(Object.values(files).join('')),
  });
  expect(central.compressedBytes).toBeGreaterThan(0);
  expect(central.compressedBytes).toBeLessThan(5_000);
  const other = 'c'.repeat(2_000_000);
  const digest = central.add(release({ ...files, 'big.bin': other }));
  const sha256 = createHash('sha256').update(other).digest('hex');
  // A frame with a window of 128 MiB, which the agent does not set aside, and three bytes (RFC 8878 section 3.1.1).
  const wide = Buffer.from('28b52ffd0088190000616263', 'hex');
  const bombs = [
    zstdCompressSync(Buffer.alloc(100_000_000)),
    zstdCompressSync(Buffer.from(big)),
    Buffer.from('no zstd'),
    wide,
  ];
  for (const [index, bomb] of bombs.entries()) {
    central.onDownload = ({ url = '' }, response) => {
      if (!url.startsWith(`/blobs/${sha256}`)) return false;
      response.writeHead(200, { 'content-type': 'application/zstd' }).end(bomb);
      return true;
    };
    central.offer({ release: digest, generation: index + 2, stage: 'synchronize' });
    expect(await central.stateOf(index + 2, 'failed'), String(index)).toMatchObject({ code: 'release_blob_damaged' });
  }
  central.onDownload = () => false;
  // One that does not know the compressed form sends the file.
  central.isCompressing = false;
  central.offer({ release: digest, generation: 9, stage: 'synchronize' });
  await central.stateOf(9, 'synchronized');
});

it('takes nothing of a release of which one byte was altered on the way, in the manifest or in a file', async () => {
  const { central, folders } = await online();
  central.isCompressing = false;
  const file = 'b'.repeat(100_000);
  const made = release({ 'conf/agent.conf': conf(central.port), 'big.bin': file });
  const digest = central.add(made);
  const altered = (content: Buffer): Buffer => {
    const copy = Buffer.from(content);
    copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
    return copy;
  };
  const places: [string, Buffer, string][] = [
    [`/releases/${digest}/manifest`, Buffer.from(made.text), 'release_answer_bad'],
    [`/blobs/${createHash('sha256').update(file).digest('hex')}`, Buffer.from(file), 'release_blob_damaged'],
  ];
  for (const [index, [place, content, code]] of places.entries()) {
    central.onDownload = ({ url = '' }, response) => {
      if (!url.startsWith(place)) return false;
      response.writeHead(200).end(altered(content));
      return true;
    };
    central.offer({ release: digest, generation: index + 1, stage: 'synchronize' });
    expect(await central.stateOf(index + 1, 'failed'), place).toMatchObject({ code });
    expect(existsSync(profileReleaseFolder(folders.data, digest))).toBe(false);
  }
  central.onDownload = () => false;
  central.offer({ release: digest, generation: 9, stage: 'synchronize' });
  await central.stateOf(9, 'synchronized');
});

it('goes back by itself when its release is refused for good, and names the cause', async () => {
  const { central, agent } = await online();
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port) }));
  central.refuse = ({ releases }) => (releases.profile === digest ? { code: 'agent_unknown', close: 4401 } : undefined);
  central.offer({ release: digest, generation: 1 });
  const state = await central.state('rolled-back');
  expect(state).toMatchObject({ code: 'refused', release: digest });
  expect(state.detail).toContain('agent_unknown');
  expect(central.isOnline).toBe(true);
  expect(central.hellos.map(({ releases }) => releases.profile)).toEqual([null, digest]);
  expect((await agent.conf()).profile.release).toBeNull();
});

it('goes back after three dials over a minute that reach nothing, and at once from a truststore that does not verify', async () => {
  const { central } = await online();
  const unreached = central.add(release({ 'conf/agent.conf': conf(1) }));
  central.offer({ release: unreached, generation: 1 });
  expect(await central.state('rolled-back')).toMatchObject({ code: 'connection_refused' });
  const missing = central.add(
    release({ 'conf/agent.conf': `central.host=127.0.0.1\ncentral.websocket.secure.port=${central.port}\n` }),
  );
  central.offer({ release: missing, generation: 2 });
  expect(await central.state('rolled-back')).toMatchObject({ code: 'file_missing', generation: 2 });
  expect(central.hellos).toHaveLength(1);
});

it('does not fail a release that a busy Central throttles, and tries it again', async () => {
  const { central } = await online();
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port) }));
  let throttled = 0;
  central.refuse = ({ releases }) =>
    releases.profile === digest && (throttled += 1) <= 5 ? { code: 'busy', close: 4503, after: 40 } : undefined;
  central.offer({ release: digest, generation: 1, trialSeconds: 60 });
  expect(await central.state('succeeded')).toMatchObject({ code: '' });
  expect(throttled).toBeGreaterThan(3);
});

it('does not fail a release for HTTP 429, nor for a drain of the session in which it proves itself', async () => {
  const { central } = await online();
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port) }));
  central.throttledUpgrades = 5;
  central.offer({ release: digest, generation: 1, trialSeconds: 300 });
  expect(await central.state('succeeded')).toMatchObject({ code: '' });
  expect(central.throttledUpgrades).toBe(0);
  const next = central.add(release({ 'conf/agent.conf': conf(central.port, 'log.level=warn\n') }));
  central.drains = 1;
  central.offer({ release: next, generation: 2, trialSeconds: 300 });
  expect(await central.stateOf(2, 'succeeded')).toMatchObject({ code: '' });
  // The drained session, the one of the previous release, and the one that proved it.
  const hellos = central.hellos.map(({ releases }) => releases.profile);
  expect(hellos.slice(-3)).toEqual([next, digest, next]);
  expect(central.states.filter(({ state }) => state === 'failed' || state === 'rolled-back')).toEqual([]);
});

it('stops what Central cancels, and stays on its release', async () => {
  const { central, agent } = await online();
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port) }));
  central.onDownload = () => true;
  central.offer({ release: digest, generation: 7 });
  await central.state('synchronizing');
  central.send({ type: 'release-cancel', kind: 'profile', generation: 7 });
  expect(await central.state('canceled')).toMatchObject({ generation: 7 });
  expect((await agent.conf()).profile.release).toBeNull();
});

it('names files of its release that changed on the disk, and repairs them with the next instruction', async () => {
  const { central, folders, agent } = await online();
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port), 'a.txt': 'a' }));
  central.offer({ release: digest, generation: 1 });
  await central.state('succeeded');
  await agent.stop();
  const folder = profileReleaseFolder(folders.data, digest);
  await writeFile(join(folder, 'a.txt'), 'changed');
  const again = await run(folders);
  const found = await central.measurement(digest);
  expect(found).toMatchObject({ kind: 'profile', code: 'profile_drift', changedFiles: ['a.txt'], overriddenKeys: [] });
  expect(found.detail).toContain('a.txt');
  expect(again.releases.status()?.profile?.changedFiles).toEqual(['a.txt']);
  central.offer({ release: digest, generation: 2 });
  expect(await central.stateOf(2, 'succeeded')).toMatchObject({ code: '' });
  expect(await readFile(join(folder, 'a.txt'), 'utf8')).toBe('a');
  expect(await readdir(join(folder, '..'))).toEqual([digest]);
});

it('measures its release when Central requests it, and names the keys that its host overrides', async () => {
  const { central, folders } = await online();
  await writeFile(join(folders.profile, 'conf', 'agent.local.conf'), 'agent.name=here\nlog.level=warn\n');
  const digest = central.add(release({ 'conf/agent.conf': conf(central.port, 'log.level=info\n'), 'a.txt': 'a' }));
  central.offer({ release: digest, generation: 1 });
  const [unchanged, overriddenKeys] = [{ code: '', changedFiles: [] }, ['log.level']];
  expect(await central.measurement(digest)).toMatchObject({ ...unchanged, kind: 'profile', overriddenKeys });
  await writeFile(join(profileReleaseFolder(folders.data, digest), 'a.txt'), 'changed');
  // The same answer again: it has to be seen that it is new.
  for (let times = 0; times < 2; times += 1) {
    central.send({ type: 'release-measure' });
    const changed = { code: 'profile_drift', changedFiles: ['a.txt'], overriddenKeys };
    expect(await central.measurement(digest)).toMatchObject(changed);
  }
});
