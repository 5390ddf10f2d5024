// When a heartbeat pings, when it finds a peer dead or stalled, and which counters of a connection it reads.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ConnectionPort, Heartbeat, type HeartbeatEnd, type HeartbeatPort } from '../../../shared/wire/heartbeat.ts';

const PERIOD_MS = 20_000;
const STALLED_MS = 60_000;

class Line implements HeartbeatPort {
  read = 0;
  written = 0;
  waiting = 0;
  pings = 0;
  paused = false;
  isPaused = (): boolean => this.paused;
  ping = (): void => void (this.pings += 1);
  bytesRead = (): number => this.read;
  bytesWaiting = (): number => this.waiting;
  bytesWritten = (): number => this.written;
}

describe('a heartbeat', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  /** Runs it over `line`; what `onEnd` was called with, and when. */
  function started(line: Line): {
    readonly ends: (HeartbeatEnd & { readonly atMs: number })[];
    readonly stop: () => void;
  } {
    const ends: (HeartbeatEnd & { readonly atMs: number })[] = [];
    // Not at the origin of the clock.
    vi.advanceTimersByTime(PERIOD_MS);
    const startedAt = performance.now();
    const heartbeat = new Heartbeat(line, PERIOD_MS, STALLED_MS, (end) =>
      ends.push({ ...end, atMs: performance.now() - startedAt }),
    );
    return { ends, stop: () => heartbeat.stop() };
  }

  it('ends a line that says nothing after two and a half periods, a quarter later at most, and once', () => {
    const { ends } = started(new Line());
    vi.advanceTimersByTime(2.5 * PERIOD_MS);
    expect(ends).toEqual([]);
    vi.advanceTimersByTime(20 * PERIOD_MS);
    expect(ends).toHaveLength(1);
    expect(ends[0]).toEqual({ reason: 'silent', seconds: 55, atMs: 2.75 * PERIOD_MS });
  });

  it('takes any byte for life, and pings once a period', () => {
    const line = new Line();
    const { ends, stop } = started(line);
    for (let i = 0; i < 20; i += 1) {
      line.read += 1;
      vi.advanceTimersByTime(2 * PERIOD_MS);
    }
    expect(ends).toEqual([]);
    expect(line.pings).toBeGreaterThanOrEqual(38);
    expect(line.pings).toBeLessThanOrEqual(44);
    stop();
    vi.advanceTimersByTime(10 * PERIOD_MS);
    expect(ends).toEqual([]);
  });

  it('ends a peer that lives and reads nothing, not one that reads slowly', () => {
    const line = new Line();
    const { ends } = started(line);
    line.waiting = 1_000_000;
    const step = (written: number): void => {
      line.read += 1;
      line.written += written;
      vi.advanceTimersByTime(PERIOD_MS);
    };
    for (let i = 0; i < 10; i += 1) step(1);
    expect(ends).toEqual([]);
    for (let i = 0; i < 4; i += 1) step(0);
    expect(ends).toMatchObject([{ reason: 'not-reading', seconds: 65 }]);
  });

  it('does not hurry a peer that has nothing to read, however long', () => {
    const line = new Line();
    const { ends, stop } = started(line);
    for (let i = 0; i < 10; i += 1) {
      line.read += 1;
      vi.advanceTimersByTime(PERIOD_MS);
    }
    // From now on something waits: the time counts from here.
    line.waiting = 1;
    for (let i = 0; i < 3; i += 1) {
      line.read += 1;
      vi.advanceTimersByTime(PERIOD_MS);
    }
    expect(ends).toEqual([]);
    stop();
  });

  it('pings at the end of each period, the first one too', () => {
    const line = new Line();
    const { stop } = started(line);
    const pings: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      line.read += 1;
      vi.advanceTimersByTime(PERIOD_MS / 4);
      pings.push(line.pings);
    }
    expect(pings).toEqual([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]);
    stop();
  });

  it('reads a line without a pause of its own', () => {
    const line: HeartbeatPort = {
      ping: () => undefined,
      bytesRead: () => 0,
      bytesWaiting: () => 0,
      bytesWritten: () => 0,
    };
    const ends: HeartbeatEnd[] = [];
    const heartbeat = new Heartbeat(line, PERIOD_MS, STALLED_MS, (end) => ends.push(end));
    vi.advanceTimersByTime(3 * PERIOD_MS);
    heartbeat.stop();
    expect(ends).toEqual([{ reason: 'silent', seconds: 55 }]);
  });

  it('finds no silent peer dead as long as this side leaves its socket unread, and does so once it is read again', () => {
    const line = new Line();
    const { ends } = started(line);
    line.paused = true;
    vi.advanceTimersByTime(20 * PERIOD_MS);
    expect(ends).toEqual([]);
    line.paused = false;
    vi.advanceTimersByTime(2.25 * PERIOD_MS);
    expect(ends).toEqual([]);
    vi.advanceTimersByTime(PERIOD_MS);
    expect(ends).toMatchObject([{ reason: 'silent' }]);
  });

  it('does not count the time in which its own process stood still, and the silence after it as ever', () => {
    const line = new Line();
    const { ends } = started(line);
    line.waiting = 1;
    vi.advanceTimersByTime(PERIOD_MS);
    const later = performance.now() + 100 * PERIOD_MS;
    const clock = vi.spyOn(performance, 'now').mockReturnValue(later);
    // The timers come first after a standstill; what has come meanwhile is not read yet.
    vi.advanceTimersByTime(PERIOD_MS / 4);
    expect(ends).toEqual([]);
    clock.mockRestore();
    vi.advanceTimersByTime(105 * PERIOD_MS);
    expect(ends).toHaveLength(1);
  });
});

