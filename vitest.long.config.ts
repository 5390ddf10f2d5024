import { execFileSync } from 'node:child_process';
import { relative, resolve } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { FlakyTestReporter, RETRIES } from './test/flaky.ts';
import { shareCompiledCode, SLOW_FILES } from './test/slow.ts';

shareCompiledCode();
process.env['CENTRAL_PROGRAM'] ??= execFileSync(
  process.execPath,
  [resolve(import.meta.dirname, 'test/bundled-central.ts')],
  { encoding: 'utf8' },
).trim();

const slow = Object.keys(SLOW_FILES);
const isReliability = (file: string): boolean => file.startsWith('test/reliability/');
const common = { pool: 'forks', hookTimeout: 120_000, retry: RETRIES } as const;

// What takes minutes, and mostly waits: for processes that start again, deadlines of trials, other programs.
const WAITING = [
  'test/long/installed.test.ts',
  'test/long/kill.test.ts',
  'test/long/renewal.test.ts',
  'test/long/rollout.test.ts',
  'test/long/rotation.test.ts',
  'test/long/software/**/*.test.ts',
];

/** One more than CI has cores: half of what these files do is waiting. */
const WORKERS = 3;

/** Takes longer than any other file that waits. */
const LONGEST = 'test/long/kill.test.ts';

/** A file that takes long and begins last keeps one core alone at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- A method of the sequencer.
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => secondsOf(other) - secondsOf(one));
  }
}

/** As test/slow.ts has it; the others take longer. */
function secondsOf({ moduleId }: TestSpecification): number {
  const file = relative(import.meta.dirname, moduleId).replaceAll('\\', '/');
  return file === LONGEST ? Number.POSITIVE_INFINITY : Number.parseInt(SLOW_FILES[file]?.why ?? '1000', 10);
}

// What takes minutes: CI runs it behind the other tests (npm run test:long). Files that wait share the cores; what
// loads the machine, measures it, or stops processes in the middle of it runs one file at a time, so that each has the
// machine.
export default defineConfig({
  test: {
    reporters: ['default', new FlakyTestReporter()],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...common,
          name: 'slow',
          include: slow.filter((file) => !isReliability(file)),
          maxWorkers: WORKERS,
          testTimeout: 240_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'waiting',
          include: WAITING,
          maxWorkers: WORKERS,
          testTimeout: 240_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'reliability',
          include: slow.filter((file) => isReliability(file)),
          maxWorkers: 1,
          testTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...common,
          name: 'long',
          include: ['test/garbage/**/*.test.ts', 'test/long/**/*.test.ts'],
          exclude: WAITING,
          maxWorkers: 1,
          testTimeout: 240_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
