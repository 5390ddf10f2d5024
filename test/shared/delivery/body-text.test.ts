import fc from 'fast-check';
import { isUtf8 } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { bodyText, invalidAt } from '../../../shared/delivery/body-text.ts';
import { isCoded } from '../../../shared/errors.ts';

describe('the bytes of a body', () => {
  it('are their text when they are UTF-8', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed() && !text.startsWith('\ufeff')),
        (text) => bodyText(Buffer.from(text)) === text,
      ),
    );
    expect(bodyText(Buffer.from([0xef, 0xbb, 0xbe]))).toBe('\ufefe');
  });

  it('are refused with the place where they stop being UTF-8, whatever they are', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc
            .tuple(fc.string({ unit: 'grapheme' }), fc.uint8Array({ maxLength: 4 }))
            .map(([text, bytes]) => Buffer.concat([Buffer.from(text), bytes])),
        ),
        (bytes) => {
          const buffer = Buffer.from(bytes);
          const at = invalidAt(buffer);
          return isUtf8(buffer)
            ? at === buffer.length
            : at < buffer.length &&
                isUtf8(buffer.subarray(0, at)) &&
                [1, 2, 3, 4].every(
                  (length) => at + length > buffer.length || !isUtf8(buffer.subarray(at, at + length)),
                );
        },
      ),
      { numRuns: 2_000 },
    );
    for (const [bytes, offset] of [
      [[0x41, 0xc0, 0x80], 1],
      [[0xf5, 0x80, 0x80, 0x80], 0],
      [[0xf4, 0x90, 0x80, 0x80], 0],
      [[0xe0, 0x9f, 0x80], 0],
      [[0xe2, 0x82], 0],
      [[0xc3, 0xa9, 0xff], 2],
    ] as const) {
      expect(() => bodyText(Buffer.from(bytes))).toThrow(
        expect.objectContaining({ code: 'body_not_utf8', parameters: expect.objectContaining({ offset }) }),
      );
    }
  });

  it('are UTF-8 with every pair of first bytes that it allows, and with no other', () => {
    const wrong: number[][] = [];
    for (let lead = 0x80; lead < 0x100; lead += 1)
      for (let second = 0; second < 0x100; second += 1)
        for (const rest of [[], [0x80], [0xbf, 0x80]]) {
          const bytes = Buffer.from([lead, second, ...rest]);
          if ((invalidAt(bytes) === bytes.length) !== isUtf8(bytes)) wrong.push([...bytes]);
        }
    expect(wrong).toEqual([]);
    for (const bytes of [
      [0xe2, 0x82, 0x7f],
      [0xe2, 0x82, 0xc0],
      [0xf0, 0x9f, 0x98, 0x7f],
    ])
      expect(invalidAt(Buffer.from(bytes))).toBe(0);
  });

  it('begin with no byte order mark: not all that reads JSON passes over one', () => {
    const found = (bytes: readonly number[]): unknown => {
      try {
        return bodyText(Buffer.from(bytes));
      } catch (error) {
        return isCoded(error) ? error.parameters : error;
      }
    };
    expect(found([0xef, 0xbb, 0xbf, 0x7b, 0x7d])).toEqual({ offset: 0, found: 'a byte order mark' });
    expect(found([0x7b, 0xef, 0xbb, 0xbf, 0x7d])).toBe('{\ufeff}');
    expect(found([0xef, 0xbc, 0xbf])).toBe('\uff3f');
    expect(found([0xee, 0xbb, 0xbf])).toBe('\ueeff');
    expect(found([0x41, 0xc3])).toEqual({ offset: 1, found: '0xC3, which begins no character' });
    expect(found([0xff])).toEqual({ offset: 0, found: '0xFF, which begins no character' });
  });
});
