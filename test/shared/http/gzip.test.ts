import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { acceptsGzip, compressed } from '../../../shared/http/gzip.ts';

it.each([
  [undefined, false],
  ['', false],
  ['gzip', true],
  ['GZIP;q=0.5, br', true],
  ['br, deflate', false],
  ['*', true],
  ['*;q=0', false],
  ['gzip;q=0, *', false],
  ['gzip;q=x', false],
])('Accept-Encoding "%s" allows gzip: %s', (header, expected) => {
  expect(acceptsGzip(header)).toBe(expected);
});

it('compresses what is neither too short nor too long, and so many at once', async () => {
  const text = 'a queue agent '.repeat(200);
  const packed = await compressed(text);
  expect(gunzipSync(packed ?? Buffer.alloc(0)).toString()).toBe(text);
  expect((await compressed(Buffer.from(text)))?.length).toBeLessThan(200);
  expect([await compressed('x'.repeat(1023)), await compressed(Buffer.alloc(16 * 1024 * 1024 + 1))]).toEqual([
    undefined,
    undefined,
  ]);
  const several = await Promise.all([text, text, text, text].map(compressed));
  expect(several.filter((one) => one === undefined)).toHaveLength(2);
});
