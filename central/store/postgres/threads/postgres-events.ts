// The thread of events: decodes them, and appends those of many agents in one statement (appends.ts).
import { parentPort, workerData } from 'node:worker_threads';
import { databaseFault } from '../../../../shared/sqlite/errors.ts';
import { textOf } from '../../../../shared/errors.ts';
import { refuse, serveReader } from '../../../../shared/sqlite/worker/side.ts';
import { Appends } from '../appends.ts';
import { connect, type Connected, type SeenServer } from '../connection/client.ts';
import type { FromWorker } from '../../../../shared/sqlite/worker/protocol.ts';
import type { AwayReport, ThreadData } from './thread-data.ts';

export type EventWrites = { readonly append: Appends['append'] };

if (parentPort === null) throw new Error('postgres-events.ts is a thread of postgres-store.ts');
const port = parentPort;
// Passed by postgres-store.ts.
const { url } = workerData as ThreadData;
/** Longer than that of the acts: a commit may wait for a standby. What is cut off is sent again. */
const STATEMENT_MS = 15_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 500;

let connected: Connected | undefined;
let seen: SeenServer = { timeline: 0, system: '' };

function say(found: string | null): void {
  const report: AwayReport = { found };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  port.postMessage({ kind: 'report', report } satisfies FromWorker);
}

/** The same statement again, until PostgreSQL has answered it: it compares and sets. */
async function query(sql: string, values: readonly unknown[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
  for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(2 * waitMs, LAST_RETRY_MS)) {
    try {
      if (connected === undefined) {
        connected = await connect(url, seen);
        seen = connected.server;
        if (waitMs > FIRST_RETRY_MS) say(null);
      }
      const reply = await connected.query(sql, values, STATEMENT_MS);
      if (reply.kind === 'rows') return reply.rows;
      if (reply.kind === 'refused')
        throw databaseFault('store_defect', { found: `${reply.found} (${reply.sqlState})` });
      say(reply.found);
      await connected.close();
      connected = undefined;
    } catch (error) {
      if (connected !== undefined) throw error;
      say(textOf(error));
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

try {
  const appends = new Appends({ query });
  await query('SELECT 1', []);
  serveReader(port, {
    methods: { append: appends.append.bind(appends) } satisfies EventWrites,
    failure: (error) => databaseFault('store_failed', { found: textOf(error), hint: 'Start again.' }, error),
    close: () => void connected?.close(),
  });
} catch (error) {
  refuse(port, error);
}
