import { describe, expect, it } from 'vitest';
import { Receiver } from '../../../shared/delivery/receiver.ts';
import { storeFault } from '../../../central/store/errors.ts';
import { scanBatch } from '../../../shared/wire/json-text.ts';
import { LIMITS, type SessionLimits } from '../../../shared/wire/messages.ts';
import { HeldInbox, settled } from './session-logs.ts';

function start(limits: SessionLimits = LIMITS) {
  const inbox = new HeldInbox();
  const acks: number[] = [];
  const asked: string[] = [];
  const failures: unknown[] = [];
  const receiver = new Receiver({
    inbox,
    frames: {
      send(text) {
        const frame = JSON.parse(text) as { type: string; through: number };
        if (frame.type === 'ack') acks.push(frame.through);
        else asked.push(frame.type);
      },
    },
    limits,
    onFailure: (error) => failures.push(error),
  });
  const send = (first: number, count: number): void => {
    const items = Array.from({ length: count }, (_, i) => ({
      specversion: '1.0',
      id: `m${first + i}`,
      source: '/s',
      type: 't',
    }));
    const text = JSON.stringify(items);
    receiver.messages({ type: 'messages', first, items: scanBatch(text, count).items }, Buffer.byteLength(text));
  };
  const begin = (next: number): void => receiver.begin({ type: 'begin', incarnation: 'i1', next, missing: null });
  return { inbox, acks, asked, failures, receiver, send, begin };
}

