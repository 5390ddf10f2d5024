// One session over a socket of the test's own: what it makes Central do, counted in calls of the store.
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ByteBudget } from '../../../central/sessions/limits/byte-budget.ts';
import { ByteGate } from '../../../central/sessions/limits/byte-gate.ts';
import { FrameTurns } from '../../../central/sessions/limits/frame-turns.ts';
import { OutflowBudget } from '../../../central/sessions/limits/outflow-budget.ts';
import {
  CONTROL_BURST,
  Session,
  STREAM_BURST,
  type SessionFacts,
  type SharedBudgets,
} from '../../../central/sessions/session.ts';
import { storeFault } from '../../../central/store/errors.ts';
import { readMessageFrames } from '../../../shared/delivery/message-frames.ts';
import type { Item } from '../../../shared/delivery/message.ts';
import type { OutboxEntry } from '../../../shared/delivery/log-interfaces.ts';
import { encodeStreamFrame, FRAME, STREAMS_CAPABILITY } from '../../../shared/session/streams/frames.ts';
import { encodeMessages } from '../../../shared/wire/codec.ts';
import { LIMITS, type AgentControl, type AgentFrame } from '../../../shared/wire/messages.ts';
import { keptReason } from '../../../central/store/agents/state-reasons.ts';
import { refusal } from '../../../shared/wire/refusals.ts';
import { FakeSocket, fakeConnection } from './fake-agent.ts';

const MIB = 1024 * 1024;

const open: Session[] = [];
afterEach(() => {
  for (const session of open.splice(0)) session.end(new Error('over'), { cut: true });
});

function newBudgets(totalBytes = 64 * MIB): SharedBudgets {
  return {
    budget: new ByteBudget(totalBytes),
    gate: new ByteGate(8 * MIB),
    turns: new FrameTurns(),
    outflow: new OutflowBudget(totalBytes),
  };
}

