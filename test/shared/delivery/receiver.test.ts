import { afterEach, describe, expect, it, vi } from 'vitest';
import { Receiver } from '../../../shared/delivery/receiver.ts';
import { storeFault } from '../../../central/store/errors.ts';
import { encodeMessages, MESSAGES_FRAME_OVERHEAD } from '../../../shared/wire/codec.ts';
import { LIMITS, type SessionLimits } from '../../../shared/wire/messages.ts';
import { HeldInbox, settled } from './session-logs.ts';

function start(limits: SessionLimits = LIMITS) {
  const inbox = new HeldInbox();
  const acks: number[] = [];
  const asked: string[] = [];
  const committed: number[] = [];
  const failures: unknown[] = [];
  const receiver = new Receiver({
    inbox,
    frames: {
      send(text, priority) {
        expect(priority).toBe('control');
        const frame = JSON.parse(text) as { type: string; through: number };
        if (frame.type === 'ack') acks.push(frame.through);
        else asked.push(frame.type);
      },
    },
    limits,
    onFailure: (error) => failures.push(error),
    onCommitted: (count) => committed.push(count),
  });
  const send = (first: number, count: number): void => {
    const items = Array.from({ length: count }, (_, i) => ({
      specversion: '1.0',
      id: `m${first + i}`,
      source: '/s',
      type: 't',
    }));
    receiver.messages(
      Buffer.from(
        encodeMessages(
          first,
          items.map((item) => JSON.stringify(item)),
        ),
      ),
    );
  };
  const begin = (next: number): void => receiver.begin({ type: 'begin', incarnation: 'i1', next, missing: null });
  return { inbox, acks, asked, committed, failures, receiver, send, begin };
}

afterEach(() => void vi.useRealTimers());

/** The text of a message of that size. */
function ofBytes(id: number, bytes: number): string {
  const event = (data: string): string =>
    `{"specversion":"1.0","id":"m${id}","source":"/s","type":"t","data":"${data}"}`;
  return event('x'.repeat(bytes - event('').length));
}

