import { defineConfig } from 'vitest/config';
import { leftOut, shareCompiledCode } from './test/slow.ts';

shareCompiledCode();

// What mutation testing runs (npm run test:mutation): tests that import the code that it changes. Processes and documents are left out:
// a change in memory does not reach a process, and documents are about texts.
export default defineConfig({
  test: {
    include: ['test/agent/**/*.test.ts', 'test/central/**/*.test.ts', 'test/shared/**/*.test.ts'],
    exclude: [
      '**/bait.test.ts',
      'test/central/pki/**',
      'test/central/enrollment/**',
      'test/central/cli/**',
      ...leftOut,
    ],
    testTimeout: 30_000,
  },
});
