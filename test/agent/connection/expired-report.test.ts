import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ExpiredReport } from '../../../agent/connection/expired-report.ts';
import type { AgentControl } from '../../../shared/wire/messages.ts';

function start() {
  const timers = new Set<() => void>();
  const sent: number[] = [];
  /** Counts that wait; a frame takes two. */
  let waiting: number[] = [];
  const report = new ExpiredReport({
    read: async () => {
      const through = waiting.slice(0, 2).at(-1);
      return through === undefined ? undefined : { through, items: [] };
    },
    recorded: async (through) => {
      waiting = waiting.filter((count) => count > through);
    },
    log: { debug: () => undefined },
    after(_ms, run) {
      timers.add(run);
      return () => void timers.delete(run);
    },
  });
  return {
    report,
    sent,
    timers,
    send: (frame: AgentControl): void => void (frame.type === 'expired' && sent.push(frame.through)),
    left: () => waiting,
    expire: async (...counts: number[]): Promise<void> => {
      waiting.push(...counts);
      report.changed();
      await nextTurn();
    },
    answer: async (through: number): Promise<void> => {
      report.onFrame({ type: 'expired-recorded', through });
      await nextTurn();
    },
    tick: async (): Promise<void> => {
      for (const run of timers) {
        timers.delete(run);
        run();
      }
      await nextTurn();
    },
  };
}

describe('the report of expired commands', () => {
  it('is sent one frame at a time, and deleted when Central has recorded it', async () => {
    const { report, send, sent, left, expire, answer, tick } = start();
    await expire(1, 2, 3);
    expect(sent).toEqual([]);
    report.onOnline(send);
    await nextTurn();
    await expire(4);
    await tick();
    expect([sent, left()]).toEqual([[2], [1, 2, 3, 4]]);
    await answer(2);
    expect([sent, left()]).toEqual([[2], [3, 4]]);
    await tick();
    await answer(4);
    await tick();
    expect([sent, left()]).toEqual([[2, 4], []]);
    // After a quiet time at once.
    await expire(5);
    expect(sent).toEqual([2, 4, 5]);
  });

  it('is repeated in the next session when no answer came, and the answer of the old one deletes nothing', async () => {
    const { report, send, sent, left, expire, answer, timers } = start();
    report.onOnline(send);
    await expire(1);
    report.onOffline();
    await answer(1);
    expect(left()).toEqual([1]);
    report.onOnline(send);
    await nextTurn();
    expect([sent, timers.size]).toEqual([[1, 1], 0]);
  });

  it('is not deleted by an answer to another one', async () => {
    const { report, send, left, expire, answer } = start();
    report.onOnline(send);
    await expire(1);
    await answer(9);
    await answer(0);
    expect(left()).toEqual([1]);
    await answer(1);
    expect(left()).toEqual([]);
  });
});
