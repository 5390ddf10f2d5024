// Keeps the dead letters and incidents of the agent for the administrator: messages that were given up, and logs that
// restarted. Bounded in number, the oldest are removed first: a branch PC runs for years unattended.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, type Row } from '../../shared/sqlite/row.ts';
import type { Range } from '../../shared/wire/messages.ts';

export interface AgentDeadLetter {
  readonly at: number;
  readonly direction: 'up' | 'down';
  readonly number: number;
  readonly id: string;
  readonly reason: string;
  readonly json: string;
}

export interface AgentIncident {
  readonly at: number;
  readonly kind: string;
  /** Facts as JSON object text; e.g. {"recovered":false,"direction":"down","from":4,"through":9}. */
  readonly detail: string;
}

/** At most 1,000 messages of 256 KiB, and far less as a rule; incidents are a line each. */
const MAX_DEAD_LETTERS = 1_000;
const MAX_INCIDENTS = 1_000;

export class StoreNotes {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  /** Inside a transaction of the caller. */
  recordDeadLetter({ at, direction, number, id, reason, json }: AgentDeadLetter): void {
    const { lastInsertRowid } = this.#statements.addLetter.run(at, direction, number, id, reason, json);
    this.#statements.trimLetters.run(Number(lastInsertRowid) - MAX_DEAD_LETTERS);
  }

  /** Inside a transaction of the caller. One side went back in time (docs/RELIABILITY.md, promise 3). */
  recordRestart(direction: 'up' | 'down', incarnation: string, missing: Range, at: number): void {
    const detail = JSON.stringify({
      recovered: false,
      direction,
      from: missing.from,
      through: missing.through,
      incarnation,
    });
    const { lastInsertRowid } = this.#statements.addIncident.run(at, 'log_restarted', detail);
    this.#statements.trimIncidents.run(Number(lastInsertRowid) - MAX_INCIDENTS);
  }

  /** Newest first. */
  deadLetters(limit: number): AgentDeadLetter[] {
    return this.#statements.letters.all(limit).map(deadLetter);
  }

  /** Newest first. */
  incidents(limit: number): AgentIncident[] {
    return this.#statements.incidents
      .all(limit)
      .map((row) => ({ at: integer(row, 'at'), kind: text(row, 'kind'), detail: text(row, 'detail') }));
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
    addLetter: database.prepare(
      'INSERT INTO dead_letter (at, direction, number, id, reason, json) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    trimLetters: database.prepare('DELETE FROM dead_letter WHERE key <= ?'),
    letters: database.prepare('SELECT * FROM dead_letter ORDER BY key DESC LIMIT ?'),
    addIncident: database.prepare('INSERT INTO incident (at, kind, detail) VALUES (?, ?, ?)'),
    trimIncidents: database.prepare('DELETE FROM incident WHERE key <= ?'),
    incidents: database.prepare('SELECT * FROM incident ORDER BY key DESC LIMIT ?'),
  };
}
