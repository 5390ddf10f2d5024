// What comes of many agents at once, on PostgreSQL: each gets what it would get alone.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Store } from '../../../../../central/store/store.ts';
import { freshDatabase, type TestDatabase } from '../../../../postgres/cluster.ts';
import { auditEntry, claimOf, newRollout, NOW, online } from '../../samples.ts';
import { openAt } from '../engine.ts';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await freshDatabase();
  store = await openAt(database.url);
});
afterAll(async () => {
  await store.stop();
  await database.drop();
});

const ids = (letter: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${letter}${i}`);
const RELEASE = 'a'.repeat(64);
const OTHER = 'b'.repeat(64);
const PACKAGE = { profile: null, program: null, runtime: null };
const CAUSE = { code: 'release_reverted', detail: 'It reports another one.', hint: 'Look.' };
const CAUSES = { profile: CAUSE, program: CAUSE, runtime: CAUSE };

async function allOnline(agents: readonly string[]): Promise<number[]> {
  const epochs: number[] = [];
  for (const id of agents) epochs.push(await online(store, id));
  return epochs;
}

it('ends sessions, and none that another one followed', async () => {
  const agents = ids('e', 5);
  const epochs = await allOnline(agents);
  await store.agents.quarantine('e1', NOW + 5_000, NOW, 'clone: two of them');
  await store.agents.claimSession(claimOf('e2', { session: 's2' }));
  await Promise.all(
    agents.map((agentId, index) =>
      store.agents.endSession({
        agentId,
        epoch: epochs[index] ?? 0,
        now: NOW + 1,
        reason: index === 3 ? 'session_drained: later\0' : 'session_cut: cut',
        until: index === 3 ? NOW + 9 : null,
      }),
    ),
  );
  const found = await Promise.all(agents.map((id) => store.agents.get(id)));
  expect(found.map((agent) => agent?.state)).toEqual(['dropped', 'quarantined', 'online', 'draining', 'dropped']);
  expect(found.map((agent) => agent?.session?.endedAt)).toEqual([NOW + 1, NOW + 1, null, NOW + 1, NOW + 1]);
  expect((await store.agents.history('e3'))[0]).toMatchObject({ state: 'draining', until: NOW + 9 });
});

it('records what agents report of their consumers, and who becomes degraded', async () => {
  const agents = ids('c', 4);
  const epochs = await allOnline(agents);
  const report = (index: number, inboxFull: boolean, epoch = epochs[index] ?? 0) => ({
    agentId: `c${index}`,
    epoch,
    at: NOW + 1,
    position: null,
    inboxFull,
    consumers: [{ name: "a'\0", types: ['t'], waitingFrom: 1, waitingCount: 7 }],
  });
  expect(
    await store.agents.recordConsumers([report(0, true), report(1, false), report(2, true, 99), report(3, true)]),
  ).toEqual(['c0', 'c3']);
  expect(
    await store.agents.recordConsumers([report(0, false), report(3, true), report(0, true), report(0, false)]),
  ).toEqual(['c0', 'c0', 'c0']);
  const states = await Promise.all(agents.map(async (id) => (await store.agents.get(id))?.state));
  expect(states).toEqual(['online', 'online', 'online', 'degraded']);
  expect(await store.agents.consumersOf('c1')).toMatchObject({ epoch: epochs[1], at: NOW + 1, inboxFull: false });
  expect(await store.agents.consumersOf('c2')).toBeUndefined();
});

it('records the releases of agents, and each success that they contradict', async () => {
  const agents = ids('r', 6);
  await allOnline(agents);
  const rollout = await store.rollouts.create(
    newRollout(),
    agents.map((agentId) => ({ agentId, isEligible: true })),
    auditEntry('rollouts.create'),
  );
  const members = await store.rollouts.agents({ number: rollout.number, limit: 10 });
  await store.rollouts.save({
    number: rollout.number,
    agents: members.map((member) => ({ ...member, state: 'succeeded', isBusy: false, target: RELEASE }) as const),
    generations: [],
    committed: agents.map((agentId) => ({ agentId, part: 'profile', release: RELEASE }) as const),
  });
  const report = (at: number) =>
    Promise.all(
      ['r0', 'r1', 'r2', 'r2', 'unknown'].map((agentId) =>
        store.rollouts.recordReported(
          agentId,
          { ...PACKAGE, profile: agentId === 'r1' ? OTHER : RELEASE, program: agentId === 'r0' ? OTHER : null },
          CAUSES,
          at,
        ),
      ),
    );
  expect(await report(NOW)).toEqual([[], [{ part: 'profile', rollout: rollout.number }], [], [], []]);
  expect(await report(NOW + 1)).toEqual([[], [], [], [], []]);
  expect((await store.rollouts.agents({ number: rollout.number, limit: 2 })).map(({ state }) => state)).toEqual([
    'succeeded',
    'rolled-back',
  ]);
  // What is the same is written once.
  const releases = await store.rollouts.releasesOf('r0');
  expect(releases.map(({ part, reported, reportedAt }) => [part, reported, reportedAt])).toEqual([
    ['profile', RELEASE, NOW],
    ['program', OTHER, NOW],
  ]);
});

it('records what agents trust; an unknown agent fails alone', async () => {
  await allOnline(['t1', 't2']);
  const recorded = await Promise.allSettled(
    ['t1', 't2', 'gone'].map((id) => store.certificates.recordTrust(id, [`root of ${id}`])),
  );
  expect(recorded).toMatchObject([
    { status: 'fulfilled' },
    { status: 'fulfilled' },
    { reason: { code: 'agent_unknown' } },
  ]);
  expect(await store.certificates.trustOf('t2')).toEqual(['root of t2']);
});

it('carries out what is on its way before it stops', async () => {
  const agents = ids('s', 3);
  const epochs = await allOnline(agents);
  const ends = agents.map((agentId, index) =>
    store.agents.endSession({ agentId, epoch: epochs[index] ?? 0, now: NOW, reason: 'session_cut: cut' }),
  );
  await store.stop();
  await Promise.all(ends);
  store = await openAt(database.url);
  expect((await store.agents.get('s2'))?.state).toBe('dropped');
});
