// Keeps the dead letters of the agent for the administrator: messages that were given up. Bounded in number, the oldest are
// removed first.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, type Row } from '../../shared/sqlite/row.ts';

/** A page of a list with the newest first: rows behind `before`, the key of a row; null: from the newest. */
export interface NewestFirst {
  readonly limit: number;
  readonly before: number | null;
}

interface AgentDeadLetter {
  readonly at: number;
  readonly direction: 'up' | 'down';
  readonly number: number;
  readonly id: string;
  readonly reason: string;
  readonly json: string;
}

/** At most 1,000 messages of 256 KiB, and far less as a rule. */
const MAX_DEAD_LETTERS = 1_000;

export class DeadLetterLog {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  /** Inside a transaction of the caller. */
  record({ at, direction, number, id, reason, json }: AgentDeadLetter): void {
    const { lastInsertRowid } = this.#statements.add.run(at, direction, number, id, reason, json);
    this.#statements.trim.run(Number(lastInsertRowid) - MAX_DEAD_LETTERS);
  }

  /** Newest first. */
  list({ limit, before }: NewestFirst): (AgentDeadLetter & { readonly key: number })[] {
    return this.#statements.list.all(before ?? Number.MAX_SAFE_INTEGER, limit).map(deadLetter);
  }
}

function deadLetter(row: Row): AgentDeadLetter & { readonly key: number } {
  return {
    key: integer(row, 'key'),
    at: integer(row, 'at'),
    direction: text(row, 'direction') === 'up' ? 'up' : 'down',
    number: integer(row, 'number'),
    id: text(row, 'id'),
    reason: text(row, 'reason'),
    json: text(row, 'json'),
  };
}

function prepare(database: DatabaseSync) {
  return {
    add: database.prepare(
      'INSERT INTO dead_letter (at, direction, number, id, reason, json) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    trim: database.prepare('DELETE FROM dead_letter WHERE key <= ?'),
    list: database.prepare('SELECT * FROM dead_letter WHERE key < ? ORDER BY key DESC LIMIT ?'),
  };
}
