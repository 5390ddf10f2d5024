// Reads the tables of an embedded store whose Central is stopped, row by row, to move them into another engine.
import { DatabaseSync } from 'node:sqlite';
import { integer, text } from '../../../shared/sqlite/row.ts';
import type { StoredTable, StoredTables } from '../move/stored-tables.ts';

/** Of this engine alone: which versions may open the file. */
const OWN_TABLES: ReadonlySet<string> = new Set(['compatibility']);

/** `close` it. The folder is held by the caller. */
export function openStoredTables(path: string): StoredTables & { close(): void } {
  const database = new DatabaseSync(path, { readOnly: true });
  const names = database
    .prepare(
      String.raw`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`,
    )
    .all()
    .map((row) => text(row, 'name'))
    .filter((name) => !OWN_TABLES.has(name));
  const tables = names.map((name): StoredTable => {
    const columns = database.prepare('SELECT name FROM pragma_table_info(?)').all(name);
    const rows = integer(database.prepare(`SELECT count(*) AS rows FROM "${name}"`).get(), 'rows');
    return { name, columns: columns.map((column) => text(column, 'name')), rows };
  });
  const last = database.prepare('SELECT seq FROM sqlite_sequence WHERE name = ?');
  return {
    // An older schema's events are all converted: Central has no table for them there.
    tables: tables.filter(({ name, rows }) => name !== 'event' || rows > 0),
    *rows(table) {
      const { columns = [] } = tables.find(({ name }) => name === table) ?? {};
      const list = columns.map((column) => `"${column}"`).join(', ');
      for (const row of database.prepare(`SELECT ${list} FROM "${table}"`).iterate()) yield Object.values(row);
    },
    last(table, column) {
      if (!names.includes(table)) return undefined;
      return database.prepare(`SELECT * FROM "${table}" ORDER BY "${column}" DESC LIMIT 1`).get();
    },
    lastNumber: (table) => Number(last.get(table)?.['seq'] ?? 0),
    close: () => database.close(),
  };
}
