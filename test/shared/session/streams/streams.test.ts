// Streams between two sides of a real WebSocket: credit, fairness, and what ends the session.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { isCoded } from '../../../../shared/errors.ts';
import {
  encodeStreamFrame,
  FRAME,
  STREAM_LIMITS,
  type StreamLimits,
} from '../../../../shared/session/streams/frames.ts';
import { StreamReset, type Stream } from '../../../../shared/session/streams/stream.ts';
import { Streams } from '../../../../shared/session/streams/streams.ts';

interface Side {
  readonly streams: Streams;
  readonly socket: WebSocket;
  readonly faults: unknown[];
}

interface Pair {
  readonly central: Side;
  readonly agent: Side;
  /** Texts that the agent got, with the bytes that waited in front of them. */
  readonly texts: string[];
}

function sideOf(socket: WebSocket, isCentral: boolean, limits: StreamLimits, onOpen: OnOpen, checks: boolean): Side {
  const faults: unknown[] = [];
  const streams = new Streams({ socket, isCentral, limits, hasChecksums: checks, onOpen });
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (!isBinary) return;
    try {
      streams.receive(data);
    } catch (error) {
      faults.push(error);
      streams.close();
    }
  });
  socket.on('close', () => streams.close());
  return { streams, socket, faults };
}

type OnOpen = (stream: Stream, open: Readonly<Record<string, unknown>>) => void;

async function pair(onOpen: OnOpen, { limits = STREAM_LIMITS, checks = false } = {}): Promise<Pair> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[WebSocket]>;
  const agentSocket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    perMessageDeflate: false,
  });
  await once(agentSocket, 'open');
  const [centralSocket] = await accepted;
  const texts: string[] = [];
  agentSocket.on('message', (data: Buffer, isBinary: boolean) => void (isBinary || texts.push(data.toString())));
  onTestFinished(() => {
    agentSocket.terminate();
    centralSocket.terminate();
    server.close();
  });
  return {
    central: sideOf(centralSocket, true, limits, (stream) => stream.reset('kind_unknown'), checks),
    agent: sideOf(agentSocket, false, limits, onOpen, checks),
    texts,
  };
}

async function until(look: () => boolean): Promise<void> {
  for (let i = 0; i < 400; i += 1) {
    if (look()) return;
    await delay(5);
  }
  throw new Error('the time is up');
}

/** The agent's end of each stream that Central opens. */
function collected(): { readonly found: Stream[]; readonly onOpen: OnOpen } {
  const found: Stream[] = [];
  return { found, onOpen: (stream) => void found.push(stream) };
}

const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

