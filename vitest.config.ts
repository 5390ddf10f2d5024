import { defineConfig } from 'vitest/config';
import { FlakyTestReporter, RETRIES } from './test/flaky.ts';
import { leftOut, shareCompiledCode, useMemoryForFolders } from './test/slow.ts';

shareCompiledCode();
useMemoryForFolders();

// Flow tests start real processes: forks keep their signals apart. Time limits only end what hangs, also on a busy
// machine.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/garbage/**', 'test/long/**', ...leftOut],
    pool: 'forks',
    // A process for each core, not for each file: starting them and loading the sources again took half of the time.
    isolate: false,
    setupFiles: ['test/setup.ts'],
    // All cores: vitest would leave one free, and half of what runs here waits for other processes.
    maxWorkers: '100%',
    testTimeout: 120_000,
    hookTimeout: 120_000,
    retry: RETRIES,
    reporters: ['default', new FlakyTestReporter()],
  },
});
