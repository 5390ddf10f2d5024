// Loaded into a server before its own program: SIGUSR2 begins to measure the delay of its event loop, the next one
// writes the 99th percentile in milliseconds to the file that LOOP_DELAY_FILE names.
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const RESOLUTION_MS = 10;
const file = process.env['LOOP_DELAY_FILE'];
if (isMainThread && file !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  process.on('SIGUSR2', () => {
    if (histogram.enable()) return;
    histogram.disable();
    // The histogram holds whole intervals of its timer, in nanoseconds.
    writeFileSync(file, String(Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS)));
  });
}
