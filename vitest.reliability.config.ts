import { defineConfig } from 'vitest/config';
import { shareCompiledCode } from './test/slow.ts';

shareCompiledCode();

// All reliability tests, for work on them (npm run test:reliability). They load the machine and stop processes in the
// middle of it: one file at a time, so that each has the machine.
export default defineConfig({
  test: {
    include: ['test/reliability/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
