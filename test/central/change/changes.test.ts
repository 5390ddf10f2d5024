// The rules that every change follows, with a target that only remembers what it was asked.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Actor } from '../../../central/audit.ts';
import type { OnlineAgent } from '../../../central/change/agents.ts';
import { Changes, type ChangePlan } from '../../../central/change/changes.ts';
import type { PendingChange } from '../../../central/change/pending.ts';
import { makeChanges } from '../fakes.ts';

const ANN: Actor = { who: 'ann', from: '10.0.0.1' };
const CONFIRM = { withinSeconds: 60, share: 0.5 };

let time: number;
let timers: { at: number; run: () => void }[];
let online: OnlineAgent[];
let steps: string[];
let marks: Record<'parameters' | 'server-certificate', PendingChange | null>;
let changes: Changes;

beforeEach(() => {
  time = 1_000_000;
  timers = [];
  online = [];
  steps = [];
  marks = { parameters: null, 'server-certificate': null };
  changes = makeChanges(
    () => time,
    (ms, run) => {
      const timer = { at: time + ms, run };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
  );
  register('parameters', ['parameters'], false);
  register('server-certificate', ['server-certificate', 'parameters'], true);
});

function register(
  subject: 'parameters' | 'server-certificate',
  blockedBy: readonly ('parameters' | 'server-certificate')[],
  countsNewSessionsOnly: boolean,
): void {
  changes.register({
    subject,
    blockedBy,
    agents: { online: async () => online },
    countsNewSessionsOnly,
    pending: () => marks[subject],
    async keep(_change, actor, forced) {
      marks[subject] = null;
      steps.push(`keep by ${actor.who}${forced ? ', forced' : ''}`);
    },
    async rollBack(_change, actor, reason) {
      marks[subject] = null;
      steps.push(`roll back by ${actor.who}: ${reason}`);
    },
    finish: async (remainder, { who }) => void steps.push(`${remainder} by ${who}`),
  });
}

function plan(
  subject: 'parameters' | 'server-certificate' = 'parameters',
  more: Partial<ChangePlan<object>> = {},
): () => Promise<ChangePlan<object>> {
  return async () => ({
    report: { what: 'a report' },
    cutOff: [],
    changed: [{ name: 'https.port', from: 8443, to: 9443 }],
    listener: null,
    async carryOut(pending) {
      marks[subject] = pending ?? null;
      steps.push(pending === undefined ? 'carry out' : 'carry out pending');
    },
    ...more,
  });
}

function agent(name: string, since = 0, loopback = false): OnlineAgent {
  return { agentId: name, name, listener: 'wss', transport: 'wss', address: '10.0.0.9', loopback, since };
}

async function pass(ms: number): Promise<void> {
  time += ms;
  for (const timer of timers.filter(({ at }) => at <= time)) timer.run();
  await changes.runExclusive(async () => undefined);
}

const losing = (name: string) =>
  ({ id: `id-${name}`, name, reason: 'offline', detail: `${name} is offline.` }) as const;

describe('a change', () => {
  it('that would refuse the administrator who makes it needs force', async () => {
    const cutsOffCaller = { address: '10.0.0.5', rule: 'access.https' };
    await expect(changes.make('parameters', {}, ANN, plan('parameters', { cutsOffCaller }))).rejects.toMatchObject({
      code: 'would_cut_off_administrator',
      status: 409,
    });
    expect(steps).toEqual([]);
    await changes.make('parameters', { force: true }, ANN, plan('parameters', { cutsOffCaller }));
    expect(steps).toEqual(['carry out']);
  });

  it('is carried out, and in a dry run only reported', async () => {
    const dry = await changes.make('parameters', { dryRun: true, confirm: CONFIRM }, ANN, plan());
    expect(dry).toEqual({ what: 'a report', dryRun: true, change: null });
    expect(steps).toEqual([]);
    const made = await changes.make('parameters', {}, ANN, plan());
    expect(made).toEqual({ what: 'a report', dryRun: false, change: null });
    expect(steps).toEqual(['carry out']);
    expect(await changes.list()).toEqual([]);
  });

  it('that would cut agents off is refused unless it is forced; a dry run reports it', async () => {
    const cutting = plan('parameters', { cutOff: ['a', 'b'].map(losing) });
    await changes.make('parameters', { dryRun: true }, ANN, cutting);
    await expect(changes.make('parameters', {}, ANN, cutting)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      parameters: { count: '2 agents', names: 'a, b' },
      problem: {
        members: {
          cutOff: {
            count: 2,
            items: [
              { agent: { id: 'id-a', name: 'a' }, reason: 'offline', detail: 'a is offline.' },
              { agent: { id: 'id-b', name: 'b' }, reason: 'offline', detail: 'b is offline.' },
            ],
          },
        },
      },
    });
    expect(steps).toEqual([]);
    await changes.make('parameters', { force: true }, ANN, cutting);
    expect(steps).toEqual(['carry out']);
  });

  it('of a subject that nothing registered is a fault of the program', async () => {
    const none = makeChanges();
    await expect(none.make('parameters', {}, ANN, plan())).rejects.toThrow(TypeError);
    expect(none.pending('parameters')).toBeNull();
  });

  it('without an effect needs no confirmation', async () => {
    const { carryOut: _, ...nothing } = await plan()();
    expect(await changes.make('parameters', { confirm: CONFIRM }, ANN, async () => nothing)).toMatchObject({
      change: null,
    });
    expect(timers).toEqual([]);
  });

  it('waits for the one before it', async () => {
    const slow = plan('parameters', {
      async carryOut() {
        steps.push('begin');
        await new Promise(setImmediate);
        steps.push('end');
      },
    });
    await Promise.all([changes.make('parameters', {}, ANN, slow), changes.make('parameters', {}, ANN, slow)]);
    expect(steps).toEqual(['begin', 'end', 'begin', 'end']);
  });
});

