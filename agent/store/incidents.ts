// Records incidents of the agent for the administrator, such as a log that restarted. Bounded in number, the oldest are
// removed first: a branch PC runs for years unattended.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text } from '../../shared/sqlite/row.ts';
import type { Range } from '../../shared/wire/messages.ts';
import type { NewestFirst } from './dead-letters.ts';

interface AgentIncident {
  readonly at: number;
  readonly kind: string;
  /** Facts as JSON object text; e.g. {"recovered":false,"direction":"down","from":4,"through":9}. */
  readonly detail: string;
}

/** A line each. */
const MAX_INCIDENTS = 1_000;

export class IncidentLog {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  /** Inside a transaction of the caller. One side went back in time (docs/RELIABILITY.md, promise 3). */
  recordRestart(direction: 'up' | 'down', incarnation: string, missing: Range, at: number): void {
    const { from, through } = missing;
    const detail = JSON.stringify({ recovered: false, direction, from, through, incarnation });
    const { lastInsertRowid } = this.#statements.add.run(at, 'log_restarted', detail);
    this.#statements.trim.run(Number(lastInsertRowid) - MAX_INCIDENTS);
  }

  /** Newest first. */
  list({ limit, before }: NewestFirst): (AgentIncident & { readonly key: number })[] {
    return this.#statements.list.all(before ?? Number.MAX_SAFE_INTEGER, limit).map((row) => ({
      key: integer(row, 'key'),
      at: integer(row, 'at'),
      kind: text(row, 'kind'),
      detail: text(row, 'detail'),
    }));
  }
}

function prepare(database: DatabaseSync) {
  return {
    add: database.prepare('INSERT INTO incident (at, kind, detail) VALUES (?, ?, ?)'),
    trim: database.prepare('DELETE FROM incident WHERE key <= ?'),
    list: database.prepare('SELECT * FROM incident WHERE key < ? ORDER BY key DESC LIMIT ?'),
  };
}
