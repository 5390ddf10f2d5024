// Runs a batch of calls in one transaction, each call with its own outcome.
import type { DatabaseSync } from 'node:sqlite';
import { isFatal } from './errors.ts';
import type { Outcome, Work } from './group-commit.ts';

/**
 * Makes the executor of a group commit: runs a batch in one transaction. A call that throws is undone alone (its savepoint)
 * and the others go on; what is wrong with the store itself, and a COMMIT that fails, is thrown: then nothing is on disk
 * that was not before. Outcomes may be told only after it returned.
 */
export function transactionExecutor(database: DatabaseSync): (batch: readonly Work[]) => Outcome[] {
  return function execute(batch) {
    database.exec('BEGIN IMMEDIATE');
    try {
      const outcomes = batch.map((work) => runInSavepoint(database, work));
      database.exec('COMMIT');
      return outcomes;
    } catch (error) {
      rollBack(database);
      throw error;
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