describe('a pending change', () => {
  it('has an id, an owner and a deadline, and says how many agents are back', async () => {
    online = [agent('a'), agent('b'), agent('here', 0, true)];
    let asked = 0;
    const { change } = await changes.make(
      'parameters',
      { confirm: CONFIRM },
      { ...ANN, comment: 'a firewall', ticket: 'CHG-1' },
      plan('parameters', { listener: 'http', onPending: (seconds) => (asked = seconds) }),
    );
    expect(change).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      subject: 'parameters',
      state: 'pending',
      owner: { who: 'ann', from: '10.0.0.1', node: 'n1' },
      expiresAt: time + 60_000,
      requiredShare: 0.5,
      agentCount: 2,
      returnedCount: 2,
      listener: 'http',
      changed: [{ name: 'https.port', from: 8443, to: 9443 }],
      comment: 'a firewall',
      ticket: 'CHG-1',
    });
    expect(asked).toBe(60);
    online = [agent('b')];
    expect(await changes.pendingChange('parameters')).toMatchObject({ id: change?.id, returnedCount: 1 });
    expect(await changes.get(change?.id ?? '')).toMatchObject({ returnedCount: 1 });
  });

  it('counts an agent only with a session from after the change, where older ones prove nothing', async () => {
    online = [agent('a', time - 1)];
    const { change } = await changes.make('server-certificate', { confirm: CONFIRM }, ANN, plan('server-certificate'));
    expect(change).toMatchObject({ agentCount: 1, returnedCount: 0 });
    await expect(changes.confirm(change?.id ?? '', {}, ANN)).rejects.toMatchObject({ code: 'share_not_met' });
    online = [agent('a', time)];
    expect(await changes.confirm(change?.id ?? '', {}, ANN)).toMatchObject({ state: 'confirmed', returnedCount: 1 });
  });

  it('is kept once it is confirmed, finishes what waited for it, and outlives its deadline', async () => {
    const { change } = await changes.make(
      'parameters',
      { confirm: CONFIRM },
      ANN,
      plan('parameters', { remainder: 'the rest' }),
    );
    const id = change?.id ?? '';
    await changes.confirm(id, { force: true }, { ...ANN, who: 'bert' });
    await pass(60_000);
    expect(steps).toEqual(['carry out pending', 'keep by bert, forced', 'the rest by bert']);
    expect(timers).toEqual([]);
    expect(await changes.list()).toEqual([{ ...change, state: 'confirmed' }]);
    await expect(changes.confirm(id, {}, ANN)).rejects.toMatchObject({ code: 'change_ended' });
    await expect(changes.rollBack(id, ANN)).rejects.toMatchObject({ code: 'change_ended' });
    await expect(changes.get('0')).rejects.toMatchObject({ code: 'change_unknown' });
  });

  it('is rolled back at its deadline, and not before', async () => {
    const { change } = await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    await pass(59_999);
    expect(steps).toEqual(['carry out pending']);
    await pass(1);
    expect(steps).toEqual(['carry out pending', 'roll back by central: it was not confirmed in time']);
    expect(await changes.get(change?.id ?? '')).toMatchObject({ state: 'rolled-back' });
  });

  it('is rolled back at once by an administrator, and when it cannot be applied', async () => {
    const { change } = await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    expect(await changes.rollBack(change?.id ?? '', ANN)).toMatchObject({ state: 'rolled-back' });
    expect(timers).toEqual([]);
    const failing = plan('parameters', {
      async carryOut(pending) {
        marks.parameters = pending ?? null;
        throw new Error('the port is taken');
      },
    });
    await expect(changes.make('parameters', { confirm: CONFIRM }, ANN, failing)).rejects.toThrow('the port is taken');
    expect(steps.at(-1)).toBe('roll back by central: it could not be applied: the port is taken');
    expect(changes.pending('parameters')).toBeNull();
    expect(timers).toEqual([]);
  });

  it('blocks the changes that it is in the way of, and no other', async () => {
    await changes.make('server-certificate', { confirm: CONFIRM }, ANN, plan('server-certificate'));
    await changes.make('parameters', {}, ANN, plan());
    await expect(changes.make('server-certificate', {}, ANN, plan())).rejects.toMatchObject({
      code: 'change_pending',
      parameters: { subject: 'server certificate', who: 'ann' },
    });
    await changes.rollBack((await changes.list())[0]?.id ?? '', ANN);
    await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    for (const subject of ['parameters', 'server-certificate'] as const)
      await expect(changes.make(subject, {}, ANN, plan())).rejects.toMatchObject({ code: 'change_pending' });
  });

  it('is left to the next start when Central stops', async () => {
    await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    const [timer] = timers;
    await changes.stop();
    expect(timers).toEqual([]);
    timer?.run();
    await changes.runExclusive(async () => undefined);
    expect(steps).toEqual(['carry out pending']);
  });

  it('that cannot be applied is rolled back only when its mark is stored', async () => {
    const failing = plan('parameters', {
      async carryOut() {
        throw new Error('the port is taken');
      },
    });
    await expect(changes.make('parameters', { confirm: CONFIRM }, ANN, failing)).rejects.toThrow('the port is taken');
    expect([steps, timers]).toEqual([[], []]);
  });

  it('that its store removed is not rolled back at its deadline', async () => {
    await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    marks.parameters = null;
    await pass(60_000);
    expect(steps).toEqual(['carry out pending']);
  });

  it('that cannot be rolled back at its deadline stays pending, and the log says so', async () => {
    const logged: object[] = [];
    let run = (): void => undefined;
    const failing = new Changes({
      node: 'n1',
      log: { info: () => undefined, error: (facts) => void logged.push(facts) },
      now: () => time,
      after(_, act) {
        run = act;
        return () => undefined;
      },
    });
    failing.register({
      subject: 'parameters',
      blockedBy: ['parameters'],
      agents: { online: async () => [] },
      countsNewSessionsOnly: false,
      pending: () => marks.parameters,
      keep: async () => undefined,
      rollBack: () => Promise.reject(new Error('disk')),
    });
    const { change } = await failing.make('parameters', { confirm: CONFIRM }, ANN, plan());
    run();
    await failing.runExclusive(async () => undefined);
    await new Promise(setImmediate);
    expect(logged).toEqual([{ change: change?.id, subject: 'parameters', error: 'disk' }]);
    expect(await failing.get(change?.id ?? '')).toMatchObject({ state: 'pending' });
  });

  it('is not the same as one that has ended or one that never was', async () => {
    const { change } = await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    const id = change?.id ?? '';
    await changes.rollBack(id, ANN);
    expect(steps.at(-1)).toBe('roll back by ann: rolled back by an administrator');
    await expect(changes.confirm(id, {}, ANN)).rejects.toMatchObject({
      code: 'change_ended',
      parameters: { id, state: 'rolled-back' },
    });
    for (const act of [changes.confirm('0', {}, ANN), changes.rollBack('0', ANN), changes.get('0')])
      await expect(act).rejects.toMatchObject({ code: 'change_unknown', parameters: { id: '0', most: 100 } });
  });

  it('is listed before those that have ended, and is none where nothing is pending', async () => {
    expect(await changes.pendingChange('parameters')).toBeNull();
    const ended = await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    await changes.rollBack(ended.change?.id ?? '', ANN);
    await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    const until = new Date(time + 60_000).toISOString();
    expect((await changes.list()).map(({ state }) => state)).toEqual(['pending', 'rolled-back']);
    await expect(changes.make('parameters', {}, ANN, plan())).rejects.toMatchObject({
      code: 'change_pending',
      parameters: { subject: 'parameters', who: 'ann', until },
    });
    expect(() => changes.assertNonePending(['server-certificate'])).not.toThrow();
  });

  it('from before this start counts no agent of today, and can be confirmed only by force', async () => {
    // Central rolls it back at its start; until then it may be seen.
    online = [agent('a', time)];
    marks['server-certificate'] = {
      id: 'c1',
      owner: { who: 'ann', from: '10.0.0.1', node: 'n1' },
      expiresAt: time,
      terms: JSON.stringify({ share: 1, agents: [{ id: 'a', name: 'a' }], listener: null }),
    };
    expect(await changes.get('c1')).toMatchObject({ state: 'pending', agentCount: 1, returnedCount: 0 });
    await expect(changes.confirm('c1', {}, ANN)).rejects.toMatchObject({ code: 'share_not_met' });
    expect(await changes.confirm('c1', { force: true }, ANN)).toMatchObject({ state: 'confirmed' });
  });

  it('that the start rolled back is remembered, as are the last 100 that ended', async () => {
    const mark = (id: string): PendingChange => ({
      id,
      owner: { who: 'ann', from: '10.0.0.1', node: 'n1' },
      expiresAt: 5,
      terms: '{}',
    });
    for (let i = 0; i <= 100; i += 1) changes.recordRollback('parameters', mark(`c${i}`));
    await expect(changes.get('c0')).rejects.toMatchObject({ code: 'change_unknown' });
    expect((await changes.list()).map(({ id }) => id).slice(0, 2)).toEqual(['c100', 'c99']);
    expect(await changes.list()).toHaveLength(100);
    expect(await changes.get('c1')).toMatchObject({ state: 'rolled-back', owner: { who: 'ann' } });
  });
});

describe('a change of several nodes', () => {
  it('is rolled back at its deadline by the node that leads, by the clock of the store', async () => {
    let leads = false;
    changes = new Changes({
      node: 'n1',
      log: { info() {}, error() {} },
      now: () => time,
      after: (ms, run) => {
        const timer = { at: time + ms, run };
        timers.push(timer);
        return () => {
          timers = timers.filter((other) => other !== timer);
        };
      },
      leads: () => leads,
      // This host is 20 seconds ahead.
      storeTime: () => time - 20_000,
    });
    register('parameters', ['parameters'], false);
    const { change } = await changes.make('parameters', { confirm: CONFIRM }, ANN, plan());
    expect(change?.expiresAt).toBe(time + 40_000);
    await pass(61_000);
    expect(steps).toEqual(['carry out pending']);
    leads = true;
    await pass(1_000);
    expect(steps).toEqual(['carry out pending', 'roll back by central: it was not confirmed in time']);
  });
});
