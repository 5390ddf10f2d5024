import { expect, it } from 'vitest';
import { GivenUp } from '../../../../../central/store/sql/rows/dead-letters.ts';

it('whole messages of one batch that cannot be stored keep a dead letter each with their payload, however many share a reason', () => {
  const givenUp = new GivenUp('a1', 0);
  const payload = (i: number): string => JSON.stringify({ id: `m${i}`, data: 'x'.repeat(20_000) });
  for (let i = 1; i <= 20; i += 1) givenUp.keep(i, { id: `m${i}`, json: payload(i) }, 'id_reused');
  for (let i = 21; i <= 40; i += 1)
    givenUp.add(i, { kind: 'rejected', id: '(none)', source: '', reason: 'no object', json: '0' });
  const letters = givenUp.letters();
  expect(letters.filter(({ reason }) => reason === 'id_reused').map(({ number, json }) => [number, json])).toEqual(
    Array.from({ length: 20 }, (_, i) => [i + 1, payload(i + 1)]),
  );
  expect(letters.filter(({ reason }) => reason === 'no object')).toMatchObject([
    { number: 21, through: 40, count: 20 },
  ]);
});
