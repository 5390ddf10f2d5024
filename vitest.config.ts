import { defineConfig } from 'vitest/config';

// Flow tests start real processes: forks keep their signals apart, and the bounds are those of a busy two-core machine.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/long/**', 'test/reliability/**'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
