// Whatever an act changes in the lists of agents, parameters, rollouts and tasks is noted: each is compared with the list
// before it.
import { expect, it, onTestFinished } from 'vitest';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { Labels } from '../../../central/store/agents/labels.ts';
import type { Store } from '../../../central/store/store.ts';
import { noteStoreChanges } from '../../../central/watching/noted-store.ts';
import { temporaryFolder } from '../../temporary-folder.ts';
import { ACT, claimOf, enrollmentToken, newRollout, NOW, registered, taskReport } from '../store/samples.ts';

async function lists(store: Store): Promise<ReadonlyMap<string, string>> {
  const { version: _, rows, pending: __ } = await store.parameters.load();
  return new Map([
    ...(await store.agents.list({ limit: 100 })).map((agent) => [`agents ${agent.id}`, JSON.stringify(agent)] as const),
    ...rows.map((row) => [`parameters ${row.name}`, JSON.stringify(row)] as const),
    ...(await store.rollouts.list({ limit: 100 })).map(
      (rollout) => [`rollouts r-${rollout.number}`, JSON.stringify(rollout)] as const,
    ),
    ...(await store.tasks.list({ limit: 100 })).map(
      (task) => [`tasks t-${task.number}`, JSON.stringify(task)] as const,
    ),
  ]);
}

function differences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].filter((key) => before.get(key) !== after.get(key)).toSorted();
}

const newAgent = (id: string) => ({
  id,
  name: id,
  publicKey: `key of ${id}`,
  keyThumbprint: `thumbprint of ${id}`,
  now: NOW,
});
const certificate = (agentId: string, thumbprint: string) => ({
  thumbprint,
  agentId,
  serial: `0${thumbprint.length}`,
  issuer: 'ca',
  keyThumbprint: `thumbprint of ${agentId}`,
  notBefore: NOW,
  notAfter: NOW + 1000,
  issuedAt: NOW,
});
const request = (key: string) => ({
  keyThumbprint: `thumbprint of ${key}`,
  name: key,
  id: key,
  csr: `request of ${key}`,
  address: '192.0.2.7',
  block: '192.0.2.7',
  site: '192.0',
  transport: 'wss' as const,
});
const fullInbox = (agentId: string, epoch: number) => ({
  agentId,
  epoch,
  at: NOW,
  position: null,
  inboxFull: true,
  consumers: [{ name: 'printer', types: [], waitingFrom: 1, waitingCount: 10_000 }],
});
const REPORTED = { profile: 'a'.repeat(64), program: null, runtime: null };
const CAUSE = { code: '', detail: '', hint: '' };
const CAUSES = { profile: CAUSE, program: CAUSE, runtime: CAUSE };
const newTask = (key: string) => ({
  key: key.repeat(32),
  agentId: 'a1',
  handler: 'backup',
  arguments: [],
  deadlineAt: NOW + 1000,
  createdAt: NOW,
  createdBy: 'admin',
  comment: null,
  ticket: null,
});
const reportOf = (key: string) => {
  const at = '1970-01-01T00:00:00.001Z';
  return taskReport('running', { key: key.repeat(32), changedAt: at, startedAt: at, endsWithinSeconds: 60 });
};
const TERMS = { bounds: { maxMessages: 9, maxBytes: 100_000, deduplicationMs: 86_400_000 }, maxUnfinished: 9 };
const BOUNDS = { most: 9, mostOfBlock: 9, silentBefore: 0, pendingBefore: 0, rejectedBefore: 0, acceptedBefore: 0 };

