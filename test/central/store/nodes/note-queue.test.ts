// What a node tells the others arrives in order, together, and again where the store was away.
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { NodeNote } from '../../../../central/store/nodes/node-store.ts';
import { NoteQueue } from '../../../../central/store/nodes/note-queue.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout'] }));
afterEach(() => void vi.useRealTimers());

function setUp() {
  const [told, warned]: [string[], string[]] = [[], []];
  const state = { isAway: false };
  const tell = async (notes: readonly NodeNote[]): Promise<void> => {
    if (state.isAway) throw new Error('away');
    told.push(notes.map(({ subject, id, body }) => `${subject} ${id} ${body}`).join());
  };
  const queue = new NoteQueue({ tell, log: { warn: (_, text) => void warned.push(text) } });
  return { queue, told, warned, state };
}

it('tells at once what happens together, in its order', async () => {
  const { queue, told } = setUp();
  queue.add('drains', 'd1', { n: 1 });
  queue.add('session-notes', '', { n: 2 });
  await turn();
  await turn();
  expect(told).toEqual(['drains d1 {"n":1},session-notes  {"n":2}']);
});

it('tries again while the store is away, before what came later', async () => {
  const { queue, told, warned, state } = setUp();
  state.isAway = true;
  queue.add('drains', 'd1', {});
  await turn();
  await turn();
  queue.add('drains', 'd2', {});
  await turn();
  expect([told, warned]).toEqual([[], ['other nodes could not be notified; trying again']]);
  state.isAway = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(told).toEqual(['drains d1 {},drains d2 {}']);
});

it('keeps the newest of those that wait, and nothing where there are no others', async () => {
  const { queue, told, state } = setUp();
  state.isAway = true;
  for (let n = 0; n < 6_000; n += 1) queue.add('drains', `d${n}`, {});
  await turn();
  await turn();
  state.isAway = false;
  await vi.advanceTimersByTimeAsync(5_000);
  const ids = told.join().match(/d\d+/g) ?? [];
  expect([ids.length <= 5_000, ids.at(-1)]).toEqual([true, 'd5999']);
  const alone = new NoteQueue({ tell: undefined, log: { warn: () => undefined } });
  alone.add('drains', 'd', {});
  expect([alone.isOpen, queue.isOpen]).toEqual([false, true]);
});
