// What a node opens for the agents of others: nothing in front of an embedded store; otherwise the port of node.address.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { openForwarding } from '../../../central/forwarding/open-forwarding.ts';
import { streamsInMemory } from '../../shared/session/streams/in-memory.ts';
import { CALLER, newAuthority, nodeRecord } from './two-nodes.ts';

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const AGENTS = { get: async () => ({ name: 'branch-1', session: { node: 'b', endedAt: null } }) };

async function opened(name: string, needs: object) {
  const self = { name, generation: 1 };
  const { agentStreams, forwarding } = await openForwarding({
    store: { agents: AGENTS, nodes: { self } },
    log: { debug: () => undefined, error: () => undefined },
    now: Date.now,
    sessions: { of: () => undefined },
    ...needs,
  } as never);
  await forwarding.start();
  onTestFinished(() => forwarding.stop());
  return { agentStreams, forwarding };
}

it('is the way from one node to the agents of another, at the port of its address', async () => {
  const pki = { authority: await newAuthority() };
  const { central, agent } = streamsInMemory((stream) => void stream.sendHead({ status: 200 }));
  onTestFinished(() => (central.close(), agent.close()));
  const session = { isOpen: true, hasStreams: true, openStream: (head: object) => central.open(head) };
  const nodeAddress = `https://127.0.0.1:${await freePort()}`;
  const nodes = () => [nodeRecord({ name: 'a' }), nodeRecord({ name: 'b', address: nodeAddress })];
  const config = { bindAddress: '127.0.0.1', nodeAddress };
  const { forwarding } = await opened('b', { pki, nodes, config, sessions: { of: () => session } });
  const { agentStreams } = await opened('a', { pki, nodes, config: { nodeAddress: undefined } });
  const answer = await agentStreams.open('a1', { kind: 'http' }, CALLER);
  if (answer.kind !== 'opened') throw new Error(answer.kind);
  expect(await once(answer.stream, 'head')).toEqual([{ status: 200 }]);
  forwarding.stop();
  const refused = connect(Number(new URL(nodeAddress).port), '127.0.0.1');
  await expect(once(refused, 'connect')).rejects.toThrow('ECONNREFUSED');
});

it('is nothing in front of an embedded store: no certificate, no port', async () => {
  const nodeAddress = `https://127.0.0.1:${await freePort()}`;
  const { agentStreams } = await opened('a', {
    store: { agents: AGENTS, nodes: undefined },
    config: { bindAddress: undefined, nodeAddress },
    pki: {},
    nodes: () => expect.unreachable(),
  });
  expect(await agentStreams.open('a1', {}, CALLER)).toEqual({ kind: 'offline' });
  const refused = connect(Number(new URL(nodeAddress).port), '127.0.0.1');
  await expect(once(refused, 'connect')).rejects.toThrow('ECONNREFUSED');
});
