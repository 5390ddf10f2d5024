import { describe, expect, it } from 'vitest';
import type { RolloutRecord } from '../../../central/store/rollouts/rollout-store.ts';
import { ENTRY, Fleet } from './fleet.ts';
import { PREVIOUS, RELEASE } from './samples.ts';

const IDS = ['a1', 'a2', 'a3'];
const WAVES = { waves: [{ count: 1 }, { share: 1 }], waveTargets: [1, 3] } as const;

async function connected(ids: readonly string[] = IDS, part?: Fleet['part']): Promise<Fleet> {
  const fleet = new Fleet(ids, part);
  await fleet.engine.start();
  for (const id of ids) fleet.connect(id);
  await fleet.engine.settled();
  return fleet;
}

async function until(fleet: Fleet, isOver: () => Promise<boolean>): Promise<void> {
  for (let rounds = 0; rounds < 40 && !(await isOver()); rounds += 1) await fleet.round();
}

const ended =
  (fleet: Fleet, number = 1) =>
  async (): Promise<boolean> =>
    ((await fleet.store.get(number))?.endedAt ?? null) !== null;

describe('the engine of rollouts', () => {
  it('brings agents to a release, wave after wave, and forgets the rollout then', async () => {
    const fleet = await connected();
    await fleet.begin(WAVES);
    expect(await fleet.states()).toEqual(['offered', 'waiting', 'waiting']);
    await until(fleet, ended(fleet));
    expect(await fleet.states()).toEqual(['succeeded', 'succeeded', 'succeeded']);
    expect(await fleet.store.get(1)).toMatchObject({ state: 'completed' });
    expect(fleet.engine.modelOf(1)).toBeUndefined();
    expect([...fleet.agents.values()].map(({ running }) => running)).toEqual([RELEASE, RELEASE, RELEASE]);
    expect(await fleet.store.releasesOf('a1')).toMatchObject([
      { desired: RELEASE, generation: 1, rollout: 1, reported: RELEASE },
    ]);
    expect(fleet.sent.filter(([, { type }]) => type === 'release-offer')).toHaveLength(3);
    await fleet.engine.stop();
  });

  it('halts at a failure, and rolls back to what each agent ran before', async () => {
    const fleet = await connected();
    fleet.agents.get('a2')!.outcome = 'rolled-back';
    await fleet.begin({ ...WAVES, errorShare: 0.2 });
    await until(fleet, async () => (await fleet.store.get(1))?.state === 'halted');
    expect(await fleet.states()).toEqual(expect.arrayContaining(['succeeded', 'rolled-back']));
    expect((await fleet.store.agents({ number: 1, limit: 9, states: ['rolled-back'] }))[0]).toMatchObject({
      agentId: 'a2',
      code: 'tls_failed',
    });
    await fleet.engine.act(1, 'rollback', { ...ENTRY, action: 'rollouts.rollback' });
    await until(fleet, ended(fleet));
    expect(await fleet.store.get(1)).toMatchObject({ state: 'rolled-back' });
    expect([...fleet.agents.values()].map(({ running }) => running)).toEqual([PREVIOUS, PREVIOUS, PREVIOUS]);
    expect(await fleet.store.releasesOf('a1')).toMatchObject([{ desired: PREVIOUS, generation: 2 }]);
    await fleet.engine.stop();
  });

  it('offers agents that come later what they have missed', async () => {
    const fleet = await connected();
    fleet.disconnect('a3');
    await fleet.begin();
    await fleet.round();
    await fleet.round();
    expect(await fleet.states()).toEqual(['synchronized', 'synchronized', 'waiting']);
    fleet.connect('a3');
    await until(fleet, ended(fleet));
    expect(await fleet.states()).toEqual(['succeeded', 'succeeded', 'succeeded']);
    await fleet.engine.stop();
  });

  it('writes changes of states, and no progress', async () => {
    const fleet = await connected(['a1']);
    await fleet.begin();
    await fleet.round();
    fleet.steps.length = 0;
    const session = fleet.sessions.get('a1')!;
    const frame = fleet.agents.get('a1')!.frame()!;
    for (let bytes = 1; bytes <= 500; bytes += 1)
      fleet.engine.onFrame(session, { ...frame, receivedBytes: bytes, totalBytes: 500 });
    await fleet.engine.settled();
    expect(fleet.steps).toEqual([]);
    expect(fleet.engine.modelOf(1)?.members.get('a1')?.record).toMatchObject({ receivedBytes: 500, totalBytes: 500 });
    await fleet.engine.stop();
  });

  it('cancels what an agent still does for an instruction that is over, once, and writes nothing for it', async () => {
    const fleet = await connected(['a1']);
    await fleet.begin();
    await fleet.round();
    fleet.disconnect('a1');
    await fleet.engine.act(1, { verb: 'cancel' }, ENTRY);
    fleet.sent.length = 0;
    fleet.connect('a1');
    await fleet.engine.settled();
    expect(fleet.sent).toEqual([['a1', { type: 'release-cancel', kind: 'profile', generation: 1 }]]);
    fleet.steps.length = 0;
    const session = fleet.sessions.get('a1')!;
    const frame = { ...fleet.agents.get('a1')!.frame()!, state: 'trying' } as const;
    for (let times = 0; times < 50; times += 1) fleet.engine.onFrame(session, frame);
    await fleet.engine.settled();
    expect(fleet.steps).toEqual([]);
    await fleet.engine.stop();
  });

  it('leaves what an agent says of its software out of a rollout of a profile', async () => {
    const fleet = await connected(['a1']);
    await fleet.begin();
    await fleet.round();
    const agent = fleet.agents.get('a1')!;
    fleet.sent.length = 0;
    const frame = { ...agent.frame()!, kind: 'software', generation: 99, state: 'succeeded' } as const;
    fleet.engine.onFrame(fleet.sessions.get('a1')!, frame);
    await fleet.engine.settled();
    expect(fleet.sent).toEqual([]);
    await until(fleet, ended(fleet));
    expect(await fleet.states()).toEqual(['succeeded']);
    expect(agent.instruction?.generation).toBe(1);
    await fleet.engine.stop();
  });

  it('begins behind the generation that an agent knows from before a restore of the store', async () => {
    const fleet = await connected(['a1']);
    const agent = fleet.agents.get('a1')!;
    const old = { kind: 'profile', stage: 'upgrade', agent: 'a1', release: PREVIOUS, generation: 41 } as const;
    agent.instruction = { ...old, notBefore: 0, expires: 1, trialSeconds: 300, bytesPerSecond: 0, rollout: 'r-9' };
    agent.state = 'succeeded';
    fleet.connect('a1');
    await expect.poll(() => fleet.store.facts('profile', ['a1'])).toMatchObject({ a1: { generation: 41 } });
    await fleet.begin();
    await until(fleet, ended(fleet));
    expect(await fleet.states()).toEqual(['succeeded']);
    expect(agent.refused).toEqual([]);
    expect(agent.instruction).toMatchObject({ generation: 42, release: RELEASE });
    await fleet.engine.stop();
  });

  it('turns a success into rolled-back when a later hello has another release, also after the end', async () => {
    const fleet = await connected(['a1']);
    await fleet.begin();
    await until(fleet, ended(fleet));
    fleet.agents.get('a1')!.running = PREVIOUS;
    fleet.connect('a1');
    await fleet.engine.settled();
    expect((await fleet.store.agents({ number: 1, limit: 1 }))[0]).toMatchObject({
      state: 'rolled-back',
      code: 'release_reverted',
    });
    await fleet.engine.stop();
  });

  it('refuses a second rollout on one agent, and names the first', async () => {
    const fleet = await connected();
    await fleet.begin();
    await expect(fleet.begin()).rejects.toMatchObject({ code: 'rollout_conflict', parameters: { rollout: 'r-1' } });
    await until(fleet, ended(fleet));
    expect(await fleet.begin({ stage: 'synchronize' })).toBe(2);
    await until(fleet, ended(fleet, 2));
    expect(await fleet.states(2)).toEqual(['synchronized', 'synchronized', 'synchronized']);
    await fleet.engine.stop();
  });

  const drift = { code: 'profile_drift', detail: 'conf/agent.conf was changed.', hint: 'Repair it.' };
  const found = { release: RELEASE, changedFiles: ['conf/agent.conf'], overriddenKeys: ['log.level'], ...drift };

  it('keeps what an agent measured of its profile, until it has taken or repaired a release', async () => {
    const fleet = await connected(['a1']);
    await fleet.begin();
    await until(fleet, ended(fleet));
    const session = fleet.sessions.get('a1')!;
    fleet.engine.onFrame(session, { type: 'release-measured', kind: 'profile', ...found });
    expect(fleet.engine.driftOf('a1')).toEqual({ profile: { ...found, reportedAt: fleet.now } });
    fleet.engine.onFrame(session, fleet.agents.get('a1')!.frame()!);
    expect(fleet.engine.driftOf('a1')).toEqual({});
    await fleet.engine.stop();
  });

  it('keeps what an agent measured of its software, of the parts that it runs and no other, in this session', async () => {
    const fleet = await connected(['a1']);
    const session = fleet.sessions.get('a1')!;
    const [program, runtime] = ['b'.repeat(64), 'c'.repeat(64)];
    const running = { ...session, facts: { ...session.facts, releases: { profile: null, program, runtime } } };
    for (const release of [program, runtime, 'd'.repeat(64)])
      fleet.engine.onFrame(running, { type: 'release-measured', kind: 'software', ...found, release });
    expect(fleet.engine.driftOf('a1')).toEqual({
      program: { ...found, release: program, reportedAt: fleet.now },
      runtime: { ...found, release: runtime, reportedAt: fleet.now },
    });
    fleet.connect('a1');
    expect(fleet.engine.driftOf('a1')).toEqual({});
    await fleet.engine.stop();
  });

  it('asks only an agent that is online and can for a measurement', async () => {
    const fleet = await connected(['a1']);
    const agent = { id: 'a1', name: 'branch' };
    expect(() => fleet.engine.requestMeasurement(agent)).toThrow(
      expect.objectContaining({ code: 'agent_cannot_measure' }),
    );
    fleet.agents.get('a1')!.capabilities = ['releases.1', 'releases.measure'];
    fleet.connect('a1');
    fleet.sent.length = 0;
    fleet.engine.requestMeasurement(agent);
    expect(fleet.sent).toEqual([['a1', { type: 'release-measure' }]]);
    fleet.disconnect('a1');
    expect(() => fleet.engine.requestMeasurement(agent)).toThrow(expect.objectContaining({ code: 'agent_offline' }));
    await fleet.engine.stop();
  });
});

