// The clock by which messages grow old: what a step of the host's clock does to it, while Central runs and over a
// restart.
import { describe, expect, it } from 'vitest';
import { AgingClock } from '../../central/aging-clock.ts';
import { CENTRAL, type Actor } from '../../central/audit.ts';
import type { AuditEntry } from '../../central/store/audit-store.ts';

const START = Date.parse('2026-11-22T10:00:00Z');
const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];
const ADMINISTRATOR: Actor = { who: 'anna', from: '10.0.0.1', comment: 'battery replaced' };

/** A host whose clock can be set, and the Central on it. */
async function host(recordedAt: number | null = null, isRestored = false) {
  const audit: AuditEntry[] = [];
  const lines: string[] = [];
  const time = { at: START, bootMs: 5_000, recordedAt };
  const options = {
    store: {
      clock: {
        recorded: async () => time.recordedAt,
        record: async (at: number) => void (time.recordedAt = at),
        async accept(at: number, entry: AuditEntry) {
          time.recordedAt = at;
          audit.push(entry);
        },
      },
    },
    log: {
      warn: (_facts: object, text: string) => lines.push(text),
      info: (_facts: object, text: string) => lines.push(text),
    },
    now: () => time.at,
    sinceBootMs: () => time.bootMs,
  };
  const start = (): Promise<AgingClock> => AgingClock.open(options, isRestored);
  return {
    clock: await start(),
    start,
    audit,
    lines,
    time,
    pass: (ms: number): void => {
      time.at += ms;
      time.bootMs += ms;
    },
    set: (ms: number): void => {
      time.at += ms;
    },
  };
}

describe('the time that agents get', () => {
  it('is that of the host; while it is in doubt, it goes on from the last that was right', async () => {
    const { clock, time, pass, set } = await host();
    pass(MINUTE);
    set(HOUR);
    expect(clock.steady()).toBe(time.at);
    const offset = clock.offsetMs();
    pass(HOUR);
    expect(clock.offsetMs()).toBe(offset);
    set(60 * DAY);
    pass(MINUTE);
    expect([clock.steady(), clock.offsetMs()]).toEqual([time.at - 60 * DAY, offset]);
    await clock.accept(ADMINISTRATOR);
    expect(clock.steady()).toBe(time.at);
  });

  it('is at a start in doubt the one that was recorded, and later', async () => {
    const { clock, pass } = await host(START - 3 * DAY);
    expect(clock.steady()).toBe(START - 3 * DAY);
    pass(HOUR);
    expect(clock.steady()).toBe(START - 3 * DAY + HOUR);
  });
});

describe('the time by which messages grow old', () => {
  it('is that of the host, through corrections of hours, and through a suspension', async () => {
    const { clock, time, pass, set } = await host();
    for (const step of [3 * HOUR, -HOUR, -20 * HOUR, 23 * HOUR]) {
      pass(MINUTE);
      set(step);
      expect(clock.now()).toBe(time.at);
    }
    // The time since boot goes on while the host sleeps.
    pass(9 * DAY);
    expect([clock.now(), clock.problems()]).toEqual([time.at, []]);
  });

  it('stops at a step of more than a day, in either direction, and goes on by itself when the clock is right again', async () => {
    for (const step of [60 * DAY, -60 * DAY]) {
      const { clock, lines, time, pass, set } = await host();
      set(step);
      expect(clock.now()).toBe(0);
      pass(10 * MINUTE);
      await clock.record();
      expect([clock.now(), time.recordedAt, clock.problems()]).toEqual([
        0,
        null,
        [expect.objectContaining({ code: 'clock_stepped', hint: expect.stringContaining('accept-clock') })],
      ]);
      set(-step);
      expect([clock.now(), clock.problems()]).toEqual([time.at, []]);
      expect(lines).toEqual([
        expect.stringContaining('nothing is pruned and nothing expires'),
        'the clock is right again: pruning and expiry continue',
      ]);
    }
  });

  it('stops at a start more than a day from the time that was recorded last; a store without one, or restored, has none', async () => {
    expect((await host(START - 23 * HOUR)).clock.now()).toBe(START);
    expect((await host(START - 2 * DAY)).clock.now()).toBe(0);
    expect((await host(START + 2 * DAY)).clock.now()).toBe(0);
    expect((await host(null)).clock.now()).toBe(START);
    expect((await host(START - 300 * DAY, true)).clock.now()).toBe(START);
  });

  it('goes on after an administrator accepted the clock, also over a restart, and the act is on record', async () => {
    const { clock, audit, time, start, pass, set } = await host();
    await clock.record();
    set(400 * DAY);
    expect(clock.now()).toBe(0);
    expect((await start()).now()).toBe(0);
    expect(await clock.accept(ADMINISTRATOR)).toEqual({ expectedAt: START, foundAt: START + 400 * DAY });
    pass(MINUTE);
    expect([clock.now(), (await start()).now()]).toEqual([time.at, time.at]);
    expect(audit).toMatchObject([{ who: 'anna', action: 'maintenance.accept-clock', comment: 'battery replaced' }]);
    expect(JSON.parse(audit[0]?.detail ?? '')).toEqual({
      expectedAt: '2026-11-22T10:00:00.000Z',
      foundAt: '2027-12-27T10:00:00.000Z',
    });
    expect(await clock.accept(CENTRAL)).toBeNull();
  });
});