describe('a heartbeat of a process whose event loop stands still', () => {
  const PERIOD = 80;

  it('keeps a peer whose bytes wait in the socket meanwhile', async () => {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [[peer]] = (await Promise.all([once(server, 'connection'), once(socket, 'connect')])) as [[Socket], unknown];
    onTestFinished(() => void [socket, peer].map((end) => end.destroy()));
    socket.resume();
    const ends: HeartbeatEnd[] = [];
    const webSocket = { ping: () => undefined, bufferedAmount: 0 };
    const heartbeat = new Heartbeat(new ConnectionPort(webSocket, socket), PERIOD, 60_000, (end) => ends.push(end));
    onTestFinished(() => heartbeat.stop());
    // It has looked once more since the last byte.
    await pause(PERIOD / 2);
    // Timers follow this phase of the event loop; sockets are read after them.
    await new Promise((resolve) => setImmediate(resolve));
    peer.write('.');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5 * PERIOD);
    await pause(PERIOD);
    peer.write('.');
    await pause(PERIOD);
    expect(ends).toEqual([]);
  });
});

describe('the counters of a connection', () => {
  let pings = 0;
  const webSocket = { ping: () => void (pings += 1), bufferedAmount: 7 };
  const port = (socket: object): HeartbeatPort => new ConnectionPort(webSocket, socket as Socket);
  const countersOf = (socket: object): readonly number[] => {
    const of = port(socket);
    return [of.bytesRead(), of.bytesWritten(), of.bytesWaiting()];
  };
  const outer = { bytesRead: 1, bytesWritten: 100, writableLength: 30 };
  const tcp = { bytesRead: 50, bytesWritten: 60, writeQueueSize: 8 };

  it('are those of TCP, also beneath TLS: what the operating system has not taken is not written', () => {
    expect(countersOf({ ...outer, _handle: tcp })).toEqual([50, 52, 7]);
    expect(countersOf({ ...outer, _handle: { bytesRead: 2, bytesWritten: 2, _parent: tcp } })).toEqual([50, 52, 7]);
  });

  it('are those of the socket where TCP shows none, or is gone', () => {
    expect(countersOf(outer)).toEqual([1, 70, 7]);
    expect(countersOf({ ...outer, _handle: null })).toEqual([1, 70, 7]);
    for (const missing of ['bytesRead', 'bytesWritten', 'writeQueueSize'] as const)
      expect(countersOf({ ...outer, _handle: { ...tcp, [missing]: undefined } }), missing).toEqual([1, 70, 7]);
  });

  it('come with the ping of its WebSocket', () => {
    port(outer).ping();
    expect(pings).toBe(1);
  });
});
