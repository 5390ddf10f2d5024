// Opens and stops Central's embedded store: holds the data folder, starts the writing thread and the reading one, and
// ends them in order. What is called in which thread is calls.ts's.
import type { CodedError } from '../../../shared/errors.ts';
import { holdDataFolder } from '../../../shared/sqlite/data-folder.ts';
import { WorkerHost, workerUrl } from '../../../shared/sqlite/worker/host.ts';
import { rememberCommitted } from '../memory/committed.ts';
import type { Store } from '../store.ts';
import { storeCalls } from '../sql/calls.ts';
import type { Reads } from '../sql/reads.ts';
import type { Writes } from '../sql/writes.ts';
import { inFileThread } from './store-files.ts';
import { databasePath, type ThreadData } from './threads/thread-data.ts';

export interface SqliteStoreOptions {
  /** The data folder; created if absent, and held until `stop`. */
  readonly folder: string;
  /** How long (source, id) is remembered. */
  readonly deduplicationMs: number;
  /** Central's own name and host names, which no agent may take; default none. */
  readonly namesOfCentral?: readonly string[];
  /** Called once, when nothing can be written any more: the process has to end. */
  readonly onFailure: (error: CodedError) => void;
}

type Writer = WorkerHost<Writes>;
type Reader = WorkerHost<Reads>;

/** Errors: data_in_use, data_newer, data_damaged, data_foreign, data_unusable. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const held = holdDataFolder(options.folder);
  let failed = false;
  const onFailure = (error: CodedError): void => {
    if (failed) return;
    failed = true;
    for (const thread of threads) thread.fail(error);
    options.onFailure(error);
  };
  const workerData: ThreadData = {
    folder: options.folder,
    deduplicationMs: options.deduplicationMs,
    namesOfCentral: options.namesOfCentral ?? [],
  };
  const threads: (Writer | Reader)[] = [];
  try {
    const writer: Writer = new WorkerHost({
      url: workerUrl('./threads/writer', import.meta.url),
      workerData,
      onFailure,
    });
    threads.push(writer);
    // The reader finds the database made and migrated.
    await writer.started();
    const reader: Reader = new WorkerHost({
      url: workerUrl('./threads/reader', import.meta.url),
      workerData,
      onFailure,
    });
    threads.unshift(reader);
    await reader.started();
    // The reader first: the last connection to close folds the write-ahead log into the database, which takes a writer.
    const stop = once(async () => {
      await reader.stop();
      await writer.stop();
      held.release();
    });
    return {
      ...(await rememberCommitted(storeCalls(writer, reader))),
      snapshot: (file) => snapshot(writer, options.folder, file),
      stop,
    };
  } catch (error) {
    for (const thread of threads) await thread.stop();
    held.release();
    throw error;
  }
}

async function snapshot(writer: Writer, folder: string, file: string): Promise<void> {
  await writer.call('holdLog', [true]);
  try {
    await inFileThread((files) => files.call('copyStore', [databasePath(folder), file]));
  } finally {
    await writer.call('holdLog', [false]);
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let promise: Promise<void> | undefined;
  return () => (promise ??= work());
}
