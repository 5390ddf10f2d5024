// node bench/profile.ts FOLDER: where the time went, from the CPU profiles that `npm run bench -- --profile FOLDER`
// left there. One table per profile (a thread of Central each): share of the busy time by function, its own time only.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const IDLE = new Set(['(idle)', '(root)', '(program)']);
const TOP = 22;

const folder = process.argv[2];
if (folder === undefined) throw new Error('node bench/profile.ts FOLDER');
for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
  // Written by node --cpu-prof.
  const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Profile;
  const names = new Map(
    profile.nodes.map(({ id, callFrame }) => [
      id,
      `${callFrame.functionName || '(anonymous)'} ${place(callFrame.url)}`,
    ]),
  );
  const times = new Map<string, number>();
  let busy = 0;
  let all = 0;
  for (const [i, sample] of profile.samples.entries()) {
    const name = names.get(sample) ?? '';
    const taken = profile.timeDeltas[i] ?? 0;
    all += taken;
    if (IDLE.has(name.trim())) continue;
    busy += taken;
    times.set(name, (times.get(name) ?? 0) + taken);
  }
  console.log(`\n${file}: busy ${Math.round(busy / 1000)} of ${Math.round(all / 1000)} ms`);
  for (const [name, taken] of [...times].toSorted(([, one], [, other]) => other - one).slice(0, TOP)) {
    console.log(`${((taken / busy) * 100).toFixed(1).padStart(6)} %  ${name}`);
  }
}

function place(url: string): string {
  const parts = url.split('/');
  return url.startsWith('node:') ? url : parts.slice(-2).join('/');
}
