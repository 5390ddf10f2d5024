import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../../../central/metrics.ts';
import type { SpaceState } from '../../../../central/store/space/bounds.ts';
import { SpaceWatch } from '../../../../central/store/space/watch.ts';

function start() {
  const lines: { level: number; msg: string }[] = [];
  const held: boolean[] = [];
  const now = { time: 0, state: 'ample' as SpaceState };
  const watch = new SpaceWatch({
    store: { space: async () => ({ state: now.state, freeBytes: 10, availableBytes: 8, reserveBytes: 5 }) },
    hold: (on) => void held.push(on),
    metrics: createMetrics(),
    log: pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as { level: number; msg: string }) }),
    now: () => now.time,
  });
  const at = async (state: SpaceState): Promise<boolean> => {
    now.state = state;
    return await watch.check();
  };
  return { watch, lines, held, now, at };
}

describe('SpaceWatch', () => {
  it('warns before the reserve is reached, once per change, and names what to do in the status', async () => {
    const { watch, lines, at } = start();
    for (const state of ['ample', 'ample', 'low', 'low'] as const) await at(state);
    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([[40, 'the disk space of the store is low']]);
    expect(watch.problems()).toEqual([
      {
        code: 'store_low',
        detail: expect.stringMatching(/8 bytes.*5 bytes/),
        hint: expect.stringContaining('Free disk space on the host'),
        startedAt: expect.any(Number),
      },
    ]);
    for (const state of ['reserved', 'reserved', 'low', 'ample'] as const) await at(state);
    expect(lines.map(({ level }) => level)).toEqual([40, 50, 40, 30]);
    expect(watch.problems()).toEqual([]);
  });

  it('holds every session back as long as the reserve is reached, and lets it go on after', async () => {
    const { watch, held, at } = start();
    for (const state of ['low', 'reserved', 'reserved', 'low'] as const) await at(state);
    expect(held).toEqual([false, true, true, false]);
    expect(watch.problems()).toMatchObject([{ code: 'store_low' }]);
  });

  it('lets the store be pruned early when the reserve nears, at most once a minute', async () => {
    const { now, at } = start();
    expect([await at('ample'), await at('low'), await at('reserved')]).toEqual([false, true, false]);
    now.time = 60_000;
    expect(await at('reserved')).toBe(true);
  });
});
