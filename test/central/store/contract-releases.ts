// The part of the contract that concerns profiles, releases and the content of their files.
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import {
  CHUNK_BYTES,
  MAX_RELEASES,
  UNUSED_BLOB_MS,
  type DraftChange,
  type NewRelease,
} from '../../../central/store/releases/release-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { auditEntry, DAY, newRollout, NOW, registered, eachEngine, type Engine, type OpenEngine } from './samples.ts';

const sha256Of = (content: Buffer | string): string => createHash('sha256').update(content).digest('hex');

/** Stores the content as a blob; its name. */
export async function blobOf(store: Store, content: Buffer | string, now = NOW): Promise<string> {
  const bytes = Buffer.from(content);
  const blob = await store.releases.beginBlob(now);
  for (let index = 0; index * CHUNK_BYTES < bytes.length; index += 1) {
    const chunk = new Uint8Array(bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES));
    await store.releases.appendChunk(blob, index, chunk);
  }
  const sha256 = sha256Of(bytes);
  await store.releases.finishBlob(blob, { sha256, size: bytes.length }, now);
  return sha256;
}

const change = (changes: Partial<DraftChange>): DraftChange => ({
  name: 'branch',
  expectedVersion: null,
  remove: [],
  put: [],
  by: 'admin',
  now: NOW,
  ...changes,
});

const release = (digest: string, changes: Partial<NewRelease> = {}): NewRelease => ({
  digest,
  kind: 'profile',
  name: 'branch',
  bytes: 7,
  fileCount: 1,
  preparedAt: NOW,
  preparedBy: 'admin',
  comment: 'wss',
  ticket: 'CHG-101',
  signature: null,
  ...changes,
});

