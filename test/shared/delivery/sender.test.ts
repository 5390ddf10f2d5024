import { afterEach, describe, expect, it } from 'vitest';
import { Sender } from '../../../shared/delivery/sender.ts';
import { LIMITS, type SessionLimits } from '../../../shared/wire/messages.ts';
import { entry, MemoryOutbox, settled } from './session-logs.ts';

const running: Sender[] = [];
afterEach(() => {
  for (const sender of running.splice(0)) sender.stop();
});

function start(limits: SessionLimits = LIMITS) {
  const outbox = new MemoryOutbox();
  const frames: { type: string; first?: number; items?: unknown[]; next?: number }[] = [];
  const failures: unknown[] = [];
  const sender = new Sender({
    outbox,
    frames: { send: (text) => frames.push(JSON.parse(text) as (typeof frames)[number]) },
    limits,
    now: () => 1000,
    onFailure: (error) => failures.push(error),
    pollMs: 60_000,
  });
  running.push(sender);
  return { outbox, frames, failures, sender };
}

const numbersIn = (frames: { first?: number; items?: unknown[] }[]): number[] =>
  frames.flatMap(({ first, items }) => (items ?? []).map((_item, i) => (first ?? 0) + i));

describe('Sender', () => {
  it('says begin first, then sends what waits in one frame', async () => {
    const { outbox, frames, sender } = start();
    outbox.entries = [entry(1), entry(2), entry(3)];
    await sender.start(null);
    await settled();
    expect(frames[0]).toMatchObject({ type: 'begin', incarnation: 'i1', next: 1, missing: null });
    expect(frames[1]).toMatchObject({ type: 'messages', first: 1, items: [{ n: 1 }, { n: 2 }, { n: 3 }] });
    expect(frames).toHaveLength(2);
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

  it('refuses an ack that comes before anything was begun', async () => {
    const { sender, failures } = start();
    sender.acknowledge(0);
    expect(failures).toMatchObject([{ code: 'bad_frame' }]);
  });

  it('refuses an ack of what was never sent, and one that goes back', async () => {
    for (const through of [3, 0]) {
      const { outbox, failures, sender } = start();
      outbox.entries = [entry(1), entry(2)];
      await sender.start(null);
      await settled();
      sender.acknowledge(1);
      sender.acknowledge(through);
      expect(failures).toMatchObject([{ code: 'bad_frame' }]);
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
