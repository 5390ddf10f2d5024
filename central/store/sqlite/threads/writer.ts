// The writing thread: the one connection that changes anything, and the grouping of its commits.
import { statfsSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { boundLog, openDatabase } from '../../../../shared/sqlite/database.ts';
import { storeFailure } from '../../../../shared/sqlite/errors.ts';
import { transactionExecutor } from '../../../../shared/sqlite/transaction.ts';
import { refuse, serveWriter } from '../../../../shared/sqlite/worker/side.ts';
import { APPLICATION_ID, MIGRATIONS } from '../migrations.ts';
import {
  CHECKPOINT_PAGES,
  databasePath,
  LOG_CHECK_COMMITS,
  LOG_MAX_BYTES,
  WRITER_CACHE_KIB,
  type ThreadData,
} from './thread-data.ts';
import { DiskSpace } from '../space.ts';
import { createWrites } from '../../sql/writes.ts';

if (parentPort === null) throw new Error('writer.ts is a thread of sqlite-store.ts');
// Passed by sqlite-store.ts.
const { folder, deduplicationMs, namesOfCentral } = workerData as ThreadData;
const path = databasePath(folder);
try {
  const database = openDatabase({
    path,
    applicationId: APPLICATION_ID,
    migrations: MIGRATIONS,
    cacheKiB: WRITER_CACHE_KIB,
    checkpointPages: CHECKPOINT_PAGES,
  });
  // What is deleted or overwritten is zeroed in the pages that are written anyway: a key from before it was sealed does
  // not live on.
  database.exec('PRAGMA secure_delete = FAST');
  const inTransaction = transactionExecutor(database);
  let commits = 0;
  let held = 0;
  const space = new DiskSpace({
    database,
    folder,
    path,
    statfs: (of) => statfsSync(of),
    logHeld: () => held > 0,
    clock: () => performance.now(),
  });
  serveWriter(parentPort, {
    methods: createWrites(database, {
      deduplicationMs,
      namesOfCentral,
      space,
      now: Date.now,
      holdLog: (hold) => void (held += hold ? 1 : -1),
    }),
    execute(batch) {
      space.measure();
      const outcomes = inTransaction(batch);
      commits += 1;
      if (held === 0 && commits % LOG_CHECK_COMMITS === 0) boundLog(database, path, LOG_MAX_BYTES);
      return outcomes;
    },
    failure: (error) => storeFailure(error, folder),
    close: () => database.close(),
  });
} catch (error) {
  refuse(parentPort, error);
}
