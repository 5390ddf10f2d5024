import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RecordedReport } from '../../../agent/connection/recorded-report.ts';
import type { AgentControl } from '../../../shared/wire/messages.ts';

interface Setting {
  /** The store refuses to read, or to note what Central has recorded. */
  readonly readFault?: Error;
  readonly recordFault?: Error;
}

function start({ readFault, recordFault }: Setting = {}) {
  const lines: object[] = [];
  const timers = new Set<() => void>();
  const sent: number[] = [];
  /** Counts that wait; a frame takes two. */
  let waiting: number[] = [];
  const report = new RecordedReport({
    subject: 'expired commands',
    intervalMs: () => 2_000,
    read: async () => {
      if (readFault !== undefined) throw readFault;
      const through = waiting.slice(0, 2).at(-1);
      return through === undefined ? undefined : { type: 'expired', through, items: [] };
    },
    recorded: async (through) => {
      if (recordFault !== undefined) throw recordFault;
      waiting = waiting.filter((count) => count > through);
    },
    log: { debug: (about, text) => void lines.push({ ...about, text }) },
    after(_ms, run) {
      timers.add(run);
      return () => void timers.delete(run);
    },
  });
  return {
    report,
    sent,
    lines,
    timers,
    send: (frame: AgentControl): void => void (frame.type === 'expired' && sent.push(frame.through)),
    left: () => waiting,
    expire: async (...counts: number[]): Promise<void> => {
      waiting.push(...counts);
      report.changed();
      await nextTurn();
    },
    answer: async (through: number): Promise<void> => {
      report.onFrame({ through });
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

describe('a report until it is recorded', () => {
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

  it('says nothing before a session, and what was read for a session that is over goes to the next one alone', async () => {
    const { report, send, sent, expire } = start();
    report.changed();
    await expire(1);
    const old: number[] = [];
    report.onOnline((frame) => void (frame.type === 'expired' && old.push(frame.through)));
    report.onOffline();
    report.onOnline(send);
    await nextTurn();
    expect([old, sent]).toEqual([[], [1]]);
  });

  it('begins again in a session that replaces another without an end', async () => {
    const { report, send, sent, expire, answer, tick, timers, left } = start();
    report.onOnline(send);
    await expire(1, 2, 3);
    await answer(2);
    expect(timers.size).toBe(1);
    report.onOnline(send);
    await nextTurn();
    // The time after the old answer is over: the next answer starts its own.
    expect([sent, timers.size]).toEqual([[2, 3], 0]);
    await answer(3);
    await tick();
    expect(left()).toEqual([]);
  });

  it('takes an answer once, and only where one is awaited', async () => {
    const { report, send, sent, expire, answer, timers } = start();
    report.onOnline(send);
    await answer(0);
    expect(timers.size).toBe(0);
    await expire(1);
    await answer(1);
    await answer(1);
    expect([sent, timers.size]).toEqual([[1], 1]);
  });

  it('leaves a store that fails to report itself, and goes on in the next session', async () => {
    const reading = start({ readFault: new Error('disk I/O error') });
    reading.report.onOnline(reading.send);
    await nextTurn();
    expect(reading.lines).toEqual([{ error: 'disk I/O error', text: 'report of expired commands' }]);
    const noting = start({ recordFault: new Error('disk full') });
    noting.report.onOnline(noting.send);
    await noting.expire(1);
    await noting.answer(1);
    expect(noting.lines).toEqual([{ error: 'disk full', text: 'report of expired commands' }]);
    expect([noting.timers.size, noting.left()]).toEqual([0, [1]]);
  });

  it('does not wait for the time after an answer of a session that is over', async () => {
    const { report, send, expire, timers } = start();
    report.onOnline(send);
    await expire(1);
    report.onFrame({ through: 1 });
    report.onOffline();
    await nextTurn();
    expect(timers.size).toBe(0);
  });
});
