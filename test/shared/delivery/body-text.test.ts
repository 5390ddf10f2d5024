import fc from 'fast-check';
import { isUtf8 } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { bodyText, invalidAt } from '../../../shared/delivery/body-text.ts';

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
});
