// A stampede of hellos: how many are verified at once, in which order they are answered, and what one that fails costs.
import { expect, test } from 'vitest';
import { Proofs } from '../../../../central/sessions/limits/proofs.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('two hellos are verified at once, all are answered in their order, and one that fails holds up none', async () => {
  const proofs = new Proofs();
  const started: number[] = [];
  const answered: (number | string)[] = [];
  const ends = new Map<number, { readonly resolve: (n: number) => void; readonly reject: (error: Error) => void }>();
  for (let n = 1; n <= 5; n += 1)
    proofs
      .run(() => {
        started.push(n);
        return new Promise<number>((resolve, reject) => ends.set(n, { resolve, reject }));
      })
      .then(
        (found) => answered.push(found),
        (error: Error) => answered.push(error.message),
      );
  await turn();
  expect(started).toEqual([1, 2]);
  // The second is ready first, and waits for the first.
  ends.get(2)?.resolve(2);
  await turn();
  expect(started).toEqual([1, 2, 3]);
  expect(answered).toEqual([]);
  ends.get(1)?.reject(new Error('wrong'));
  await turn();
  expect(started).toEqual([1, 2, 3, 4]);
  expect(answered).toEqual(['wrong', 2]);
  for (const n of [3, 4, 5]) {
    ends.get(n)?.resolve(n);
    await turn();
  }
  expect(answered).toEqual(['wrong', 2, 3, 4, 5]);
});
