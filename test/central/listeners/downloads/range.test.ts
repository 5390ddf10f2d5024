import { expect, test } from 'vitest';
import { requestedPart } from '../../../../central/listeners/downloads/range.ts';

const part = (range: string, size = 10, ifRange?: string) =>
  requestedPart({ range, 'if-range': ifRange }, size, '"tag"');

test.each([
  ['bytes=0-3', { from: 0, to: 4 }],
  ['bytes=4-', { from: 4, to: 10 }],
  ['bytes=-3', { from: 7, to: 10 }],
  ['bytes=-30', { from: 0, to: 10 }],
  ['bytes=9-99', { from: 9, to: 10 }],
  ['BYTES=0-0', { from: 0, to: 1 }],
  ['bytes=10-', null],
  ['bytes=10-12', null],
  ['bytes=-0', null],
])('%s is a part of ten bytes, or outside of them', (range, expected) => {
  expect(part(range)).toEqual(expected);
});

test.each(['bytes=', 'bytes=-', 'bytes=3-2', 'bytes=0-1,3-4', 'bytes=a-b', 'lines=0-1', 'bytes=0-1 x'])(
  '%s is read as if it were not there',
  (range) => {
    expect(part(range)).toBeUndefined();
  },
);

test('a part counts only while the content is still the one of If-Range', () => {
  expect(part('bytes=4-', 10, '"tag"')).toEqual({ from: 4, to: 10 });
  for (const other of ['"other"', 'W/"tag"', 'Fri, 27 Nov 2026 07:00:00 GMT'])
    expect(part('bytes=4-', 10, other)).toBeUndefined();
});

test('nothing of empty content can be asked for in parts', () => {
  expect(part('bytes=0-', 0)).toBeNull();
});
