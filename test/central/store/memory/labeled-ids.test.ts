// Agents by labels for readers of events: selected once for all readers, and one filter at a time.
import { expect, test } from 'vitest';
import { LabeledIds } from '../../../../central/store/memory/labeled-ids.ts';
import type { AgentMatch, LabelTerm } from '../../../../central/store/agents/labels.ts';

const region = (value: string): LabelTerm[][] => [[{ key: 'region', operator: '=', value }]];

function scene() {
  const clock = { ms: 0 };
  const calls: { readonly matches: readonly AgentMatch[]; readonly end: (ids: string[] | Error) => void }[] = [];
  const labeled = new LabeledIds(
    {
      selectIds: (matches) =>
        new Promise((resolve, reject) =>
          calls.push({ matches, end: (ids) => (ids instanceof Error ? reject(ids) : resolve(ids)) }),
        ),
    },
    () => clock.ms,
  );
  return { clock, calls, labeled };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a thousand readers with the same labels cost one selection in five seconds', async () => {
  const { clock, calls, labeled } = scene();
  const readers = Array.from({ length: 1_000 }, () => labeled.find(region('north')));
  await settled();
  expect(calls).toHaveLength(1);
  expect(calls[0]?.matches).toEqual([{ kind: 'labels', terms: region('north')[0] }]);
  calls[0]?.end(['a', 'b']);
  for (const ids of await Promise.all(readers)) expect([...ids]).toEqual(['a', 'b']);
  clock.ms = 4_999;
  expect((await labeled.find(region('north'))).size).toBe(2);
  expect(calls).toHaveLength(1);
  clock.ms = 5_000;
  void labeled.find(region('north'));
  await settled();
  expect(calls).toHaveLength(2);
});

test('different labels are selected one after the other, and a selection that fails is tried again', async () => {
  const { calls, labeled } = scene();
  const [north, south] = [labeled.find(region('north')), labeled.find(region('south'))];
  const failed = north.catch((error: unknown) => error);
  await settled();
  expect(calls).toHaveLength(1);
  calls[0]?.end(new Error('closed'));
  expect(await failed).toMatchObject({ message: 'closed' });
  await settled();
  expect(calls).toHaveLength(2);
  calls[1]?.end([]);
  expect((await south).size).toBe(0);
  const again = labeled.find(region('north'));
  await settled();
  calls[2]?.end(['a']);
  expect((await again).has('a')).toBe(true);
});
