import { defineConfig } from 'vitest/config';

// What takes minutes: CI runs it behind the other tests (npm run test:long). One file at a time, so that each has the machine.
export default defineConfig({
  test: {
    include: ['test/garbage/**/*.test.ts', 'test/long/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 60_000,
  },
});
