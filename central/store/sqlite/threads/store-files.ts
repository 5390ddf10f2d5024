// Owns the event loop's end of the thread for work on whole store files: it is started for one piece of work and ended after it.
import { WorkerHost, workerUrl } from '../../../../shared/sqlite/worker/host.ts';
import type { FileWork } from './file-work.ts';

export async function withStoreFiles<T>(work: (files: WorkerHost<FileWork>) => Promise<T>): Promise<T> {
  // Its calls reject with what went wrong; a thread that dies has nobody else to tell.
  const files = new WorkerHost<FileWork>({
    url: workerUrl('./file-work', import.meta.url),
    workerData: null,
    onFailure: () => undefined,
  });
  try {
    await files.started();
    return await work(files);
  } finally {
    await files.stop();
  }
}
