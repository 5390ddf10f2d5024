// Two nodes of one Central in one process: certificates of a real authority, TLS between them, and an agent behind the
// second one whose side of a stream the test plays.
import { onTestFinished } from 'vitest';
import { AgentStreams } from '../../../central/forwarding/agent-streams.ts';
import { NodeCalls } from '../../../central/forwarding/node-calls.ts';
import { NodeCertificate } from '../../../central/forwarding/node-certificate.ts';
import { NodeListener } from '../../../central/forwarding/node-listener.ts';
import { openAuthority, type Authority } from '../../../central/pki/authority/authority.ts';
import type { NodeRecord } from '../../../central/store/nodes/node-store.ts';
import type { Stream } from '../../../shared/session/streams/stream.ts';
import { streamsInMemory } from '../../shared/session/streams/in-memory.ts';
import { memoryStore } from '../fakes.ts';

export const CALLER = { who: 'alice', from: '10.1.2.3' };

export async function newAuthority(now: () => number = Date.now): Promise<Authority> {
  return await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'central.test', now });
}

export function nodeRecord(change: Partial<NodeRecord> & Pick<NodeRecord, 'name'>): NodeRecord {
  const counts = { sessions: 0, appliedParameters: 1, clockOffsetMs: 0, drainedAt: null };
  const times = { startedAt: 1, lastSeenAt: 1 };
  return { generation: 1, version: '0', address: null, state: 'alive', leads: false, ...counts, ...times, ...change };
}

/** Node `a`, which callers have reached, and node `b`, which has the session of the agent `a1`. */
export async function twoNodes(
  onStream: (stream: Stream, open: Readonly<Record<string, unknown>>) => void,
  { of, second = 'b' }: { readonly of?: Authority; readonly second?: string } = {},
) {
  const authority = of ?? (await newAuthority());
  const { central, agent } = streamsInMemory(onStream);
  const openStream: (head: object) => Stream | undefined = (head) => central.open(head);
  const session = { isOpen: true, hasStreams: true, openStream };
  const at = new Map<string, typeof session>([['a1', session]]);
  const [a, b] = [
    { name: 'a', generation: 1 },
    { name: second, generation: 1 },
  ];
  const nodes = new Map<string, NodeRecord>([['a', nodeRecord(a)]]);
  const refused: string[] = [];
  const streamed: unknown[] = [];
  const certificateOf = (node: typeof a) => NodeCertificate.make({ authority, node, now: Date.now });
  const listener = new NodeListener({
    port: 0,
    bindAddresses: ['127.0.0.1'],
    certificate: await certificateOf(b),
    authority,
    nodes: () => [...nodes.values()],
    sessions: { of: (id) => at.get(id) },
    log: {
      debug: (facts: { found?: string }) =>
        void (facts.found === undefined ? streamed.push(facts) : refused.push(facts.found)),
    },
  });
  await listener.start();
  const address = `https://127.0.0.1:${listener.port}`;
  nodes.set(second, nodeRecord({ ...b, address }));
  const calls = new NodeCalls({ self: a, certificate: await certificateOf(a), authority });
  const record = { name: 'branch-1', session: { node: second, endedAt: null as number | null } };
  const lookups: string[] = [];
  const streams = new AgentStreams({
    sessions: { of: () => undefined },
    agents: { get: async (id) => (lookups.push(id), (id === 'a1' ? record : undefined) as never) },
    others: { self: 'a', nodes: () => [...nodes.values()], calls },
  });
  onTestFinished(() => {
    calls.stop();
    listener.stop();
    central.close();
    agent.close();
  });
  return {
    authority,
    listener,
    address,
    nodes,
    calls,
    streams,
    session,
    at,
    record,
    lookups,
    refused,
    streamed,
    central,
  };
}
