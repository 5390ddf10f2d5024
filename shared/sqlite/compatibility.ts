// Which older versions may open a database: after an upgrade of the software that fails, the previous version starts
// again, with the database that the newer one has migrated. So a database has two numbers: `user_version`, its schema,
// and `readable_by`, the lowest schema whose version can read and write it. Steps that only add (tables, indexes,
// columns that may be absent) leave `readable_by` as it is, and an older version ignores what it does not know. A step
// that raises it belongs to a later release than the one that stopped using what it removes: then no version that an
// upgrade may return to needs it (expand, then contract).
import type { DatabaseSync } from 'node:sqlite';

/** The step from which on a database says which versions may open it: its number of steps, itself included. */
export function compatibilitySchema(schema: number): string {
  return `
  CREATE TABLE compatibility (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    readable_by INTEGER NOT NULL
  ) STRICT;
  INSERT INTO compatibility VALUES (1, ${schema});
`;
}

/** The lowest schema whose version may open the database; of one that does not say so, infinity: only its own may. */
export function readableBy(database: DatabaseSync): number {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'compatibility'").get();
  if (table === undefined) return Number.POSITIVE_INFINITY;
  return Number(
    database.prepare('SELECT readable_by FROM compatibility').get()?.['readable_by'] ?? Number.POSITIVE_INFINITY,
  );
}
