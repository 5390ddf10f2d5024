// Loaded before Central (NODE_OPTIONS=--import): ends it with SIGKILL right before a commit of its store. The file
// TEST_KILL_FILE says before which one, counted from the moment that the file is there: so a test reaches every state
// that a kill can leave on the disk.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isMainThread } from 'node:worker_threads';

const file = process.env['TEST_KILL_FILE'] ?? '';
const exec = Reflect.get(DatabaseSync.prototype, 'exec');

// Central's store is written in a thread; an agent that Central starts inherits the environment, and writes in its main
// thread.
if (!isMainThread)
  DatabaseSync.prototype.exec = function execOrDie(sql: string): void {
    if (sql === 'COMMIT') countCommit();
    Reflect.apply(exec, this, [sql]);
  };

function countCommit(): void {
  let left: number;
  try {
    left = Number(readFileSync(file, 'utf8'));
  } catch {
    return;
  }
  if (left > 1) return writeFileSync(file, String(left - 1));
  rmSync(file);
  process.kill(process.pid, 'SIGKILL');
  // The signal ends all threads; this one does nothing until then.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
