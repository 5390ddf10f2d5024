// Loaded into a server before its own program when memory is measured: collects garbage when the bench asks for it, in
// all its threads (a signal reaches only the main one).
import { isMainThread } from 'node:worker_threads';

const threads = new BroadcastChannel('collect garbage');
// oxlint-disable-next-line unicorn/prefer-add-event-listener -- with a listener it would hold the process
threads.onmessage = () => globalThis.gc?.();
threads.unref();
if (isMainThread) {
  process.on('SIGUSR2', () => {
    globalThis.gc?.();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads, not windows
    threads.postMessage('now');
  });
}
