import { expect, it, vi } from 'vitest';
import { Groups } from '../../../../../central/store/postgres/groups/groups.ts';

function groups(bytes = 0) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const many = vi.fn<(calls: readonly number[]) => Promise<string[]>>(async (calls) => {
    await promise;
    if (calls.includes(13)) throw new Error('13 is at fault');
    return calls.map((call) => (call < 0 ? 'alone' : `many ${call}`));
  });
  const alone = vi.fn<(call: number) => Promise<string>>(async (call) => {
    await promise;
    if (call === 13) throw new Error('13 alone');
    return `alone ${call}`;
  });
  return { of: new Groups<number, string>({ many, alone, bytesOf: () => bytes }), many, alone, goOn: resolve };
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, index) => from + index);

it('makes one group of what arrives together, and the next one of what arrives meanwhile', async () => {
  const { of, many, alone, goOn } = groups();
  const first = [1, 2, 3].map((call) => of.call(call));
  await vi.waitFor(() => expect(many).toHaveBeenCalledTimes(1));
  const later = [4, -5, 6].map((call) => of.call(call));
  const settled = of.settled();
  goOn();
  expect(await Promise.all(first)).toEqual(['many 1', 'many 2', 'many 3']);
  expect(await Promise.all(later)).toEqual(['many 4', 'alone -5', 'many 6']);
  await settled;
  expect(many.mock.calls).toEqual([[[1, 2, 3]], [[4, -5, 6]]]);
  expect(await of.call(7)).toBe('alone 7');
  expect(alone.mock.calls).toEqual([[-5], [7]]);
  await of.settled();
});

it('bounds a group by its calls and by what they bring along', async () => {
  const some = groups();
  const answers = Promise.all(range(100, 300).map((call) => some.of.call(call)));
  some.goOn();
  await answers;
  expect(some.many.mock.calls.map(([calls]) => calls.length)).toEqual([250, 50]);
  const large = groups(400 * 1024);
  const others = Promise.all(range(100, 4).map((call) => large.of.call(call)));
  large.goOn();
  await others;
  expect(large.many.mock.calls.map(([calls]) => calls.length)).toEqual([2, 2]);
});

it('has the others recorded where one is at fault', async () => {
  const { of, goOn } = groups();
  const answers = Promise.allSettled([12, 13, 14].map((call) => of.call(call)));
  goOn();
  expect(await answers).toMatchObject([
    { value: 'alone 12' },
    { reason: { message: '13 alone' } },
    { value: 'alone 14' },
  ]);
});
