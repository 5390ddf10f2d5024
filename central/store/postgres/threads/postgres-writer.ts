// The thread of the calls that change something, but for events: the same methods as those of SQLite's writing thread.
import { parentPort, workerData } from 'node:worker_threads';
import { databaseFault } from '../../../../shared/sqlite/errors.ts';
import { integer } from '../../../../shared/sqlite/row.ts';
import { refuse, serveWriter } from '../../../../shared/sqlite/worker/side.ts';
import { isCoded, textOf } from '../../../../shared/errors.ts';
import { createWrites } from '../../sql/writes.ts';
import { auditWrites } from '../../sql/rows/audit.ts';
import type { StoreBounds } from '../../space/bounds.ts';
import { Acts } from '../connection/acts.ts';
import { BlockingConnection } from '../connection/blocking-connection.ts';
import { reportWrites } from '../groups/reports.ts';
import { bootWrites } from '../boots.ts';
import { loginWrites } from '../logins.ts';
import { nodeWrites } from '../nodes.ts';
import { ChangeNotes } from '../notes.ts';
import type { FromWorker } from '../../../../shared/sqlite/worker/protocol.ts';
import type { AwayReport, ThreadData } from './thread-data.ts';

export type PostgresWrites = ReturnType<typeof createWrites> &
  ReturnType<typeof bootWrites> &
  ReturnType<typeof loginWrites> &
  ReturnType<typeof reportWrites> &
  ReturnType<typeof nodeWrites>;

if (parentPort === null) throw new Error('postgres-writer.ts is a thread of postgres-store.ts');
const port = parentPort;
// Passed by postgres-store.ts.
const { url, connectionThread, node, deduplicationMs, namesOfCentral } = workerData as ThreadData;

/** Some 50 ms, in which no other node changes anything. */
const MAX_BATCH_CALLS = 50;

/** The disks are those of PostgreSQL's hosts: their space is watched there. */
const ELSEWHERE = {
  take: () => undefined,
  setReserve: () => undefined,
  report: () => ({ state: 'unwatched' as const, freeBytes: null, availableBytes: null, reserveBytes: 0 }),
};

try {
  const connection = new BlockingConnection({ url, thread: connectionThread });
  connection.connect();
  const cursors = connection.prepare('SELECT take_cursors(?) + 1 AS first');
  const notes = new ChangeNotes(node.name);
  // From then on to the commit no node can append; and a login behind it could wait for an append that waits for this.
  let hasTakenCursors = false;
  const writes = createWrites(connection, {
    deduplicationMs,
    namesOfCentral,
    space: ELSEWHERE,
    now: Date.now,
    holdLog: () => undefined,
    runsAgain: true,
    takeCursors(count) {
      hasTakenCursors = true;
      return integer(cursors.get(count), 'first');
    },
  });
  const say = (found: string | null): void => {
    const report: AwayReport = { found };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    port.postMessage({ kind: 'report', report } satisfies FromWorker);
  };
  const nodes = nodeWrites(connection, node, auditWrites(connection));
  let hasFailed = false;
  const acts = new Acts({
    connection,
    node,
    notes,
    endsTransaction() {
      const ends = hasTakenCursors;
      hasTakenCursors = false;
      return ends;
    },
    onAway: say,
    onBack: () => say(null),
  });
  const methods: PostgresWrites = {
    ...notes.of(writes),
    logInMany: notes.ofLogins(loginWrites(connection)),
    ...reportWrites(connection, notes.noteAgent),
    ...nodes,
    ...bootWrites(connection),
    // The reserve is one of a disk of this host.
    bound: (bounds: StoreBounds) => writes.bound({ ...bounds, reserveBytes: 0 }),
  };
  serveWriter(port, {
    methods,
    execute: (batch) => acts.execute(batch),
    maxBatchCalls: MAX_BATCH_CALLS,
    failure(error) {
      hasFailed = true;
      return isCoded(error, 'node_fenced')
        ? error
        : databaseFault(
            'store_failed',
            { found: textOf(error), hint: 'Start again; if it comes back, report it with the log of this time.' },
            error,
          );
    },
    // Behind the last call: what comes after it would count as one of a process that was given up.
    close() {
      try {
        if (!hasFailed) acts.execute([() => nodes.leave()]);
      } finally {
        connection.close();
      }
    },
  });
} catch (error) {
  refuse(port, error);
}
