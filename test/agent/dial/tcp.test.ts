// Several addresses of one host: a dead one, wherever it is in the list, and a line whose round trip takes longer than
// Node's own attempts last.
import { once } from 'node:events';
import { createServer, Socket, type AddressInfo, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openTcp } from '../../../agent/dial/tcp.ts';

const sockets: Socket[] = [];

/** A connection that is answered when the test says so, or never. */
class FakeSocket extends Socket {
  readonly address_: string;

  constructor(address: string) {
    super();
    this.address_ = address;
    sockets.push(this);
  }
}

/** Dials a host with these addresses. An address may take some milliseconds to answer, refuse, or be dead. */
function dial(addresses: Readonly<Record<string, number | 'refuses' | 'dead'>>, signal = new AbortController().signal) {
  return openTcp({ host: 'central.example', port: 9150 }, signal, {
    lookup: async () => Object.keys(addresses),
    connect({ host }) {
      const socket = new FakeSocket(host);
      const manner = addresses[host];
      if (manner === 'refuses') setTimeout(() => socket.destroy(refused(host)), 1);
      else if (typeof manner === 'number') setTimeout(() => socket.destroyed || socket.emit('connect'), manner);
      return socket;
    },
  }) as Promise<FakeSocket>;
}

function refused(host: string): Error {
  return Object.assign(new Error(`connect ECONNREFUSED ${host}`), { code: 'ECONNREFUSED' });
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  for (const socket of sockets.splice(0)) socket.destroy();
});

describe('a host with several addresses', () => {
  it('is reached through the living one when the other is dead, in either order', async () => {
    for (const addresses of [
      { '10.0.0.1': 'dead', '10.0.0.2': 40 },
      { '10.0.0.2': 40, '10.0.0.1': 'dead' },
    ] as const) {
      const connected = dial(addresses);
      await vi.advanceTimersByTimeAsync(1_100);
      expect((await connected).address_).toBe('10.0.0.2');
    }
  });

  it('is reached over a round trip of many seconds, whatever its other address does', async () => {
    for (const addresses of [
      { '10.0.0.1': 6_000, '10.0.0.2': 'dead' },
      { '10.0.0.2': 'dead', '10.0.0.1': 6_000 },
      { '10.0.0.2': 'refuses', '10.0.0.1': 6_000 },
    ] as const) {
      const connected = dial(addresses);
      await vi.advanceTimersByTimeAsync(7_100);
      expect((await connected).address_).toBe('10.0.0.1');
    }
  });

  it('gets no second connection while the first may still answer within a second', async () => {
    const connected = dial({ '10.0.0.1': 900, '10.0.0.2': 1 });
    await vi.advanceTimersByTimeAsync(1_000);
    await connected;
    expect(sockets.map((socket) => (socket as FakeSocket).address_)).toEqual(['10.0.0.1']);
  });

  it('leaves no attempt behind: not by a connection, not by the end of the dial', async () => {
    const connected = dial({ '10.0.0.1': 'dead', '10.0.0.2': 'dead', '10.0.0.3': 5 });
    await vi.advanceTimersByTimeAsync(3_000);
    const winner = await connected;
    expect(sockets.filter((socket) => socket !== winner).map(({ destroyed }) => destroyed)).toEqual([true, true]);

    const stop = new AbortController();
    const stopped = dial({ '10.0.0.1': 'dead', '10.0.0.2': 'dead' }, stop.signal).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1_500);
    stop.abort(new Error('the agent is stopping'));
    expect(await stopped).toMatchObject({ message: 'the agent is stopping' });
    expect(sockets.every((socket) => socket === winner || socket.destroyed)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('fails with what its first address said when none answers', async () => {
    const failed = dial({ '10.0.0.1': 'refuses', '10.0.0.2': 'refuses' }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await failed).toMatchObject({ code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 10.0.0.1' });
  });
});

it('connects to a real port, and says of a closed one that nothing listens', async () => {
  vi.useRealTimers();
  const server: Server = createServer((socket) => socket.end());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const never = new AbortController().signal;
  (await openTcp({ host: 'localhost', port }, never)).destroy();
  server.close();
  await once(server, 'close');
  await expect(openTcp({ host: '127.0.0.1', port }, never)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});
