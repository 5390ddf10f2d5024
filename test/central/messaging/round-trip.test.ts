// What a login, and a command with its answer, cost: calls of the store and packets. A Central of this process, an
// agent by hand over wss, REST beside them.
import { once } from 'node:events';
import { connect, Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RunningCentral } from '../../../central/composition/lifecycle.ts';
import { WorkerHost } from '../../../shared/sqlite/worker/host.ts';
import { AGENT_PATH, SUBPROTOCOL } from '../../../shared/wire/messages.ts';
import { Cleanup, type CentralProcess } from '../../flow/processes.ts';
import { enrollKey, newKey, RawAgent, type Frame } from '../../flow/raw-agent.ts';
import { sendTo, startInProcess } from '../in-process.ts';

const cleanup = new Cleanup();
let central: RunningCentral;
let agent: RawAgent;
let agentId: string;
let enrolled: CentralProcess;
const key = newKey();

beforeAll(async () => {
  central = await startInProcess(await cleanup.folder(), '--advertised-names', 'localhost');
  enrolled = {
    ports: { wss: central.port('wss') },
    rest: async (method: string, path: string) => ({ body: await (await send(method, path)).text() }),
    enrollment: async () => {
      const { commandLine } = (await (await send('POST', '/enrollment-tokens', {})).json()) as { commandLine: string };
      return commandLine.split(' ').slice(1);
    },
  } as unknown as CentralProcess;
  agentId = await enrollKey(enrolled, key, 'branch');
  agent = await RawAgent.wss(cleanup, enrolled);
  await agent.welcomed({ id: agentId, key, name: 'branch' });
  await agent.frame('begin');
  agent.send({ type: 'begin', incarnation: 'i'.repeat(22), next: 1, missing: null });
  let number = 0;
  agent.webSocket.on('message', (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as Frame;
    if (frame.type !== 'messages') return;
    const items = frame['items'] as { id: string }[];
    agent.send({ type: 'ack', through: Number(frame['first']) + items.length - 1 });
    const answers = items.map(({ id }) => ({ specversion: '1.0', id: `to ${id}`, source: '/branch', type: 'answer' }));
    agent.send({ type: 'messages', first: number + 1, items: answers });
    number += items.length;
  });
});
afterEach(() => void vi.restoreAllMocks());
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function send(method: string, path: string, body?: unknown): Promise<Response> {
  return await sendTo(central, { method, path: `/api/v1${path}`, body });
}

/** Counts the calls of the store's threads from now on. */
function countCalls(): Map<string, number> {
  const called = new Map<string, number>();
  // oxlint-disable-next-line typescript/unbound-method -- called with the host that it belongs to
  const { call } = WorkerHost.prototype;
  vi.spyOn(WorkerHost.prototype, 'call').mockImplementation(function (this: WorkerHost<never>, method, ...rest) {
    called.set(method, (called.get(method) ?? 0) + 1);
    return call.call(this, method, ...rest) as never;
  });
  return called;
}

interface Piece {
  readonly chunk: Buffer | string;
}

interface Page {
  readonly next: string;
  readonly items: readonly { readonly event: { readonly id: string } }[];
}

async function events(after: string, waitSeconds: number): Promise<Page> {
  return (await (await send('GET', `/events?after=${after}&waitSeconds=${waitSeconds}`)).json()) as Page;
}

/** Sends a command and waits for its answer; the new cursor. */
async function roundTrip(after: string, id: string): Promise<string> {
  const answered = events(after, 30);
  const sent = await send('POST', `/agents/${agentId}/commands`, { id, type: 'question', data: 1 });
  expect(sent.status).toBe(202);
  const { items, next } = await answered;
  expect(items.map(({ event }) => event.id)).toEqual([`to ${id}`]);
  return next;
}

describe('a command and its answer', () => {
  it('read nothing of the store: what was just committed is still in memory', async () => {
    let after = (await events('newest', 0)).next;
    for (let warm = 1; warm <= 3; warm += 1) after = await roundTrip(after, `warm ${warm}`);

    const called = countCalls();
    const trips = 5;
    for (let trip = 1; trip <= trips; trip += 1) after = await roundTrip(after, `trip ${trip}`);
    const reads = ['getApiToken', 'lastCursor', 'prunedThrough', 'readEvents', 'readCommands', 'getAgent'];
    expect([...reads, 'findAgentsByReference'].filter((name) => called.has(name))).toEqual([]);
    const writes = ['appendCommands', 'acknowledgeCommands', 'appendEvents'];
    expect(writes.map((name) => called.get(name))).toEqual([trips, trips, trips]);
  });
});

describe('a login', () => {
  it('is one call of the writer, and answers the hello in one packet', async () => {
    // As after a line that was cut: the same daemon.
    const bootId = 'b'.repeat(32);
    const before = await RawAgent.wss(cleanup, enrolled);
    await before.welcomed({ id: agentId, key, name: 'branch', bootId });
    const again = await RawAgent.wss(cleanup, enrolled);
    const together = new Promise<boolean>((resolve) => {
      let isSamePacket = false;
      again.webSocket.on('message', (data: Buffer) => {
        const { type } = JSON.parse(data.toString()) as Frame;
        if (type === 'welcome') {
          isSamePacket = true;
          // The frames of one packet come in one step.
          process.nextTick(() => (isSamePacket = false));
        } else if (type === 'begin') resolve(isSamePacket);
      });
    });
    const called = countCalls();
    await again.welcomed({ id: agentId, key, name: 'branch', bootId });
    expect(await together).toBe(true);
    const logIn = ['logIn', 'getAgent', 'claimSession', 'resumeOutbox', 'readCommands', 'beginInbox'];
    expect(logIn.map((name) => called.get(name) ?? 0)).toEqual([1, 0, 0, 0, 0, 0]);
  });

  it('gets the challenge in one write with the 101', async () => {
    // What Node.js calls when a socket has several pieces to write.
    const written = vi.spyOn(Socket.prototype as unknown as { _writev: (pieces: readonly Piece[]) => void }, '_writev');
    const socket = connect(central.port('ws') ?? 0, '127.0.0.1');
    cleanup.add(() => socket.destroy());
    const headers = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
    headers.push(`Sec-WebSocket-Key: ${'A'.repeat(22)}==`, `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`);
    socket.write(`GET ${AGENT_PATH} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
    await once(socket, 'data');
    const texts = written.mock.calls.map(([pieces]) => pieces.map(({ chunk }) => chunk.toString()).join(''));
    expect(texts).toContainEqual(expect.stringMatching(/^HTTP\/1\.1 101 [^]*"type":"challenge"/));
  });
});
