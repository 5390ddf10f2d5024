// What a session counts of the bytes it reads, from the first one until they are committed, and which frame is parsed
// when.
import { describe, expect, it } from 'vitest';
import { storeFault } from '../../../central/store/errors.ts';
import { SessionIntake } from '../../../central/sessions/intake.ts';
import { ByteGate } from '../../../central/sessions/limits/byte-gate.ts';
import { FrameTurns, SMALL_FRAME_BYTES } from '../../../central/sessions/limits/frame-turns.ts';
import type { InboxPort } from '../../../shared/delivery/log-interfaces.ts';
import type { MessageFrame } from '../../../shared/delivery/message-frames.ts';
import { FakeSocket, fakeConnection } from './fake-agent.ts';

const FRAME_BYTES = 256;
function setUp(gate = new ByteGate(8 * 1024 * 1024)) {
  const calls: unknown[][] = [];
  const note =
    (name: string) =>
    (...words: number[]): void =>
      void calls.push([name, ...words]);
  const share = {
    isPaused: false,
    received: note('received'),
    dropped: note('dropped'),
    completed: note('completed'),
    released: note('released'),
    close: note('close'),
  };
  const budget = { open: () => share };
  const deferred: (() => void)[] = [];
  const turns = new FrameTurns((run) => deferred.push(run));
  const [socket, connection] = [new FakeSocket(), fakeConnection()];
  const parsed: number[] = [];
  const intake = new SessionIntake(
    { budget: budget as never, gate, turns },
    socket.webSocket,
    connection,
    1024 * 1024,
    (data) => void parsed.push(data.length),
  );
  return {
    intake,
    socket,
    connection,
    share,
    calls,
    parsed,
    /** Bytes of the socket, as they come. */
    chunk: (bytes: number): void => void connection.emit('data', Buffer.alloc(bytes)),
    turn: (): void => {
      for (const run of deferred.splice(0)) run();
    },
  };
}

const frames = (count: number): MessageFrame[] =>
  Array.from({ length: count }, () => ({ data: Buffer.from('{}'), acknowledged: 0, windowItems: 10 }));

describe('the bytes of a session', () => {
  it('count from the first one on; headers and what belongs to no frame are dropped', () => {
    const { intake, calls, chunk, socket } = setUp();
    // Before it is opened there is nothing to count in.
    expect(intake.isPaused).toBe(true);
    intake.open();
    intake.open();
    chunk(100);
    chunk(6 + 200 - 100);
    intake.frame(Buffer.alloc(200));
    expect(calls).toEqual([
      ['received', 100],
      ['received', 106],
      ['dropped', 6],
      ['completed', 200],
    ]);
    calls.length = 0;
    chunk(6 + 10);
    socket.emit('ping', Buffer.alloc(10));
    // Counted once: what is gone is not dropped again.
    socket.emit('pong', Buffer.alloc(10));
    expect(calls).toEqual([
      ['received', 16],
      ['dropped', 16],
      ['dropped', 0],
    ]);
  });

  // RFC 6455 section 5.2: the header of a masked frame.
  it.each([
    [125, 6],
    [126, 8],
    [65_535, 8],
    [65_536, 14],
  ])('of %i in one frame have a header of %i', (bytes, header) => {
    const { intake, calls, chunk } = setUp();
    intake.open();
    chunk(bytes + 100);
    intake.frame(Buffer.alloc(bytes));
    expect(calls[1]).toEqual(['dropped', header]);
  });

  it('of a second frame in the same chunk wait for it', () => {
    const { intake, calls, chunk } = setUp();
    intake.open();
    chunk(2 * (6 + 50) + 20);
    intake.frame(Buffer.alloc(50));
    intake.frame(Buffer.alloc(50));
    expect(calls.slice(1)).toEqual([
      ['dropped', 6],
      ['completed', 50],
      ['dropped', 6],
      ['completed', 50],
    ]);
    // The twenty belong to the next one.
    calls.length = 0;
    chunk(6 + 50 - 20);
    intake.frame(Buffer.alloc(50));
    expect(calls).toEqual([
      ['received', 36],
      ['dropped', 6],
      ['completed', 50],
    ]);
  });

  it('are paused as the budget says, and no longer counted once the session is over', () => {
    const { intake, share, calls, chunk } = setUp();
    intake.open();
    expect(intake.isPaused).toBe(false);
    share.isPaused = true;
    expect(intake.isPaused).toBe(true);
    intake.close();
    chunk(10);
    expect(calls).toEqual([['close']]);
  });

  it('do nothing before the session is open', () => {
    const { intake, calls, parsed, chunk, socket } = setUp();
    chunk(56);
    intake.frame(Buffer.alloc(50));
    intake.keep(Buffer.alloc(50));
    intake.done(Buffer.alloc(50));
    socket.emit('ping', Buffer.alloc(0));
    intake.close();
    expect([calls, parsed]).toEqual([[], [50]]);
  });
});