describe('a Central that is killed', () => {
  /**
   * The same story, with a kill before the step of this number; the number of steps that were possible. Agents
   * synchronize, then upgrade, and return.
   */
  async function story(killAt: number, part: Fleet['part']): Promise<number> {
    const fleet = await connected(IDS, part);
    fleet.steps.length = 0;
    fleet.killAt = killAt;
    let revivals = 0;
    const revived = async (): Promise<void> => {
      if (!fleet.isKilled) return;
      revivals += 1;
      fleet.killAt = Number.POSITIVE_INFINITY;
      await fleet.restart();
    };
    const rollout = async (): Promise<RolloutRecord | undefined> => await fleet.store.get(1);
    /** An administrator repeats what was not answered, unless it has been done. */
    const order = async (act: () => Promise<unknown>, isDone: () => Promise<boolean>): Promise<void> => {
      await act().catch(() => undefined);
      await revived();
      if (!(await isDone())) await act();
      for (let rounds = 0; rounds < 40 && !(await ended(fleet)()); rounds += 1) {
        await fleet.round();
        await revived();
      }
    };
    await order(
      () => fleet.begin({ stage: 'synchronize' }),
      async () => (await rollout()) !== undefined,
    );
    expect(await rollout()).toMatchObject({ state: 'completed' });
    expect(await fleet.states()).toEqual(['synchronized', 'synchronized', 'synchronized']);
    const { successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond } = (await rollout())!;
    const plan = { waves: WAVES.waves, successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond };
    await order(
      () => fleet.engine.act(1, { verb: 'upgrade', plan }, ENTRY),
      async () => (await rollout())?.stage === 'upgrade',
    );
    expect(await rollout()).toMatchObject({ state: 'completed' });
    expect(await fleet.states()).toEqual(['succeeded', 'succeeded', 'succeeded']);
    await order(
      () => fleet.engine.act(1, 'rollback', ENTRY),
      async () => (await rollout())?.state !== 'completed',
    );
    expect(await rollout()).toMatchObject({ state: 'rolled-back' });
    for (const agent of fleet.agents.values()) {
      expect(agent).toMatchObject({ running: PREVIOUS, state: 'succeeded', refused: [] });
    }
    await fleet.engine.stop();
    expect(revivals).toBe(killAt === Number.POSITIVE_INFINITY ? 0 : 1);
    return fleet.steps.length;
  }

  it.each(['profile', 'program'] as const)(
    'before any write and any frame of the synchronization, upgrade and rollback of a %s goes on from its store',
    async (part) => {
      const all = await story(Number.POSITIVE_INFINITY, part);
      expect(all).toBeGreaterThan(30);
      for (let killAt = 0; killAt < all; killAt += 1) await story(killAt, part);
    },
  );
});
