// Streams to an agent whose session is at another node: two nodes in one process, with TLS between them.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { AgentStream } from '../../../central/forwarding/agent-streams.ts';
import { StreamReset } from '../../../shared/session/streams/stream.ts';
import { CALLER, nodeRecord, twoNodes } from './two-nodes.ts';

const OPEN = { kind: 'http', service: 'jobs' };

function opened(answer: Awaited<ReturnType<Awaited<ReturnType<typeof twoNodes>>['streams']['open']>>): AgentStream {
  if (answer.kind !== 'opened') throw new Error(answer.kind);
  return answer.stream;
}

it('carry the head, bytes in both directions and both ends, over a connection that the next stream uses again', async () => {
  const opens: object[] = [];
  const { streams, streamed, central } = await twoNodes((stream, open) => {
    opens.push(open);
    stream.sendHead({ status: 200 });
    stream.pipe(stream);
  });
  const sent = randomBytes(300_000);
  for (let count = 0; count < 3; count += 1) {
    const answer = await streams.open('a1', OPEN, CALLER);
    expect(answer).toMatchObject({ kind: 'opened', agentName: 'branch-1' });
    const stream = opened(answer);
    const head = once(stream, 'head');
    stream.end(sent);
    expect((await buffer(stream)).equals(sent)).toBe(true);
    expect(await head).toEqual([{ status: 200 }]);
  }
  expect(opens).toEqual([OPEN, OPEN, OPEN]);
  // The caller as the first node has established it, and the node that says so.
  expect(streamed).toContainEqual({ agent: 'a1', node: 'a', ...CALLER });
  await vi.waitFor(() => expect(central.size).toBe(0));
});

it('stop the agent while its reader is slow, and hold no more than some windows', async () => {
  let written = 0;
  const { streams } = await twoNodes((stream) => {
    const more = (): void => {
      while (stream.write(Buffer.alloc(16 * 1024))) written += 1;
    };
    stream.on('drain', more);
    more();
  });
  const stream = opened(await streams.open('a1', OPEN, CALLER));
  let before = -1;
  await vi.waitFor(
    () => {
      const isStill = written === before;
      before = written;
      expect(isStill).toBe(true);
    },
    { interval: 200, timeout: 5_000 },
  );
  // Windows of the agent's stream and of both nodes, and what the sockets between them hold.
  expect(written * 16 * 1024).toBeLessThan(16 * 1024 * 1024);
  const stopped = written;
  stream.resume();
  await vi.waitFor(() => expect(written).toBeGreaterThan(stopped + 100));
  stream.destroy();
});

it('end with the code of the agent, and tell it the code of the caller', async () => {
  const codes: string[] = [];
  const { streams, central } = await twoNodes((stream, { service }) => {
    stream.on('error', (error) => void codes.push(error instanceof StreamReset ? error.reset : ''));
    stream.resume();
    if (service === 'gone') stream.reset('service_unknown');
    else stream.sendHead({ status: 200 });
  });
  const refused = opened(await streams.open('a1', { ...OPEN, service: 'gone' }, CALLER));
  const [error] = (await once(refused, 'error')) as [StreamReset];
  expect(error.reset).toBe('service_unknown');
  const left = opened(await streams.open('a1', OPEN, CALLER));
  await once(left, 'head');
  left.reset('answer_invalid');
  await vi.waitFor(() => expect(codes).toEqual(['canceled']));
  await vi.waitFor(() => expect(central.size).toBe(0));
});

