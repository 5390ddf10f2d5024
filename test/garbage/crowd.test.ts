// Peers that are too many, too quiet or too loud: half-open handshakes, doors that open and close in a loop, and peers
// that read nothing of what they make Central send. An honest agent works all the while, and another one comes in.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { SUBPROTOCOL } from '../../shared/wire/messages.ts';
import { AgentProcess, Cleanup, until, type CentralProcess } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent, type HelloOrder } from '../flow/raw-agent.ts';
import { boundedCentral, Bystander, carrierOf, inLanes, logOf, printSeed, rawFrame } from './garbage.ts';
import { enrolledFolders, metric } from '../reliability/traffic.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
let bystander: Bystander;
let stranger: HelloOrder;

/** From TCP to welcome. */
const WELCOME_SECONDS = 4;
/** From it follows how many may wait for their welcome at once: 100, and half of them from one address. */
const AGENTS_MAX = 200;
const MAX_PENDING_HANDSHAKES = 50;
const SLOW_PEER_SECONDS = 5;
/**
 * What Central may grow by beside one peer that does not read: the window, what waits in its sockets, and what V8 has
 * not yet collected.
 */
const MAX_HELD_BYTES = 160 * 1024 * 1024;

beforeAll(async () => {
  printSeed();
  central = await boundedCentral(cleanup, {
    'agents.welcomeTimeoutSeconds': WELCOME_SECONDS,
    'agents.max': AGENTS_MAX,
    'agents.slowPeerSeconds': SLOW_PEER_SECONDS,
    'agents.heartbeatSeconds': 2,
  });
  const key = newKey();
  stranger = {
    id: await enrollKey(central, key, 'stranger'),
    key,
    name: 'stranger',
    bootId: randomBytes(24).toString('base64url'),
  };
  bystander = await Bystander.start(cleanup, central);
});
afterEach(() => bystander.undisturbed());
afterAll(async () => {
  await bystander.lostNothing();
  await cleanup.run();
});

/** A TCP connection that says so much and then nothing; resolves when it is gone. */
function halfOpen(port: number, bytes: string | Uint8Array): { readonly socket: Socket; readonly gone: Promise<void> } {
  const socket = connect(port, '127.0.0.1');
  const gone = new Promise<void>((resolve) => socket.on('error', () => undefined).on('close', () => resolve()));
  socket.on('connect', () => socket.write(bytes));
  socket.resume();
  cleanup.add(() => socket.destroy());
  return { socket, gone };
}

/** An upgrade without a hello; resolves with the close code. */
function withoutHello(port: number): Promise<number> {
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/agent`, SUBPROTOCOL);
  cleanup.add(() => webSocket.terminate());
  return new Promise((resolve) => webSocket.on('error', () => undefined).on('close', resolve));
}

describe('a thousand half-open handshakes', () => {
  it('a thousand half-open handshakes disturb no one: those who work go on, one who comes gets in, and all of the thousand are ended', async () => {
    const clientHello = Buffer.from('16030102000100000100', 'hex');
    const { ws: plain, wss: secure, https, http } = central.ports;
    const standing = [
      ...[plain, secure, https, http].flatMap((port) => Array.from({ length: 100 }, () => halfOpen(port, ''))),
      ...[secure, https].flatMap((port) => Array.from({ length: 150 }, () => halfOpen(port, clientHello))),
    ];
    const closes = Array.from({ length: 300 }, () => withoutHello(plain));
    await Promise.all(standing.map(({ socket }) => until(() => !socket.connecting || undefined)));
    await bystander.goesOn();
    const newcomer = AgentProcess.start(cleanup, await enrolledFolders(cleanup, central, 'newcomer'), 'newcomer');
    await central.online('newcomer');
    await Promise.all(standing.map(({ gone }) => gone));
    const codes = await Promise.all(closes);
    const count = (code: number): number => codes.filter((each) => each === code).length;
    // Either it waited for its deadline, or all places were taken; 'newcomer' may have had one of the places.
    expect([...new Set(codes)].toSorted((a, b) => a - b)).toEqual([4503, 4504]);
    expect(count(4504)).toBeGreaterThanOrEqual(MAX_PENDING_HANDSHAKES - 1);
    expect(count(4503)).toBeGreaterThan(0);
    await newcomer.stop();
  }, 60_000);
});

describe('a peer that opens and closes in a loop', () => {
  it('leaves nothing behind, whichever way it goes and however far it came', async () => {
    const { ws: plain, wss: secure } = central.ports;
    const rounds = Array.from({ length: 600 }, (_, i) => i);
    await inLanes(
      rounds,
      Array.from({ length: 8 }, () => undefined),
      async (i) => {
        const socket = connect(i % 2 === 0 ? plain : secure, '127.0.0.1');
        const closed = new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve));
        await new Promise((resolve) => socket.once('connect', resolve));
        if (i % 3 === 0) socket.write('GET /agent HTTP/1.1\r\n');
        if (i % 4 < 2) socket.resetAndDestroy();
        else socket.end().resume();
        await closed;
      },
    );
    await inLanes(
      rounds.slice(0, 200),
      Array.from({ length: 8 }, () => undefined),
      async (i) => {
        const webSocket = new WebSocket(`ws://127.0.0.1:${plain}/agent`, SUBPROTOCOL);
        const closed = new Promise((resolve) => webSocket.on('error', () => undefined).on('close', resolve));
        await new Promise((resolve) => webSocket.once('open', resolve));
        if (i % 2 === 0) webSocket.terminate();
        else webSocket.close(4999, 'x'.repeat(123));
        await closed;
      },
    );
    // Sessions too: one boot that comes and goes is a bad line.
    for (let i = 0; i < 30; i += 1) {
      const agent = await RawAgent.ws(cleanup, central);
      await agent.welcomed(stranger);
      carrierOf(agent.webSocket).resetAndDestroy();
    }
    await until(async () => (await metric(central, 'queuegate_sessions')) === 1 || undefined);
    const gone = await until(async () => {
      const found = await central.agent('stranger');
      return ['disconnected', 'dropped'].includes(String(found?.['state'])) ? found : undefined;
    });
    expect(gone).toMatchObject({ epoch: 30 });
  }, 60_000);
});

