// Keeps what the agent records for its administrator: incidents, such as a log that restarted, and dead letters,
// messages that were given up. Both are bounded in number, the oldest are removed first: a branch PC runs for years
// unattended.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, type Row } from '../../shared/sqlite/row.ts';
import { TextPage } from '../../shared/text-page.ts';
import type { Range } from '../../shared/wire/messages.ts';

/** A page of a list with the newest first: rows behind `before`, the key of a row; null: from the newest. */
export interface NewestFirst {
  readonly limit: number;
  readonly before: number | null;
}

/** Of each kind: 1,000 messages of 256 KiB at most, and far less as a rule. */
const MAX_ROWS = 1_000;

/** A table whose key grows by one with each row. */
class RecentRows<T> {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #read: (row: Row) => T;
  readonly #textOf: (entry: T) => string;

  constructor(
    database: DatabaseSync,
    {
      table,
      columns,
      read,
      textOf,
    }: {
      readonly table: string;
      readonly columns: readonly string[];
      readonly read: (row: Row) => T;
      /** What may be long in it. */
      readonly textOf: (entry: T) => string;
    },
  ) {
    this.#statements = prepare(database, table, columns);
    this.#read = read;
    this.#textOf = textOf;
  }

  /** Inside a transaction of the caller; the values in the order of the columns. */
  add(...values: readonly (string | number)[]): void {
    const { lastInsertRowid } = this.#statements.add.run(...values);
    this.#statements.trim.run(Number(lastInsertRowid) - MAX_ROWS);
  }

  list({ limit, before }: NewestFirst): (T & { readonly key: number })[] {
    const page = new TextPage<T & { readonly key: number }>(limit, this.#textOf);
    for (const row of this.#statements.list.iterate(before ?? Number.MAX_SAFE_INTEGER, limit)) {
      page.add({ key: integer(row, 'key'), ...this.#read(row) });
      if (page.isFull) break;
    }
    return page.entries;
  }
}

function prepare(database: DatabaseSync, table: string, columns: readonly string[]) {
  const values = columns.map(() => '?').join(', ');
  return {
    add: database.prepare(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${values})`),
    trim: database.prepare(`DELETE FROM ${table} WHERE key <= ?`),
    list: database.prepare(`SELECT * FROM ${table} WHERE key < ? ORDER BY key DESC LIMIT ?`),
  };
}

interface AgentIncident {
  readonly at: number;
  readonly kind: string;
  /** Facts as JSON object text; e.g. {"recovered":false,"direction":"down","from":4,"through":9}. */
  readonly detail: string;
}

export class IncidentLog {
  readonly #rows: RecentRows<AgentIncident>;

  constructor(database: DatabaseSync) {
    this.#rows = new RecentRows(database, {
      table: 'incident',
      columns: ['at', 'kind', 'detail'],
      read: (row) => ({ at: integer(row, 'at'), kind: text(row, 'kind'), detail: text(row, 'detail') }),
      textOf: ({ detail }) => detail,
    });
  }

  /** Inside a transaction of the caller. One side went back in time (docs/RELIABILITY.md, promise 3). */
  recordRestart(direction: 'up' | 'down', incarnation: string, missing: Range, at: number): void {
    const { from, through } = missing;
    this.#rows.add(at, 'log_restarted', JSON.stringify({ recovered: false, direction, from, through, incarnation }));
  }

  list(page: NewestFirst): (AgentIncident & { readonly key: number })[] {
    return this.#rows.list(page);
  }
}

interface AgentDeadLetter {
  readonly at: number;
  readonly direction: 'up' | 'down';
  readonly number: number;
  readonly id: string;
  readonly reason: string;
  readonly json: string;
}

export class DeadLetterLog {
  readonly #rows: RecentRows<AgentDeadLetter>;

  constructor(database: DatabaseSync) {
    this.#rows = new RecentRows(database, {
      table: 'dead_letter',
      columns: ['at', 'direction', 'number', 'id', 'reason', 'json'],
      read: (row) => ({
        at: integer(row, 'at'),
        direction: text(row, 'direction') === 'up' ? 'up' : 'down',
        number: integer(row, 'number'),
        id: text(row, 'id'),
        reason: text(row, 'reason'),
        json: text(row, 'json'),
      }),
      textOf: ({ json }) => json,
    });
  }

  /** Inside a transaction of the caller. */
  record({ at, direction, number, id, reason, json }: AgentDeadLetter): void {
    this.#rows.add(at, direction, number, id, reason, json);
  }

  list(page: NewestFirst): (AgentDeadLetter & { readonly key: number })[] {
    return this.#rows.list(page);
  }
}
