// The thread of the calls that only read, each with a snapshot of its own; it sees each commit that has been answered.
import { parentPort, workerData } from 'node:worker_threads';
import { databaseFault } from '../../../../shared/sqlite/errors.ts';
import { textOf } from '../../../../shared/errors.ts';
import { refuse, serveReader } from '../../../../shared/sqlite/worker/side.ts';
import { createReads } from '../../sql/reads.ts';
import { pause } from '../connection/acts.ts';
import { AwayError, BlockingConnection } from '../connection/blocking-connection.ts';
import { groupReads } from '../groups/reads.ts';
import { figureReads } from '../figures.ts';
import { nodeReads } from '../nodes.ts';
import type { FromWorker } from '../../../../shared/sqlite/worker/protocol.ts';
import type { AwayReport, ThreadData } from './thread-data.ts';

export type PostgresReads = ReturnType<typeof methodsOf>;

if (parentPort === null) throw new Error('postgres-reader.ts is a thread of postgres-store.ts');
const port = parentPort;
// Passed by postgres-store.ts.
const { url, connectionThread, namesOfCentral } = workerData as ThreadData;
const RETRY_MS = 200;
/** A filter over many events takes longer than an act. */
const READ_MS = 60_000;

function methodsOf(connection: BlockingConnection) {
  return {
    ...createReads(connection, namesOfCentral),
    ...figureReads(connection),
    ...nodeReads(connection),
    ...groupReads(connection),
  };
}

/** Where PostgreSQL cannot be reached, a call waits until it can, and reads again: it changes nothing. */
function untilBack<M extends object>(
  connection: BlockingConnection,
  methods: M,
  say: (found: string | null) => void,
): M {
  const again =
    (call: (...args: unknown[]) => unknown) =>
    (...args: unknown[]) => {
      for (let isAway = false; ;) {
        try {
          if (isAway) connection.connect();
          if (isAway) say(null);
          return call(...args);
        } catch (error) {
          if (!(error instanceof AwayError)) throw error;
          say(error.message);
          if (isAway) pause(RETRY_MS);
          isAway = true;
        }
      }
    };
  return Object.fromEntries(
    Object.entries(methods).map(([name, call]) => [name, again(call as (...args: unknown[]) => unknown)]),
  ) as M;
}

try {
  const connection = new BlockingConnection({ url, thread: connectionThread }, READ_MS);
  connection.connect();
  const say = (found: string | null): void => {
    const report: AwayReport = { found };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    port.postMessage({ kind: 'report', report } satisfies FromWorker);
  };
  serveReader(port, {
    methods: untilBack(connection, methodsOf(connection), say),
    failure: (error) => databaseFault('store_failed', { found: textOf(error), hint: 'Start again.' }, error),
    close: () => connection.close(),
  });
} catch (error) {
  refuse(port, error);
}