it('of an agent that has no session, no streams or too many of them are refused as at this node', async () => {
  const { streams, session, record, nodes, lookups } = await twoNodes(() => undefined);
  expect(await streams.open('a2', OPEN, CALLER)).toEqual({ kind: 'offline' });
  session.hasStreams = false;
  expect(await streams.open('a1', OPEN, CALLER)).toEqual({ kind: 'too-old' });
  session.hasStreams = true;
  session.openStream = () => undefined;
  expect(await streams.open('a1', OPEN, CALLER)).toEqual({ kind: 'full' });
  record.session.endedAt = 1;
  expect(await streams.open('a1', OPEN, CALLER)).toEqual({ kind: 'offline' });
  record.session.endedAt = null;
  nodes.set('b', nodeRecord({ name: 'b', state: 'dead', address: 'https://127.0.0.1:1' }));
  expect(await streams.open('a1', OPEN, CALLER)).toEqual({ kind: 'offline' });
  expect(lookups).toHaveLength(5);
});

it('name what is wrong: a node without an address, one that does not answer, one that is another', async () => {
  const { streams, nodes, address } = await twoNodes(() => undefined);
  const codeOf = async () =>
    await streams.open('a1', OPEN, CALLER).then(
      ({ kind }) => [kind, ''],
      ({ code, message }: { code: string; message: string }) => [code, message],
    );
  nodes.set('b', nodeRecord({ name: 'b' }));
  expect(await codeOf()).toEqual(['node_address_missing', expect.stringContaining('node b')]);
  const closed = createServer();
  await once(closed.listen(0, '127.0.0.1'), 'listening');
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  nodes.set('b', nodeRecord({ name: 'b', address: `https://127.0.0.1:${port}` }));
  expect(await codeOf()).toEqual(['node_unreachable', expect.stringContaining('ECONNREFUSED')]);
  // A process of that name that was replaced since.
  nodes.set('b', nodeRecord({ name: 'b', generation: 2, address }));
  expect(await codeOf()).toEqual(['node_unreachable', expect.stringContaining('node b (process 1)')]);
});

it('follow an agent that has moved meanwhile once, and say so where it moves on', async () => {
  const { authority, streams, at, record, nodes, lookups } = await twoNodes((stream) => void stream.sendHead({}));
  const before = await twoNodes(() => expect.unreachable(), { of: authority, second: 'c' });
  before.at.clear();
  nodes.set('c', nodeRecord({ name: 'c', address: before.address }));
  const places = ['c', 'b'];
  Object.defineProperty(record, 'session', { get: () => ({ node: places.shift() ?? 'b', endedAt: null }) });
  const stream = opened(await streams.open('a1', OPEN, CALLER));
  await once(stream, 'head');
  stream.destroy();
  expect(lookups).toHaveLength(2);
  at.clear();
  await expect(streams.open('a1', OPEN, CALLER)).rejects.toMatchObject({ code: 'agent_moved', status: 503 });
});

it('are lost with the other node: the caller hears an error, never an end', async () => {
  const { streams, listener } = await twoNodes((stream) => {
    stream.sendHead({ status: 200 });
    stream.write('part of');
  });
  const stream = opened(await streams.open('a1', OPEN, CALLER));
  const ended = vi.fn<() => void>();
  stream.on('end', ended);
  await once(stream, 'data');
  listener.stop();
  const [error] = (await once(stream, 'error')) as [StreamReset];
  expect(error.reset).toBe('node_lost');
  expect(ended).not.toHaveBeenCalled();
});

it('are waited for no longer than a time', async () => {
  const { authority, nodes } = await twoNodes(() => undefined);
  const { NodeCalls } = await import('../../../central/forwarding/node-calls.ts');
  const { NodeCertificate } = await import('../../../central/forwarding/node-certificate.ts');
  const silent = createServer(() => undefined);
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void silent.close());
  const self = { name: 'a', generation: 1 };
  const certificate = await NodeCertificate.make({ authority, node: self, now: Date.now });
  const calls = new NodeCalls({ self, certificate, authority, answerMs: 50 });
  const address = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  nodes.set('b', nodeRecord({ name: 'b', address }));
  await expect(
    calls.open(nodeRecord({ name: 'b', address }), { agentId: 'a1', caller: CALLER, open: OPEN }),
  ).rejects.toMatchObject({ code: 'node_unreachable', parameters: { found: 'no answer within 0.05 s' } });
  calls.stop();
});
