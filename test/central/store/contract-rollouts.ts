// The part of the contract that concerns rollouts, and the releases of agents.
import { beforeEach, expect, it } from 'vitest';
import type { RolloutAgentRecord, RolloutRecord } from '../../../central/store/rollouts/rollout-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { blobOf } from './contract-releases.ts';
import { auditEntry, newRollout, NOW, registered, eachEngine, type Engine, type OpenEngine } from './samples.ts';

const RELEASE = 'a'.repeat(64);
const OTHER = 'b'.repeat(64);
const ENTRY = auditEntry('profiles.upgrade');
/** A hello of an agent that has no release. */
const PACKAGE = { profile: null, program: null, runtime: null } as const;
const NOTHING = { generations: [], committed: [] } as const;
const REVERTED = { code: 'release_reverted', detail: 'It runs another release.', hint: 'Look.' } as const;
const CAUSES = { profile: REVERTED, program: REVERTED, runtime: REVERTED };

export function rolloutContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });
  beforeEach(async () => {
    await registered(store, 'a1');
    await registered(store, 'a2');
  });

  const agents = [
    { agentId: 'a1', isEligible: true },
    { agentId: 'a2', isEligible: false },
  ];
  const agentOf = async (rollout: RolloutRecord, id: string): Promise<RolloutAgentRecord> => {
    const found = (await store.rollouts.agents({ number: rollout.number, limit: 10 })).find(
      ({ agentId }) => agentId === id,
    );
    return found!;
  };

  it('numbers rollouts, keeps them with their agents over a restart, and lists the newest first', async () => {
    const first = await store.rollouts.create(newRollout(), agents, ENTRY);
    expect(first).toMatchObject({ number: 1, ticket: 'CHG-1' });
    const done = { ...(await agentOf(first, 'a1')), state: 'succeeded', isBusy: false } as const;
    const other = { ...(await agentOf(first, 'a2')), state: 'canceled', isBusy: false } as const;
    const ended = { ...first, state: 'completed', endedAt: NOW } as const;
    await store.rollouts.save({ number: 1, rollout: ended, agents: [done, other], ...NOTHING });
    const second = await store.rollouts.create(newRollout({ stage: 'synchronize' }), agents, ENTRY);
    store = await engine.restart();
    expect(await store.rollouts.get(1)).toEqual(ended);
    expect((await store.rollouts.list({ limit: 10 })).map(({ number }) => number)).toEqual([2, 1]);
    expect((await store.rollouts.list({ limit: 10, before: 2 })).map(({ number }) => number)).toEqual([1]);
    expect((await store.rollouts.list({ limit: 10, states: ['running'] })).map(({ number }) => number)).toEqual([2]);
    expect(await store.rollouts.active()).toEqual([second]);
    expect(await store.rollouts.counts(1)).toMatchObject({
      total: 2,
      eligible: 1,
      byState: { succeeded: 1, canceled: 1, waiting: 0 },
    });
    expect(await agentOf(first, 'a1')).toEqual(done);
    expect(await store.rollouts.get(3)).toBeUndefined();
  });

  it('pages the agents of a rollout by id and by state', async () => {
    const { number } = await store.rollouts.create(newRollout(), agents, ENTRY);
    const ids = async (page: object) =>
      (await store.rollouts.agents({ number, limit: 10, ...page })).map(({ agentId }) => agentId);
    expect(await ids({})).toEqual(['a1', 'a2']);
    expect(await ids({ limit: 1 })).toEqual(['a1']);
    expect(await ids({ after: 'a1' })).toEqual(['a2']);
    expect(await ids({ states: ['failed'] })).toEqual([]);
    expect(await ids({ states: ['failed', 'waiting'] })).toEqual(['a1', 'a2']);
  });

  it('refuses an agent that takes part in another rollout, names that one, and then writes nothing', async () => {
    const first = await store.rollouts.create(newRollout(), agents, ENTRY);
    await expect(store.rollouts.create(newRollout(), [agents[0]!], ENTRY)).rejects.toMatchObject({
      code: 'rollout_conflict',
      status: 409,
      parameters: { agent: 'a1', rollout: 'r-1' },
    });
    expect(await store.rollouts.list({ limit: 10 })).toEqual([first]);
    expect((await store.audit.list({ limit: 10 })).filter(({ action }) => action === ENTRY.action)).toHaveLength(1);
    const free = { ...(await agentOf(first, 'a1')), state: 'failed', isBusy: false } as const;
    await store.rollouts.save({ number: first.number, agents: [free], ...NOTHING });
    const second = await store.rollouts.create(newRollout(), [agents[0]!], ENTRY);
    expect(await store.rollouts.ofAgent('a1')).toEqual(second);
    const again = { ...free, state: 'waiting', isBusy: true } as const;
    await expect(store.rollouts.save({ number: first.number, agents: [again], ...NOTHING })).rejects.toMatchObject({
      code: 'rollout_conflict',
      parameters: { rollout: 'r-2' },
    });
    expect(await agentOf(first, 'a1')).toEqual(free);
  });

  it('never lets a generation shrink, and keeps what agents report beside what they shall have', async () => {
    const { number } = await store.rollouts.create(newRollout(), agents, ENTRY);
    const of = { agentId: 'a1', part: 'profile' } as const;
    const save = (change: object) => store.rollouts.save({ number, agents: [], ...NOTHING, ...change });
    await store.rollouts.recordReported('a1', { ...PACKAGE, profile: OTHER }, CAUSES, NOW);
    await save({ generations: [{ ...of, generation: 7 }] });
    await save({ generations: [{ ...of, generation: 3 }], committed: [{ ...of, release: OTHER }] });
    await save({ generations: [{ ...of, part: 'program', generation: 5 }] });
    await save({ committed: [{ ...of, release: RELEASE }] });
    await save({ committed: [{ ...of, release: RELEASE }] });
    const none = { desired: null, previous: null, rollout: null, reported: null, reportedAt: null };
    expect(await store.rollouts.releasesOf('a1')).toEqual([
      { ...of, desired: RELEASE, previous: OTHER, generation: 7, rollout: number, reported: OTHER, reportedAt: NOW },
      { ...of, ...none, part: 'program', generation: 5 },
    ]);
    expect(await store.rollouts.facts('profile', ['a1', 'a2'])).toEqual({ a1: { generation: 7, desired: RELEASE } });
    expect(await store.rollouts.facts('program', ['a1'])).toEqual({ a1: { generation: 7, desired: null } });
  });

  it('counts the agents of each release of a profile: those that shall have it, and those that run it', async () => {
    const prepared = async (name: string): Promise<string> => {
      const digest = await blobOf(store, `the manifest of ${name}`);
      const facts = { kind: 'profile', bytes: 1, fileCount: 0, preparedAt: NOW, preparedBy: 'admin' } as const;
      const none = { comment: null, ticket: null, signature: null };
      await store.releases.addRelease({ ...facts, ...none, digest, name }, [digest], ENTRY);
      return digest;
    };
    const [older, newer] = [await prepared('Branch'), await prepared('branch')];
    await prepared('hub');
    expect(await store.rollouts.agentsPerRelease(null, null)).toEqual([]);
    await store.rollouts.recordReported('a1', { ...PACKAGE, profile: newer, program: older }, CAUSES, NOW);
    await store.rollouts.recordReported('a2', { ...PACKAGE, profile: older }, CAUSES, NOW);
    const committed = ['a1', 'a2'].map((agentId) => ({ agentId, part: 'profile', release: newer }) as const);
    await store.rollouts.save({ number: 0, agents: [], generations: [], committed });
    const counts = [
      { profile: 'branch', release: newer, desiredCount: 2, reportedCount: 1 },
      { profile: 'Branch', release: older, desiredCount: 0, reportedCount: 1 },
    ];
    expect(await store.rollouts.agentsPerRelease('BRANCH', null)).toEqual(counts);
    expect(await store.rollouts.agentsPerRelease(null, null)).toEqual(counts);
    expect(await store.rollouts.agentsPerRelease('hub', null)).toEqual([]);
    expect((await store.agents.get('a1'))?.releases).toEqual([
      { part: 'profile', digest: newer, name: 'branch' },
      { part: 'program', digest: older, name: 'Branch' },
    ]);
    expect((await store.agents.count({})).releases).toEqual([
      { release: older, name: 'Branch', agents: 2 },
      { release: newer, name: 'branch', agents: 1 },
    ]);
    const ofOne = [{ profile: 'branch', release: newer, desiredCount: 1, reportedCount: 1 }];
    expect(await store.rollouts.agentsPerRelease('branch', ['a1'])).toEqual(ofOne);
    expect(await store.rollouts.agentsPerRelease(null, [])).toEqual([]);
  });

  it('turns a success into rolled-back at a later hello with another release, and nothing else', async () => {
    const rollout = await store.rollouts.create(newRollout(), agents, ENTRY);
    const { number } = rollout;
    const succeeded = {
      ...(await agentOf(rollout, 'a1')),
      state: 'succeeded',
      isBusy: false,
      target: RELEASE,
    } as const;
    await store.rollouts.save({
      number,
      agents: [succeeded],
      generations: [],
      committed: [{ agentId: 'a1', part: 'profile', release: RELEASE }],
    });
    const report = (profile: string | null) =>
      store.rollouts.recordReported('a1', { ...PACKAGE, profile }, CAUSES, NOW + 1);
    expect(await report(RELEASE)).toEqual([]);
    expect(await agentOf(rollout, 'a1')).toEqual(succeeded);
    expect(await report(OTHER)).toEqual([{ part: 'profile', rollout: number }]);
    expect(await agentOf(rollout, 'a1')).toMatchObject({ state: 'rolled-back', code: REVERTED.code });
    expect(await report(null)).toEqual([]);
    expect(await report(RELEASE)).toEqual([]);
    expect(await agentOf(rollout, 'a1')).toMatchObject({ state: 'rolled-back' });
  });

  it('keeps a success when a hello reports what a later rollout has the agent take, before that has succeeded', async () => {
    const first = await store.rollouts.create(newRollout(), agents, ENTRY);
    const succeeded = {
      ...(await agentOf(first, 'a1')),
      state: 'succeeded',
      isBusy: false,
      target: RELEASE,
    } as const;
    await store.rollouts.save({
      number: first.number,
      agents: [succeeded, { ...(await agentOf(first, 'a2')), isBusy: false }],
      generations: [],
      committed: [{ agentId: 'a1', part: 'profile', release: RELEASE }],
    });
    const later = await store.rollouts.create(newRollout(), agents, ENTRY);
    const trying = { ...(await agentOf(later, 'a1')), state: 'trying', isBusy: true, target: OTHER } as const;
    await store.rollouts.save({ number: later.number, agents: [trying], ...NOTHING });
    const report = (profile: string) => store.rollouts.recordReported('a1', { ...PACKAGE, profile }, CAUSES, NOW + 1);
    expect(await report(OTHER)).toEqual([]);
    expect(await agentOf(first, 'a1')).toEqual(succeeded);
    expect(await report('c'.repeat(64))).toEqual([{ part: 'profile', rollout: first.number }]);
  });

  it('counts each part of an agent on its own: a program is rolled back by a hello with that of the package, not by another profile', async () => {
    const rollout = await store.rollouts.create(newRollout({ kind: 'software' }), agents, ENTRY);
    const { number } = rollout;
    const succeeded = {
      ...(await agentOf(rollout, 'a1')),
      state: 'succeeded',
      isBusy: false,
      target: RELEASE,
    } as const;
    const committed = [{ agentId: 'a1', part: 'program', release: RELEASE }] as const;
    await store.rollouts.save({ number, agents: [succeeded], generations: [], committed });
    const report = (releases: object) =>
      store.rollouts.recordReported('a1', { ...PACKAGE, ...releases }, CAUSES, NOW + 1);
    expect(await report({ program: RELEASE, profile: OTHER, runtime: OTHER })).toEqual([]);
    expect((await store.rollouts.releasesOf('a1')).map(({ part, reported }) => [part, reported])).toEqual([
      ['profile', OTHER],
      ['program', RELEASE],
      ['runtime', OTHER],
    ]);
    expect(await report({ profile: RELEASE })).toEqual([{ part: 'program', rollout: number }]);
    expect(await agentOf(rollout, 'a1')).toMatchObject({ state: 'rolled-back', code: REVERTED.code });
    expect((await store.rollouts.releasesOf('a1')).map(({ reported }) => reported)).toEqual([RELEASE, null, null]);
  });

  it('forgets a deleted agent in its rollouts', async () => {
    const rollout = await store.rollouts.create(newRollout(), agents, ENTRY);
    const gone = await agentOf(rollout, 'a1');
    await store.agents.remove('a1', ENTRY);
    await store.rollouts.save({ number: rollout.number, agents: [gone], ...NOTHING });
    expect(await store.rollouts.counts(rollout.number)).toMatchObject({ total: 1 });
    expect(await store.rollouts.releasesOf('a1')).toEqual([]);
  });
}
