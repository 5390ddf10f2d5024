// What the launcher says that this process runs from (agent/software-slot.ts).
import { expect, it } from 'vitest';
import { softwareSlot } from '../../agent/software-slot.ts';

const digest = 'a'.repeat(64);
const slot = (text: string | undefined, folder = '/s'): unknown =>
  softwareSlot({ QUEUE_AGENT_SLOT: text, QUEUE_AGENT_SOFTWARE_FOLDER: folder });

it('is the role and the digests of both parts, null for those of the package', () => {
  expect(slot('current factory factory')).toEqual({
    folder: '/s',
    isCandidate: false,
    pair: { program: null, runtime: null },
  });
  expect(slot(`candidate ${digest} factory`)).toMatchObject({ isCandidate: true, pair: { program: digest } });
});

it('is not there without the launcher, or where its words are others', () => {
  for (const text of [undefined, '', 'current', `other ${digest} factory`, `current ../x factory`])
    expect(slot(text), text).toBeUndefined();
  expect(slot('current factory factory', '')).toBeUndefined();
});