it('notes every agent, parameter, rollout and task that an act changed, and no deleted one as changed', async () => {
  const engine = await openSqliteStore({ folder: temporaryFolder(), deduplicationMs: 86_400_000, onFailure: () => {} });
  onTestFinished(() => engine.stop());
  const noted = new Map<string, boolean>();
  const taken: (readonly [string, Labels])[] = [];
  const store = noteStoreChanges(engine, {
    note: (collection, id, change) => {
      noted.set(`${collection} ${id}`, change?.isDeleted === true);
      if (change?.labelsBefore !== undefined) taken.push([id, change.labelsBefore]);
    },
  });
  const { agents, certificates, enrollments, parameters, rollouts, tasks } = store;
  await engine.tokens.addEnrollmentToken(enrollmentToken('t'), ACT);
  await enrollments.submit(request('e1'), BOUNDS, NOW);
  const act = { now: NOW, text: 'by test' };
  let epoch = 0;
  let number = 0;
  let task = 0;
  const acts: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['register', () => agents.register(newAgent('a1'), 't', ACT)],
    ['recordIssued', () => certificates.recordIssued(certificate('a1', 'c1'), ACT)],
    ['recordInstalled', () => certificates.recordInstalled('a1', 'c1', NOW)],
    ['claimSession', async () => ({ epoch } = await agents.claimSession(claimOf('a1')))],
    ['endSession', () => agents.endSession({ agentId: 'a1', epoch, now: NOW + 1, reason: 'the line was cut' })],
    ['logIn', () => agents.logIn(claimOf('a1', { session: 's2' }), { keyAlone: true, expiresAfter: 0 })],
    ['recordConsumers', () => agents.recordConsumers([fullInbox('a1', epoch + 1)])],
    ['recordReported', () => rollouts.recordReported('a1', REPORTED, CAUSES, NOW)],
    ['quarantine', () => agents.quarantine('a1', NOW + 1000, NOW, 'a clone')],
    ['change', () => agents.change('a1', { notes: 'n' }, { version: null, by: 'admin', now: NOW }, ACT)],
    ['admit', () => enrollments.admit(newAgent('a2'), 'admin', ACT)],
    [
      'labels',
      () => agents.change('a2', { labels: { region: 'north' } }, { version: null, by: 'admin', now: NOW }, ACT),
    ],
    [
      'other labels',
      () => agents.change('a2', { labels: { region: 'south' } }, { version: null, by: 'admin', now: NOW }, ACT),
    ],
    ['disable', () => agents.disable('a1', act, ACT)],
    ['enable', () => agents.enable('a1', act, ACT)],
    ['accept', () => enrollments.accept('request of e1', newAgent('e1'), 'admin', ACT)],
    [
      'create',
      async () => ({ number } = await rollouts.create(newRollout(), [{ agentId: 'a1', isEligible: true }], ACT)),
    ],
    [
      'save',
      async () =>
        rollouts.save({
          rollout: { ...newRollout(), number, state: 'paused' },
          number,
          agents: [],
          generations: [],
          committed: [],
        }),
    ],
    [
      'parameters',
      () =>
        parameters.save({
          expectedVersion: 0,
          rows: [{ name: 'agents.max', value: '7', changedBy: 'admin', changedAt: NOW }],
          pending: null,
          audit: ACT,
        }),
    ],
    ['a task', async () => ({ number: task } = (await tasks.create(newTask('1'), TERMS, ACT)).task)],
    [
      'the report of a task',
      async () => {
        const session = await agents.claimSession(claimOf('a1'));
        return await tasks.recordStates('a1', session.epoch, [reportOf('1')], { now: NOW, lostAfterMs: 1 });
      },
    ],
    ['the cancel of a task', () => tasks.cancel(task, { now: NOW, lostAfterMs: 1 }, ACT)],
    ['another task', () => tasks.create(newTask('2'), TERMS, ACT)],
    ['the end of overdue tasks', () => tasks.endOverdue(NOW + 1_000_000_000, 10)],
    ['replace', () => agents.replace('a2', 'e1', { by: 'admin', now: NOW }, ACT)],
    ['revoke', () => agents.revoke('a1', { reason: 'keyCompromise', ...act }, ACT)],
    ['remove', () => agents.remove('a1', ACT)],
  ];
  for (const [name, run] of acts) {
    const before = await lists(engine);
    noted.clear();
    await run();
    const after = await lists(engine);
    // Positions in the log of an agent, which tasks move, do not count as a change of it.
    const isOfTasks = name.includes('task');
    // And the tasks of a deleted agent are noted with it.
    const changed = differences(before, after).filter((key) => {
      if (key.startsWith('tasks ')) return name !== 'remove';
      return !isOfTasks || !key.startsWith('agents ');
    });
    expect([name, changed.length > 0, changed.filter((key) => !noted.has(key))]).toEqual([name, true, []]);
    for (const [key, isDeleted] of noted) expect([name, key, isDeleted]).toEqual([name, key, !after.has(key)]);
  }

  // What a change took from an agent is noted with it, and nothing else.
  expect(taken).toEqual([
    ['a2', {}],
    ['a2', { region: 'north' }],
    ['a2', { region: 'south' }],
    ['e1', {}],
    ['a1', {}],
  ]);

  // A report alone changes no list.
  noted.clear();
  await agents.recordConsumers([fullInbox('e1', 0)]);
  expect([...noted.keys()]).toEqual([]);

  // A look-up that claims nothing changes nothing.
  await registered(engine, 'a9');
  noted.clear();
  await agents.logIn(claimOf('a9'), { keyAlone: false, expiresAfter: 0 });
  expect([...noted.keys()]).toEqual([]);
});
