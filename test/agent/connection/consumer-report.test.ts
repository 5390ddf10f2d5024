import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ConsumerReport } from '../../../agent/connection/consumer-report.ts';
import type { AgentControl } from '../../../shared/wire/messages.ts';

function start() {
  const timers = new Set<() => void>();
  const sent: AgentControl[] = [];
  let waitingCount = 0;
  let reads = 0;
  const report = new ConsumerReport({
    read: async () => {
      reads += 1;
      return {
        position: null,
        inboxFull: false,
        consumers: [{ name: 'default', types: [], waitingFrom: null, waitingCount }],
      };
    },
    log: { debug: () => undefined },
    after(_ms, run) {
      timers.add(run);
      return () => void timers.delete(run);
    },
  });
  const send = (frame: AgentControl): void => void sent.push(frame);
  return {
    report,
    send,
    counts: () => sent.map((frame) => (frame.type === 'consumers' ? frame.consumers[0]?.waitingCount : undefined)),
    timers,
    reads: () => reads,
    set: (count: number): void => {
      waitingCount = count;
      report.changed();
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

describe('the report of consumers', () => {
  it('is sent at each welcome, whether something changed or not, and not without a session', async () => {
    const { report, send, counts, set } = start();
    set(1);
    await nextTurn();
    expect(counts()).toEqual([]);
    report.onOnline(send);
    await nextTurn();
    report.onOffline();
    report.onOnline(send);
    await nextTurn();
    expect(counts()).toEqual([1, 1]);
  });

  it('follows changes, at most once in its time, with the newest state, and is not repeated when nothing changed', async () => {
    const { report, send, counts, set, tick, timers, reads } = start();
    report.onOnline(send);
    await nextTurn();
    for (let count = 1; count <= 100; count += 1) set(count);
    await nextTurn();
    expect(counts()).toEqual([0]);
    await tick();
    expect(counts()).toEqual([0, 100]);
    expect(reads()).toBe(2);
    set(100);
    await tick();
    await tick();
    expect(counts()).toEqual([0, 100]);
    expect(timers.size).toBe(0);
    // After a quiet time a change is reported at once.
    set(7);
    await nextTurn();
    expect(counts()).toEqual([0, 100, 7]);
    report.onOffline();
    expect(timers.size).toBe(0);
  });

  it('of a session that has ended meanwhile is not sent over the next one', async () => {
    const { report, send, counts } = start();
    const old: AgentControl[] = [];
    report.onOnline((frame) => void old.push(frame));
    report.onOffline();
    report.onOnline(send);
    await nextTurn();
    expect(old).toEqual([]);
    expect(counts()).toEqual([0]);
  });

  it('waits two seconds between two reports, and logs what its store could not read', async () => {
    const waits: number[] = [];
    const logged: object[] = [];
    const report = new ConsumerReport({
      read: () => Promise.reject(new Error('disk')),
      log: { debug: (facts) => void logged.push(facts) },
      after: (ms) => {
        waits.push(ms);
        return () => undefined;
      },
    });
    report.onOnline(() => undefined);
    report.changed();
    await nextTurn();
    expect([waits, logged]).toEqual([[2_000], [{ error: 'disk' }]]);
  });
});