function setUp(
  budgets = newBudgets(),
  commands: readonly OutboxEntry[] = [],
  facts: Partial<SessionFacts> = {},
  socket = new FakeSocket(),
  beforeStart: (session: Session) => void = () => undefined,
) {
  const connection = fakeConnection();
  const calls: string[] = [];
  const controls: AgentControl[] = [];
  const ends: string[] = [];
  const warnings: object[] = [];
  const appends: { items: readonly Item[]; commit: () => void }[] = [];
  const session = new Session({
    // Only what the session reads of them.
    facts: { agentId: 'a', sessionId: 's', capabilities: [] as readonly string[], ...facts } as SessionFacts,
    budgets,
    socket: socket.webSocket,
    connection,
    outbox: {
      resume: async () => ({ incarnation: 'c', next: 1, missing: null }),
      read: async (after, maxItems, maxBytes) => {
        calls.push('read');
        const found: OutboxEntry[] = [];
        let bytes = 0;
        for (const entry of commands.slice(after, after + maxItems)) {
          if (found.length > 0 && bytes + entry.bytes > maxBytes) break;
          bytes += entry.bytes;
          found.push(entry);
        }
        return found;
      },
      acknowledge: async () => void calls.push('acknowledge'),
      expire: async () => 0,
    },
    inbox: {
      begin: async () => void calls.push('begin'),
      append: async (first, frames) => {
        calls.push('append');
        const items = readMessageFrames(first, frames);
        return await new Promise<number>((resolve) =>
          appends.push({ items, commit: () => resolve(first + items.length - 1) }),
        );
      },
    },
    limits: { ...LIMITS },
    heartbeatMs: 15_000,
    slowPeerMs: 60_000,
    log: { warn: (about: object) => void warnings.push(about) } as never,
    now: Date.now,
    onEvents: () => undefined,
    onControl: (_session, frame) => void controls.push(frame),
    onEnd: (_session, reason) => void ends.push(keptReason(reason)),
  });
  open.push(session);
  beforeStart(session);
  session.start(null);
  /** As ws does: the bytes of the socket first, then the frame. */
  const receiveText = (text: string): void => {
    const data = Buffer.from(text);
    connection.emit('data', Buffer.alloc(data.length + (data.length < 126 ? 6 : data.length < 65_536 ? 8 : 14)));
    socket.emit('message', data, false);
  };
  const receive = (frame: AgentFrame | { type: string; [name: string]: unknown }): void =>
    receiveText(JSON.stringify(frame));
  const refused = (): unknown => socket.sent.find(({ type }) => type === 'refuse')?.['code'];
  return {
    session,
    socket,
    connection,
    calls,
    controls,
    ends,
    warnings,
    appends,
    receive,
    receiveText,
    refused,
    budgets,
  };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

const event = (number: number, bytes = 100): string =>
  JSON.stringify({ specversion: '1.0', id: String(number), source: '/s', type: 't', data: 'x'.repeat(bytes) });

describe('frames beside the messages', () => {
  it('reach Central only as answers: of a thousand unsolicited ones none', async () => {
    const { receive, controls, refused, socket } = setUp();
    for (let i = 0; i < 1_000; i += 1) receive({ type: 'trusted', thumbprints: [] });
    expect([controls.length, refused(), socket.closed]).toEqual([0, 'bad_frame', 4510]);
  });

  it('one answer to each question reaches it', () => {
    const { session, receive, controls, refused } = setUp();
    session.sendControl({ type: 'trust', pem: '', signature: '' });
    session.sendControl({ type: 'renewed', pem: '' });
    receive({ type: 'trusted', thumbprints: [] });
    receive({ type: 'renew-installed', thumbprint: '0'.repeat(64) });
    expect([controls.length, refused()]).toEqual([2, undefined]);
    receive({ type: 'renew-installed', thumbprint: '0'.repeat(64) });
    expect([controls.length, refused()]).toEqual([2, 'bad_frame']);
  });

  it.each(['ping', 'pong'])('a flood of %ss ends the session, and it is not read any more', (kind) => {
    const { socket, refused } = setUp();
    for (let i = 0; i <= CONTROL_BURST * 60; i += 1) socket.emit(kind, Buffer.alloc(0));
    expect([refused(), socket.closed, socket.isPaused]).toEqual(['control_rate', 4515, true]);
  });

  it('a flood of resumes costs so many reads of the store, and no more', async () => {
    const { receive, calls, refused } = setUp();
    for (let i = 0; i < 5_000; i += 1) receive({ type: i % 2 === 0 ? 'pause' : 'resume' });
    await settled();
    expect(refused()).toBe('control_rate');
    expect(calls.length).toBeLessThan(CONTROL_BURST);
  });

  it('a large frame of an unknown type counts for many', () => {
    const { receive, refused } = setUp();
    receive({ type: 'new', more: 'x'.repeat(500_000) });
    return settled().then(() => expect(refused()).toBe('control_rate'));
  });

  it('acks of what Central sent cost nothing of the rate, however many they are', async () => {
    const commands = Array.from({ length: 1_500 }, (_, i) => ({
      number: i + 1,
      id: String(i),
      json: '{}',
      bytes: 2,
      expiresAt: null,
    }));
    const { receive, refused } = setUp(newBudgets(), commands);
    await settled();
    for (let i = 1; i <= 1_500; i += 1) receive({ type: 'ack', through: i });
    expect(refused()).toBeUndefined();
  });
});

describe('frames of streams', () => {
  const frame = (type: number, stream: number, payload: Buffer): Buffer =>
    encodeStreamFrame(type as 1, stream, payload, false);
  const credit = (bytes: number): Buffer => {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    return payload;
  };
  /** Emits so many of what the agent makes of their number, until the session is over; how many it took. */
  async function flooded(count: number, make: (i: number, id: number) => readonly Buffer[]) {
    const { session, socket, connection, refused } = setUp(newBudgets(), [], {
      transport: 'wss',
      capabilities: [STREAMS_CAPABILITY],
    });
    const stream = session.openStream({ kind: 'test' });
    stream?.resume();
    await settled();
    // No time passes for the rates, however slow the machine is.
    const time = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    onTestFinished(() => time.mockRestore());
    let taken = 0;
    for (let i = 0; i < count && session.isOpen; i += 1) {
      if (i % 100 === 0) await settled();
      for (const data of make(i, stream?.id ?? 0)) {
        connection.emit('data', Buffer.alloc(data.length + 6));
        socket.emit('message', data, true);
        taken += 1;
      }
    }
    return { taken, refused: refused(), socket, session };
  }
  const opened = (i: number): Buffer => frame(FRAME.open, 2 * i + 2, Buffer.from('{"kind":"x"}'));
  const reset = (i: number): Buffer => frame(FRAME.reset, 2 * i + 2, Buffer.from('{"code":"x"}'));

  it.each<[string, number, (i: number, id: number) => readonly Buffer[]]>([
    ['streams that it opens and resets', 2 * CONTROL_BURST + 1, (i) => [opened(i), reset(i)]],
    ['credit for nothing', STREAM_BURST + 2, (_i, id) => [frame(FRAME.credit, id, credit(0))]],
    ['credit of the connection for nothing', STREAM_BURST + 2, () => [frame(FRAME.credit, 0, credit(0))]],
    ['data byte by byte', STREAM_BURST + 2, (_i, id) => [frame(FRAME.data, id, Buffer.alloc(1))]],
  ])('a flood of %s ends the session, and it is not read any more', async (_what, most, make) => {
    const { taken, refused, socket } = await flooded(50_000, make);
    expect([refused, socket.closed, socket.isPaused]).toEqual(['control_rate', 4515, true]);
    expect(taken).toBeLessThan(most);
  });

  it('with much data cost nothing of the rate: their credit bounds them', async () => {
    const { taken, refused } = await flooded(12_000, (_i, id) => [frame(FRAME.data, id, Buffer.alloc(1024))]);
    expect([taken, refused]).toEqual([12_000, undefined]);
  });
});

describe('bytes of messages', () => {
  it('of a frame that is committed give their memory back at once', async () => {
    const { receive, socket, appends } = setUp();
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    const data = Buffer.from(Uint8Array.from(Buffer.from(encodeMessages(1, [event(1, 10_000)]))).buffer);
    socket.emit('message', data, false);
    await settled();
    expect(data.length).toBeGreaterThan(10_000);
    appends[0]?.commit();
    await settled();
    expect(data.length).toBe(0);
  });

  it('count from the socket to the commit, and no longer', async () => {
    const { receive, receiveText, appends, budgets } = setUp();
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    expect(budgets.budget.used).toBe(0);
    const text = encodeMessages(1, [event(1, 10_000), event(2, 10_000)]);
    receiveText(text);
    await settled();
    expect(budgets.budget.used).toBeGreaterThanOrEqual(text.length);
    expect(budgets.gate.inside).toBeGreaterThanOrEqual(text.length);
    appends[0]?.commit();
    await settled();
    expect([budgets.budget.used, budgets.gate.inside]).toEqual([0, 0]);
  });

  it('a frame that is not whole yet counts too; it is gone with the session', () => {
    const { connection, socket, budgets } = setUp();
    for (let i = 0; i < 10; i += 1) connection.emit('data', Buffer.alloc(65_536));
    expect(budgets.budget.used).toBe(655_360);
    socket.terminate();
    expect(budgets.budget.used).toBe(0);
  });

  it('many tiny frames count for what they take up, not for their bytes', async () => {
    const { receive, receiveText, budgets } = setUp();
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    for (let number = 1; number <= 2_000; number += 1) receiveText(encodeMessages(number, ['{}']));
    await settled();
    expect(budgets.budget.used).toBeGreaterThan(500_000);
  });

  it('are not decoded on the event loop: a frame of messages reaches the store as it came', async () => {
    const { receive, receiveText, appends, refused } = setUp();
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    const text = `{"type":"messages","first":1,"items":[${event(1)},${event(2)},`;
    receiveText(text);
    await settled();
    // The test's store reads it, and finds that it is not JSON.
    expect([appends.length, refused()]).toEqual([0, 'bad_frame']);
  });

  it.each([
    ['in another order', `{"items":[${event(1)}],"first":1,"type":"messages"}`],
    ['with white space', `{ "type": "messages", "first": 1, "items": [ ${event(1)} ] }`],
  ])('of a frame %s are taken too', async (_, text) => {
    const { receive, receiveText, appends, refused } = setUp();
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    receiveText(text);
    await settled();
    expect([appends.length, refused()]).toEqual([1, undefined]);
  });

  it('when the disk takes nothing, a socket is left unread, not declared dead, and read again after the commit', async () => {
    const { receive, receiveText, socket, connection, appends, refused } = setUp(newBudgets(2 * MIB));
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    for (let n = 0; !socket.isPaused && n < 100; n += 1) {
      receiveText(encodeMessages(n + 1, [event(n, 60_000)]));
      await settled();
    }
    expect(socket.isPaused).toBe(true);
    connection.emit('data', Buffer.alloc(10));
    for (let n = 0; socket.isPaused && n < 100; n += 1) {
      appends[n]?.commit();
      await settled();
    }
    expect([socket.isPaused, refused()]).toEqual([false, undefined]);
  });

  it('what a session that ended had not yet handed to the store is dropped', async () => {
    const budgets = newBudgets();
    const blocker = budgets.gate.enter(8 * MIB);
    const { receive, receiveText, calls, socket } = setUp(budgets);
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    receiveText(encodeMessages(1, [event(1)]));
    await settled();
    socket.terminate();
    blocker.leave();
    await settled();
    expect(calls).not.toContain('append');
    expect([budgets.budget.used, budgets.gate.inside]).toEqual([0, 0]);
  });

  it('a large frame is parsed in a later turn of the event loop, a small one at once; they keep their order', async () => {
    const { receive, receiveText, appends } = setUp();
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    receiveText(encodeMessages(1, [event(1, 100_000)]));
    receiveText(encodeMessages(2, [event(2)]));
    expect(appends).toHaveLength(0);
    await settled();
    appends[0]?.commit();
    await settled();
    expect(
      appends.flatMap(({ items }) => items.map((item) => (item.kind === 'message' ? item.message.id : ''))),
    ).toEqual(['1', '2']);
  });
});

describe('bytes of one chunk of the socket', () => {
  const frameOf = (length: number): Buffer => {
    const text = JSON.stringify({ type: 'x', more: '' });
    return Buffer.from(JSON.stringify({ type: 'x', more: 'x'.repeat(length - text.length) }));
  };

  // RFC 6455 section 5.2: where a header gets longer.
  it.each([125, 126, 65_535, 65_536])('beyond a frame of %i bytes are those of the next one', async (length) => {
    const { connection, socket, budgets } = setUp();
    const data = frameOf(length);
    const header = length < 126 ? 6 : length < 65_536 ? 8 : 14;
    connection.emit('data', Buffer.alloc(header + length + 100));
    socket.emit('message', data, false);
    await settled();
    expect(budgets.budget.used).toBe(100);
    // The rest of the next one, which had more headers, since it came in fragments.
    connection.emit('data', Buffer.alloc(500));
    socket.emit('message', frameOf(50), false);
    await settled();
    expect(budgets.budget.used).toBe(500);
  });

  it.each(['ping', 'pong'])(
    'a %s is counted until it has come, and nothing else of its chunk is given back',
    (kind) => {
      const { connection, socket, budgets } = setUp();
      connection.emit('data', Buffer.alloc(6 + 10 + 40));
      expect(budgets.budget.used).toBe(56);
      socket.emit(kind, Buffer.alloc(10));
      expect(budgets.budget.used).toBe(40);
    },
  );

  it('are not counted any more when the session has ended, and frames that waited are not parsed', async () => {
    const { session, connection, receive, receiveText, appends, budgets } = setUp();
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    receiveText(encodeMessages(1, [event(1, 100_000)]));
    connection.emit('data', Buffer.alloc(1_000));
    session.end(new Error('over'));
    expect(budgets.budget.used).toBe(0);
    connection.emit('data', Buffer.alloc(1_000));
    await settled();
    expect([budgets.budget.used, appends.length, connection.listenerCount('data')]).toEqual([0, 0, 0]);
  });
});

describe('the end of a session', () => {
  it.each([
    [1006, '', 'session_cut: The connection was cut without a close frame.'],
    [1000, '', 'session_closed: The agent closed the connection: 1000.'],
    [4999, 'service stopped', 'session_closed: The agent closed the connection: 4999 service stopped.'],
  ])('by the agent with %i %j is recorded as %j', (code, text, reason) => {
    const { socket, ends } = setUp();
    socket.emit('close', code, Buffer.from(text));
    expect(ends).toEqual([reason]);
  });

  it('by a frame that ws cannot read is recorded with its fault', () => {
    const { socket, ends } = setUp();
    socket.emit('error', new Error('Invalid WebSocket frame'));
    socket.emit('close', 1006, Buffer.alloc(0));
    expect(ends).toEqual(['bad_frame: Invalid frame: Invalid WebSocket frame.']);
  });

  it('for a reason is said once, with its texts cut to their bounds, and the socket is read on for its close frame', () => {
    const { session, socket, ends } = setUp();
    session.end(refusal('agent_revoked', { reason: 'x'.repeat(3_000) }), { retryAfterSeconds: 7 });
    session.end(refusal('going_away', {}));
    const said = socket.sent.filter(({ type }) => type === 'refuse');
    expect(said).toMatchObject([{ code: 'agent_revoked', retryAfterSeconds: 7 }]);
    expect(String(said[0]?.['detail'])).toHaveLength(1024);
    expect([socket.closed, socket.isPaused]).toEqual([4412, false]);
    socket.emit('close', 4412, Buffer.alloc(0));
    expect(ends).toEqual([expect.stringMatching(/^agent_revoked: /)]);
  });

  it.each([
    ['without a code', new Error('the disk')],
    ['that has no close code', storeFault('agent_unknown', { id: 'a' })],
  ])('because of an error %s says nothing of it to the agent, and is logged', (_, error) => {
    const { session, socket, warnings } = setUp();
    session.fail(error);
    expect(socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'internal', retryAfterSeconds: null });
    expect(warnings).toEqual([{ agent: 'a', session: 's', error: error.message }]);
    session.fail(new Error('another'));
    expect(warnings).toHaveLength(1);
  });

  it('because nothing comes cuts the line, and says why', () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { socket, ends } = setUp();
    vi.advanceTimersByTime(60_000);
    expect(socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'heartbeat_lost' });
    expect(ends).toEqual([expect.stringMatching(/^heartbeat_lost: /)]);
  });

  it('before its start leaves the socket unread', () => {
    const socket = new FakeSocket();
    const { session } = setUp(newBudgets(), [], {}, socket);
    expect(socket.isPaused).toBe(false);
    session.end(new Error('over'));
    const other = new FakeSocket();
    setUp(newBudgets(), [], {}, other, (early) => early.end(new Error('over')));
    expect(other.isPaused).toBe(true);
  });
});

