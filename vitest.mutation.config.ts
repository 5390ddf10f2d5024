import { defineConfig } from 'vitest/config';
import { shareCompiledCode } from './test/slow.ts';

shareCompiledCode();

// What mutation testing runs (npm run test:mutation): the nearest tests of the code that it changes, in the process
// that it changes.
export default defineConfig({
  test: {
    include: [
      'test/shared/delivery/*.test.ts',
      'test/shared/session/*.test.ts',
      'test/shared/wire/*.test.ts',
      'test/central/sessions/**/*.test.ts',
      'test/central/change/*.test.ts',
      'test/agent/connection/*.test.ts',
    ],
    // Measure CPU time, which the recording of coverage multiplies.
    exclude: ['**/bait.test.ts', '**/json-text-linear.test.ts'],
    testTimeout: 30_000,
  },
});
