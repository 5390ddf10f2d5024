import { defineConfig } from 'vitest/config';
import { FlakyTestReporter, RETRIES } from './test/flaky.ts';
import { shareCompiledCode, SLOW_FILES } from './test/slow.ts';

shareCompiledCode();

const slow = Object.keys(SLOW_FILES);
const isReliability = (file: string): boolean => file.startsWith('test/reliability/');
const common = { pool: 'forks', hookTimeout: 120_000, retry: RETRIES } as const;

// What takes minutes: CI runs it behind the other tests (npm run test:long). Slow flow tests share the cores; what
// loads the machine or stops processes in the middle of it runs one file at a time, so that each has the machine.
export default defineConfig({
  test: {
    reporters: ['default', new FlakyTestReporter()],
    projects: [
      {
        test: {
          ...common,
          name: 'slow',
          include: slow.filter((file) => !isReliability(file)),
          maxWorkers: '100%',
          testTimeout: 120_000,
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
          maxWorkers: 1,
          testTimeout: 240_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
