// A whole Central inside the test's process: ports that are free, a silent log, an empty folder.
import { pino } from 'pino';
import { startCentral } from '../../central/central.ts';
import type { RunningCentral } from '../../central/composition/lifecycle.ts';
import { loadCentralConfig } from '../../central/config.ts';

const PORTS = ['websocket-port', 'websocket-secure-port', 'https-port', 'http-port'];

/** The caller stops it. `flags` are those of queuegate-central. */
export async function startInProcess(folder: string, ...flags: readonly string[]): Promise<RunningCentral> {
  const argv = ['--data-folder', folder, '--profiles-folder', folder, ...flags];
  return await startCentral(
    await loadCentralConfig({
      argv: [...argv, ...PORTS.flatMap((port) => [`--${port}`, '0'])],
      environment: {},
      workingFolder: folder,
    }),
    { log: pino({ level: 'silent' }), lostLines: () => ({ lines: 0, at: 0, code: '' }) },
    null,
  );
}