/** A frame with one message, and as many bytes around it as a sender counts. */
function frameOf(number: number, bytes: number): Buffer {
  const text = encodeMessages(number, [ofBytes(number, bytes)]);
  return Buffer.from(text.padEnd(bytes + MESSAGES_FRAME_OVERHEAD));
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
    const written = Promise.withResolvers<void>();
    const write = inbox.begin.bind(inbox);
    inbox.begin = (frame) => written.promise.then(() => write(frame));
    begin(5);
    send(5, 1);
    await settled();
    expect([inbox.stored, acks]).toEqual([[], []]);
    written.resolve();
    await settled();
    expect(inbox.begun).toMatchObject({ next: 5 });
    expect(acks).toEqual([5]);
  });

  it('refuses a gap, a repetition, a second begin and messages without begin', async () => {
    const gap = start();
    gap.begin(1);
    gap.send(2, 1);
    await settled();
    const refused = (found: string) => [{ code: 'bad_frame', parameters: { found } }];
    expect(gap.failures).toMatchObject(refused('messages from 2, where 1 is next'));

    const repetition = start();
    repetition.begin(1);
    repetition.send(1, 2);
    repetition.send(2, 1);
    await settled();
    expect(repetition.failures).toMatchObject(refused('messages from 2, where 3 is next'));

    const twice = start();
    twice.begin(1);
    twice.begin(1);
    expect(twice.failures).toMatchObject(refused('a second begin'));

    const early = start();
    early.send(1, 1);
    expect(early.failures).toMatchObject(refused('messages before begin'));
  });

  it('refuses a peer that does not hold to the window', async () => {
    const { inbox, failures, send, begin } = start({ ...LIMITS, windowItems: 3 });
    inbox.hold = true;
    begin(1_001);
    await settled();
    send(1_001, 3);
    send(1_004, 1);
    expect(failures).toEqual([]);
    inbox.hold = false;
    inbox.release();
    await settled();
    expect(failures).toMatchObject([
      { code: 'bad_frame', parameters: { found: '4 messages without waiting for an ack, where 3 are allowed' } },
    ]);
    expect(inbox.stored).toEqual(['m1001', 'm1002', 'm1003']);
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
    for (let number = 1; number <= 200; number += 1) send(number, 1);
    inbox.hold = false;
    inbox.release();
    for (let i = 0; i < 10; i += 1) await settled();
    expect(failures).toEqual([]);
    expect(acks).toEqual([1, 65, 129, 193, 200]);
  });

  it('appends half a mebibyte at once, and counts each append', async () => {
    const { inbox, acks, committed, failures, receiver, begin } = start();
    begin(1);
    await settled();
    const appended: number[] = [];
    const append = inbox.append.bind(inbox);
    inbox.append = (first, frames) => {
      appended.push(frames.length);
      return append(first, frames);
    };
    receiver.hold(true);
    // Two fit, each with what is around its message.
    const bytes = 256 * 1024 - MESSAGES_FRAME_OVERHEAD;
    for (let number = 1; number <= 5; number += 1) receiver.messages(frameOf(number, bytes));
    receiver.hold(false);
    await settled();
    expect(failures).toEqual([]);
    expect([appended, committed, acks]).toEqual([
      [2, 2, 1],
      [2, 2, 1],
      [2, 4, 5],
    ]);
  });

  it('counts what waits as its sender does: the items, up to the whole window and not beyond', async () => {
    const { inbox, failures, receiver, begin } = start({ ...LIMITS, windowBytes: 1_000 });
    inbox.hold = true;
    begin(1);
    await settled();
    for (let number = 1; number <= 4; number += 1) receiver.messages(frameOf(number, 250));
    // The window is full to the byte. A sender may send one message with what is left of it, however large.
    receiver.messages(frameOf(5, 10_000));
    expect(failures).toEqual([]);
    receiver.messages(frameOf(6, 250));
    expect(failures).toMatchObject([
      { code: 'bad_frame', parameters: { found: expect.stringContaining('1000 bytes') } },
    ]);
  });

  it.each([
    ['is being appended', false],
    ['was refused for now', true],
  ])('counts what %s as much as what waits', async (_, isRefused) => {
    const { inbox, failures, receiver, begin } = start({ ...LIMITS, windowBytes: 1_000 });
    begin(1);
    await settled();
    if (isRefused) inbox.refuseWith.push(storeFault('store_reserve', { available: 1, reserve: 2 }));
    else inbox.hold = true;
    for (const [i, bytes] of [900, 200, 200].entries()) {
      expect(failures).toEqual([]);
      receiver.messages(frameOf(i + 1, bytes));
      await settled();
    }
    expect(failures).toMatchObject([{ code: 'bad_frame' }]);
  });

  it('counts what waits behind an append that took a part of it', async () => {
    const { inbox, acks, failures, receiver, begin } = start({ ...LIMITS, windowBytes: 1024 * 1024 });
    begin(1);
    await settled();
    receiver.hold(true);
    for (let number = 1; number <= 4; number += 1) receiver.messages(frameOf(number, 250 * 1024));
    inbox.hold = true;
    receiver.hold(false);
    inbox.release();
    await settled();
    // Two are on disk, two are being appended: of the window 524 KiB are left.
    expect(acks).toEqual([2]);
    for (let number = 5; number <= 7; number += 1) receiver.messages(frameOf(number, 250 * 1024));
    expect(failures).toEqual([]);
    receiver.messages(frameOf(8, 250 * 1024));
    expect(failures).toMatchObject([{ code: 'bad_frame' }]);
  });

  it('frees all of a frame whose characters have several bytes', async () => {
    const { failures, receiver, begin, acks } = start({ ...LIMITS, windowBytes: 1_000 });
    begin(1);
    const text = `{"specversion":"1.0","id":"m","source":"/s","type":"t","data":"${'ü'.repeat(200)}"}`;
    for (let number = 1; number <= 10; number += 1) {
      receiver.messages(Buffer.from(encodeMessages(number, [text])));
      await settled();
    }
    expect([acks.length, failures]).toEqual([10, []]);
  });

  it('makes one append at a time, also when it is held and goes on in the middle of one', async () => {
    const { inbox, acks, receiver, send, begin } = start();
    inbox.hold = true;
    begin(1);
    await settled();
    send(1, 1);
    await settled();
    receiver.hold(true);
    send(2, 1);
    receiver.hold(false);
    await settled();
    expect(inbox.appends).toBe(1);
    inbox.hold = false;
    inbox.release();
    await settled();
    expect([acks, inbox.stored]).toEqual([
      [1, 2],
      ['m1', 'm2'],
    ]);
  });

  it('frees the window as appends are committed', async () => {
    const { failures, receiver, begin, acks } = start({ ...LIMITS, windowBytes: 1_000 });
    begin(1);
    for (let number = 1; number <= 5; number += 1) {
      receiver.messages(frameOf(number, 900));
      await settled();
    }
    expect([acks, failures]).toEqual([[1, 2, 3, 4, 5], []]);
  });

  it('ends the session when its log cannot begin or append, once, and takes nothing more', async () => {
    const unbegun = start();
    unbegun.inbox.begin = () => Promise.reject(new Error('disk'));
    unbegun.begin(1);
    await settled();
    expect(unbegun.failures).toMatchObject([{ message: 'disk' }]);
    const { inbox, acks, asked, failures, receiver, send, begin } = start();
    begin(1);
    await settled();
    inbox.refuseWith.push(new Error('disk'));
    send(1, 1);
    await settled();
    expect(failures).toMatchObject([{ message: 'disk' }]);
    send(7, 1);
    begin(1);
    receiver.hold(true);
    await settled();
    expect([failures.length, acks, asked, inbox.stored]).toEqual([1, [], [], []]);
  });

  it('asks a store that has refused for the day again after a minute', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { inbox, asked, receiver, send, begin } = start();
    begin(1);
    await settled();
    inbox.refuseWith.push(storeFault('events_per_day', { id: 'a', most: 1 }));
    send(1, 1);
    await settled();
    vi.advanceTimersByTime(59_999);
    receiver.hold(false);
    expect(asked).toEqual(['pause']);
    vi.advanceTimersByTime(1);
    receiver.hold(false);
    await settled();
    expect([asked, inbox.stored]).toEqual([['pause', 'resume'], ['m1']]);
  });

  it('lets a bad item fail alone: it takes its number and the others are stored', async () => {
    const { inbox, acks, receiver, begin } = start();
    begin(1);
    const items = ['{"specversion":"1.0","id":"a","source":"/s","type":"t"}', '42', '{"tombstone":"expired","id":"c"}'];
    receiver.messages(Buffer.from(encodeMessages(1, items)));
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

  it('keeps what a store without room or with an index to finish refused, within the window, and appends it once there is room', async () => {
    const { inbox, acks, asked, failures, receiver, send, begin } = start({ ...LIMITS, windowItems: 3 });
    begin(1);
    await settled();
    inbox.refuseWith.push(storeFault('store_reserve', { available: 1, reserve: 2 }));
    send(1, 2);
    await settled();
    send(3, 1);
    await settled();
    expect([acks, asked, inbox.stored]).toEqual([[], ['pause'], []]);
    inbox.refuseWith.push(storeFault('deduplication_indexing', {}));
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
    receiver.hold(false);
    await settled();
    expect(failures).toMatchObject([{ code: 'bad_frame' }]);
    expect(inbox.stored).toHaveLength(3);
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
    const { inbox, acks, failures, receiver, send, begin } = start();
    inbox.hold = true;
    begin(1);
    await settled();
    send(1, 1);
    send(2, 1);
    receiver.stop();
    inbox.refuseWith.push(new Error('disk'));
    inbox.release();
    await settled();
    receiver.hold(true);
    send(3, 1);
    send(7, 1);
    begin(1);
    expect([acks, inbox.stored, failures]).toEqual([[], [], []]);
  });
});
