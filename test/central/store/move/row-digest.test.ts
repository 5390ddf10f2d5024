// The digest by which the rows of two databases are compared.
import { expect, it } from 'vitest';
import { RowDigest } from '../../../../central/store/move/row-digest.ts';

function digestOf(...rows: (readonly unknown[])[]): string {
  const digest = new RowDigest();
  for (const row of rows) digest.add(row);
  return `${digest.rows} ${digest.hex}`;
}

it('is the same for the same rows in any order, and for a Buffer as for an Uint8Array', () => {
  const [one, two] = [
    [1, 'a', null, new Uint8Array([1, 2])],
    [2, 'b', null, Buffer.from([3])],
  ];
  expect(digestOf(one ?? [], two ?? [])).toBe(digestOf(two ?? [], one ?? []));
  expect(digestOf([Buffer.from([1, 2])])).toBe(digestOf([new Uint8Array([1, 2])]));
});

it('is another one for other rows: types, places, lengths, and how often', () => {
  const digests = [
    [['1']],
    [[1]],
    [[null]],
    [['']],
    [[new Uint8Array()]],
    [['a', 'bc']],
    [['ab', 'c']],
    [['c', 'ab']],
    [['x'], ['x']],
    [['x']],
  ];
  expect(new Set(digests.map((rows) => digestOf(...rows))).size).toBe(digests.length);
});
