// Handles the signals of a daemon in one way: SIGTERM and SIGINT stop it, SIGHUP makes it read its configuration again,
// and SIGUSR1 and SIGUSR2 do nothing (Node would open its debugger for any process of the same account on SIGUSR1, and
// end on SIGUSR2).
import { Mutex } from './mutex.ts';

/**
 * Resolves with the first signal that stops the daemon. `onReload` is called for each SIGHUP
 * (log rotation, a closed terminal), never two at once, and must not throw. Windows has neither SIGTERM nor SIGHUP: a
 * service manager ends the process there, and what was acknowledged is on disk.
 */
export function stopSignal(onReload: () => Promise<void>): Promise<'signal'> {
  for (const name of ['SIGUSR1', 'SIGUSR2'] as const) process.on(name, () => undefined);
  const reloads = new Mutex();
  process.on('SIGHUP', () => void reloads.runExclusive(onReload));
  return new Promise((resolve) => {
    // Once: a second signal has its usual effect and ends a stop that hangs.
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve('signal'));
  });
}
