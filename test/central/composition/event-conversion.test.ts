import { expect, test } from 'vitest';
import { EventConversion } from '../../../central/composition/event-conversion.ts';
import { databaseFault } from '../../../shared/sqlite/errors.ts';

function start(left: number, options: { readonly stuckAt?: number; readonly failure?: Error } = {}) {
  const state = { left, steps: 0, now: 0 };
  const lines: unknown[] = [];
  const conversion = new EventConversion({
    store: {
      stats: async () => ({ unconvertedEvents: state.left }) as never,
      convert: async () => {
        if (options.failure !== undefined) throw options.failure;
        state.steps += 1;
        state.now += 1_000;
        if (state.left !== options.stuckAt) state.left = Math.max(0, state.left - 10);
        return state.left;
      },
    },
    log: { info: (...line: unknown[]) => void lines.push(line.length === 1 ? line[0] : line) } as never,
    clock: () => state.now,
  });
  return { conversion, state, lines };
}

test('says what there is to convert, how far it is, and when it is done', async () => {
  const { conversion, state, lines } = start(450);
  await conversion.run();
  expect([state.left, state.steps]).toEqual([0, 45]);
  expect(lines).toEqual([
    [{ events: 450 }, 'converting the events of an older version'],
    [{ events: 150 }, 'events of an older version are still to be converted'],
    'all events of the older version are converted',
  ]);
  await conversion.run();
  expect(state.steps).toBe(45);
});

test('says nothing where there is nothing', async () => {
  const { conversion, state, lines } = start(0);
  await conversion.run();
  expect([state.steps, lines]).toEqual([0, []]);
});

test('ends a run after some steps, and where the store waits for space', async () => {
  const long = start(10_000);
  await long.conversion.run();
  expect(long.state.steps).toBe(200);
  await long.conversion.run();
  expect(long.state.steps).toBe(400);
  const stuck = start(50, { stuckAt: 30 });
  await stuck.conversion.run();
  await stuck.conversion.run();
  expect([stuck.state.left, stuck.state.steps]).toEqual([30, 4]);
});

test('ends with the store, and reports any other failure', async () => {
  await start(50, { failure: databaseFault('store_stopped', {}) }).conversion.run();
  await expect(start(50, { failure: new Error('broken') }).conversion.run()).rejects.toThrow('broken');
});
