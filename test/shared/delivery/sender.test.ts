import { afterEach, describe, expect, it, vi } from 'vitest';
import { Sender } from '../../../shared/delivery/sender.ts';
import { MESSAGES_FRAME_OVERHEAD } from '../../../shared/wire/codec.ts';
import { LIMITS, type SessionLimits } from '../../../shared/wire/messages.ts';
import { entry, MemoryOutbox, settled } from './session-logs.ts';

const running: Sender[] = [];
afterEach(() => {
  for (const sender of running.splice(0)) sender.stop();
  vi.useRealTimers();
});

function start(limits: SessionLimits = LIMITS) {
  const outbox = new MemoryOutbox();
  const frames: { type: string; first?: number; items?: unknown[]; next?: number }[] = [];
  const priorities: string[] = [];
  const failures: unknown[] = [];
  const sender = new Sender({
    outbox,
    frames: {
      send(text, priority) {
        frames.push(JSON.parse(text) as (typeof frames)[number]);
        priorities.push(priority);
      },
    },
    limits,
    now: () => 1000,
    onFailure: (error) => failures.push(error),
    pollMs: 60_000,
  });
  running.push(sender);
  return { outbox, frames, priorities, failures, sender };
}

const numbersIn = (frames: { first?: number; items?: unknown[] }[]): number[] =>
  frames.flatMap(({ first, items }) => (items ?? []).map((_item, i) => (first ?? 0) + i));

