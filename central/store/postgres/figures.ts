// The figures of the store for metrics, as PostgreSQL has them.
import { integer } from '../../../shared/sqlite/row.ts';
import type { SqlDatabase } from '../../../shared/sqlite/sql.ts';

export function figureReads(database: SqlDatabase) {
  const figures = database.prepare(`
    SELECT last.newest - first.before
        - coalesce((SELECT sum(through - before) FROM event_gap WHERE event_gap.before >= first.before AND through <= last.newest), 0) AS events,
      (SELECT coalesce(sum(entries), 0) FROM kept WHERE what IN ('up', 'down')) AS dead_letters,
      (SELECT value FROM counter WHERE name = 'dead_letters_dropped') AS dropped,
      pg_database_size(current_database()) AS bytes, (SELECT version FROM queuegate_schema) AS schema
    FROM (SELECT coalesce(max(newest), 0) AS newest FROM event_log) AS last,
      (SELECT coalesce((SELECT through - count FROM event_run ORDER BY through LIMIT 1), (SELECT newest FROM event_log), 0) AS before) AS first`);
  return {
    figures() {
      const row = figures.get();
      return {
        events: integer(row, 'events'),
        unconvertedEvents: 0,
        deadLetters: integer(row, 'dead_letters'),
        deadLettersDropped: integer(row, 'dropped'),
        bytes: integer(row, 'bytes'),
        schema: integer(row, 'schema'),
      };
    },
  };
}
