// Receivers that do what none should: an attempt always ends, and what it reads is bounded.
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { connectTo } from '../../../central/subscriptions/connection.ts';
import { sendBatch, type Outcome } from '../../../central/subscriptions/sender.ts';
import { guardedLookup } from '../../../central/subscriptions/target.ts';

const dns = vi.hoisted(() => {
  // What another file of this process has loaded has the real look-up.
  vi.resetModules();
  return { calls: [] as string[], answer: Promise.withResolvers<object[]>() };
});
vi.mock('node:dns/promises', () => ({
  lookup: (host: string) => {
    dns.calls.push(host);
    return host === 'localhost' ? Promise.resolve([{ address: '127.0.0.1', family: 4 }]) : dns.answer.promise;
  },
}));

const allowed = (): readonly string[] => ['127.0.0.1'];

/** What the receiver does with each connection, once the request is there. */
async function receiver(answer: (socket: Socket) => void): Promise<{ readonly port: number; bytes: () => number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    socket.once('data', () => answer(socket));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { port: address.port, bytes: () => sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0) };
}

const SENDING = { body: '[]', headers: {}, allowed, signal: new AbortController().signal, timeoutMs: 10_000 };

async function send(port: number): Promise<Outcome> {
  return await sendBatch({ ...SENDING, subscription: { target: `http://localhost:${port}/hook`, ca: null } });
}

/** The suites and groups in a ClientHello (RFC 8446 section 4.1.2). */
function offeredIn(record: Buffer): { readonly suites: readonly number[]; readonly groups: readonly number[] } {
  const numbers = (at: number, bytes: number): number[] =>
    Array.from({ length: bytes / 2 }, (_, i) => record.readUInt16BE(at + 2 * i));
  // Record and handshake headers, version, random; then the session id.
  let at = 5 + 4 + 2 + 32;
  at += 1 + record.readUInt8(at);
  const suites = numbers(at + 2, record.readUInt16BE(at));
  at += 2 + record.readUInt16BE(at);
  at += 1 + record.readUInt8(at);
  const end = at + 2 + record.readUInt16BE(at);
  for (at += 2; at < end; at += 4 + record.readUInt16BE(at + 2))
    if (record.readUInt16BE(at) === 10) return { suites, groups: numbers(at + 6, record.readUInt16BE(at + 4)) };
  return { suites, groups: [] };
}

/** Writes without end. */
function flood(socket: Socket, piece: string): void {
  const bytes = Buffer.from(piece.repeat(Math.ceil(16_384 / piece.length)));
  const go = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on('drain', go);
  go();
}

describe('a receiver', () => {
  it('that switches protocols, or closes without an answer, has failed', async () => {
    const { port } = await receiver((socket) =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'),
    );
    expect(await send(port)).toMatchObject({ status: null, failure: { code: 'webhook_unreachable' } });
    const silent = await receiver((socket) => socket.destroy());
    expect(await send(silent.port)).toMatchObject({ status: null, failure: { code: 'webhook_unreachable' } });
  });

  it.each([
    ['interim answers', '', 'HTTP/1.1 103 E\r\n\r\n'],
    ['headers', 'HTTP/1.1 200 OK\r\n', 'X-A: bbbbbbbbbbbbbbbb\r\n'],
    ['text that is not HTTP', '', 'hello '],
  ])('that sends %s without end has failed, and little of it was read', async (_what, first, piece) => {
    const { port, bytes } = await receiver((socket) => {
      socket.write(first);
      flood(socket, piece);
    });
    expect(await send(port)).toMatchObject({ status: null, failure: { code: 'webhook_unreachable' } });
    // Most of it is what both systems buffer.
    expect(bytes()).toBeLessThan(16 * 1024 * 1024);
  });

  it.each([
    ['in chunks of one byte', '1\r\na\r\n'],
    ['in chunks of a kilobyte', `400\r\n${'a'.repeat(1024)}\r\n`],
  ])('whose answer has no end, %s, has the events: its status counts', async (_what, piece) => {
    const { port, bytes } = await receiver((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      flood(socket, piece);
    });
    expect(await send(port)).toMatchObject({ status: 200, failure: undefined });
    expect(bytes()).toBeLessThan(16 * 1024 * 1024);
  });

  it('that sends more than 256 KiB is cut, whatever they are', async () => {
    const { port } = await receiver((socket) => flood(socket, 'x'));
    const onFlood = vi.fn<(error: Error) => void>();
    const socket = await new Promise<Socket>((resolve, reject) =>
      connectTo(
        new URL(`http://localhost:${port}/`),
        { subscription: { ca: null }, allowed, signal: new AbortController().signal, onFlood },
        (error, connected) => (error === null ? resolve(connected) : reject(error)),
      ),
    );
    socket.on('error', () => undefined).resume();
    socket.write('x');
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    expect(onFlood).toHaveBeenCalledOnce();
  });

  it('chooses of suites and groups over elliptic curves: DHE with numbers of 10,000 bits costs its client a second', async () => {
    const hello = Promise.withResolvers<Buffer>();
    const server = createServer((socket) => {
      socket
        .on('error', () => undefined)
        .once('data', (bytes: Buffer) => {
          hello.resolve(bytes);
          socket.destroy();
        });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    await sendBatch({ ...SENDING, subscription: { target: `https://localhost:${port}/hook`, ca: null } });
    const { suites, groups } = offeredIn(await hello.promise);
    // Those of TLS 1.3, and ECDHE with AEAD (IANA, TLS Cipher Suites); 0x00ff is RFC 5746.
    for (const suite of suites) expect([0x13, 0xc0, 0xcc, 0x00]).toContain(suite >> 8);
    expect(suites.filter((suite) => suite >> 8 === 0 && suite !== 0x00ff)).toEqual([]);
    // ffdhe2048 to ffdhe8192 (RFC 7919).
    expect(groups.filter((group) => group >> 8 === 0x01)).toEqual([]);
    expect(groups).toContain(0x0017);
  });

  it('whose name takes long to look up has one look-up in progress, however many attempts wait for it', async () => {
    dns.calls.length = 0;
    const look = guardedLookup(allowed, false);
    const found = Array.from(
      { length: 100 },
      () => new Promise<unknown>((resolve) => look('slow.test', {}, (error, address) => resolve(error ?? address))),
    );
    expect(dns.calls).toEqual(['slow.test']);
    dns.answer.resolve([{ address: '127.0.0.1', family: 4 }]);
    expect(new Set(await Promise.all(found))).toEqual(new Set(['127.0.0.1']));
    await new Promise<void>((resolve) => look('slow.test', {}, () => resolve()));
    expect(dns.calls).toEqual(['slow.test', 'slow.test']);
  });
});
