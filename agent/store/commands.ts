// The table of commands that local programs have not acknowledged yet, with its totals. Synchronous: changes run
// inside a transaction of the caller.
import type { DatabaseSync } from 'node:sqlite';
import type { Message } from '../../shared/delivery/message.ts';
import { integer, integerOrNull, text } from '../../shared/sqlite/row.ts';

export interface TakenCommand {
  /** Only grows, over all incarnations of Central's log; acknowledge through it. */
  readonly cursor: number;
  readonly json: string;
}

export interface CommandTotal {
  readonly messages: number;
  readonly bytes: number;
}

interface ExpiredCommand {
  readonly number: number;
  readonly id: string;
  readonly json: string;
}

/** One answer to a local program holds no more; at least one command. */
const TAKE_MAX_BYTES = 4 * 1024 * 1024;

export class Commands {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  add(number: number, message: Message, at: number): void {
    const bytes = Buffer.byteLength(message.json);
    this.#statements.add.run(number, bytes, at, message.expiresAt, message.id, message.json);
    this.#statements.count.run(1, bytes);
  }

  /** The oldest behind `after`. */
  take(max: number, after: number): TakenCommand[] {
    const taken: TakenCommand[] = [];
    let bytes = 0;
    for (const row of this.#statements.take.iterate(after, max)) {
      bytes += integer(row, 'bytes');
      if (taken.length > 0 && bytes > TAKE_MAX_BYTES) break;
      taken.push({ cursor: integer(row, 'cursor'), json: text(row, 'json') });
    }
    return taken;
  }

  /** Deletes all through this cursor. */
  remove(through: number): void {
    const gone = this.#statements.totalThrough.get(through);
    this.#statements.remove.run(through);
    this.#statements.count.run(-integer(gone, 'messages'), -integer(gone, 'bytes'));
  }

  /** True when some command's time has passed. */
  anyExpired(now: number): boolean {
    return this.#statements.expired.get(now, 1) !== undefined;
  }

  /** Deletes at most `limit` commands whose time has passed. */
  expire(now: number, limit: number): ExpiredCommand[] {
    return this.#statements.expired.all(now, limit).map((row) => {
      this.#statements.removeOne.run(integer(row, 'cursor'));
      this.#statements.count.run(-1, -integer(row, 'bytes'));
      return { number: integer(row, 'number'), id: text(row, 'id'), json: text(row, 'json') };
    });
  }

  total(): CommandTotal {
    const row = this.#statements.total.get();
    return { messages: integer(row, 'messages'), bytes: integer(row, 'bytes') };
  }

  oldestAt(): number | null {
    const row = this.#statements.oldest.get();
    return row === undefined ? null : integerOrNull(row, 'received_at');
  }
}

function prepare(database: DatabaseSync) {
  return {
    add: database.prepare(
      'INSERT INTO command (number, bytes, received_at, expires_at, id, json) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    count: database.prepare('UPDATE command_total SET messages = messages + ?, bytes = bytes + ?'),
    take: database.prepare('SELECT cursor, bytes, json FROM command WHERE cursor > ? ORDER BY cursor LIMIT ?'),
    totalThrough: database.prepare(
      'SELECT count(*) AS messages, coalesce(sum(bytes), 0) AS bytes FROM command WHERE cursor <= ?',
    ),
    remove: database.prepare('DELETE FROM command WHERE cursor <= ?'),
    expired: database.prepare(
      'SELECT cursor, number, bytes, id, json FROM command WHERE expires_at <= ? ORDER BY expires_at LIMIT ?',
    ),
    removeOne: database.prepare('DELETE FROM command WHERE cursor = ?'),
    total: database.prepare('SELECT messages, bytes FROM command_total'),
    oldest: database.prepare('SELECT received_at FROM command ORDER BY cursor LIMIT 1'),
  };
}