async function readAll(stream: Stream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe('streams', () => {
  test('data passes byte for byte in both directions, each side ends by itself, and nothing is left', async () => {
    for (const checks of [false, true]) {
      const { central, agent } = await pair(
        (stream, open) => {
          expect(open).toEqual({ kind: 'test' });
          expect(stream.sendHead({ status: 200 })).toBe(true);
          stream.pipe(stream);
        },
        { checks },
      );
      const sent = randomBytes(3_000_001);
      const stream = central.streams.open({ kind: 'test' }) as Stream;
      const head = once(stream, 'head');
      const back = readAll(stream);
      stream.end(sent);
      expect(await head).toEqual([{ status: 200 }]);
      expect(digest(await back)).toBe(digest(sent));
      await until(() => central.streams.size === 0 && agent.streams.size === 0);
      expect([...central.faults, ...agent.faults]).toEqual([]);
    }
  });

  test('what is written byte by byte arrives whole at a reader that comes late', async () => {
    const { found, onOpen } = collected();
    const { central, agent } = await pair(onOpen);
    const stream = central.streams.open({ kind: 'test' }) as Stream;
    const sent = randomBytes(5_000);
    for (const byte of sent) stream.write(Buffer.of(byte));
    stream.end();
    await until(() => found.length === 1);
    await delay(50);
    expect((await readAll(found[0] as Stream)).equals(sent)).toBe(true);
    expect(agent.faults).toEqual([]);
  });

  test('what a writer sends byte by byte without end is gathered: so many small frames, and no more, leave', async () => {
    const { central, agent } = await pair((stream) => {
      stream.sendHead({});
      const write = (left: number): void => {
        for (let i = 0; i < 100; i += 1) stream.write(Buffer.of(i));
        if (left > 0) setImmediate(write, left - 1);
        else stream.end();
      };
      write(199);
    });
    const stream = central.streams.open({ kind: 'test' }) as Stream;
    let frames = 0;
    central.socket.on('message', () => (frames += 1));
    const all = await readAll(stream);
    expect(all.equals(Buffer.from(Array.from({ length: 20_000 }, (_, i) => i % 100)))).toBe(true);
    // 2,000 at once, then some after each moment.
    expect(frames).toBeLessThan(5_000);
    expect([...central.faults, ...agent.faults]).toEqual([]);
  });

  test('a reader that stops holds up its own stream at its window, and no other stream or text', async () => {
    const { found, onOpen } = collected();
    const { central, texts } = await pair(onOpen);
    const big = Buffer.alloc(1024 * 1024, 1);
    const slow = Array.from({ length: 5 }, () => {
      const stream = central.streams.open({ kind: 'slow' }) as Stream;
      stream.write(big);
      return stream;
    });
    await until(() => found.length === 5);
    await delay(100);
    const quick = central.streams.open({ kind: 'quick' }) as Stream;
    quick.end('small');
    await until(() => found.length === 6);
    expect((await readAll(found[5] as Stream)).toString()).toBe('small');
    central.socket.send('{"type":"text"}');
    await until(() => texts.length === 1);
    // What the stopped readers hold is their windows, and no more.
    for (const stream of slow)
      expect(stream.writableLength).toBeGreaterThanOrEqual(big.length - STREAM_LIMITS.streamWindowBytes);
    for (const stream of found.slice(0, 5)) stream.resume();
    await until(() => slow.every(({ writableLength }) => writableLength === 0));
  });

  test('little waits in the socket, so that a text passes a full load of streams', async () => {
    const { onOpen } = collected();
    const { central } = await pair(onOpen);
    central.socket.pause();
    for (let i = 0; i < 10; i += 1) (central.streams.open({ kind: 'test' }) as Stream).write(Buffer.alloc(256 * 1024));
    expect(central.socket.bufferedAmount).toBeLessThan(64 * 1024 + 16 * 1024 + 100);
  });

  test('1,000 streams that are opened and reset by either side leave nothing, also with data on the way', async () => {
    const opened: Stream[] = [];
    const { central, agent } = await pair((stream) => {
      opened.push(stream);
      if (opened.length % 2 === 0) stream.reset('busy');
      else stream.write(Buffer.alloc(20_000));
    });
    for (let i = 0; i < 1_000; i += 1) {
      let stream: Stream | undefined;
      await until(() => (stream = central.streams.open({ kind: 'test' })) !== undefined);
      stream?.write(Buffer.alloc(20_000));
      if (i % 3 > 0) stream?.reset('canceled');
      else setImmediate(() => stream?.destroy());
    }
    await until(() => central.streams.size === 0 && agent.streams.size === 0);
    expect(opened).toHaveLength(1_000);
    expect([...central.faults, ...agent.faults]).toEqual([]);
    // All credit of the connection is back.
    const stream = central.streams.open({ kind: 'test' }) as Stream;
    stream.end(Buffer.alloc(10));
    await until(() => opened.length === 1_001);
  });

  test('the end of the session is an error of every stream, and no end of its data', async () => {
    const { found, onOpen } = collected();
    const { central, agent } = await pair(onOpen);
    const stream = central.streams.open({ kind: 'test' }) as Stream;
    stream.write('half');
    await until(() => found.length === 1);
    const failed = Promise.all([
      new Promise((resolve) => stream.once('close', resolve)),
      new Promise((resolve) => found[0]?.once('error', resolve)),
    ]);
    let hasEnded = false;
    found[0]?.on('end', () => (hasEnded = true)).resume();
    agent.socket.terminate();
    const [, error] = await failed;
    expect(error).toBeInstanceOf(StreamReset);
    expect([hasEnded, central.streams.size, agent.streams.size]).toEqual([false, 0, 0]);
    expect(central.streams.open({ kind: 'test' })).toBeUndefined();
  });

  test('a reset says its code; a head that is too large is not sent', async () => {
    const { central } = await pair((stream) => {
      expect(stream.sendHead({ text: 'x'.repeat(20_000) })).toBe(false);
      stream.reset('service_unknown');
    });
    const stream = central.streams.open({ kind: 'test' }) as Stream;
    const [error] = await once(stream, 'error');
    expect(error).toMatchObject({ reset: 'service_unknown' });
    expect(central.streams.open({ text: 'x'.repeat(20_000) })).toBeUndefined();
  });

  test('not more streams are open at once than allowed', async () => {
    const { central } = await pair(() => undefined, { limits: { ...STREAM_LIMITS, maxStreamCount: 2 } });
    const first = central.streams.open({ kind: 'test' });
    expect([first, central.streams.open({ kind: 'test' })]).not.toContain(undefined);
    expect(central.streams.open({ kind: 'test' })).toBeUndefined();
    first?.reset('canceled');
    await until(() => central.streams.open({ kind: 'test' }) !== undefined);
  });
});

describe('a peer that breaks a rule', () => {
  const frame = (type: number, stream: number, payload: Buffer | string | object = Buffer.alloc(0)): Buffer =>
    encodeStreamFrame(
      type as 1,
      stream,
      Buffer.isBuffer(payload) ? payload : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)),
      false,
    );
  const credit = (bytes: number): Buffer => {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    return payload;
  };
  const open = frame(FRAME.open, 2, { kind: 'test' });
  const data = frame(FRAME.data, 1, Buffer.alloc(16 * 1024));

  test.each<[string, Buffer[]]>([
    ['a type that is not known', [frame(7, 1)]],
    ['a frame without a stream', [Buffer.of(1, 0)]],
    ['OPEN without JSON', [frame(FRAME.open, 2, 'hello')]],
    ['OPEN with a number of Central', [frame(FRAME.open, 3, { kind: 'test' })]],
    ['OPEN with a used number', [open, open]],
    ['OPEN with an older number', [frame(FRAME.open, 4, { kind: 'test' }), open]],
    ['data of a stream that was never opened', [frame(FRAME.data, 9, 'x')]],
    ['data without bytes', [frame(FRAME.data, 1)]],
    ['data after the end', [frame(FRAME.end, 1), frame(FRAME.data, 1, 'x')]],
    ['more data than the window of the stream', Array.from({ length: 17 }, () => data)],
    ['a second HEAD', [frame(FRAME.head, 1, {}), frame(FRAME.head, 1, {})]],
    ['HEAD after data', [frame(FRAME.data, 1, 'x'), frame(FRAME.head, 1, {})]],
    ['CREDIT beyond the window', [frame(FRAME.credit, 1, credit(1))]],
    ['CREDIT beyond the window of the connection', [frame(FRAME.credit, 0, credit(1))]],
    ['RESET without a code', [frame(FRAME.reset, 1, {})]],
    ['END with bytes', [frame(FRAME.end, 1, 'x')]],
    [
      'RESET of a stream that is over, again and again',
      Array.from({ length: 20 }, () => frame(FRAME.reset, 1, { code: 'x' })),
    ],
  ])('%s is a bad_frame', async (_name, frames) => {
    const { central, agent } = await pair(() => undefined);
    const stream = central.streams.open({ kind: 'test' }) as Stream;
    expect(stream.id).toBe(1);
    for (const one of frames) agent.socket.send(one);
    await until(() => central.faults.length > 0);
    expect(isCoded(central.faults[0], 'bad_frame')).toBe(true);
  });

  test('more data of all streams than the window of the connection is a bad_frame, before credit returns', async () => {
    const limits = { ...STREAM_LIMITS, connectionWindowBytes: 16 * 1024 };
    const { central, agent } = await pair(() => undefined, { limits });
    central.streams.open({ kind: 'test' });
    agent.streams.close();
    agent.socket.send(frame(FRAME.data, 1, Buffer.alloc(10 * 1024)));
    agent.socket.send(frame(FRAME.data, 1, Buffer.alloc(16 * 1024)));
    await delay(50);
    // The first has returned its credit on arrival.
    expect(central.faults).toEqual([]);
    const tight = await pair(() => undefined, { limits: { ...limits, connectionWindowBytes: 8 * 1024 } });
    tight.central.streams.open({ kind: 'test' });
    tight.agent.socket.send(frame(FRAME.data, 1, Buffer.alloc(9 * 1024)));
    await until(() => tight.central.faults.length > 0);
  });

  test('on ws a frame with a wrong checksum ends the session', async () => {
    const { central, agent } = await pair(() => undefined, { checks: true });
    central.streams.open({ kind: 'test' });
    const sent = encodeStreamFrame(FRAME.data, 1, Buffer.from('ticket'), true);
    sent.writeUInt8(sent.readUInt8(6) ^ 1, 6);
    agent.socket.send(sent);
    await until(() => central.faults.length > 0);
    expect(isCoded(central.faults[0], 'frame_checksum')).toBe(true);
  });
});