describe('Sender', () => {
  it('says begin first, then sends what waits in one frame', async () => {
    const { outbox, frames, priorities, sender } = start();
    outbox.entries = [entry(1), entry(2), entry(3)];
    await sender.start(null);
    await settled();
    expect(frames[0]).toMatchObject({ type: 'begin', incarnation: 'i1', next: 1, missing: null });
    expect(frames[1]).toMatchObject({ type: 'messages', first: 1, items: [{ n: 1 }, { n: 2 }, { n: 3 }] });
    expect(frames).toHaveLength(2);
    expect(priorities).toEqual(['control', 'messages']);
  });

  it('sends nothing when it was stopped while its log was opened', async () => {
    const { frames, sender } = start();
    const started = sender.start(null);
    sender.stop();
    await started;
    expect(frames).toEqual([]);
  });

  it('stops at the window in items and goes on as the peer acknowledges', async () => {
    const { outbox, frames, sender } = start({ ...LIMITS, windowItems: 2 });
    outbox.entries = [1, 2, 3, 4, 5].map((number) => entry(number));
    await sender.start(null);
    await settled();
    expect(numbersIn(frames)).toEqual([1, 2]);
    sender.acknowledge(2);
    await settled();
    expect(numbersIn(frames)).toEqual([1, 2, 3, 4]);
    expect(outbox.acknowledgedThrough).toBe(2);
  });

  it('stops at the window in bytes, and counts a frame free only when all of it is acknowledged', async () => {
    const json = JSON.stringify({ data: 'x'.repeat(1000) });
    const { outbox, frames, sender } = start({ ...LIMITS, windowBytes: 2500 });
    outbox.entries = [1, 2, 3, 4, 5, 6].map((number) => entry(number, json));
    await sender.start(null);
    await settled();
    const sent = numbersIn(frames).length;
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(6);
    sender.acknowledge(sent);
    await settled();
    expect(numbersIn(frames).length).toBeGreaterThan(sent);
  });

  it('reads within what the window has left: a frame counts until its last message is acknowledged', async () => {
    const json = JSON.stringify({ data: 'x'.repeat(989) });
    const { outbox, frames, sender } = start({ ...LIMITS, windowItems: 10, windowBytes: 2_500, maxFrameBytes: 10_000 });
    outbox.entries = [1, 2, 3, 4, 5].map((number) => entry(number, json));
    await sender.start(null);
    await settled();
    // Each of the messages has 1000 bytes and a comma. A log gives one message, even when it is larger than what is
    // left.
    expect(outbox.reads).toEqual([
      { after: 0, maxItems: 10, maxBytes: 2_500 },
      { after: 2, maxItems: 8, maxBytes: 498 },
    ]);
    expect(numbersIn(frames)).toEqual([1, 2, 3]);
    sender.acknowledge(1);
    await settled();
    expect(outbox.reads).toHaveLength(2);
    sender.acknowledge(2);
    await settled();
    expect(outbox.reads.slice(2)).toEqual([
      { after: 3, maxItems: 9, maxBytes: 1_499 },
      { after: 4, maxItems: 8, maxBytes: 498 },
    ]);
  });

  it('makes no frame larger than the peer takes', async () => {
    const { outbox, sender } = start({ ...LIMITS, windowBytes: 100_000, maxFrameBytes: 1_000 });
    outbox.entries = [entry(1)];
    await sender.start(null);
    await settled();
    expect(outbox.reads[0]?.maxBytes).toBe(1_000 - MESSAGES_FRAME_OVERHEAD);
  });

  it('finds what a hint missed when it looks again, until it is stopped', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { outbox, frames, sender } = start();
    await sender.start(null);
    await settled();
    outbox.entries = [entry(1)];
    vi.advanceTimersByTime(59_999);
    await settled();
    expect(numbersIn(frames)).toEqual([]);
    vi.advanceTimersByTime(1);
    await settled();
    expect(numbersIn(frames)).toEqual([1]);
    sender.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('holds messages while the peer asks for a pause', async () => {
    const { outbox, frames, sender } = start();
    sender.setPaused(true);
    outbox.entries = [entry(1)];
    await sender.start(null);
    await settled();
    expect(numbersIn(frames)).toEqual([]);
    sender.setPaused(false);
    await settled();
    expect(numbersIn(frames)).toEqual([1]);
  });

  it('sends what is appended while it reads, without a second hint', async () => {
    const { outbox, frames, sender } = start();
    await sender.start(null);
    sender.notify();
    outbox.entries = [entry(1)];
    sender.notify();
    await settled();
    expect(numbersIn(frames)).toEqual([1]);
  });

  it('never sends an expired message: it becomes a tombstone on disk first', async () => {
    const { outbox, frames, sender } = start();
    outbox.entries = [entry(1), entry(2, '{"n":2}', 999)];
    await sender.start(null);
    await settled();
    expect(outbox.expired).toBe(1);
    expect(frames[1]).toMatchObject({ items: [{ n: 1 }, { tombstone: 'expired' }] });
  });

  it('sends what is about to expire, and what has expired only in the log of its clock when that gives it up', async () => {
    const { outbox, frames, sender } = start();
    outbox.entries = [entry(1, '{"n":1}', 1_001)];
    await sender.start(null);
    await settled();
    expect([outbox.expired, numbersIn(frames)]).toEqual([0, [1]]);
    outbox.expire = async () => 0;
    outbox.entries.push(entry(2, '{"n":2}', 1_000));
    sender.notify();
    await settled();
    expect(numbersIn(frames)).toEqual([1, 2]);
  });

  it('ends a session whose log has a gap: what is missing would never be sent', async () => {
    const { outbox, frames, failures, sender } = start();
    outbox.entries = [entry(1), entry(3)];
    await sender.start(null);
    await settled();
    expect(failures).toMatchObject([{ message: 'outbox gap: 3 after 1' }]);
    expect(frames).toHaveLength(1);
  });

  it('stores each acknowledgement once, and ends the session when its log cannot', async () => {
    const { outbox, failures, sender } = start();
    outbox.entries = [entry(1), entry(2)];
    await sender.start(null);
    await settled();
    const stored: number[] = [];
    outbox.acknowledge = async (through) => {
      stored.push(through);
      if (through === 2) throw new Error('disk');
    };
    for (const through of [0, 1, 1]) sender.acknowledge(through);
    await settled();
    expect([stored, failures]).toEqual([[1], []]);
    sender.acknowledge(2);
    await settled();
    expect(failures).toMatchObject([{ message: 'disk' }]);
    sender.acknowledge(7);
    expect([stored, failures.length]).toEqual([[1, 2], 1]);
  });

  it('reads nothing while the peer asks for a pause, also when hints come and acknowledgements', async () => {
    const { outbox, sender } = start();
    outbox.entries = [entry(1)];
    await sender.start(null);
    await settled();
    sender.setPaused(true);
    outbox.entries.push(entry(2));
    const { length } = outbox.reads;
    sender.acknowledge(1);
    sender.notify();
    await settled();
    expect(outbox.reads).toHaveLength(length);
  });

  it('reads one batch at a time, whatever hints come', async () => {
    const { outbox, frames, failures, sender } = start();
    outbox.entries = [entry(1)];
    await sender.start(null);
    sender.notify();
    sender.notify();
    await settled();
    expect([numbersIn(frames), failures]).toEqual([[1], []]);
    // One look found the message, one that nothing is behind it; one more for all hints in between.
    expect(outbox.reads.map(({ after }) => after)).toEqual([0, 1, 1]);
  });

  it('frees exactly what is acknowledged, one message at a time', async () => {
    const { outbox, frames, sender } = start({ ...LIMITS, windowItems: 2 });
    outbox.entries = Array.from({ length: 8 }, (_, i) => entry(i + 1));
    await sender.start(null);
    await settled();
    for (let through = 1; through <= 6; through += 1) {
      sender.acknowledge(through);
      await settled();
    }
    // The first frame has two messages; it is free when the second of them is acknowledged.
    expect(outbox.reads.map(({ after, maxItems }) => [after, maxItems])).toEqual([
      [0, 2],
      [2, 2],
      [4, 2],
      [6, 2],
    ]);
    expect(numbersIn(frames)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('has its log look for expired messages only when one of them is due', async () => {
    const { outbox, sender } = start();
    let looks = 0;
    outbox.expire = async () => {
      looks += 1;
      return 0;
    };
    outbox.entries = [entry(1), entry(2, '{"n":2}', 1_001)];
    await sender.start(null);
    await settled();
    expect(looks).toBe(0);
    outbox.entries.push(entry(3, '{"n":3}', 1_000));
    sender.notify();
    await settled();
    expect(looks).toBe(1);
  });

  it('sends and stores nothing after it was stopped, also what it was just reading', async () => {
    const { outbox, frames, failures, sender } = start();
    await sender.start(null);
    await settled();
    outbox.entries = [entry(1)];
    sender.notify();
    sender.stop();
    sender.acknowledge(0);
    sender.acknowledge(7);
    sender.notify();
    await settled();
    expect([numbersIn(frames), outbox.reads.length, outbox.acknowledgedThrough, failures]).toEqual([[], 2, 0, []]);
  });

  it('refuses an ack that comes before anything was begun', async () => {
    const { sender, failures } = start();
    sender.acknowledge(0);
    expect(failures).toMatchObject([{ code: 'bad_frame', parameters: { found: 'ack before begin' } }]);
  });

  it('refuses an ack of what was never sent, and one that goes back', async () => {
    for (const through of [3, 0]) {
      const { outbox, failures, sender } = start();
      outbox.entries = [entry(1), entry(2)];
      await sender.start(null);
      await settled();
      sender.acknowledge(1);
      sender.acknowledge(through);
      expect(failures).toMatchObject([
        { code: 'bad_frame', parameters: { found: `ack through ${through}, where 1 to 2 are possible` } },
      ]);
    }
  });

  it('reports a failing log once and sends nothing more', async () => {
    const { outbox, frames, failures, sender } = start();
    await sender.start(null);
    await settled();
    outbox.failWith = new Error('disk');
    sender.notify();
    await settled();
    sender.notify();
    await settled();
    expect(failures).toHaveLength(1);
    expect(frames).toHaveLength(1);
  });
});