describe('a frame', () => {
  it('up to 16 KiB is parsed at once, a larger one in its turn, and those behind it after it', () => {
    const { intake, parsed, turn } = setUp();
    intake.open();
    intake.frame(Buffer.alloc(SMALL_FRAME_BYTES));
    expect(parsed).toEqual([SMALL_FRAME_BYTES]);
    intake.frame(Buffer.alloc(SMALL_FRAME_BYTES + 1));
    intake.frame(Buffer.alloc(1));
    expect(parsed).toHaveLength(1);
    turn();
    expect(parsed).toEqual([SMALL_FRAME_BYTES, SMALL_FRAME_BYTES + 1, 1]);
    // Nothing waits any more: small ones are parsed at once again.
    intake.frame(Buffer.alloc(2));
    expect(parsed.at(-1)).toBe(2);
    expect(intake.parseNext()).toEqual({ bytes: 0, more: false });
  });

  it('that waits for its turn is dropped with its session', () => {
    const { intake, parsed, turn } = setUp();
    intake.open();
    intake.frame(Buffer.alloc(SMALL_FRAME_BYTES + 1));
    intake.close();
    turn();
    expect([parsed, intake.parseNext()]).toEqual([[], { bytes: 0, more: false }]);
  });
});

describe('frames of messages', () => {
  const store = (append: InboxPort['append']) => ({ begin: async () => undefined, append }) as InboxPort;

  it('count with what they take besides until they are committed, and are then released once', async () => {
    const { intake, calls } = setUp();
    intake.open();
    for (const bytes of [100, 200, 300]) intake.keep(Buffer.alloc(bytes));
    expect(calls).toEqual(Array.from({ length: 3 }, () => ['completed', 0, FRAME_BYTES]));
    calls.length = 0;
    const appended: [number, number][] = [];
    const inbox = intake.bound(
      store(async (next, taken) => {
        appended.push([next, taken.length]);
        return next + taken.length - 1;
      }),
    );
    expect(await inbox.append(1, frames(2))).toBe(2);
    expect(await inbox.append(3, frames(1))).toBe(3);
    expect(appended).toEqual([
      [1, 2],
      [3, 1],
    ]);
    expect(calls).toEqual([
      ['released', 300 + 2 * FRAME_BYTES],
      ['released', 300 + FRAME_BYTES],
    ]);
    intake.done(Buffer.alloc(70));
    expect(calls.at(-1)).toEqual(['released', 70]);
  });

  it('that the store refuses for now keep counting, and give their place before the writer back', async () => {
    const gate = new ByteGate(1);
    const { intake, calls } = setUp(gate);
    intake.open();
    intake.keep(Buffer.alloc(100));
    calls.length = 0;
    const results = [
      async () => Promise.reject(storeFault('store_reserve', { available: 1, reserve: 2 })),
      async () => 1,
    ];
    const inbox = intake.bound(store(async () => await (results.shift() ?? (async () => 0))()));
    await expect(inbox.append(1, frames(1))).rejects.toMatchObject({ code: 'store_reserve' });
    expect(calls).toEqual([]);
    expect(await inbox.append(1, frames(1))).toBe(1);
    expect(calls).toEqual([['released', 100 + FRAME_BYTES]]);
  });

  it('whose session ends before they reach the writer are not written', async () => {
    const gate = new ByteGate(1);
    const other = gate.enter(1);
    const { intake } = setUp(gate);
    intake.open();
    intake.keep(Buffer.alloc(100));
    const inbox = intake.bound(store(async () => expect.unreachable()));
    const appending = inbox.append(7, frames(1));
    intake.close();
    expect(await appending).toBe(6);
    other.leave();
  });
});
