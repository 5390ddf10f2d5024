// Two peers on one line, each with its own logs: what one side sends, the other has on its disk and acknowledges.
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { isCoded } from '../../../shared/errors.ts';
import { Peer, type PeerOptions } from '../../../shared/session/peer.ts';
import { withChecksum } from '../../../shared/wire/checksum.ts';
import { decodeFromAgent, decodeFromCentral, encode, encodeMessages } from '../../../shared/wire/codec.ts';
import { LIMITS, type AgentFrame, type CentralFrame } from '../../../shared/wire/messages.ts';
import { entry, HeldInbox, MemoryOutbox, settled } from '../delivery/session-logs.ts';

/** One end of a line in memory. */
class End extends EventEmitter {
  other: End | undefined;
  bufferedAmount = 0;
  cut = false;
  pings = 0;
  /** While true the operating system takes nothing. */
  isSlow = false;
  readonly #untaken: (() => void)[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  readonly sent: string[] = [];

  send(text: string, written?: () => void): void {
    this.sent.push(text);
    this.other?.emit('message', Buffer.from(text), false);
    if (!this.isSlow) written?.();
    else if (written !== undefined) this.#untaken.push(written);
  }
  /** The operating system takes everything. */
  take(): void {
    this.isSlow = false;
    this.bufferedAmount = 0;
    for (const written of this.#untaken.splice(0)) written();
  }
  ping(): void {
    this.pings += 1;
  }
  close(code: number, reason: string): void {
    this.closed = { code, reason };
  }
  terminate(): void {
    this.cut = true;
    this.emit('close', 1006, Buffer.alloc(0));
  }
}

interface Side<Frame extends AgentFrame | CentralFrame> {
  readonly peer: Peer<Frame>;
  readonly end: End;
  readonly carrier: { bytesRead: number; bytesWritten: number; writableLength: number };
  readonly outbox: MemoryOutbox;
  readonly inbox: HeldInbox;
  readonly happened: string[];
}

function side<Frame extends AgentFrame | CentralFrame>(
  decode: PeerOptions<Frame>['decode'],
  { hasChecksums = false, budget }: Partial<PeerOptions<Frame>> = {},
): Side<Frame> {
  const end = new End();
  const carrier = { bytesRead: 0, bytesWritten: 0, writableLength: 0 };
  const outbox = new MemoryOutbox();
  const inbox = new HeldInbox();
  const happened: string[] = [];
  const codeOf = (error: unknown): string => (isCoded(error) ? error.code : String(error));
  const peer = new Peer<Frame>({
    socket: end as unknown as WebSocket,
    carrier: carrier as unknown as Socket,
    hasChecksums,
    decode,
    outbox,
    inbox,
    limits: LIMITS,
    heartbeatMs: 1_000,
    slowPeerMs: 4_000,
    now: Date.now,
    ...(budget === undefined ? {} : { budget }),
    onCommitted: (count) => void happened.push(`committed ${count}`),
    onFrame: (frame) => void happened.push(frame.type),
    onFailure: (error) => {
      happened.push(`failed ${codeOf(error)}`);
      peer.close(1008, codeOf(error), false);
    },
    onLost: (reason) => {
      happened.push(`lost ${reason.code} after ${String(reason.parameters['seconds'])} s`);
      peer.close(reason.close, reason.code, true);
    },
    onError: (error) => void happened.push(error.message),
    onClosed: (code, reason) => void happened.push(`closed ${code} ${reason}`.trim()),
  });
  return { peer, end, carrier, outbox, inbox, happened };
}

function line(options: { readonly hasChecksums?: boolean } = {}) {
  const central = side<AgentFrame>(decodeFromAgent, options);
  const agent = side<CentralFrame>(decodeFromCentral, options);
  central.end.other = agent.end;
  agent.end.other = central.end;
  return { central, agent };
}

const message = (id: string): string =>
  JSON.stringify({ specversion: '1.0', id, source: '/s', type: 't', time: '2026-11-22T10:00:00Z' });

const typesIn = ({ sent }: End): string[] => sent.map((text) => (JSON.parse(text) as { type: string }).type);
const unlimited = {
  isPaused: false,
  keep: () => undefined,
  pass: () => true,
  take: () => undefined,
  admit: () => true,
  sending: () => () => undefined,
};

afterEach(() => {
  vi.useRealTimers();
});

describe('two peers', () => {
  for (const hasChecksums of [false, true])
    test(`carry messages both ways and acknowledge them${hasChecksums ? ', with checksums' : ''}`, async () => {
      const { central, agent } = line({ hasChecksums });
      agent.outbox.entries = [entry(1, message('e1')), entry(2, message('e2'))];
      central.outbox.entries = [entry(1, message('c1'))];
      central.peer.start(null);
      agent.peer.start(null);
      await settled();
      expect(central.inbox.stored).toEqual(['e1', 'e2']);
      expect(agent.inbox.stored).toEqual(['c1']);
      expect([agent.outbox.acknowledgedThrough, central.outbox.acknowledgedThrough]).toEqual([2, 1]);
      expect(central.happened).toEqual(['committed 2']);
      agent.outbox.entries.push(entry(3, message('e3')));
      agent.peer.notify();
      await settled();
      expect(central.inbox.stored).toEqual(['e1', 'e2', 'e3']);
      for (const { peer } of [central, agent]) peer.close(1000, 'over', true);
    });

  test('hold messages back for a side that asks for it, and go on', async () => {
    const { central, agent } = line();
    for (const { peer } of [central, agent]) peer.start(null);
    await settled();
    central.peer.hold(true);
    agent.outbox.entries = [entry(1, message('e1'))];
    agent.peer.notify();
    await settled();
    expect(central.inbox.stored).toEqual([]);
    expect(typesIn(agent.end)).not.toContain('messages');
    central.peer.hold(false);
    await settled();
    expect(central.inbox.stored).toEqual(['e1']);
    for (const { peer } of [central, agent]) peer.close(1000, 'over', true);
  });
});

describe('a peer', () => {
  test('hands control frames to its owner, and passes over those of an unknown type', () => {
    const { central, agent } = line();
    agent.peer.send({ type: 'trusted', thumbprints: [] });
    central.peer.send({ type: 'renew-now', spreadSeconds: 1 });
    central.end.emit('message', Buffer.from('{"type":"of tomorrow"}'), false);
    expect([central.happened, agent.happened]).toEqual([['trusted'], ['renew-now']]);
    for (const { peer } of [central, agent]) peer.close(1000, 'over', true);
  });

  test('passes over a frame of an unknown type where frames carry a checksum, too', () => {
    const { end, happened } = side<AgentFrame>(decodeFromAgent, { hasChecksums: true });
    end.emit('message', Buffer.from('{"type":"of tomorrow"}'), false);
    expect(happened).toEqual([]);
    end.terminate();
  });

  test('sends control frames before the messages that wait for the socket', async () => {
    const sendings: string[] = [];
    const { peer, end, outbox } = side<AgentFrame>(decodeFromAgent, {
      budget: {
        ...unlimited,
        sending: () => {
          sendings.push('begun');
          return () => void sendings.push('written');
        },
      },
    });
    end.isSlow = true;
    end.bufferedAmount = 1024 * 1024;
    outbox.entries = [entry(1, message('c1'))];
    peer.start(null);
    await settled();
    outbox.entries.push(entry(2, message('c2')));
    peer.notify();
    await settled();
    peer.send({ type: 'renew-now', spreadSeconds: 1 });
    expect(typesIn(end)).toEqual(['begin', 'messages', 'renew-now']);
    // Control frames cost the budget nothing.
    expect(sendings).toEqual(['begun', 'begun']);
    end.take();
    expect(typesIn(end)).toEqual(['begin', 'messages', 'renew-now', 'messages']);
    expect(sendings).toEqual(['begun', 'begun', 'written', 'written']);
    end.terminate();
  });

  test('fails when its log does', async () => {
    const { peer, outbox, happened } = side<AgentFrame>(decodeFromAgent);
    outbox.resume = () => Promise.reject(new Error('disk'));
    peer.start(null);
    await settled();
    expect(happened).toEqual(['failed Error: disk']);
    expect(peer.isOpen).toBe(false);
  });

  test.each([
    ['it is closed', ({ peer }: Side<AgentFrame>) => peer.close(1000, 'over', false)],
    ['the connection is gone', ({ end }: Side<AgentFrame>) => void end.emit('close', 1006, Buffer.alloc(0))],
  ])('when %s, leaves its logs alone, pings no more, and forgets what waited', async (_, over) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'] });
    const one = side<AgentFrame>(decodeFromAgent);
    const { peer, end, outbox, inbox, happened } = one;
    end.isSlow = true;
    end.bufferedAmount = 1024 * 1024;
    outbox.entries = [entry(1, message('c1'))];
    peer.start(null);
    await settled();
    outbox.entries.push(entry(2, message('c2')));
    peer.notify();
    inbox.hold = true;
    end.emit('message', Buffer.from(encode({ type: 'begin', incarnation: 'i', next: 1, missing: null })), false);
    await settled();
    for (const [i, id] of ['e1', 'e2'].entries())
      end.emit('message', Buffer.from(encodeMessages(i + 1, [message(id)])), false);
    await settled();
    expect(typesIn(end)).toEqual(['begin', 'messages']);
    over(one);
    const [reads, pings] = [outbox.reads.length, end.pings];
    inbox.hold = false;
    inbox.release();
    end.take();
    await settled();
    peer.notify();
    peer.read(Buffer.from(encode({ type: 'trusted', thumbprints: [] })));
    vi.advanceTimersByTime(1_900);
    await settled();
    expect(inbox.stored).toEqual(['e1']);
    expect([typesIn(end), outbox.reads.length, end.pings]).toEqual([['begin', 'messages'], reads, pings]);
    end.emit('close', 1000, Buffer.alloc(0));
    expect(vi.getTimerCount()).toBe(0);
    expect(happened).toHaveLength(1);
    expect(happened[0]).toMatch(/^closed /);
    expect(end.cut).toBe(false);
  });

  test('is not lost while its budget leaves the socket unread', () => {
    vi.useFakeTimers();
    const budget = { ...unlimited, isPaused: true };
    const { end, happened } = side<AgentFrame>(decodeFromAgent, { budget });
    vi.advanceTimersByTime(20_000);
    expect(happened).toEqual([]);
    budget.isPaused = false;
    vi.advanceTimersByTime(4_000);
    expect(happened[0]).toMatch(/^lost heartbeat_lost/);
    expect(end.cut).toBe(true);
  });

  test('refuses a binary frame whatever it holds: no stream is open', () => {
    const { end, happened } = side<AgentFrame>(decodeFromAgent);
    end.emit('message', Buffer.from(encode({ type: 'trusted', thumbprints: [] })), true);
    expect(happened).toEqual(['failed bad_frame']);
    end.terminate();
  });

  test.each([
    ['a binary frame', Buffer.from([1]), true],
    ['a frame that is not JSON', Buffer.from('{'), false],
    ['an ack before begin', Buffer.from(encode({ type: 'ack', through: 1 })), false],
    ['messages before begin', Buffer.from(encodeMessages(1, [message('early')])), false],
    ['messages without items before begin', Buffer.from(encodeMessages(1, [])), false],
  ])('fails on %s, once, and reads nothing more', (_, data, isBinary) => {
    vi.useFakeTimers();
    const { peer, end, happened } = side<AgentFrame>(decodeFromAgent);
    end.emit('message', data, isBinary);
    end.emit('message', data, isBinary);
    expect(happened).toEqual(['failed bad_frame']);
    expect(peer.isOpen).toBe(false);
    expect([end.closed?.code, end.cut]).toEqual([1008, false]);
    vi.advanceTimersByTime(2_000);
    expect(end.cut).toBe(true);
    expect(happened).toEqual(['failed bad_frame', 'closed 1006']);
  });

  test('fails on a frame without a checksum where frames carry one', () => {
    const { peer, end, happened } = side<AgentFrame>(decodeFromAgent, { hasChecksums: true });
    end.emit('message', Buffer.from(encode({ type: 'begin', incarnation: 'i', next: 1, missing: null })), false);
    end.emit('message', Buffer.from(withChecksum(encodeMessages(1, []))), false);
    expect(happened).toEqual([]);
    end.emit('message', Buffer.from(encodeMessages(1, [])), false);
    expect(happened).toEqual(['failed frame_checksum']);
    expect(peer.isOpen).toBe(false);
    end.terminate();
  });

  test('is lost when nothing is heard for two and a half heartbeats, and is cut at once', () => {
    vi.useFakeTimers();
    const { end, happened } = side<AgentFrame>(decodeFromAgent);
    vi.advanceTimersByTime(2_400);
    expect(happened).toEqual([]);
    vi.advanceTimersByTime(500);
    expect(happened).toEqual(['lost heartbeat_lost after 3 s', 'closed 1006']);
    expect(end.cut).toBe(true);
  });

  test('is lost when bytes wait and the other side reads none', () => {
    vi.useFakeTimers();
    const { end, carrier, happened } = side<AgentFrame>(decodeFromAgent);
    end.bufferedAmount = 1;
    for (let i = 0; i < 20; i += 1) {
      carrier.bytesRead += 1;
      vi.advanceTimersByTime(250);
    }
    expect(happened).toEqual(['lost slow_peer after 4 s', 'closed 1006']);
  });

  test('says once that the connection is gone, and sends nothing from then on', () => {
    const { peer, end, happened } = side<AgentFrame>(decodeFromAgent);
    end.emit('error', new Error('reset'));
    end.emit('close', 1001, Buffer.from('bye'));
    end.emit('close', 1006, Buffer.alloc(0));
    peer.send({ type: 'drain', retryAfterSeconds: 1, spreadSeconds: 1 });
    peer.close(1000, 'over', false);
    expect(happened).toEqual(['reset', 'closed 1001 bye']);
    expect([end.sent, end.closed]).toEqual([[], undefined]);
  });

  test('gives each frame to its budget first, and drops what the budget does not admit', () => {
    const taken: Buffer[] = [];
    let admits = true;
    const { peer, end, happened } = side<AgentFrame>(decodeFromAgent, {
      budget: {
        isPaused: false,
        take: (data) => void taken.push(data),
        keep: () => undefined,
        pass: () => true,
        admit: () => admits,
        sending: () => () => undefined,
      },
    });
    const frame = Buffer.from(encode({ type: 'ack', through: 1 }));
    end.emit('message', frame, false);
    expect(taken).toEqual([frame]);
    admits = false;
    peer.read(frame);
    expect(happened).toEqual([]);
    admits = true;
    peer.read(frame);
    expect(happened).toEqual(['failed bad_frame']);
    end.terminate();
  });
});
