// Two nodes: what one asks of sessions happens at both, and it knows the sessions of agents that it follows.
import { expect, it } from 'vitest';
import { SessionsOfAll } from '../../../../central/sessions/online/sessions-of-all.ts';
import type { AgentRecord } from '../../../../central/store/agent-store.ts';
import type { NodeNote, NodeRecord, SharedChange } from '../../../../central/store/nodes/node-store.ts';

const nodeOf = (name: string, state: NodeRecord['state'] = 'alive'): NodeRecord =>
  ({ name, state, sessions: 3 }) as NodeRecord;

function setUp(isAlone = false) {
  const rows = new Map<string, { epoch: number; node: string; isOpen: boolean }>();
  const state = { nodes: [nodeOf('a'), nodeOf('b')], reads: 0 };
  const notes: NodeNote[] = [];
  const acts: string[] = [];
  const recordOf = (id: string): AgentRecord | undefined => {
    const row = rows.get(id);
    state.reads += 1;
    return row === undefined
      ? undefined
      : ({
          id,
          name: id,
          epoch: row.epoch,
          session: { node: row.node, endedAt: row.isOpen ? null : 1 },
        } as AgentRecord);
  };
  const nodeAt = (self: string): SessionsOfAll =>
    new SessionsOfAll({
      sessions: {
        size: 4,
        of: (id) => {
          const row = rows.get(id);
          return row?.node === self && row.isOpen ? ({ facts: { epoch: row.epoch } } as never) : undefined;
        },
        reconnect: (id, epoch, seconds) => void acts.push(`${self} ${id} ${epoch} ${seconds}`),
        requestReconnect: (which, seconds) =>
          acts.push(`${self} ${['ws', 'wss'].filter((transport) => which({ transport } as never)).join()} ${seconds}`),
      },
      agents: {
        get: async (id) => recordOf(id),
        list: async ({ after }) =>
          after === undefined
            ? [...rows.keys()].flatMap((id) => (rows.get(id)?.isOpen === true ? [recordOf(id) as AgentRecord] : []))
            : [],
      },
      nodes: { self, list: () => state.nodes },
      notes: {
        isOpen: !isAlone,
        add: (subject, id, told) => void notes.push({ subject, id, body: JSON.stringify(told) }),
      },
      log: { warn: () => undefined },
    });
  const [a, b] = [nodeAt('a'), nodeAt('b')];
  const deliver = async (): Promise<void> => {
    await b.hear(notes.splice(0).map((note) => ({ ...note, isDeleted: false, labelsBefore: null })));
  };
  return { rows, state, notes, acts, a, deliver };
}

const changed = (...ids: string[]): SharedChange[] =>
  ids.map((id) => ({ subject: 'agents', id, isDeleted: false, labelsBefore: null }));

it('knows the sessions of other nodes while it follows them, and no longer', async () => {
  const { rows, state, a } = setUp();
  rows.set('here', { epoch: 4, node: 'a', isOpen: true });
  rows.set('there', { epoch: 7, node: 'b', isOpen: true });
  expect([a.epochOf('here'), a.epochOf('there')]).toEqual([4, undefined]);
  await a.follow(['here', 'there', 'none']);
  expect([a.epochOf('here'), a.epochOf('there'), a.epochOf('none')]).toEqual([4, 7, undefined]);
  rows.set('there', { epoch: 7, node: 'b', isOpen: false });
  await a.followAgents(changed('there', 'other'));
  expect(a.epochOf('there')).toBeUndefined();
  rows.set('there', { epoch: 8, node: 'b', isOpen: true });
  rows.set('here', { epoch: 5, node: 'b', isOpen: true });
  await a.followAgents([]);
  expect([a.epochOf('here'), a.epochOf('there')]).toEqual([5, 8]);
  rows.set('here', { epoch: 6, node: 'a', isOpen: true });
  expect(a.epochOf('here')).toBe(6);
  // A node that is dead has none, before its rows say so.
  state.nodes = [nodeOf('a'), nodeOf('b', 'dead')];
  expect(a.epochOf('there')).toBeUndefined();
  a.unfollow(['here', 'there', 'none']);
  const { reads } = state;
  await a.followAgents(changed('there'));
  await a.followAgents([]);
  expect(state.reads).toBe(reads);
});

it('counts the sessions of all nodes that work', () => {
  const { state, a } = setUp();
  expect(a.count()).toBe(7);
  state.nodes = [nodeOf('a'), nodeOf('b', 'dead'), nodeOf('c')];
  expect(a.count()).toBe(7);
  state.nodes = [nodeOf('a')];
  expect(a.count()).toBe(4);
});

it('follows an agent for each that asked for it', async () => {
  const { rows, a } = setUp();
  rows.set('there', { epoch: 7, node: 'b', isOpen: true });
  await a.follow(['there']);
  await a.follow(['there']);
  a.unfollow(['there']);
  expect(a.epochOf('there')).toBe(7);
  a.unfollow(['there']);
  expect(a.epochOf('there')).toBeUndefined();
});

it('asks agents to reconnect at both nodes: those of these epochs only', async () => {
  const { rows, acts, notes, a, deliver } = setUp();
  rows.set('here', { epoch: 4, node: 'a', isOpen: true });
  for (let n = 0; n < 450; n += 1) rows.set(`there-${n}`, { epoch: 7, node: 'b', isOpen: true });
  await a.follow([...rows.keys()]);
  const sessions = [...rows.keys()].map((agentId) => ({ agentId, epoch: agentId === 'here' ? 4 : 7 }));
  a.reconnect([...sessions, { agentId: 'there-1', epoch: 6 }], 30);
  expect([acts, notes.length]).toEqual([['a here 4 30'], 3]);
  await deliver();
  expect([acts.length, acts[1], acts.at(-1)]).toEqual([451, 'b there-0 7 30', 'b there-449 7 30']);
  a.reconnectOverTls(9);
  await deliver();
  expect(acts.slice(451)).toEqual(['a wss 9', 'b wss 9']);
});

it('reads and tells nothing where there is one process', async () => {
  const { rows, state, a } = setUp(true);
  rows.set('here', { epoch: 4, node: 'a', isOpen: true });
  await a.follow(['here']);
  await a.followAgents([]);
  expect([a.epochOf('here'), state.reads]).toEqual([4, 0]);
});
