import { describe, expect, it } from 'vitest';
import { DownloadPace, PIECE_BYTES, type DownloadRates } from '../../../../central/profiles/downloads/pace.ts';

/** Time goes on only here, to the next timer; turns of the event loop take none. */
function paceOf(rates: DownloadRates) {
  let now = 0;
  let timers: { readonly at: number; readonly run: () => void }[] = [];
  const pace = new DownloadPace({
    rates: () => rates,
    clock: () => now,
    after: (ms, run) => void timers.push({ at: now + ms, run }),
    nextTurn: setImmediate,
  });
  const idle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    pace,
    now: () => now,
    runUntilIdle: async (): Promise<void> => {
      await idle();
      while (timers.length > 0) {
        const next = timers.reduce((one, other) => (other.at < one.at ? other : one));
        timers = timers.filter((timer) => timer !== next);
        now = next.at;
        next.run();
        await idle();
      }
    },
  };
}

async function download(pace: DownloadPace, agentId: string, pieces: number, sent: string[] = []): Promise<void> {
  const { signal } = new AbortController();
  for (let piece = 0; piece < pieces; piece += 1) {
    await pace.take(agentId, PIECE_BYTES, signal);
    sent.push(agentId);
  }
}

describe('the pace of downloads', () => {
  it('keeps the rate of one agent, however many downloads it has', async () => {
    const { pace, now, runUntilIdle } = paceOf({ ofAgent: PIECE_BYTES * 10, inAll: 0 });
    const done = Promise.all([download(pace, 'a', 11), download(pace, 'a', 10), download(pace, 'b', 1)]);
    await runUntilIdle();
    await done;
    // The first piece of each is there at once.
    expect(now()).toBeGreaterThanOrEqual(2_000);
    expect(now()).toBeLessThan(2_100);
  });

  it('keeps the rate of all agents together, and gives each of them its turn', async () => {
    const { pace, now, runUntilIdle } = paceOf({ ofAgent: 0, inAll: PIECE_BYTES * 10 });
    const sent: string[] = [];
    const done = Promise.all(['a', 'b', 'c'].map((agent) => download(pace, agent, 10, sent)));
    await runUntilIdle();
    await done;
    expect(now()).toBeGreaterThanOrEqual(2_900);
    for (let round = 0; round < 10; round += 1)
      expect(new Set(sent.slice(round * 3, round * 3 + 3))).toEqual(new Set(['a', 'b', 'c']));
  });

  it.each([
    { ofAgent: PIECE_BYTES, inAll: 0 },
    { ofAgent: 0, inAll: PIECE_BYTES },
  ])('says how many downloads wait for a rate: %j', async (rates) => {
    const { pace, runUntilIdle } = paceOf(rates);
    expect(pace.throttled).toBe(0);
    const done = Promise.all([download(pace, 'a', 2), download(pace, 'a', 1)]);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    // One piece of the three was sent at once.
    expect(pace.throttled).toBe(2);
    await runUntilIdle();
    await done;
    expect(pace.throttled).toBe(0);
  });

  it('sends a few pieces in one turn of the event loop where there is no limit', async () => {
    const { pace } = paceOf({ ofAgent: 0, inAll: 0 });
    const sent: string[] = [];
    const all = Promise.all(Array.from({ length: 12 }, (_, n) => download(pace, `a${n}`, 1, sent)));
    const counts: number[] = [];
    while (sent.length < 12) {
      await new Promise((resolve) => setImmediate(resolve));
      counts.push(sent.length);
    }
    await all;
    expect(counts[0]).toBeLessThanOrEqual(8);
    expect(counts.length).toBeGreaterThan(1);
  });

  it('does not wait for the room of a download that has ended', async () => {
    const { pace, now, runUntilIdle } = paceOf({ ofAgent: 0, inAll: PIECE_BYTES });
    const ended = new AbortController();
    const { signal } = new AbortController();
    await pace.take('a', PIECE_BYTES, signal);
    const waiting = Promise.all([pace.take('b', PIECE_BYTES, ended.signal), pace.take('c', PIECE_BYTES, signal)]);
    ended.abort();
    await runUntilIdle();
    await waiting;
    expect(now()).toBeLessThanOrEqual(1_000);
  });
});
