// Which of two connections of one agent stays, and what it is welcomed with; over sockets of the test's own.
import { EventEmitter } from 'node:events';
import { generateKeyPairSync } from 'node:crypto';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { Sessions, type ProvenConnection } from '../../../central/sessions/sessions.ts';
import type { AgentRecord } from '../../../central/store/agent-store.ts';
import { LIMITS, type Hello, type Welcome } from '../../../shared/wire/messages.ts';
import { signTranscript, verifyTranscript, welcomeTranscript } from '../../../shared/wire/proof.ts';

class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  readonly sent: Record<string, unknown>[] = [];
  closed: number | undefined;
  send(text: string, written?: () => void): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
    written?.();
  }
  ping(): void {}
  close(code: number): void {
    this.closed = code;
    this.readyState = 2;
  }
  terminate(): void {
    this.emit('close', 1006, Buffer.alloc(0));
  }
  pause(): void {}
  resume(): void {}
}

const keys = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const all: Sessions[] = [];
afterEach(async () => {
  for (const sessions of all.splice(0)) await sessions.stop(0, 0);
});

/** Sessions over a store that grants these epochs, one after the other. */
function setUp(epochs: readonly number[]) {
  const clock = { at: 1_790_000_000_000, bootMs: 5_000 };
  const aging = { now: () => clock.at, steady: () => clock.at, offsetMs: () => clock.at - clock.bootMs };
  const grants = [...epochs];
  const ended: { epoch: number; reason: string }[] = [];
  const store = {
    agents: {
      claimSession: async () => ({
        epoch: grants.shift() ?? 0,
        up: null,
        down: { incarnation: 'c', next: 1, missing: null },
        promoted: false,
      }),
      endSession: async (end: { epoch: number; reason: string }) => void ended.push(end),
    },
    outbox: {
      read: async () => [],
      acknowledge: async () => undefined,
      expire: async () => 0,
    },
    inbox: { begin: async () => undefined, append: async () => 0 },
  };
  const sessions = new Sessions({
    store: store as never,
    incidents: { record: () => undefined } as never,
    node: 'n',
    central: 'central.test',
    sign: (transcript) => signTranscript(transcript, keys.privateKey),
    settings: () => ({ heartbeatSeconds: 15, slowPeerSeconds: 60, disabledRetrySeconds: 60, limits: { ...LIMITS } }),
    log: { info() {}, warn() {}, debug() {} } as never,
    now: Date.now,
    aging,
    heapLimitBytes: 1024 ** 3,
    onBudgets: () => undefined,
    onOpened: () => undefined,
    onPromoted: () => undefined,
    onClosed: () => undefined,
    onEvents: () => undefined,
    control: { onOpened: () => undefined, onFrame: () => undefined },
  });
  all.push(sessions);
  const connect = (bootId: string) => {
    const socket = new FakeSocket();
    const hello = {
      type: 'hello',
      id: 'a',
      name: 'branch',
      version: '1',
      bootId: bootId,
      nonce: `nonce of ${bootId} `.repeat(2),
      transport: 'wss',
      capabilities: [],
      logs: { down: null },
    } as unknown as Hello;
    const connection = Object.assign(new EventEmitter(), {
      bytesRead: 0,
      bytesWritten: 0,
      writableLength: 0,
      cork: () => undefined,
      uncork: () => undefined,
    }) as unknown as Socket;
    const proven: ProvenConnection = {
      hello,
      agent: { id: 'a', quarantinedUntil: null } as AgentRecord,
      keyThumbprint: 't',
      certificate: null,
      webSocket: socket as unknown as WebSocket,
      connection,
      listener: 'wss',
      origin: { address: '192.0.2.1', peer: '192.0.2.1', proxied: false, scheme: 'wss' },
    };
    return { socket, hello, welcomed: sessions.welcome(proven) };
  };
  return { sessions, connect, ended, clock };
}