export function releaseContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  const AUDIT = auditEntry('profiles.import');
  const prune = (now: number): Promise<void> =>
    store.prune({
      now,
      eventsOlderThan: 0,
      deadLettersOlderThan: 0,
      deduplicationOlderThan: 0,
      incidentsOlderThan: 0,
    });

  it('keeps content in chunks, found by its SHA-256 once it is whole', async () => {
    const content = Buffer.alloc(2 * CHUNK_BYTES + 5, 'x');
    const blob = await store.releases.beginBlob(NOW);
    await store.releases.appendChunk(blob, 0, new Uint8Array(content.subarray(0, CHUNK_BYTES)));
    expect(await store.releases.blobSize(sha256Of(content))).toBeUndefined();

    const sha256 = await blobOf(store, content);
    store = await engine.restart();
    expect(await store.releases.blobSize(sha256)).toBe(content.length);
    const chunks = await Promise.all([0, 1, 2].map((index) => store.releases.readChunk(sha256, index)));
    expect(Buffer.concat(chunks.map((chunk) => chunk ?? Buffer.alloc(0)))).toEqual(content);
    const into = new ArrayBuffer(CHUNK_BYTES);
    expect(await store.releases.readChunk(sha256, 2, into)).toEqual(new Uint8Array(content.subarray(2 * CHUNK_BYTES)));
    expect(await store.releases.readChunk(sha256, 0, new ArrayBuffer(9))).toEqual(chunks[0]);
    expect(await store.releases.readChunk(sha256, 3, new ArrayBuffer(CHUNK_BYTES))).toBeUndefined();
    expect(await store.releases.readChunk(sha256, 3)).toBeUndefined();
    expect(await store.releases.readChunk(sha256, -1)).toBeUndefined();
    expect(await store.releases.readChunk(sha256Of('other'), 0)).toBeUndefined();
  });

  it('keeps empty content, and the same content once', async () => {
    const empty = await blobOf(store, '');
    expect([await store.releases.blobSize(empty), await store.releases.readChunk(empty, 0)]).toEqual([0, undefined]);
    expect(await blobOf(store, 'same')).toBe(await blobOf(store, 'same'));
    expect(await store.releases.readChunk(sha256Of('same'), 0)).toEqual(new Uint8Array(Buffer.from('same')));
  });

  it('deletes after a day what was not finished and what nothing names, and nothing else', async () => {
    const [named, released, unused] = await Promise.all([
      blobOf(store, 'named'),
      blobOf(store, 'released'),
      blobOf(store, Buffer.alloc(160 * CHUNK_BYTES)),
    ]);
    const manifest = await blobOf(store, 'manifest');
    const unfinished = await store.releases.beginBlob(NOW);
    await store.releases.changeDraft(change({ put: [{ path: 'a', sha256: named, executable: false }] }), AUDIT);
    await store.releases.addRelease(release(manifest), [released], AUDIT);
    await prune(NOW + UNUSED_BLOB_MS - 1);
    expect(await store.releases.blobSize(unused)).toBeDefined();

    await prune(NOW + UNUSED_BLOB_MS + 1);
    expect(await Promise.all([named, released, manifest, unused].map((one) => store.releases.blobSize(one)))).toEqual([
      5,
      8,
      8,
      undefined,
    ]);
    // An upload that waited for so long is refused where it is named.
    await store.releases.finishBlob(unfinished, { sha256: sha256Of('late'), size: 0 }, NOW);
    await expect(
      store.releases.changeDraft(
        change({ name: 'hub', put: [{ path: 'a', sha256: sha256Of('late'), executable: false }] }),
        AUDIT,
      ),
    ).rejects.toMatchObject({ code: 'blob_unknown' });
    expect(await store.releases.getProfile('hub')).toBeUndefined();

    await store.releases.removeProfile('branch', AUDIT);
    await prune(NOW + 2 * DAY);
    expect(await Promise.all([named, released, manifest].map((one) => store.releases.blobSize(one)))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('discards what was stored for an act that was refused, and neither what is named nor what another act stored again', async () => {
    const { releases } = store;
    const begun = async (content: Buffer | string, now: number) => {
      const blob = await releases.beginBlob(now);
      const bytes = Buffer.from(content);
      for (let index = 0; index * CHUNK_BYTES < bytes.length; index += 1)
        await releases.appendChunk(
          blob,
          index,
          new Uint8Array(bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)),
        );
      await releases.finishBlob(blob, { sha256: sha256Of(bytes), size: bytes.length }, now);
      return { blob, usedAt: now };
    };
    const [small, large, named] = [
      await begun('small', NOW),
      await begun(Buffer.alloc(300 * CHUNK_BYTES), NOW),
      await begun('named', NOW),
    ];
    const again = await begun('again', NOW);
    await begun('again', NOW + 1);
    const unfinished = { blob: await releases.beginBlob(NOW), usedAt: NOW };
    await releases.appendChunk(unfinished.blob, 0, new Uint8Array(5));
    await releases.changeDraft(change({ put: [{ path: 'a', sha256: sha256Of('named'), executable: false }] }), AUDIT);
    await releases.discardBlobs([small, unfinished, large, named, again]);
    const sizes = await Promise.all(
      ['small', Buffer.alloc(300 * CHUNK_BYTES), 'named', 'again'].map((one) => releases.blobSize(sha256Of(one))),
    );
    expect(sizes).toEqual([undefined, undefined, 5, 5]);
    // Its number is of no blob now.
    await releases.finishBlob(unfinished.blob, { sha256: sha256Of('late'), size: 5 }, NOW);
    expect(await releases.blobSize(sha256Of('late'))).toBeUndefined();
  });

  it('gives a release the signature that it lacks, once, and keeps its content', async () => {
    const [manifest, signature, other] = [
      await blobOf(store, 'manifest'),
      await blobOf(store, 'signature'),
      await blobOf(store, 'other'),
    ];
    const sign = (digest: string, by: string): Promise<void> =>
      store.releases.signRelease(digest, by, auditEntry('software.import'));
    await expect(sign(manifest, signature)).rejects.toMatchObject({ code: 'release_unknown' });
    await store.releases.addRelease(release(manifest), [], AUDIT);
    await expect(sign(manifest, sha256Of('nothing'))).rejects.toMatchObject({ code: 'blob_unknown' });
    expect((await store.releases.release(manifest))?.signature).toBeNull();
    await sign(manifest, signature);
    await expect(sign(manifest, other)).rejects.toMatchObject({ code: 'release_exists' });
    await prune(NOW + 2 * DAY);
    expect((await store.releases.release(manifest))?.signature).toBe(signature);
    expect(await store.releases.blobSize(signature)).toBe(9);
    expect((await store.audit.list({ limit: 9 })).map(({ action }) => action)).toContain('software.import');
  });

  it('changes a draft from the version that was read, with its audit entry', async () => {
    const [one, other] = [await blobOf(store, 'one'), await blobOf(store, 'other')];
    const put = [
      { path: 'conf/agent.conf', sha256: one, executable: false },
      { path: 'bin/run', sha256: other, executable: true },
    ];
    const created = await store.releases.changeDraft(change({ put }), AUDIT);
    expect(created).toEqual({
      name: 'branch',
      version: NOW,
      createdAt: NOW,
      createdBy: 'admin',
      changedAt: NOW,
      changedBy: 'admin',
      fileCount: 2,
      bytes: 8,
    });
    await expect(store.releases.changeDraft(change({ name: 'BRANCH' }), AUDIT)).rejects.toMatchObject({
      code: 'profile_exists',
    });

    const edit = change({
      expectedVersion: NOW,
      remove: ['bin/run', 'not there'],
      put: [{ path: 'conf/agent.conf', sha256: other, executable: false }],
      by: 'second',
    });
    const changed = await store.releases.changeDraft(edit, auditEntry('profiles.set'));
    expect(changed).toMatchObject({ version: NOW + 1, changedBy: 'second', fileCount: 1, bytes: 5 });
    await expect(store.releases.changeDraft(edit, AUDIT)).rejects.toMatchObject({
      code: 'version_conflict',
      status: 412,
    });
    expect(await store.releases.draftOf('Branch')).toEqual([
      { path: 'conf/agent.conf', size: 5, sha256: other, executable: false },
    ]);
    expect(await store.releases.draftFile('Branch', 'conf/agent.conf')).toEqual({
      path: 'conf/agent.conf',
      size: 5,
      sha256: other,
      executable: false,
    });
    for (const [name, path] of [
      ['branch', 'bin/run'],
      ['hub', 'conf/agent.conf'],
    ] as const)
      expect(await store.releases.draftFile(name, path)).toBeUndefined();
    store = await engine.restart();
    expect(await store.releases.listProfiles({ limit: 9 })).toEqual([changed]);
    expect((await store.audit.list({ limit: 9 })).map(({ action }) => action)).toEqual([
      'profiles.set',
      'profiles.import',
    ]);

    const replaced = await store.releases.changeDraft(
      change({ expectedVersion: NOW + 1, remove: 'all', put, now: NOW + 9 }),
      AUDIT,
    );
    expect(replaced).toMatchObject({ version: NOW + 9, fileCount: 2 });
    const paths = async (page: { after?: string; limit: number }): Promise<string[]> =>
      (await store.releases.listDraft('BRANCH', page)).map(({ path }) => path);
    expect(await paths({ limit: 9 })).toEqual(['bin/run', 'conf/agent.conf']);
    expect(await paths({ limit: 1 })).toEqual(['bin/run']);
    expect(await paths({ after: 'bin/run', limit: 1 })).toEqual(['conf/agent.conf']);
    expect(await paths({ after: 'conf/agent.conf', limit: 1 })).toEqual([]);
    await store.releases.removeProfile('branch', AUDIT);
    expect(await store.releases.draftOf('branch')).toEqual([]);
    // A tag of the old one does not fit the new one.
    expect(await store.releases.changeDraft(change({ now: NOW + 20 }), AUDIT)).toMatchObject({ version: NOW + 20 });
    await expect(store.releases.removeProfile('hub', AUDIT)).rejects.toMatchObject({ code: 'profile_unknown' });
    await expect(store.releases.changeDraft(change({ name: 'hub', expectedVersion: 1 }), AUDIT)).rejects.toMatchObject({
      code: 'profile_unknown',
    });
  });

  it('lists profiles in order of name', async () => {
    for (const name of ['c', 'a', 'B']) await store.releases.changeDraft(change({ name }), AUDIT);
    const names = async (after?: string): Promise<string[]> =>
      (await store.releases.listProfiles({ limit: 2, ...(after === undefined ? {} : { after }) })).map(
        ({ name }) => name,
      );
    expect(await names()).toEqual(['a', 'B']);
    expect(await names('B')).toEqual(['c']);
  });

  it('keeps releases by their digest, each once, the newest first', async () => {
    const [first, second, file] = [await blobOf(store, 'm1'), await blobOf(store, 'm2'), await blobOf(store, 'file')];
    await store.releases.addRelease(release(first), [file, file], AUDIT);
    await store.releases.addRelease(release(second, { kind: 'software', name: 'program' }), [], AUDIT);
    await expect(store.releases.addRelease(release(first), [file], AUDIT)).rejects.toMatchObject({
      code: 'release_exists',
    });
    await expect(store.releases.addRelease(release('0'.repeat(64)), [], AUDIT)).rejects.toMatchObject({
      code: 'blob_unknown',
    });
    store = await engine.restart();
    expect(await store.releases.release(first)).toEqual({ ...release(first), number: 1 });
    expect(await store.releases.release('0'.repeat(64))).toBeUndefined();
    const digests = async (page: Parameters<Store['releases']['listReleases']>[0]): Promise<string[]> =>
      (await store.releases.listReleases(page)).map(({ digest }) => digest);
    expect(await digests({ limit: 9 })).toEqual([second, first]);
    expect(await digests({ limit: 9, before: 2 })).toEqual([first]);
    expect(await digests({ limit: 9, kind: 'profile', name: 'BRANCH' })).toEqual([first]);
    expect(await digests({ limit: 9, prefix: second.slice(0, 8) })).toEqual([second]);
    expect(await store.releases.isOfRelease(first, file)).toBe(true);
    expect(await store.releases.isOfRelease(first, first)).toBe(true);
    expect(await store.releases.isOfRelease(second, file)).toBe(false);
  });

  it('keeps a profile whose release a rollout brings to agents, until that has ended', async () => {
    await registered(store, 'a1');
    const digest = await blobOf(store, 'm');
    await store.releases.changeDraft(change({}), AUDIT);
    await store.releases.addRelease(release(digest), [], AUDIT);
    const agents = [{ agentId: 'a1', isEligible: true }];
    const rollout = await store.rollouts.create(newRollout({ release: digest }), agents, AUDIT);
    const { number } = rollout;
    await expect(store.releases.removeProfile('branch', AUDIT)).rejects.toMatchObject({
      code: 'profile_in_rollout',
      message: expect.stringContaining(`r-${number}`),
    });
    expect(await store.releases.release(digest)).toBeDefined();
    const [agent] = await store.rollouts.agents({ number, limit: 1 });
    // It is canceled, and its agent still ends its trial.
    const ended = { ...rollout, state: 'canceled' as const, endedAt: NOW };
    const none = { generations: [], committed: [] };
    await store.rollouts.save({ rollout: ended, number, agents: [{ ...agent!, state: 'trying' }], ...none });
    await expect(store.releases.removeProfile('branch', AUDIT)).rejects.toMatchObject({ code: 'profile_in_rollout' });
    await store.rollouts.save({ number, agents: [{ ...agent!, state: 'succeeded', isBusy: false }], ...none });
    await store.releases.removeProfile('branch', AUDIT);
    expect(await store.releases.release(digest)).toBeUndefined();
  });

  it('keeps the signature of a build with its release, and deletes a release that nothing uses', async () => {
    await registered(store, 'a1');
    const [digest, signature] = [await blobOf(store, 'm'), await blobOf(store, 'signature')];
    const software = release(digest, { kind: 'software', name: 'queue-agent-program-0.2.0', signature });
    await store.releases.addRelease(software, [], AUDIT);
    expect(await store.releases.release(digest)).toMatchObject({ kind: 'software', signature });
    expect(await store.releases.isOfRelease(digest, signature)).toBe(true);
    expect(await store.releases.listReleases({ kind: 'profile', limit: 9 })).toEqual([]);

    const agents = [{ agentId: 'a1', isEligible: true }];
    const rollout = await store.rollouts.create(newRollout({ kind: 'software', release: digest }), agents, AUDIT);
    const { number } = rollout;
    const inUse = async (found: string) =>
      await expect(store.releases.removeRelease(digest, AUDIT)).rejects.toMatchObject({
        code: 'release_in_use',
        message: expect.stringContaining(found),
      });
    await inUse(`r-${number}`);
    const [agent] = await store.rollouts.agents({ number, limit: 1 });
    const ended = { ...rollout, state: 'completed' as const, endedAt: NOW };
    const committed = [{ agentId: 'a1', part: 'program', release: digest }] as const;
    const done = { ...agent!, state: 'succeeded', isBusy: false } as const;
    await store.rollouts.save({ rollout: ended, number, agents: [done], generations: [], committed });
    await inUse('1');
    await store.agents.remove('a1', AUDIT);
    await store.releases.removeRelease(digest, AUDIT);
    expect(await store.releases.release(digest)).toBeUndefined();
    await expect(store.releases.removeRelease(digest, AUDIT)).rejects.toMatchObject({ code: 'release_unknown' });
  });

  it('drops the oldest release of a profile when there are too many, but none that is rolled out or that agents shall have', async () => {
    await registered(store, 'a1');
    const digests: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      digests.push(await blobOf(store, `m${n}`));
      await store.releases.addRelease(release(digests[n] ?? ''), [], AUDIT);
    }
    const [unused = '', desired = '', rolledOut = ''] = digests;
    const { number } = await store.rollouts.create(newRollout({ release: rolledOut }), [], AUDIT);
    const committed = [{ agentId: 'a1', part: 'profile', release: desired }] as const;
    await store.rollouts.save({ number, agents: [], generations: [], committed });
    for (let n = 3; n < MAX_RELEASES + 3; n += 1)
      await store.releases.addRelease(release(await blobOf(store, `m${n}`)), [], AUDIT);
    expect(await store.releases.release(unused)).toBeUndefined();
    for (const digest of [desired, rolledOut]) expect(await store.releases.release(digest)).toBeDefined();
    expect(await store.releases.listReleases({ limit: 999 })).toHaveLength(MAX_RELEASES + 2);
  });
}
