import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeFromAgent, decodeFromCentral, encode, encodeMessages } from '../../../shared/wire/codec.ts';
import type { Messages } from '../../../shared/wire/messages.ts';
import { jsonText } from './json-arbitraries.ts';

const badFrame = (found: string) =>
  expect.objectContaining({ code: 'bad_frame', message: expect.stringContaining(found) });

describe('a frame of messages', () => {
  it('gives its items as the text that came, whatever the JSON', () => {
    fc.assert(
      fc.property(fc.array(jsonText, { maxLength: 6 }), (items) => {
        for (const decode of [decodeFromAgent, decodeFromCentral]) {
          const frame = decode(encodeMessages(3, items)) as Messages;
          expect(frame.first).toBe(3);
          expect(frame.items.map(({ text, from, to }) => text.slice(from, to))).toEqual(
            items.map((item) => item.trim()),
          );
        }
      }),
    );
  });

  it('is refused when it is not JSON, not complete, or holds more items than the window', () => {
    expect(() => decodeFromAgent('{"type":"messages","first":1,"items":[1,]}')).toThrow(badFrame('at byte 40'));
    expect(() => decodeFromAgent('{"type":"messages","first":1}')).toThrow(badFrame('has no member "items"'));
    expect(() => decodeFromAgent('{"type":"messages","first":1,"items":{}}')).toThrow(badFrame('/items is'));
    expect(() => decodeFromAgent('{"type":"messages","first":1.5,"items":[]}')).toThrow(badFrame('/first is 1.5'));
    expect(() => decodeFromAgent('{"type":"messages","first":"1","items":[]}')).toThrow(badFrame('/first is'));
    expect(() => decodeFromAgent('{"type":"messages","first":true,"items":[]}')).toThrow(badFrame('/first is'));
    expect(() => decodeFromAgent('{"type":"messages","first":1,"items":[1,2,3]}', 2)).toThrow(
      badFrame('/items is an array of 3'),
    );
    expect(decodeFromAgent('{"type":"messages","first":1,"items":[1,2,3]}', 3)).toMatchObject({ first: 1 });
  });
});

describe('any frame', () => {
  it('is refused when a name is given twice: two readers would take two different values', () => {
    expect(() => decodeFromAgent('{"type":"ack","through":1,"through":2}')).toThrow(
      badFrame('/through is given twice'),
    );
    expect(() => decodeFromAgent('{"type":"messages","first":1,"items":[],"items":[]}')).toThrow(
      badFrame('/items is given twice'),
    );
  });

  it('is not built into values that nest without bound', () => {
    expect(() => decodeFromAgent(`{"type":"ack","through":1,"more":${'['.repeat(100)}${']'.repeat(100)}}`)).toThrow(
      badFrame('/more is nested'),
    );
  });

  it('may nest sixteen levels beside its items, and not one more', () => {
    const nested = (levels: number): string =>
      `{"type":"ack","through":1,"more":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    const deepest = Array.from({ length: 20 }, (_, i) => i).filter((levels) => {
      try {
        return decodeFromAgent(nested(levels)) !== null;
      } catch {
        return false;
      }
    });
    expect(deepest.at(-1)).toBe(16);
  });

  it('is an object with a type that is a string', () => {
    for (const text of ['{}', '{"type":1}', '{"type":null}', '{"Type":"ack"}'])
      expect(() => decodeFromAgent(text)).toThrow(badFrame('the text is not a JSON object with a "type"'));
    for (const text of ['', '[]', 'null', '{"type":"ack"', '"ack"'])
      expect(() => decodeFromAgent(text)).toThrow(badFrame(''));
  });

  it('is named with its type and the place where it is wrong', () => {
    const crowded = Array.from({ length: 300 }, (_, i) => `"n${i}":0`).join(',');
    expect(() => decodeFromAgent(`{"type":"ack",${crowded}}`)).toThrow(badFrame('ack: the frame has more than'));
    expect(() => decodeFromAgent('{"type":"ack"}')).toThrow(badFrame('ack: the object has no member "through"'));
    expect(() => decodeFromAgent('{"type":"ack","through":-1}')).toThrow(badFrame('ack: /through is -1'));
    expect(() => decodeFromAgent('{"type":"messages","first":1,"items":[1,2,3]}', 2)).toThrow(
      badFrame('messages: /items is an array of 3; allowed: at most 2 items'),
    );
  });

  it('is written as it is read', () => {
    expect(decodeFromAgent(encode({ type: 'ack', through: 7 }))).toEqual({ type: 'ack', through: 7 });
  });

  it('of a type that is not known is passed over', () => {
    expect(decodeFromAgent('{"type":"later","x":1}')).toBeNull();
    expect(decodeFromAgent('{"type":"__proto__"}')).toBeNull();
  });
});
