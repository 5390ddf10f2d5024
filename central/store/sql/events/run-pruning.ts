// Deletes runs past their retention with their keys, the oldest first, in steps small enough to share a commit with
// messages.
import type { SqlDatabase, SqlStatement } from '../../../../shared/sqlite/sql.ts';
import { blob, integer, integerOrNull } from '../../../../shared/sqlite/row.ts';
import { UNDELIVERED_AFTER } from '../subscriptions/schema.ts';
import { unpackKeys } from './run-keys.ts';

/** A step ends behind so many runs and so many bytes: the pages of a long body are read before they are freed. */
const STEP_RUNS = 200;
const STEP_BYTES = 2 * 1024 * 1024;

export class RunPruning {
  readonly #oldest: SqlStatement;
  readonly #remove: SqlStatement;
  readonly #removeKey: SqlStatement;
  readonly #undelivered: SqlStatement;

  constructor(database: SqlDatabase) {
    // The newest run stays whatever its age: the next cursor is one more than its. Events of older schemas are older.
    this.#oldest = database.prepare(`
      SELECT through, received_at, keys, octet_length(body) AS bytes FROM event_run
      WHERE through < (SELECT max(through) FROM event_run) AND NOT EXISTS (SELECT 1 FROM event) ORDER BY through LIMIT ${STEP_RUNS}`);
    this.#remove = database.prepare('DELETE FROM event_run WHERE through = ?');
    this.#removeKey = database.prepare('DELETE FROM event_run_key WHERE what = ? AND through = ?');
    this.#undelivered = database.prepare(UNDELIVERED_AFTER);
  }

  /** True when there may be more to delete. `undeliveredOlderThan`: of what is not delivered to each subscription. */
  step(olderThan: number, undeliveredOlderThan: number): boolean {
    const undelivered = integerOrNull(this.#undelivered.get(), 'undelivered') ?? Number.MAX_SAFE_INTEGER;
    let bytes = 0;
    let removed = 0;
    for (const row of this.#oldest.all()) {
      const through = integer(row, 'through');
      const oldest = through <= undelivered ? olderThan : undeliveredOlderThan;
      if (integer(row, 'received_at') >= oldest || bytes > STEP_BYTES) break;
      this.#remove.run(through);
      for (const key of unpackKeys(blob(row, 'keys'))) this.#removeKey.run(key, through);
      bytes += integer(row, 'bytes');
      removed += 1;
    }
    return removed > 0;
  }
}
