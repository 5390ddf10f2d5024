// When a connection is taken for dead; by counters of the test's own, with short periods.
import { describe, expect, it } from 'vitest';
import { startHeartbeat, type HeartbeatEnd } from '../../../shared/wire/heartbeat.ts';

const PERIOD_MS = 40;

/** Lives until it is declared dead or `ms` are over. */
async function watch(ms: number, isPaused: (elapsedMs: number) => boolean): Promise<HeartbeatEnd | undefined> {
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<HeartbeatEnd | undefined>();
  const port = { ping: () => undefined, bytesRead: () => 0, bytesWaiting: () => 0, bytesWritten: () => 0, isPaused: () => isPaused(performance.now() - startedAt) };
  const heartbeat = startHeartbeat(port, PERIOD_MS, 10_000, resolve);
  const timer = setTimeout(() => resolve(undefined), ms);
  const end = await promise;
  clearTimeout(timer);
  heartbeat.stop();
  return end;
}

describe('a peer of which nothing is heard', () => {
  it('is dead after two and a half periods', async () => {
    expect(await watch(10_000, () => false)).toMatchObject({ reason: 'silent' });
  });

  it('is not dead as long as this side leaves its socket unread', async () => {
    expect(await watch(PERIOD_MS * 10, () => true)).toBeUndefined();
  });

  it('is found dead once the socket is read again', async () => {
    expect(await watch(10_000, (elapsedMs) => elapsedMs < PERIOD_MS * 5)).toMatchObject({ reason: 'silent' });
  });
});