describe('a peer that reads nothing', () => {
  /** A session of the stranger whose end of the line takes nothing any more. */
  async function deaf(): Promise<RawAgent> {
    const agent = await RawAgent.ws(cleanup, central);
    await agent.welcomed(stranger);
    agent.send({ type: 'begin', incarnation: randomBytes(16).toString('hex'), next: 1, missing: null });
    await agent.frame('begin');
    agent.webSocket.pause();
    return agent;
  }

  const endOf = (since: number): Record<string, unknown> | undefined =>
    logOf(central.process).find(
      (line) => line['msg'] === 'agent offline' && line['agent'] === stranger.id && Number(line['time']) >= since,
    );

  /** Waits for the end of the session; the most that Central grew by until then. */
  async function growthUntilEnd(since: number): Promise<number> {
    let most = 0;
    await until(
      async () => {
        most = Math.max(most, await bystander.growth());
        return endOf(since);
      },
      40_000,
      () => 'the session is still open',
    );
    return most;
  }

  it('is ended as slow_peer while Central sends it commands, which wait for it; what Central holds for it is bounded', async () => {
    const since = Date.now();
    const agent = await deaf();
    const pings = setInterval(() => agent.webSocket.ping(), 500);
    cleanup.add(() => clearInterval(pings));
    for (let i = 0; i < 4; i += 1) {
      const batch = Array.from({ length: 15 }, (_, n) => ({
        id: `${since}-${i}-${n}`,
        type: 'large',
        data: 'x'.repeat(250_000),
      }));
      expect((await central.rest('POST', `/agents/${stranger.id}/commands`, batch)).status).toBe(202);
    }
    expect(await growthUntilEnd(since)).toBeLessThan(MAX_HELD_BYTES);
    expect(endOf(since)).toMatchObject({ reason: 'slow_peer' });
    expect((await central.rest('GET', `/agents/${stranger.id}`)).body.logs.down.messageCount).toBe(60);
    clearInterval(pings);
    agent.webSocket.terminate();
  }, 60_000);

  it('cannot fill the memory with answers to its pings', async () => {
    const since = Date.now();
    const agent = await deaf();
    const carrier = carrierOf(agent.webSocket);
    const pings = Buffer.concat(
      Array.from({ length: 4_000 }, () => rawFrame({ opcode: 9, payload: Buffer.alloc(125, 0x70) })),
    );
    const flood = (): void => {
      while (!carrier.destroyed && carrier.write(pings));
    };
    carrier.on('drain', flood);
    flood();
    // ws ends it at so many unread pongs; without that bound the heap of this Central would end instead.
    expect(await growthUntilEnd(since)).toBeLessThan(MAX_HELD_BYTES);
    carrier.off('drain', flood);
    agent.webSocket.terminate();
  }, 60_000);
});
