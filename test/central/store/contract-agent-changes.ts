// The part of the contract that concerns what administrators decide about agents: names, labels, notes, disabling.
import { expect, it } from 'vitest';
import type { AgentChange } from '../../../central/store/agent-store.ts';
import { textOfAgent } from '../../../central/store/agents/labels.ts';
import { placeOf, type AgentPlace, type AgentSort } from '../../../central/store/agents/sort.ts';
import { mayHaveMore, PAGE_TEXT } from '../../../shared/text-page.ts';
import type { Store } from '../../../central/store/store.ts';
import {
  ACT,
  claimOf,
  enrollmentToken,
  message,
  NOW,
  online,
  registered,
  ROOM,
  eachEngine,
  type Engine,
  type OpenEngine,
} from './samples.ts';

export function agentChangeContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  eachEngine(open, (opened) => {
    engine = opened;
    ({ store } = opened);
  });

  const change = (id: string, wanted: AgentChange, version: number | null = null) =>
    store.agents.change(id, wanted, { version, by: 'admin', now: NOW }, { ...ACT, action: 'agents.set' });
  const entries = async () => (await store.audit.list({ limit: 100 })).filter(({ action }) => action === 'agents.set');

  it('merges labels, keeps them with the notes over a restart, and writes the entry of the act with them', async () => {
    expect(await registered(store, 'a1')).toMatchObject({
      labels: {},
      notes: '',
      isNameSet: false,
      version: 0,
      changedBy: null,
    });
    await change('a1', { labels: { tier: 'test', region: 'north' }, notes: 'Main Street' });
    const changed = await change('a1', { labels: { tier: null, floor: '' } });
    expect(changed).toMatchObject({
      labels: { floor: '', region: 'north' },
      notes: 'Main Street',
      version: 2,
      changedBy: 'admin',
    });
    expect(await entries()).toHaveLength(2);
    store = await engine.restart();
    const { labelsBefore, ...kept } = changed;
    expect(labelsBefore).toEqual({ region: 'north', tier: 'test' });
    expect(await store.agents.get('a1')).toEqual(kept);
    await registered(store, 'a2');
    const found = await store.agents.labelsOf(['a2', 'none', 'a1', 'A1']);
    expect(new Map(found)).toEqual(
      new Map([
        ['a1', { floor: '', region: 'north' }],
        ['a2', {}],
      ]),
    );
  });

  it('keeps the last changes of the state of each agent, whatever makes them, and forgets those of a removed one', async () => {
    const epoch = await online(store, 'a1');
    await store.agents.endSession({ agentId: 'a1', epoch, now: NOW + 1, reason: 'the line was cut' });
    await store.agents.disable('a1', { now: NOW + 2, text: 'disabled by admin' }, ACT);
    await store.agents.disable('a1', { now: NOW + 3, text: 'disabled again' }, ACT);
    const history = await store.agents.history('a1');
    expect(history).toEqual([
      { at: NOW + 2, state: 'disabled', reason: 'disabled by admin', until: null },
      { at: NOW + 1, state: 'disconnected', reason: 'the line was cut', until: null },
      { at: NOW, state: 'online', reason: expect.stringContaining('session_opened: Connected over'), until: null },
      { at: NOW, state: 'enrolled', reason: expect.stringContaining('not_yet_connected: '), until: null },
    ]);
    store = await engine.restart();
    expect(await store.agents.history('a1')).toEqual(history);
    for (let i = 0; i < 50; i += 1) {
      await store.agents.enable('a1', { now: NOW + 10 + i, text: 'on' }, ACT);
      await store.agents.disable('a1', { now: NOW + 10 + i, text: 'off' }, ACT);
    }
    const last = await store.agents.history('a1');
    expect(last).toHaveLength(50);
    expect(last[0]).toMatchObject({ at: NOW + 9 + 50, state: 'disabled' });
    await store.agents.remove('a1', ACT);
    expect(await store.agents.history('a1')).toEqual([]);
  });

  it('replaces an agent by another one, which takes its name, labels, notes, history and what waits', async () => {
    await registered(store, 'old', 'branch-7');
    await change('old', { labels: { region: 'north' }, notes: 'Main Street' });
    const repeated = message('c1');
    await store.outbox.append('old', [repeated, message('c2')], ROOM, NOW);
    await online(store, 'new');
    await store.outbox.append('new', [message('c3')], ROOM, NOW);
    const act = { by: 'admin', now: NOW };
    const entry = { ...ACT, action: 'agents.set' } as const;
    await expect(store.agents.replace('old', 'old', act, entry)).rejects.toMatchObject({ status: 422 });
    await expect(store.agents.replace('old', 'none', act, entry)).rejects.toMatchObject({ code: 'agent_unknown' });
    const before = (await entries()).length;
    const replaced = await store.agents.replace('old', 'new', act, entry);
    expect(replaced).toMatchObject({
      id: 'new',
      name: 'branch-7',
      isNameSet: true,
      labels: { region: 'north' },
      notes: 'Main Street',
      changedBy: 'admin',
      state: 'online',
      outbox: { messages: 3 },
    });
    expect(await entries()).toHaveLength(before + 1);
    expect(await store.agents.get('old')).toBeUndefined();
    expect((await store.outbox.read('new', 0, 9, 99_999)).map(({ id }) => id)).toEqual(['c3', 'c1', 'c2']);
    expect(await store.outbox.append('new', [repeated], ROOM, NOW)).toEqual([{ outcome: 'duplicate', number: 2 }]);
    expect((await store.agents.history('new')).map(({ state }) => state)).toEqual(['online', 'enrolled', 'enrolled']);
    store = await engine.restart();
    expect(await store.agents.findByName('BRANCH-7')).toMatchObject({ id: 'new' });
  });

  it('refuses a change of an older version, too many labels and an unknown agent, and then writes nothing', async () => {
    await registered(store, 'a1');
    await change('a1', { notes: 'first' }, 0);
    await expect(change('a1', { notes: 'second' }, 0)).rejects.toMatchObject({ code: 'version_conflict', status: 412 });
    const labels = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'v']));
    await expect(change('a1', { labels })).rejects.toMatchObject({ code: 'agent_labels_full', status: 422 });
    await expect(change('a2', { notes: 'x' })).rejects.toMatchObject({ code: 'agent_unknown' });
    expect(await store.agents.get('a1')).toMatchObject({ notes: 'first', labels: {}, version: 1 });
    expect(await entries()).toHaveLength(1);
  });

  it('renames an agent within the one namespace, keeps that name over a hello, and takes that of a hello after null', async () => {
    await registered(store, 'a1', 'Branch-1');
    await registered(store, 'a2', 'Branch-2');
    await store.tokens.addEnrollmentToken(enrollmentToken('bound', { agentName: 'branch-9' }), ACT);
    for (const [name, code] of [
      ['bRANCH-2', 'agent_name_taken'],
      ['A2', 'agent_name_taken'],
      ['all', 'agent_name_reserved'],
      ['central-agent', 'agent_name_reserved'],
      ['branch-9', 'agent_name_reserved'],
    ] as const)
      await expect(change('a1', { name })).rejects.toMatchObject({ code, status: 409 });
    expect(await change('a1', { name: 'BRANCH-1' })).toMatchObject({ name: 'BRANCH-1', isNameSet: true });
    await change('a1', { name: 'kasse-7' });
    expect(await store.agents.claimSession(claimOf('a1', { name: 'Branch-1' }))).toMatchObject({ name: 'kasse-7' });
    expect(await store.agents.findByName('kasse-7')).toMatchObject({ id: 'a1', version: 2 });
    expect(await change('a1', { name: null })).toMatchObject({ name: 'kasse-7', isNameSet: false });
    expect(await store.agents.claimSession(claimOf('a1', { name: 'Branch-1' }))).toMatchObject({ name: 'Branch-1' });
    expect(await store.agents.get('a1')).toMatchObject({ name: 'Branch-1', version: 4 });
  });

  it('disables an agent: its session can write nothing and no claim succeeds until it is enabled', async () => {
    const epoch = await online(store, 'a1');
    const act = { now: NOW + 5, text: 'disabled by admin' };
    expect(await store.agents.disable('a1', act, ACT)).toBe(epoch + 1);
    expect(await store.agents.disable('a1', { ...act, now: NOW + 9 }, ACT)).toBe(epoch + 1);
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'disabled',
      stateSince: NOW + 5,
      stateReason: 'disabled by admin',
      session: { endedAt: NOW + 5 },
    });
    await expect(store.inbox.append('a1', epoch, 1, [], NOW)).rejects.toMatchObject({ code: 'stale_epoch' });
    await expect(store.agents.claimSession(claimOf('a1'))).rejects.toMatchObject({ code: 'agent_disabled' });
    await store.agents.quarantine('a1', NOW + 100, NOW, 'two copies');
    store = await engine.restart();
    expect(await store.agents.countByState()).toMatchObject({ disabled: 1, quarantined: 0 });
    await store.agents.enable('a1', { now: NOW + 10, text: 'enabled by admin' }, ACT);
    expect(await store.agents.get('a1')).toMatchObject({ state: 'disconnected', stateReason: 'enabled by admin' });
    expect(await store.agents.claimSession(claimOf('a1'))).toMatchObject({ epoch: epoch + 2 });
    await store.agents.enable('a1', { now: NOW + 11, text: 'again' }, ACT);
    expect(await store.agents.get('a1')).toMatchObject({ state: 'online' });
  });

  it('leaves a revoked agent revoked, and an agent that never connected enrolled', async () => {
    await registered(store, 'a1');
    await store.agents.disable('a1', { now: NOW, text: 'x' }, ACT);
    await store.agents.enable('a1', { now: NOW, text: 'y' }, ACT);
    expect(await store.agents.get('a1')).toMatchObject({ state: 'enrolled', session: null });
    await store.agents.disable('a1', { now: NOW, text: 'x' }, ACT);
    await store.agents.revoke('a1', { reason: 'keyCompromise', now: NOW, text: 'z' }, ACT);
    for (const act of ['enable', 'disable'] as const)
      await expect(store.agents[act]('a1', { now: NOW, text: 'y' }, ACT)).rejects.toMatchObject({
        code: 'agent_revoked',
      });
    expect(await store.agents.get('a1')).toMatchObject({ state: 'revoked' });
  });

  it('selects and lists agents by labels and names, in order of name', async () => {
    await registered(store, 'a1', 'branch-20');
    await registered(store, 'a2', 'Branch-10');
    await registered(store, 'a3', 'depot-1');
    await change('a1', { labels: { region: 'north', tier: 'test' } });
    await change('a2', { labels: { region: 'north' } });
    const namesOf = (agents: readonly { readonly name: string }[]) => agents.map(({ name }) => name);
    const north = { key: 'region', operator: '=', value: 'north' } as const;
    const noTest = { key: 'tier', operator: '!=', value: 'test' } as const;
    const select = async (...matches: Parameters<Store['agents']['select']>[0]) =>
      namesOf(await store.agents.select(matches));
    expect(await select({ kind: 'all' })).toEqual(['Branch-10', 'branch-20', 'depot-1']);
    expect(await select({ kind: 'labels', terms: [north, noTest] })).toEqual(['Branch-10']);
    expect(await select({ kind: 'labels', terms: [noTest] })).toEqual(['Branch-10', 'depot-1']);
    expect(await select({ kind: 'name', pattern: 'BRANCH-*' }, { kind: 'name', pattern: '*-20' })).toEqual([
      'Branch-10',
      'branch-20',
    ]);
    expect(await select({ kind: 'name', pattern: 'b*c*-1' })).toEqual([]);
    expect(await select()).toEqual([]);
    expect(namesOf(await store.agents.select([{ kind: 'all' }], [noTest]))).toEqual(['Branch-10', 'depot-1']);
    const list = async (page: Parameters<Store['agents']['list']>[0]) => namesOf(await store.agents.list(page));
    expect(await list({ limit: 1, labels: [[north]] })).toEqual(['Branch-10']);
    expect(await list({ limit: 1, labels: [[north]], after: 'Branch-10' })).toEqual(['branch-20']);
    expect(await list({ limit: 9, labels: [[north], [noTest]], names: ['depot*', '*-2*'] })).toEqual([
      'branch-20',
      'depot-1',
    ]);
    expect(await list({ limit: 9, names: ['*'], states: ['online'] })).toEqual([]);
    expect(await list({ limit: 9, labels: [[north]], sort: { by: '-name' } })).toEqual(['branch-20', 'Branch-10']);
  });

  it('selects agents without their labels, and ends a page of a list where they have much text', async () => {
    const labels = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`.padEnd(63, 'k'), 'v'.repeat(63)]));
    for (let i = 0; i < 270; i += 1) {
      await registered(store, `a${i}`);
      await change(`a${i}`, { labels });
    }
    const selected = await store.agents.select([{ kind: 'all' }]);
    expect(selected).toHaveLength(270);
    // Ten thousand of them would be 40 MB for each act.
    expect(JSON.stringify(selected).length).toBeLessThan(270 * 100);
    for (const sort of [undefined, { by: '-name' }] as const) {
      const page = await store.agents.list({ limit: 1_000, ...(sort === undefined ? {} : { sort }) });
      expect(page.length).toBeLessThan(270);
      expect(mayHaveMore(page, 1_000, textOfAgent)).toBe(true);
      expect(JSON.stringify(page).length).toBeLessThan(1.5 * PAGE_TEXT);
    }
  });

  it('lists agents by name, state, last session and waiting commands, in both orders, page by page', async () => {
    for (const id of ['a3', 'a4']) await registered(store, id);
    await online(store, 'a1');
    const epoch = await online(store, 'a2');
    await store.agents.endSession({ agentId: 'a2', epoch, now: NOW + 5, reason: 'lost' });
    await store.outbox.append('a4', [message('c1')], ROOM, NOW);
    const pages = async (by: AgentSort['by']): Promise<string> => {
      const found: string[] = [];
      for (let after: AgentPlace | undefined; ;) {
        const page = await store.agents.list({ limit: 1, sort: { by, ...(after === undefined ? {} : { after }) } });
        const [agent] = page;
        if (agent === undefined) return found.join(' ');
        found.push(agent.id);
        after = placeOf(agent, by);
      }
    };
    expect(await pages('name')).toBe('a1 a2 a3 a4');
    expect(await pages('-name')).toBe('a4 a3 a2 a1');
    expect(await pages('state')).toBe('a2 a3 a4 a1');
    expect(await pages('-state')).toBe('a1 a3 a4 a2');
    // Those that never connected first, in order of their ids; one that is connected was seen last.
    expect(await pages('lastSeenAt')).toBe('a3 a4 a2 a1');
    expect(await pages('-lastSeenAt')).toBe('a1 a2 a3 a4');
    expect(await pages('queuedCount')).toBe('a1 a2 a3 a4');
    expect(await pages('-queuedCount')).toBe('a4 a1 a2 a3');
  });

  it('lists agents by transport, version, last session and release, each filter with one of its values, in every order', async () => {
    await registered(store, 'never');
    await online(store, 'here');
    for (const [id, changes, endedAt] of [
      ['away', { transport: 'ws', version: '0.9.0' }, NOW + 5],
      ['long', { transport: 'ws', version: '1.0.0' }, NOW + 2],
    ] as const) {
      await registered(store, id);
      const { epoch } = await store.agents.claimSession(claimOf(id, changes));
      await store.agents.endSession({ agentId: id, epoch, now: endedAt, reason: 'lost' });
    }
    const [digest, other] = ['a'.repeat(64), `${'a'.repeat(8)}${'b'.repeat(56)}`];
    const none = { profile: null, runtime: null, program: null };
    const cause = { code: '', detail: '', hint: '' };
    const causes = { profile: cause, runtime: cause, program: cause };
    await store.rollouts.recordReported('here', { ...none, profile: digest }, causes, NOW);
    await store.rollouts.recordReported('away', { ...none, program: other }, causes, NOW);
    const reported = async () =>
      Object.fromEntries((await store.agents.list({ limit: 9 })).map(({ id, releases }) => [id, releases]));
    const program = { part: 'program', digest: other, name: null };
    expect(await reported()).toMatchObject({
      here: [{ part: 'profile', digest, name: null }],
      away: [program],
      never: [],
    });
    type Filter = Omit<Parameters<Store['agents']['list']>[0], 'limit'>;
    const list = async (filter: Filter): Promise<string> => {
      const orders = [{}, { names: ['*'] }, { sort: { by: 'lastSeenAt' } }] as const;
      const found = await Promise.all(
        orders.map(async (order) =>
          (await store.agents.list({ limit: 9, ...filter, ...order })).map(({ id }) => id).toSorted(),
        ),
      );
      expect(new Set(found.map(String)).size).toBe(1);
      return String(found[0]);
    };
    expect(await list({ transports: ['ws'] })).toBe('away,long');
    expect(await list({ transports: ['ws', 'wss'] })).toBe('away,here,long');
    expect(await list({ versions: ['1.0.0', '7'] })).toBe('here,long');
    expect(await list({ lastSeenBefore: NOW + 5 })).toBe('long');
    expect(await list({ lastSeenBefore: NOW + 6, states: ['disconnected'], versions: ['0.9.0'] })).toBe('away');
    expect(await list({ releases: [{ prefix: 'aaaaaaaa', name: null }] })).toBe('away,here');
    expect(await list({ releases: [{ prefix: digest, name: null }] })).toBe('here');
    // A release that the store does not have has no name.
    expect(await list({ releases: [{ prefix: digest, name: 'branch' }] })).toBe('');
    expect(await list({ states: ['enrolled', 'online'] })).toBe('here,never');

    // A count is of those that the list has.
    expect(await store.agents.count({})).toMatchObject({
      agents: 4,
      states: { enrolled: 1, online: 1, disconnected: 2, revoked: 0 },
      transports: { ws: 2, wss: 1 },
      versions: [
        { version: '1.0.0', agents: 2 },
        { version: '0.9.0', agents: 1 },
      ],
      releases: [
        { release: digest, name: null, agents: 1 },
        { release: other, name: null, agents: 1 },
      ],
    });
    await change('away', { labels: { region: 'north' } });
    const north = [[{ key: 'region', operator: '=', value: 'north' }]] as const;
    for (const filter of [{ labels: north }, { names: ['AW*'] }, { versions: ['0.9.0'] }])
      expect(await store.agents.count(filter)).toMatchObject({
        agents: 1,
        states: { disconnected: 1, online: 0 },
        transports: { ws: 1, wss: 0 },
        versions: [{ version: '0.9.0', agents: 1 }],
        releases: [{ release: other, name: null, agents: 1 }],
      });
    expect((await store.agents.count({ labels: north, names: ['here'] })).agents).toBe(0);
  });
}
