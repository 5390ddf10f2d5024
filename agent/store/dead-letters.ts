// Keeps the dead letters of the agent for the administrator: messages that were given up. Bounded in number, the oldest are
// removed first.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, type Row } from '../../shared/sqlite/row.ts';

export interface AgentDeadLetter {
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
  list(limit: number): AgentDeadLetter[] {
    return this.#statements.list.all(limit).map(deadLetter);
  }
}

function deadLetter(row: Row): AgentDeadLetter {
  return {
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
    list: database.prepare('SELECT * FROM dead_letter ORDER BY key DESC LIMIT ?'),
  };
}
