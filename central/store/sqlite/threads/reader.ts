// The reading thread: long reads have it to themselves, so that none of them holds up a commit.
import { parentPort, workerData } from 'node:worker_threads';
import { openReader } from '../../../../shared/sqlite/database.ts';
import { storeFailure } from '../../../../shared/sqlite/errors.ts';
import { refuse, serveReader } from '../../../../shared/sqlite/worker/side.ts';
import { createReads } from '../../sql/reads.ts';
import { databasePath, READER_CACHE_KIB, type ThreadData } from './thread-data.ts';

if (parentPort === null) throw new Error('reader.ts is a thread of sqlite-store.ts');
// Passed by sqlite-store.ts.
const { folder, namesOfCentral } = workerData as ThreadData;
try {
  const database = openReader(databasePath(folder), READER_CACHE_KIB);
  serveReader(parentPort, {
    methods: createReads(database, namesOfCentral),
    failure: (error) => storeFailure(error, folder),
    close: () => database.close(),
  });
} catch (error) {
  refuse(parentPort, error);
}
