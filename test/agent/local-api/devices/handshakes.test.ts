// How many connections an address may have on the port for devices, and how long a handshake may take.
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Server } from 'node:tls';
import { expect, it, vi } from 'vitest';
import { DeviceHandshakes } from '../../../../agent/local-api/devices/handshakes.ts';

class FakeSocket extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress = '10.0.0.1';
  readonly localPort = 8989;
  destroyed = false;
  constructor(remoteAddress: string, remotePort: number) {
    super();
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}

function setUp(limits = { perAddress: 2, handshakes: 3, handshakeMs: 1_000 }) {
  const turns = { entered: 0, left: 0 };
  const enter = () => {
    turns.entered += 1;
    return { serves: () => undefined, leave: () => void (turns.left += 1) };
  };
  const handshakes = new DeviceHandshakes({ enter }, limits);
  const server = new EventEmitter() as unknown as Server;
  handshakes.watch(server);
  let port = 1000;
  const arrive = (address: string): FakeSocket => {
    const socket = new FakeSocket(address, (port += 1));
    server.emit('connection', socket as unknown as Socket);
    return socket;
  };
  const done = (socket: FakeSocket) => handshakes.done(socket as unknown as Socket);
  return { arrive, done, server, turns };
}

it('refuses what an address opens beyond its places until one of them ends; other addresses have their own', () => {
  const { arrive, done } = setUp();
  const [first, second, third] = [arrive('a'), arrive('a'), arrive('a')];
  expect([first, second, third].map(({ destroyed }) => destroyed)).toEqual([false, false, true]);
  expect(arrive('b').destroyed).toBe(false);
  expect(done(first)).toMatchObject({ socket: first });
  expect(done(first)).toBeUndefined();
  first.destroy();
  expect(arrive('a').destroyed).toBe(false);
});

it('refuses what all addresses open beyond the places for handshakes', () => {
  const { arrive, done } = setUp();
  const sockets = ['a', 'b', 'c', 'd'].map(arrive);
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, false, false, true]);
  done(sockets[0] as FakeSocket);
  expect(arrive('e').destroyed).toBe(false);
});

it('ends a handshake that takes too long, and nothing that has finished it', () => {
  vi.useFakeTimers();
  try {
    const { arrive, done, turns } = setUp();
    const [slow, quick] = [arrive('a'), arrive('a')];
    done(quick);
    vi.advanceTimersByTime(1_001);
    expect([slow.destroyed, quick.destroyed]).toEqual([true, false]);
    quick.destroy();
    expect(turns).toEqual({ entered: 2, left: 2 });
  } finally {
    vi.useRealTimers();
  }
});

it('answers what is not TLS by ending the connection', () => {
  const { server } = setUp();
  const socket = new FakeSocket('a', 1);
  server.emit('tlsClientError', new Error('wrong version number'), socket as never);
  expect(socket.destroyed).toBe(true);
});
