// A database thread of the tests: its calls do what their name says.
import { parentPort, workerData } from 'node:worker_threads';
import { databaseFault, storeFailure } from '../../../../shared/sqlite/errors.ts';
import { handOver, refuse, serveReader, serveWriter } from '../../../../shared/sqlite/worker/side.ts';

export type EchoCalls = typeof calls;

const calls = {
  echo: (value: string): string => value,
  same: (memory: ArrayBuffer, length: number) => handOver(new Uint8Array(memory, 0, length)),
  refuse: (): never => {
    throw databaseFault('outbox_full', { messages: 1, bytes: 2, added: 3, addedBytes: 4, maxMessages: 5, maxBytes: 6 });
  },
  violate: (): never => {
    throw databaseFault('log_violation', { found: 'a gap' });
  },
  stumble: (): never => {
    throw new TypeError('a defect');
  },
  breakDisk: (): never => {
    throw Object.assign(new Error('disk I/O error'), { errcode: 10 });
  },
  die: (): void => process.exit(3),
};

if (parentPort === null) throw new Error('echo-thread.ts is a thread');
const failure = (error: unknown) => storeFailure(error, '/data');
if (workerData === 'refuse') refuse(parentPort, databaseFault('data_newer', { path: '/data/x', found: 9, known: 1 }));
else if (workerData === 'reader') serveReader(parentPort, { methods: calls, failure, close: () => undefined });
else {
  serveWriter(parentPort, {
    methods: calls,
    execute: (batch) =>
      batch.map((work) => {
        try {
          return { ok: true, value: work() };
        } catch (error) {
          if (error instanceof Error && 'errcode' in error) throw error;
          return { ok: false, error };
        }
      }),
    failure,
    close: () => undefined,
  });
}
