// In a process of its own: the rule holds for a whole process.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const HEAP = join(import.meta.dirname, '../../central/heap.ts');
/** Some 40 MB that stay; the rest are objects that are old enough for the old generation when they go, and many that are not. */
const SCRIPT = `
  import { getHeapSpaceStatistics } from 'node:v8';
  const { boundGarbage } = await import(process.argv[1]);
  const kept = Array.from({ length: 200_000 }, (_, i) => ({ at: i, items: [i, i + 1, i + 2] }));
  if (process.argv[2] === 'bounded') boundGarbage(5);
  const used = () => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space').space_used_size;
  const ring = [];
  let [most, sum] = [0, 0];
  for (let i = 0; i < 1_500_000; i += 1) {
    ring[i % 20_000] = { at: i, items: [i, i + 1, i + 2] };
    for (let j = 0; j < 8; j += 1) sum += [i, j, { i }].length;
    if (i % 5_000 !== 0) continue;
    most = Math.max(most, used());
    await new Promise(setImmediate);
  }
  console.log(most, kept.length + sum);
`;

async function mostBytes(how: 'bounded' | 'as it is'): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', SCRIPT, HEAP, how]);
  return Number(stdout.split(' ')[0]);
}

describe('boundGarbage', () => {
  it('has the old generation collected when it has grown by a third, where V8 alone waits for much more', async () => {
    const bounded = await mostBytes('bounded');
    expect(bounded).toBeGreaterThan(20_000_000);
    expect(bounded).toBeLessThan(80_000_000);
    expect(await mostBytes('as it is')).toBeGreaterThan(bounded * 1.4);
  }, 60_000);
});