describe('Receiver', () => {
  it('acknowledges only after the commit', async () => {
    const { inbox, acks, send, begin } = start();
    inbox.hold = true;
    begin(1);
    await settled();
    send(1, 2);
    await settled();
    expect(acks).toEqual([]);
    inbox.release();
    await settled();
    expect(acks).toEqual([2]);
  });

  it('makes one append of whatever arrives while one runs', async () => {
    const { inbox, acks, send, begin } = start();
    inbox.hold = true;
    begin(1);
    await settled();
    send(1, 1);
    await settled();
    send(2, 1);
    send(3, 2);
    expect(inbox.appends).toBe(1);
    inbox.release();
    await settled();
    expect(inbox.appends).toBe(1);
    inbox.release();
    await settled();
    expect(acks).toEqual([1, 4]);
    expect(inbox.stored).toEqual(['m1', 'm2', 'm3', 'm4']);
  });

  it('keeps messages that come before begin is on disk', async () => {
    const { inbox, acks, send, begin } = start();
    begin(5);
    send(5, 1);
    await settled();
    expect(inbox.begun).toMatchObject({ next: 5 });
    expect(acks).toEqual([5]);
  });

  it('refuses a gap, a repetition, a second begin and messages without begin', async () => {
    const gap = start();
    gap.begin(1);
    gap.send(2, 1);
    expect(gap.failures).toMatchObject([{ code: 'bad_frame' }]);

    const repetition = start();
    repetition.begin(1);
    repetition.send(1, 2);
    repetition.send(2, 1);
    expect(repetition.failures).toMatchObject([{ code: 'bad_frame' }]);

    const twice = start();
    twice.begin(1);
    twice.begin(1);
    expect(twice.failures).toMatchObject([{ code: 'bad_frame' }]);

    const early = start();
    early.send(1, 1);
    expect(early.failures).toMatchObject([{ code: 'bad_frame' }]);
  });

  it('refuses a peer that does not hold to the window', async () => {
    const { inbox, failures, send, begin } = start({ ...LIMITS, windowItems: 3 });
    inbox.hold = true;
    begin(1);
    await settled();
    send(1, 3);
    expect(failures).toEqual([]);
    send(4, 1);
    expect(failures).toMatchObject([{ code: 'bad_frame' }]);
  });

  it('refuses a peer that sends more bytes than the window without waiting, whether they wait or are being appended', async () => {
    const { inbox, acks, failures, send, begin } = start({ ...LIMITS, windowBytes: 1_000 });
    inbox.hold = true;
    begin(1);
    await settled();
    // The first is being appended, the others wait behind it.
    for (let first = 1; failures.length === 0 && first < 500; first += 5) send(first, 5);
    expect(failures).toMatchObject([{ code: 'bad_frame', message: expect.stringContaining('more than 1000 bytes') }]);
    expect(acks).toEqual([]);
  });

  it('appends what one commit may hold of one session, and the rest in order behind it', async () => {
    const { inbox, acks, failures, send, begin } = start({ ...LIMITS, windowItems: 4_000 });
    inbox.hold = true;
    begin(1);
    await settled();
    // The first is on its way while the others come.
    send(1, 1);
    for (let i = 0; i < 3; i += 1) send(2 + i * 999, 999);
    inbox.hold = false;
    inbox.release();
    for (let i = 0; i < 10; i += 1) await settled();
    expect(failures).toEqual([]);
    expect(acks).toEqual([1, 1_001, 2_001, 2_998]);
  });

  it('lets a bad item fail alone: it takes its number and the others are stored', async () => {
    const { inbox, acks, receiver, begin } = start();
    begin(1);
    const { items } = scanBatch(
      '[{"specversion":"1.0","id":"a","source":"/s","type":"t"},42,{"tombstone":"expired","id":"c"}]',
      3,
    );
    receiver.messages({ type: 'messages', first: 1, items }, 100);
    await settled();
    expect(inbox.stored).toEqual(['a', 'rejected', 'tombstone']);
    expect(acks).toEqual([3]);
  });

  it('appends and acknowledges nothing while it is held, and everything in order when it goes on', async () => {
    const { inbox, acks, asked, failures, receiver, send, begin } = start();
    begin(1);
    send(1, 1);
    await settled();
    receiver.hold(true);
    receiver.hold(true);
    send(2, 2);
    send(4, 1);
    await settled();
    expect([acks, asked, inbox.stored]).toEqual([[1], ['pause'], ['m1']]);
    receiver.hold(false);
    receiver.hold(false);
    await settled();
    expect([acks, asked, inbox.stored]).toEqual([
      [1, 4],
      ['pause', 'resume'],
      ['m1', 'm2', 'm3', 'm4'],
    ]);
    expect(failures).toEqual([]);
  });

  it('keeps what a store without room refused, within the window, and appends it once there is room', async () => {
    const { inbox, acks, asked, failures, receiver, send, begin } = start({ ...LIMITS, windowItems: 3 });
    begin(1);
    await settled();
    inbox.refuseWith.push(storeFault('store_reserve', { available: 1, reserve: 2 }));
    send(1, 2);
    await settled();
    send(3, 1);
    await settled();
    expect([acks, asked, inbox.stored]).toEqual([[], ['pause'], []]);
    inbox.refuseWith.push(storeFault('store_reserve', { available: 1, reserve: 2 }));
    receiver.hold(false);
    await settled();
    expect([acks, asked, inbox.stored]).toEqual([[], ['pause', 'resume', 'pause'], []]);
    receiver.hold(false);
    await settled();
    expect([acks, inbox.stored]).toEqual([[3], ['m1', 'm2', 'm3']]);
    expect(failures).toEqual([]);
    receiver.hold(true);
    send(4, 3);
    send(7, 1);
    expect(failures).toMatchObject([{ code: 'bad_frame' }]);
  });

  it('asks a store that has refused for the day not again at once', async () => {
    const { inbox, asked, receiver, send, begin } = start();
    begin(1);
    await settled();
    inbox.refuseWith.push(storeFault('events_per_day', { id: 'a', most: 1 }));
    send(1, 1);
    await settled();
    receiver.hold(false);
    await settled();
    expect([asked, inbox.stored]).toEqual([['pause'], []]);
  });

  it('sends nothing after it was stopped', async () => {
    const { inbox, acks, receiver, send, begin } = start();
    inbox.hold = true;
    begin(1);
    await settled();
    send(1, 1);
    receiver.stop();
    inbox.release();
    await settled();
    expect(acks).toEqual([]);
  });
});
