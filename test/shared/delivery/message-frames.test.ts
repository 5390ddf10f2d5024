// Frames of messages as they came, read where they are written.
import { describe, expect, test } from 'vitest';
import { readMessageFrames, releaseFrames } from '../../../shared/delivery/message-frames.ts';
import { encodeMessages, hasMessagesHead } from '../../../shared/wire/codec.ts';
import { LIMITS } from '../../../shared/wire/messages.ts';
import { frameOf } from './frames.ts';

const event = (id: string): string => `{"specversion":"1.0","id":"${id}","source":"/s","type":"t"}`;
const refused = (found: string): unknown => expect.objectContaining({ code: 'bad_frame', parameters: { found } });

describe('frames of messages', () => {
  test('give their items in order, the text of each byte for byte', () => {
    const spaced = '{ "specversion" : "1.0", "id": "b", "source":"/s","type":"t", "data": 1.0e2 }';
    const items = readMessageFrames(7, [
      frameOf(encodeMessages(7, [event('a'), spaced]), 6),
      frameOf(encodeMessages(9, [event('c')]), 6),
    ]);
    expect(items).toMatchObject([
      { kind: 'message', message: { id: 'a', json: event('a') } },
      { kind: 'message', message: { id: 'b', json: spaced } },
      { kind: 'message', message: { id: 'c' } },
    ]);
  });

  test('are refused with another number than the next, also behind a frame that is right', () => {
    const frames = [frameOf(encodeMessages(1, [event('a')]), 0), frameOf(encodeMessages(3, [event('b')]), 0)];
    expect(() => readMessageFrames(1, frames)).toThrow(refused('messages from 3, where 2 is next'));
  });

  test('are refused beyond the window that was open when they came', () => {
    const frames = [
      frameOf(encodeMessages(11, [event('a'), event('b')]), 10, 3),
      frameOf(encodeMessages(13, [event('c'), event('d')]), 10, 3),
    ];
    expect(() => readMessageFrames(11, frames)).toThrow(
      refused('4 messages without waiting for an ack, where 3 are allowed'),
    );
  });

  test.each(['{', '[]', '{"type":"ack","through":1}', '{"type":"of tomorrow"}', '{"type":"messages","first":1}'])(
    'are refused when they are not messages: %s',
    (text) => {
      expect(() => readMessageFrames(1, [frameOf(text, 0)])).toThrow(expect.objectContaining({ code: 'bad_frame' }));
    },
  );

  test('are known by their head only where it says all', () => {
    const isKnown = (text: string): boolean => hasMessagesHead(Buffer.from(text));
    expect(isKnown(encodeMessages(Number.MAX_SAFE_INTEGER, [event('a')]))).toBe(true);
    expect(isKnown(encodeMessages(1, []))).toBe(false);
    expect(isKnown(encodeMessages(1, ['42']))).toBe(false);
    expect(isKnown(`{"type":"messages","items":[${event('a')}],"first":1}`)).toBe(false);
    expect(isKnown('{"type":"ack","through":1}')).toBe(false);
  });

  test('with a head that is contradicted behind it are refused where they are read', () => {
    const text = `{"type":"messages","first":1,"items":[${event('a')}],"type":"ack","through":1}`;
    expect(hasMessagesHead(Buffer.from(text))).toBe(true);
    expect(() => readMessageFrames(1, [frameOf(text, 0, LIMITS.windowItems)])).toThrow(
      expect.objectContaining({ code: 'bad_frame', message: expect.stringContaining('given twice') }),
    );
  });

  test('give their memory back at once, unless they share it', () => {
    const own = Uint8Array.from(Buffer.from('own'));
    const slab = Buffer.from('one|two');
    releaseFrames([own, slab.subarray(0, 3)].map((data) => ({ data, acknowledged: 0, windowItems: 1 })));
    expect(own.buffer.byteLength).toBe(0);
    expect(slab.toString()).toBe('one|two');
  });
});