describe('two connections of one agent', () => {
  it('the one with the higher epoch stays; the other is notified and ended', async () => {
    const { sessions, connect } = setUp([1, 2]);
    const first = connect('one');
    await first.welcomed;
    const second = connect('one');
    await second.welcomed;
    expect(first.socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'superseded' });
    expect(first.socket.closed).toBeGreaterThanOrEqual(4400);
    expect(sessions.of('a')?.facts.epoch).toBe(2);
  });

  it('one whose claim was overtaken on its way is refused, and takes nothing from the newer', async () => {
    const { sessions, connect } = setUp([7, 5]);
    const newer = connect('one');
    await newer.welcomed;
    const older = connect('one');
    await expect(older.welcomed).rejects.toMatchObject({ code: 'superseded' });
    expect(older.socket.sent).toEqual([]);
    expect(newer.socket.closed).toBeUndefined();
    expect(sessions.of('a')?.facts.epoch).toBe(7);
  });

  it('one that went away before its welcome leaves no session', async () => {
    const { sessions, connect, ended } = setUp([3]);
    const gone = connect('one');
    gone.socket.readyState = 3;
    await gone.welcomed;
    expect(sessions.size).toBe(0);
    expect(ended).toMatchObject([{ epoch: 3 }]);
  });

  it('of an agent that was revoked meanwhile none is let in', async () => {
    const { sessions, connect } = setUp([4]);
    sessions.revoke('a', 5, 'keyCompromise');
    await expect(connect('one').welcomed).rejects.toMatchObject({ code: 'agent_revoked' });
    expect(sessions.size).toBe(0);
  });
});

describe('a disabled agent', () => {
  it('loses its session at once with a code of its own, and is not let in by a claim from before', async () => {
    const { sessions, connect } = setUp([4, 5, 7]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    sessions.disable('a', 6);
    expect(socket.sent.at(-1)).toMatchObject({ type: 'refuse', code: 'agent_disabled', retryAfterSeconds: 60 });
    expect(socket.closed).toBe(4519);
    await expect(connect('one').welcomed).rejects.toMatchObject({ code: 'agent_disabled' });
    const enabled = connect('one');
    await enabled.welcomed;
    expect(sessions.of('a')?.facts.epoch).toBe(7);
    sessions.disable('a', 6);
    expect(enabled.socket.closed).toBeUndefined();
  });
});

describe('a welcome', () => {
  it('is signed over all that it says and over the nonce of its hello, by the key of Central', async () => {
    const { connect } = setUp([1]);
    const { socket, hello, welcomed } = connect('one');
    await welcomed;
    const { signature, ...said } = socket.sent[0] as unknown as Welcome;
    const signed = (over: Partial<Welcome> = {}, to = hello) =>
      verifyTranscript(welcomeTranscript(to, 'central.test', { ...said, ...over }), signature, keys.publicKey);
    expect(signed()).toBe(true);
    expect([
      signed({ epoch: 2 }),
      signed({ time: said.time + 1 }),
      signed({ sessionId: 'another' }),
      signed({ heartbeatSeconds: 1 }),
      signed({ logs: { up: { incarnation: 'x', number: 1, id: 'y' } } }),
      signed({}, { ...hello, nonce: 'another' }),
    ]).toEqual([false, false, false, false, false, false]);
  });

  it('says the time of Central; after its clock was set, agents reconnect to get it, and others do not', async () => {
    const { sessions, connect, clock } = setUp([1, 2]);
    const { socket, welcomed } = connect('one');
    await welcomed;
    expect(socket.sent[0]).toMatchObject({ type: 'welcome', time: clock.at });
    clock.at += 3_600_000;
    clock.bootMs += 3_600_000 + 9_000;
    sessions.correctTime();
    expect(socket.closed).toBeUndefined();
    clock.at += 20_000;
    sessions.correctTime();
    expect(socket.sent.slice(-2)).toMatchObject([
      { type: 'drain', retryAfterSeconds: 0, spreadSeconds: 60 },
      { type: 'refuse', code: 'going_away' },
    ]);
    const next = connect('one');
    await next.welcomed;
    sessions.correctTime();
    expect(next.socket.closed).toBeUndefined();
  });
});
