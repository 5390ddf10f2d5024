// Whether PostgreSQL can be reached, as the threads report it and as they do not answer.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Availability } from '../../../../central/store/postgres/availability.ts';
import type { WorkerHost } from '../../../../shared/sqlite/worker/host.ts';

interface Methods {
  readonly [name: string]: (...args: never[]) => unknown;
  readonly getAgent: (id: string) => string;
  readonly listAgents: () => string;
}

/** A thread that answers at `answer()`. */
function thread() {
  const calls: PromiseWithResolvers<string>[] = [];
  const host = {
    batches: 0,
    get waiting() {
      return calls.length;
    },
    call() {
      const call = Promise.withResolvers<string>();
      calls.push(call);
      return call.promise;
    },
    onCommit: () => undefined,
    answer() {
      host.batches += 1;
      for (const { resolve } of calls.splice(0)) resolve('answered');
    },
  };
  return { host: host as unknown as WorkerHost<Methods>, answer: () => host.answer() };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('lets calls of sessions wait while PostgreSQL is away, and answers administrators that they may retry', async () => {
  const availability = new Availability();
  const { host, answer } = thread();
  const calls = availability.guard(host);
  availability.report('writer', { found: 'connection refused' });
  expect(availability.away()).toMatchObject({ reason: 'connection refused' });
  const ofSession = calls.call('getAgent', ['a1']);
  await expect(calls.call('listAgents', [])).rejects.toMatchObject({
    code: 'store_away',
    status: 503,
    retryable: true,
  });
  availability.report('writer', { found: null });
  expect(availability.away()).toBeUndefined();
  answer();
  expect(await ofSession).toBe('answered');
});

it('says of a call that was accepted before that its outcome is unknown, once that has lasted', async () => {
  const availability = new Availability();
  const { host } = thread();
  const call = availability.guard(host).call('listAgents', []);
  availability.report('writer', { found: 'the standby did not confirm a commit' });
  const [refused] = await Promise.all([Promise.allSettled([call]), vi.advanceTimersByTimeAsync(6_000)]);
  expect(refused).toMatchObject([{ status: 'rejected', reason: { code: 'store_away_unknown', status: 503 } }]);
});

it('finds a thread that has calls and answers none', async () => {
  const availability = new Availability();
  const { host, answer } = thread();
  availability.watch('writer', host);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(availability.away()).toBeUndefined();
  const call = host.call('getAgent', ['a1']);
  await vi.advanceTimersByTimeAsync(4_000);
  expect(availability.away()).toBeUndefined();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(availability.away()?.reason).toContain('has not answered');
  // Commits wait, perhaps for a standby; what is there can be read.
  const reader = thread();
  const read = availability.guard(reader.host, { reads: true }).call('listAgents', []);
  reader.answer();
  expect(await read).toBe('answered');
  await expect(availability.guard(host).call('listAgents', [])).rejects.toMatchObject({ code: 'store_away' });
  answer();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(availability.away()).toBeUndefined();
  expect(await call).toBe('answered');
});
