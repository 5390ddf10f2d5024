// In a process of its own: the rule holds for a whole process.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const HEAP = join(import.meta.dirname, '../../central/heap.ts');
/** What V8 decides alone depends on the machine: the collections that were forced are counted, not those of V8. */
const SCRIPT = `
  import { constants, PerformanceObserver } from 'node:perf_hooks';
  const { boundGarbage } = await import(process.argv[1]);
  const added = Number(process.argv[2]);
  let forced = 0;
  new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) forced += detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED ? 1 : 0;
  }).observe({ entryTypes: ['gc'] });
  const objects = (count) => Array.from({ length: count }, (_, i) => ({ at: i, items: [i, i + 1, i + 2] }));
  const kept = [objects(200_000)];
  boundGarbage(5);
  for (let round = 0; round < 4; round += 1) {
    kept[1] = objects(added);
    // What these throw away makes V8 move what is kept to the old generation.
    for (let i = 0; i < 5; i += 1) objects(added);
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setTimeout(resolve, 6));
  }
  console.log(forced, kept.length);
`;

/**
 * How many collections were forced while so many objects of some 100 bytes were added four times, and dropped again.
 */
async function forcedCollections(addedObjects: number, ...flagsOfV8: string[]): Promise<number> {
  const args = [...flagsOfV8, '--input-type=module', '--eval', SCRIPT, HEAP, String(addedObjects)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return Number(stdout.split(' ')[0]);
}

describe('boundGarbage', () => {
  it('has the old generation collected when it has grown by a third', async () => {
    expect(await forcedCollections(200_000)).toBeGreaterThan(1);
  }, 60_000);

  it('forces no collection but the first one while little has been added', async () => {
    expect(await forcedCollections(1_000)).toBe(1);
  }, 60_000);

  it('gives V8 more room when it collects again and again for little', async () => {
    // With this flag V8 collects all garbage each time the young generation is full.
    expect(await forcedCollections(20_000, '--gc-global')).toBeGreaterThan(1);
  }, 60_000);
});
