import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startHeartbeat, type HeartbeatEnd, type HeartbeatPort } from '../../../shared/wire/heartbeat.ts';

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
    const startedAt = performance.now();
    const heartbeat = startHeartbeat(line, PERIOD_MS, STALLED_MS, (end) =>
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
    expect(ends[0]).toMatchObject({ reason: 'silent' });
    expect(ends[0]?.atMs).toBeLessThanOrEqual(2.75 * PERIOD_MS);
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
    expect(ends).toMatchObject([{ reason: 'not-reading' }]);
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
});
