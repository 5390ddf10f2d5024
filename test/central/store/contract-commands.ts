// The part of the contract that concerns what becomes of commands: what waits, the state of each, and withdrawal.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { COMMAND_STATES, type CommandPlace, type CommandQuery } from '../../../central/store/message-store.ts';
import type { Store } from '../../../central/store/store.ts';
import { ACT, claimOf, DAY, message, NOW, online, registered, ROOM, type Engine, type OpenEngine } from './samples.ts';

export function commandContract(open: OpenEngine): void {
  let engine: Engine;
  let store: Store;

  beforeEach(async () => {
    engine = await open();
    ({ store } = engine);
  });

  afterEach(() => engine.dispose());

  const send = (agentId: string, ...messages: ReturnType<typeof message>[]) =>
    store.outbox.append(agentId, messages, ROOM, NOW);
  const endSession = (agentId: string, epoch: number) =>
    store.agents.endSession({ agentId, epoch, now: NOW, reason: 'the line was cut' });
  /** Of a command of `message`, by its id. */
  const states = async (id: string, agentId?: string) => {
    const { source } = message(id);
    return await store.outbox.statesOf({ source, id }, { limit: 9, ...(agentId === undefined ? {} : { agentId }) });
  };
  const stateOf = async (id: string) => (await states(id)).map(({ state }) => state);

  it('lists what waits, of all agents or of one, in pages, with its text', async () => {
    await registered(store, 'a1');
    await registered(store, 'a2');
    await send('a1', message('c1'), message('c2'));
    await send('a2', message('c3'));
    const first = await store.outbox.waiting({ limit: 2 });
    expect(first).toMatchObject([
      { agent: { id: 'a1' }, state: 'queued', number: 1, queuedAt: NOW, json: message('c1').json },
      { agent: { id: 'a1' }, number: 2 },
    ]);
    const after = first[1]?.key ?? 0;
    expect(await store.outbox.waiting({ limit: 2, after })).toMatchObject([{ agent: { id: 'a2' }, number: 1 }]);
    expect(await store.outbox.waiting({ limit: 9, agentId: 'a2' })).toHaveLength(1);
    expect(await store.outbox.waiting({ limit: 9, agentId: 'a1', after: 1 })).toMatchObject([{ number: 2 }]);
    expect(await store.outbox.waiting({ limit: 9, agentId: 'none' })).toEqual([]);
    expect(await store.outbox.find(first[0]?.commandId ?? '')).toMatchObject({ number: 1, json: message('c1').json });
    for (const unknown of ['', 'x', '0'.repeat(32)]) expect(await store.outbox.find(unknown)).toBeUndefined();
  });

  it('bounds a page of the largest messages by their text, and each page leads to the next', async () => {
    const large = (id: string) =>
      message(id, { json: JSON.stringify({ id, source: '/test', data: 'x'.repeat(200_000) }) });
    const room = { maxMessages: 100, maxBytes: 100_000_000 };
    const ids = Array.from({ length: 15 }, (_, i) => `c${i}`);
    await registered(store, 'a1');
    await store.outbox.append('a1', ids.map(large), room, NOW);
    const sizes: number[] = [];
    const seen: number[] = [];
    for (let after = 0; ;) {
      const page = await store.outbox.waiting({ limit: 1_000, agentId: 'a1', after });
      if (page.length === 0) break;
      sizes.push(page.length);
      seen.push(...page.map(({ number }) => number ?? 0));
      after = page.at(-1)?.key ?? 0;
    }
    expect(sizes).toEqual([6, 6, 3]);
    expect(seen).toEqual(ids.map((_, i) => i + 1));

    const agents = Array.from({ length: 9 }, (_, i) => `b${i}`);
    for (const id of agents) {
      await registered(store, id);
      await store.outbox.append(id, [large('all')], room, NOW);
    }
    const named = await store.outbox.statesOf({ source: '/test', id: 'all' }, { limit: 1_000 });
    const after = named.at(-1)?.agent.name ?? '';
    const rest = await store.outbox.statesOf({ source: '/test', id: 'all' }, { limit: 1_000, after });
    expect([named.length, rest.length]).toEqual([6, 3]);
    expect([...named, ...rest].map(({ agent }) => agent.id)).toEqual(agents);
    expect(await store.outbox.statesOf({ source: '/test', id: 'all' }, { limit: 2 })).toHaveLength(2);

    await store.outbox.append(
      'a1',
      ids.map((id) => ({ ...large(`e${id}`), expiresAt: NOW + 1 })),
      room,
      NOW,
    );
    await store.outbox.expire(NOW + 2);
    for (const agentId of [{}, { agentId: 'a1' }]) {
      const { items: letters } = await store.inbox.deadLetters({ limit: 1_000, ...agentId });
      const before = letters.at(-1)?.key ?? 0;
      const { items: more } = await store.inbox.deadLetters({ limit: 1_000, ...agentId, before });
      expect([letters.length, more.length]).toEqual([6, 6]);
    }
  });

  it('counts what waits in all, and for the agents for which most does', async () => {
    expect(await store.outbox.backlog(2)).toEqual({ agents: 0, messages: 0, bytes: 0, oldestAt: null, largest: [] });
    for (const id of ['a1', 'a2', 'a3', 'a4']) await registered(store, id);
    await send('a1', message('c1'));
    await store.outbox.append('a2', [message('c1'), message('c2'), message('c3')], ROOM, NOW - 5_000);
    await send('a3', message('c1'), message('c2'));
    const bytes = async (id: string) => (await store.agents.get(id))?.outbox.bytes ?? 0;
    const names = await Promise.all(['a2', 'a3'].map(async (id) => (await store.agents.get(id))?.name));
    expect(await store.outbox.backlog(2)).toEqual({
      agents: 3,
      messages: 6,
      bytes: (await bytes('a1')) + (await bytes('a2')) + (await bytes('a3')),
      oldestAt: NOW - 5_000,
      largest: [
        { name: names[0], messages: 3, bytes: await bytes('a2'), oldestAt: NOW - 5_000 },
        { name: names[1], messages: 2, bytes: await bytes('a3'), oldestAt: NOW },
      ],
    });
  });

  it('follows a command from the queue to its agent and to the consumer there', async () => {
    const epoch = await online(store, 'a1');
    await registered(store, 'a2');
    await send('a1', message('c1'), message('c2'));
    await send('a2', message('c1'));
    expect(await states('c1')).toMatchObject([
      { agent: { id: 'a1' }, state: 'queued' },
      { agent: { id: 'a2' }, state: 'queued' },
    ]);
    await store.outbox.acknowledge('a1', epoch, 2);
    expect(await states('c1', 'a1')).toMatchObject([{ state: 'delivered', number: 1, json: null }]);
    const incarnation = (await store.agents.get('a1'))?.outbox.incarnation ?? '';
    const report = (waitingFrom: number | null) =>
      store.agents.recordConsumers([
        {
          agentId: 'a1',
          epoch,
          at: NOW,
          position: { incarnation, number: 2, id: 'x' },
          inboxFull: false,
          consumers: [{ name: 'default', types: [], waitingFrom, waitingCount: waitingFrom === null ? 0 : 1 }],
        },
      ]);
    await report(2);
    expect([await stateOf('c1'), await stateOf('c2')]).toEqual([['acknowledged', 'queued'], ['delivered']]);
    await report(null);
    expect(await stateOf('c2')).toEqual(['acknowledged']);
    expect(await stateOf('never sent')).toEqual([]);
  });

  it('knows a command that expired: before and after its tombstone was delivered, and at the agent', async () => {
    const epoch = await online(store, 'a1');
    await send('a1', message('c1', { expiresAt: NOW + 5 }), message('c2'));
    await store.outbox.expire(NOW + 5);
    expect(await stateOf('c1')).toEqual(['expired']);
    expect(await store.outbox.waiting({ limit: 9 })).toHaveLength(1);
    await store.outbox.acknowledge('a1', epoch, 2);
    const { source } = message('c2');
    const expired = { number: 2, throughNumber: 2, count: 1, id: 'c2', source, consumer: 'default' };
    await store.outbox.recordExpired('a1', epoch, [expired], NOW + 6);
    expect([await stateOf('c1'), await stateOf('c2')]).toEqual([['expired'], ['expired']]);
  });

  it('withdraws what was certainly not sent, once, with the entry of the act; and keeps it as a dead letter', async () => {
    const epoch = await online(store, 'a1');
    await send('a1', message('sent'));
    const idOf = async (id: string) => (await states(id))[0]?.commandId ?? '';
    const refused = { code: 'command_delivered', status: 409 };
    const withdraw = async (id: string) => await store.outbox.withdraw(await idOf(id), NOW, ACT);
    // The session may have sent it already, and its acknowledgement may be lost.
    await expect(withdraw('sent')).rejects.toMatchObject(refused);
    await endSession('a1', epoch);
    await expect(withdraw('sent')).rejects.toMatchObject(refused);
    await send('a1', message('kept'), message('late'));
    const before = (await store.audit.list({ limit: 99 })).length;
    await withdraw('late');
    expect(await store.audit.list({ limit: 99 })).toHaveLength(before + 1);
    expect([await stateOf('late'), await stateOf('kept')]).toEqual([['withdrawn'], ['queued']]);
    await expect(withdraw('late')).rejects.toMatchObject(refused);
    expect((await store.inbox.deadLetters({ limit: 1 })).items).toMatchObject([
      { direction: 'down', id: 'late', reason: 'withdrawn', json: message('late').json },
    ]);
    await expect(store.outbox.withdraw('0'.repeat(32), NOW, ACT)).rejects.toMatchObject({ code: 'command_id_unknown' });
    // The agent gets a tombstone in its place, and the numbers go on.
    const entries = await store.outbox.read('a1', 0, 9, 99_999);
    expect(entries.map(({ number }) => number)).toEqual([1, 2, 3]);
    expect(JSON.parse(entries[2]?.json ?? '')).toMatchObject({ tombstone: 'withdrawn', id: 'late' });
    expect(await send('a1', message('late'))).toEqual([{ outcome: 'duplicate', number: 3 }]);
    expect((await store.agents.get('a1'))?.outbox).toMatchObject({ messages: 2 });
    // Once it connects, everything may be on its way.
    await store.agents.claimSession(claimOf('a1'));
    await expect(withdraw('kept')).rejects.toMatchObject(refused);
  });

  it('lists commands by their states, over all agents and page by page', async () => {
    const epoch = await online(store, 'a1');
    for (const agent of ['a2', 'a3']) await registered(store, agent);
    await send('a1', message('c1', { expiresAt: NOW + 5 }), message('c2'), message('c3'), message('c4'));
    await send('a2', message('c1'), message('c2'));
    await send('a3', message('c1'));
    await store.outbox.expire(NOW + 5);
    await store.outbox.acknowledge('a1', epoch, 3);
    const incarnation = (await store.agents.get('a1'))?.outbox.incarnation ?? '';
    const consumers = [{ name: 'default', types: [], waitingFrom: 3, waitingCount: 1 }];
    const position = { incarnation, number: 3, id: 'x' };
    await store.agents.recordConsumers([{ agentId: 'a1', epoch, at: NOW, position, inboxFull: false, consumers }]);
    const [withdrawn] = await states('c2', 'a2');
    await store.outbox.withdraw(withdrawn?.commandId ?? '', NOW, ACT);
    await store.agents.remove('a3', ACT);

    /** Of all pages: agent, number and state. */
    const listed = async (query: Omit<CommandQuery, 'after' | 'limit'>, limit = 100): Promise<string[]> => {
      const found: string[] = [];
      for (let after: CommandPlace | null | undefined; after !== null;) {
        const page = await store.outbox.list({ ...query, limit, ...(after === undefined ? {} : { after }) });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        found.push(...page.items.map(({ agent, number, state }) => `${agent.id} ${number} ${state}`));
        after = page.next;
      }
      return found.toSorted();
    };
    const every = [
      'a1 1 expired',
      'a1 2 acknowledged',
      'a1 3 delivered',
      'a1 4 queued',
      'a2 1 queued',
      'a2 2 withdrawn',
    ];
    expect(await listed({ states: COMMAND_STATES })).toEqual(every);
    expect(await listed({ states: COMMAND_STATES }, 1)).toEqual(every);
    expect(await listed({ states: COMMAND_STATES, agentId: 'a2' })).toEqual(every.slice(4));
    for (const state of COMMAND_STATES)
      expect(await listed({ states: [state] }, 2)).toEqual(every.filter((one) => one.endsWith(state)));
    expect(await listed({ states: ['delivered'], agentId: 'a3' })).toEqual([]);
  });

  it('keeps what became of a command for its own time, in which a repeat may be new again', async () => {
    const epoch = await online(store, 'a1');
    await send('a1', message('c1'));
    await store.outbox.acknowledge('a1', epoch, 1);
    const limits = { now: NOW + 3 * DAY, eventsOlderThan: 0, deadLettersOlderThan: 0, incidentsOlderThan: 0 };
    const prune = (commandStatesOlderThan: number) =>
      store.prune({ ...limits, deduplicationOlderThan: NOW + DAY, commandStatesOlderThan });
    await prune(NOW);
    expect(await stateOf('c1')).toEqual(['delivered']);
    const repeat = async (deduplicationMs: number) =>
      await store.outbox.append('a1', [message('c1')], { ...ROOM, deduplicationMs }, NOW + 3 * DAY);
    expect(await repeat(4 * DAY)).toMatchObject([{ outcome: 'duplicate' }]);
    expect(await repeat(2 * DAY)).toMatchObject([{ outcome: 'stored', number: 2 }]);
    expect(await stateOf('c1')).toEqual(['queued']);
    await prune(NOW + 4 * DAY);
    expect(await stateOf('c1')).toEqual(['queued']);
    await store.prune({ ...limits, deduplicationOlderThan: NOW + 4 * DAY, commandStatesOlderThan: NOW + 4 * DAY });
    expect(await stateOf('c1')).toEqual([]);
  });
}
