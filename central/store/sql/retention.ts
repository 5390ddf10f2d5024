// Deletes rows past their retention, in steps small enough to share a commit with messages; keeps the time that
// Central recorded; and reads the figures for metrics.
import type { SqlDatabase } from '../../../shared/sqlite/sql.ts';
import { SeenWalk, type SeenPlace } from '../../../shared/sqlite/logs/fingerprint.ts';
import { integer, integerOrNull } from '../../../shared/sqlite/row.ts';
import type { AuditEntry } from '../audit-store.ts';
import { RunPruning } from './events/run-pruning.ts';
import { NEWEST_CURSOR, OLDEST_CURSOR } from './events/run-writes.ts';
import type { SeenEvents } from './events/seen-events.ts';

/** Rows that one step looks at: a few milliseconds. */
const STEP_ROWS = 2_000;

export type Aging = 'event' | 'dead_letter' | 'incident';

export function retentionWrites(database: SqlDatabase, seenEvents: SeenEvents) {
  const runs = new RunPruning(database);
  const aging = {
    event: agingDelete(database, 'event', 'cursor', 'received_at', NEWEST_CURSOR),
    dead_letter: agingDelete(database, 'dead_letter', 'key', 'at'),
    incident: agingDelete(database, 'incident', 'key', 'at'),
  };
  const seen = { outbox: new SeenWalk(database, 'outbox_seen'), inbox: new SeenWalk(database, 'inbox_dedup') };
  const originStep = database.prepare(
    `SELECT key FROM origin WHERE key > ? ORDER BY key LIMIT 1 OFFSET ${STEP_ROWS - 1}`,
  );
  // Of a log that ended before the oldest event none is left.
  const origins = database.prepare('DELETE FROM origin WHERE key > ? AND key <= ? AND ended < ?');
  const oldest = database.prepare(OLDEST_CURSOR);
  return {
    /** True when there may be more to delete. */
    pruneOldest: (table: Aging, olderThan: number): boolean =>
      Number(aging[table].run(olderThan, STEP_ROWS).changes) > 0,
    pruneRuns: (olderThan: number, undeliveredOlderThan: number = olderThan): boolean =>
      runs.step(olderThan, undeliveredOlderThan),
    ageDeduplication: (now: number, olderThan: number): void => seenEvents.age(now, olderThan),
    pruneSeen: (log: 'outbox' | 'inbox', after: SeenPlace | null, olderThan: number): SeenPlace | null =>
      seen[log].step(after, olderThan),
    /** One step behind the key `after`. Gives where the next step begins, null at the end. */
    pruneOrigins(after: number): number | null {
      const row = originStep.get(after);
      const to = row === undefined ? null : integer(row, 'key');
      origins.run(after, to ?? Number.MAX_SAFE_INTEGER, integerOrNull(oldest.get(), 'oldest') ?? 0);
      return to;
    },
  };
}

/**
 * Rows are in the order of their time. The newest stays whatever its age: the next key is one more than the greatest.
 */
function agingDelete(
  database: SqlDatabase,
  table: Aging,
  key: string,
  at: string,
  newest = `SELECT max(${key}) FROM ${table}`,
) {
  return database.prepare(`
    DELETE FROM ${table} WHERE ${at} < ? AND ${key} < (${newest})
      AND ${key} IN (SELECT ${key} FROM ${table} ORDER BY ${key} LIMIT ?)`);
}

/** The time that was recorded last is a row of the table counter. */
export function clockWrites(database: SqlDatabase, audit: { appendAudit(entry: AuditEntry): void }) {
  const write = database.prepare(
    "INSERT INTO counter (name, value) VALUES ('clock', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  );
  return {
    recordClock(at: number): void {
      write.run(at);
    },
    acceptClock(at: number, entry: AuditEntry): void {
      audit.appendAudit(entry);
      write.run(at);
    },
  };
}

export function clockReads(database: SqlDatabase) {
  const read = database.prepare("SELECT value FROM counter WHERE name = 'clock'");
  return {
    recordedClock(): number | null {
      const row = read.get();
      return row === undefined ? null : integer(row, 'value');
    },
  };
}

export function figureReads(database: SqlDatabase) {
  // Cursors have no gaps but those of replaced stores, and are pruned from the oldest on: the number of rows follows
  // from both ends. Dead letters of one agent give way out of that order: they are counted per agent, in one small row
  // each.
  const figures = database.prepare(`
    SELECT coalesce(newest - oldest + 1, 0)
        - coalesce((SELECT sum(through - before) FROM event_gap WHERE before >= oldest AND through < newest), 0) AS events,
      (SELECT coalesce(sum(entries), 0) FROM kept WHERE what IN ('up', 'down')) AS dead_letters,
      (SELECT value FROM counter WHERE name = 'dead_letters_dropped') AS dropped,
      (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) AS bytes,
      (SELECT user_version FROM pragma_user_version) AS schema,
      (SELECT coalesce(max(cursor) - min(cursor) + 1, 0) FROM event) AS unconverted
    FROM (${NEWEST_CURSOR}) AS last, (${OLDEST_CURSOR}) AS first`);
  return {
    figures() {
      const row = figures.get();
      return {
        events: integer(row, 'events'),
        unconvertedEvents: integer(row, 'unconverted'),
        deadLetters: integer(row, 'dead_letters'),
        deadLettersDropped: integer(row, 'dropped'),
        bytes: integer(row, 'bytes'),
        schema: integer(row, 'schema'),
      };
    },
  };
}
