import { expect, test } from 'vitest';
import { storeFault } from '../../../../central/store/errors.ts';
import { SeenIndexing } from '../../../../central/store/sql/seen-indexing.ts';

const refused = (): Promise<number> => Promise.reject(storeFault('deduplication_indexing', {}));

/** Steps that wait until they are answered. */
function start() {
  const steps: { readonly agentId: string; readonly answer: (isMore: boolean | Error) => void }[] = [];
  const indexing = new SeenIndexing(
    (agentId) =>
      new Promise((resolve, reject) => {
        steps.push({ agentId, answer: (isMore) => (isMore instanceof Error ? reject(isMore) : resolve(isMore)) });
      }),
  );
  return { steps, indexing };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a refused append has its agent indexed, one step of one agent at a time, each in its turn', async () => {
  const { steps, indexing } = start();
  for (const agentId of ['a1', 'a2', 'a1'])
    await expect(indexing.watch(agentId, refused())).rejects.toMatchObject({ code: 'deduplication_indexing' });
  const seen: string[] = [];
  for (const isMore of [true, true, false, false]) {
    await settled();
    expect(steps).toHaveLength(seen.length + 1);
    const step = steps.at(-1);
    seen.push(step?.agentId ?? '');
    step?.answer(isMore);
  }
  await settled();
  expect(seen).toEqual(['a1', 'a2', 'a1', 'a2']);
  expect(steps).toHaveLength(4);
});

test('nothing is indexed for an append that succeeds or fails otherwise, and a failed step waits for the next refusal', async () => {
  const { steps, indexing } = start();
  expect(await indexing.watch('a1', Promise.resolve(7))).toBe(7);
  await expect(indexing.watch('a1', Promise.reject(new Error('other')))).rejects.toThrow('other');
  expect(steps).toEqual([]);
  await expect(indexing.watch('a1', refused())).rejects.toMatchObject({ code: 'deduplication_indexing' });
  steps[0]?.answer(new Error('gone'));
  await settled();
  expect(steps).toHaveLength(1);
  await expect(indexing.watch('a1', refused())).rejects.toMatchObject({ code: 'deduplication_indexing' });
  expect(steps).toHaveLength(2);
});
