import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TextPacker, unpackLengths, unpackTexts } from '../../../../../central/store/sql/events/run-texts.ts';

/** Whatever a payload may hold: line feeds, separators, and characters of one to four bytes. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.constantFrom(
    '',
    '\n',
    '{}\n{}',
    '\u0000',
    'grüezi',
    '€',
    '😀',
    'x'.repeat(127),
    'x'.repeat(128),
    'é'.repeat(8192),
  ),
);

test('texts come out of a run byte for byte, from any place on', () => {
  // One for all: nothing of a run before is in the next one.
  const packer = new TextPacker();
  fc.assert(
    fc.property(fc.array(text, { maxLength: 20 }), fc.nat(20), fc.nat(20), (texts, from, most) => {
      const packed = packer.pack(texts);
      expect(Buffer.from(packed.body)).toEqual(Buffer.from(texts.join('')));
      expect(unpackLengths(packed.lengths)).toEqual(texts.map((one) => Buffer.byteLength(one)));
      expect(unpackTexts(packed)).toEqual(texts);
      expect(unpackTexts(packed, from, most)).toEqual(texts.slice(from, from + most));
    }),
    { numRuns: 200 },
  );
});

test('a length of 128 bytes and more takes a byte more for each factor of 128', () => {
  const sizes = [0, 127, 128, 16_383, 16_384, 2_097_152];
  expect(sizes.map((size) => new TextPacker().pack(['x'.repeat(size)]).lengths.length)).toEqual([1, 1, 2, 2, 3, 4]);
});

test.each([
  ['less text than lengths', { lengths: Uint8Array.of(3), body: Buffer.from('ab') }],
  ['lengths that end in the middle', { lengths: Uint8Array.of(0x81), body: Buffer.from('ab') }],
  ['a length without end', { lengths: new Uint8Array(1000).fill(0xff), body: Buffer.from('ab') }],
])('%s is damage', (_what, packed) => {
  expect(() => unpackTexts(packed)).toThrow(expect.objectContaining({ code: 'data_damaged' }));
});
