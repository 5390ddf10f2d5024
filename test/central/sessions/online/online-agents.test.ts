// Changes count the agents of every node that works.
import { expect, it } from 'vitest';
import { onlineAgentsOfAll } from '../../../../central/sessions/online/online-agents.ts';
import type { AgentRecord } from '../../../../central/store/agent-store.ts';
import type { NodeRecord } from '../../../../central/store/nodes/node-store.ts';

const node = (name: string, state: NodeRecord['state'] = 'alive') => ({ name, state }) as NodeRecord;
const agent = (id: string, of: string, transport: 'ws' | 'wss' = 'wss') =>
  ({
    id,
    name: id,
    certificate: null,
    session: { node: of, transport, address: '192.0.2.7', since: 9 },
  }) as AgentRecord;
const here = {
  agentId: 'a',
  agentName: 'a',
  listener: 'wss',
  transport: 'wss',
  address: '192.0.2.1',
  peer: '192.0.2.1',
  loopback: false,
  certificate: {},
  since: 5,
};

function open(nodes: readonly NodeRecord[], agents: readonly AgentRecord[]) {
  const asked: unknown[] = [];
  const needs = {
    sessions: { online: async () => [here as never] },
    agents: {
      async list(page: { readonly after?: string }) {
        asked.push(page.after);
        // A page may end early.
        const at = page.after === undefined ? 0 : agents.findIndex(({ name }) => name === page.after) + 1;
        return agents.slice(at, at + 2);
      },
    },
    nodes: { self: 'one', list: () => nodes },
  };
  return { asked, needs };
}

it('reads nothing from the store where this node is the only one that works', async () => {
  const { asked, needs } = open([node('one'), node('two', 'dead')], [agent('x', 'two')]);
  expect((await onlineAgentsOfAll(needs).online()).map(({ agentId }) => agentId)).toEqual(['a']);
  expect(asked).toEqual([]);
});

it('adds those of other nodes that work, each once, page by page', async () => {
  const agents = [
    agent('a', 'two'),
    agent('b', 'one'),
    agent('c', 'two'),
    agent('d', 'three'),
    agent('e', 'two', 'ws'),
  ];
  const { asked, needs } = open([node('one'), node('two'), node('three', 'dead')], agents);
  const found = await onlineAgentsOfAll(needs).online();
  expect(found.map(({ agentId }) => agentId)).toEqual(['a', 'c', 'e']);
  expect(found[1]).toEqual({
    agentId: 'c',
    name: 'c',
    listener: 'wss',
    transport: 'wss',
    address: '192.0.2.7',
    loopback: false,
    byKeyAlone: true,
    since: 9,
  });
  expect(asked).toEqual([undefined, 'b', 'd', 'e']);
  const overTls = await onlineAgentsOfAll(needs, ({ transport }) => transport === 'wss').online();
  expect(overTls.map(({ agentId }) => agentId)).toEqual(['a', 'c']);
});
