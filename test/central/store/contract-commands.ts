// The part of the contract that concerns what becomes of commands: what waits, the state of each, and withdrawal.
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Store } from '../../../central/store/store.ts';
import { ACT, claimOf, message, NOW, online, registered, ROOM, type Engine, type OpenEngine } from './samples.ts';

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
    return await store.outbox.statesOf({ source, id }, agentId);
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
    expect(await store.inbox.deadLetters({ limit: 1 })).toMatchObject([
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
}
