// Runs a batch of calls in one transaction, each call with its own outcome.
import type { DatabaseSync } from 'node:sqlite';
import { isFatal } from './errors.ts';
import type { Durability, Outcome, Work } from './group-commit.ts';

/**
 * Makes the executor of a group commit: runs a batch in one transaction. A call that throws is undone alone (its
 * savepoint) and the others go on; what is wrong with the store itself, and a COMMIT that fails, is thrown: then
 * nothing is on disk that was not before. Outcomes may be reported only after it returned. An unsynced commit is in the
 * write-ahead log, which the system keeps when the process is killed; the next synced one brings both to the disk.
 */
export function transactionExecutor(
  database: DatabaseSync,
): (batch: readonly Work[], durability?: Durability) => Outcome[] {
  function execute(batch: readonly Work[]): Outcome[] {
    database.exec('BEGIN IMMEDIATE');
    try {
      const outcomes = batch.map((work) => runInSavepoint(database, work));
      database.exec('COMMIT');
      return outcomes;
    } catch (error) {
      rollBack(database);
      throw error;
    }
  }
  return function executeAs(batch, durability = 'synced') {
    if (durability === 'synced') return execute(batch);
    database.exec('PRAGMA synchronous = NORMAL');
    try {
      return execute(batch);
    } finally {
      database.exec('PRAGMA synchronous = FULL');
    }
  };
}

function runInSavepoint(database: DatabaseSync, work: Work): Outcome {
  database.exec('SAVEPOINT call');
  try {
    const value = work();
    database.exec('RELEASE call');
    return { ok: true, value };
  } catch (error) {
    if (isFatal(error)) throw error;
    database.exec('ROLLBACK TO call; RELEASE call');
    return { ok: false, error };
  }
}

function rollBack(database: DatabaseSync): void {
  try {
    if (database.isTransaction) database.exec('ROLLBACK');
  } catch {
    // The first error is the one to tell. What was not committed does not count, rolled back or not: the process ends.
  }
}