describe('a session', () => {
  it('sends control frames, and passes hints and holds on to its logs', async () => {
    const { session, socket, receive, calls } = setUp();
    await settled();
    session.sendControl({ type: 'renewed', pem: 'p' });
    expect(socket.sent.at(-1)).toEqual({ type: 'renewed', pem: 'p' });
    const before = calls.length;
    session.notify();
    await settled();
    expect(calls.length).toBe(before + 1);
    receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
    await settled();
    session.hold(true);
    expect(socket.sent.at(-1)).toEqual({ type: 'pause' });
    session.hold(false);
    expect(socket.sent.at(-1)).toEqual({ type: 'resume' });
    session.drain(3, 60);
    expect(socket.sent.at(-1)).toEqual({ type: 'drain', retryAfterSeconds: 3, spreadSeconds: 60 });
  });

  it('over ws demands the checksum of a frame, over wss it does not', async () => {
    for (const [transport, code] of [
      ['ws', 'frame_checksum'],
      ['wss', undefined],
    ] as const) {
      const { receive, receiveText, refused } = setUp(newBudgets(), [], { transport });
      receive({ type: 'begin', incarnation: 'e', next: 1, missing: null });
      await settled();
      receiveText(encodeMessages(1, [event(1)]));
      await settled();
      expect([transport, refused()]).toEqual([transport, code]);
    }
  });

  it('takes as many pings as an agent sends that measures its line with them', () => {
    const { socket, refused } = setUp();
    for (let i = 0; i < 50 * (CONTROL_BURST - 10); i += 1) socket.emit(i % 2 === 0 ? 'ping' : 'pong', Buffer.alloc(0));
    expect(refused()).toBeUndefined();
  });

  it('refuses a second hello', () => {
    const { receive, socket } = setUp();
    receive({
      type: 'hello',
      id: 'a',
      name: 'branch',
      key: 'A'.repeat(124),
      version: '1',
      bootId: 'b'.repeat(32),
      challenge: 'c'.repeat(32),
      nonce: 'n'.repeat(32),
      transport: 'wss',
      binding: null,
      releases: { profile: null, runtime: null, program: null },
      capabilities: [],
      logs: { down: null },
      signature: 'A'.repeat(96),
    });
    expect(socket.sent.at(-1)).toMatchObject({
      type: 'refuse',
      code: 'bad_frame',
      detail: expect.stringContaining('a second hello'),
    });
  });
});

describe('commands for an agent that does not read', () => {
  it('are read from the store as far as the budget goes; on when it reads; and given back when it is gone', async () => {
    const commands = Array.from({ length: 400 }, (_, i) => ({
      number: i + 1,
      id: String(i),
      json: JSON.stringify('x'.repeat(10_000)),
      bytes: 10_002,
      expiresAt: null,
    }));
    const budgets = newBudgets(MIB);
    const one = setUp(budgets, commands);
    one.socket.takes = false;
    await settled();
    const held = budgets.outflow.used;
    expect(held).toBeGreaterThan(0);
    expect(held).toBeLessThanOrEqual(MIB);
    const messages = (): number => one.socket.sent.filter(({ type }) => type === 'messages').length;
    const before = messages();
    for (const written of one.socket.written.splice(0)) written();
    await settled();
    expect(messages()).toBeGreaterThan(before);
    one.socket.terminate();
    expect(budgets.outflow.used).toBe(0);
  });
});
