// A whole Central inside the test's process: ports that are free, a silent log, an empty folder.
import { pino } from 'pino';
import { startCentral } from '../../central/central.ts';
import type { RunningCentral } from '../../central/composition/lifecycle.ts';
import { loadCentralConfig } from '../../central/config.ts';
import { expectDescribed } from '../described-answers.ts';

const PORTS = ['websocket-port', 'websocket-secure-port', 'https-port', 'http-port'];

/** The caller stops it. `flags` are those of queuegate-central; ports that they do not name are any free ones. */
export async function startInProcess(folder: string, ...flags: readonly string[]): Promise<RunningCentral> {
  const argv = ['--data-folder', folder, '--profiles-folder', folder, ...flags];
  return await startCentral(
    await loadCentralConfig({
      argv: [...argv, ...PORTS.flatMap((port) => (flags.includes(`--${port}`) ? [] : [`--${port}`, '0']))],
      environment: {},
      workingFolder: folder,
    }),
    { log: pino({ level: 'silent' }), lostLines: () => ({ lines: 0, at: 0, code: '' }) },
    null,
  );
}

/** A request to the REST API of that Central; as its administrator unless another token, or null for none, is named. */
export async function sendTo(
  central: RunningCentral,
  {
    method,
    path,
    body,
    token,
    headers = {},
  }: {
    method: string;
    path: string;
    body?: unknown;
    token?: string | null;
    headers?: Readonly<Record<string, string>>;
  },
): Promise<Response> {
  const bearer = token === undefined ? central.firstStart?.administratorToken : token;
  const response = await fetch(`http://127.0.0.1:${central.port('http')}${path}`, {
    method,
    headers: {
      ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  await expectDescribed(method, path, response);
  return response;
}
