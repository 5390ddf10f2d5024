// Tracks how far a receiver is in its peers' logs, and has repeated messages found (deduplication.ts). Synchronous:
// runs inside a transaction of its caller (shared/sqlite/transaction.ts), which decides where messages and dead letters
// go.
import type { SqlDatabase } from '../sql.ts';
import type { Item } from '../../delivery/message.ts';
import { decideBegin, positionOf, type ReceiverRecord } from '../../delivery/ordered-log.ts';
import type { Position, Range } from '../../wire/messages.ts';
import { databaseFault } from '../errors.ts';
import { DeduplicationTable, type Deduplication, type Taken } from './deduplication.ts';
import { linkOf } from './fingerprint.ts';
import { integer, textOrNull } from '../row.ts';

/**
 * Of each message that was seen, what its data was (Message.dataHash): another one under the same (source, id) is not a
 * repeat. NULL in rows from before this was kept: then every message counts as a repeat.
 */
export const INBOX_DATA_HASH = 'ALTER TABLE inbox_dedup ADD COLUMN data INTEGER;';

/**
 * `inbox_log.id` is that of the position: the fingerprint of the log through the last item. `inbox_dedup` is ordered by
 * peer: the messages of one frame fall into the few pages of their peer.
 */
export const INBOX_SCHEMA = `
  CREATE TABLE inbox_log (
    peer INTEGER PRIMARY KEY,
    incarnation TEXT,
    number INTEGER NOT NULL,
    id TEXT,
    last_at INTEGER
  ) STRICT;
  CREATE TABLE inbox_dedup (
    peer INTEGER NOT NULL,
    hash TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (peer, hash)
  ) STRICT, WITHOUT ROWID;
`;

export interface Begin {
  readonly incarnation: string;
  readonly next: number;
  readonly missing: Range | null;
}

interface Accepted extends Taken {
  readonly incarnation: string;
  /** The last number on disk after the commit. */
  readonly through: number;
}

export class InboxLog {
  readonly #deduplication: Deduplication;
  readonly #statements: ReturnType<typeof prepare>;

  /** By default each message is looked up in the table `inbox_dedup`. */
  constructor(
    database: SqlDatabase,
    deduplicationMs: number,
    deduplication: Deduplication = new DeduplicationTable(database, deduplicationMs),
  ) {
    this.#deduplication = deduplication;
    this.#statements = prepare(database);
  }

  create(peer: number): void {
    this.#statements.create.run(peer);
  }

  /** What was seen ages out (SeenWalk): a peer's number is never given again. */
  remove(peer: number): void {
    this.#statements.remove.run(peer);
  }

  /** What this side tells of itself in hello or welcome. */
  position(peer: number): Position | null {
    return positionOf(this.#record(peer));
  }

  /**
   * Notes the sender's `begin`. True when a log restarted with messages missing (recovered: false). Errors:
   * log_violation.
   */
  begin(peer: number, begin: Begin): boolean {
    const decision = decideBegin(this.#record(peer), begin);
    if (decision.kind === 'violation') throw databaseFault('log_violation', { found: decision.found });
    if (decision.kind === 'continue') return false;
    this.#statements.reset.run(begin.incarnation, peer);
    return !decision.recovered;
  }

  /** Takes items numbered from `first` on. Errors: log_violation (nothing is taken). */
  accept(peer: number, first: number, items: readonly Item[], now: number): Accepted {
    const { incarnation, number, id } = this.#record(peer);
    if (incarnation === null) throw databaseFault('log_violation', { found: 'messages before begin' });
    if (first !== number + 1)
      throw databaseFault('log_violation', { found: `messages from ${first}, where ${number + 1} is next` });
    let link = id ?? '';
    for (const item of items) link = linkOf(link, item.kind === 'message' ? item.message : item);
    const { fresh, reused } = this.#deduplication.take(peer, items, now);
    const through = number + items.length;
    if (items.length > 0) this.#statements.advance.run(through, link, now, peer);
    return { incarnation, through, fresh, reused };
  }

  #record(peer: number): ReceiverRecord {
    const row = this.#statements.record.get(peer);
    return { incarnation: textOrNull(row, 'incarnation'), number: integer(row, 'number'), id: textOrNull(row, 'id') };
  }
}

function prepare(database: SqlDatabase) {
  return {
    create: database.prepare('INSERT INTO inbox_log (peer, number) VALUES (?, 0)'),
    remove: database.prepare('DELETE FROM inbox_log WHERE peer = ?'),
    record: database.prepare('SELECT incarnation, number, id FROM inbox_log WHERE peer = ?'),
    reset: database.prepare('UPDATE inbox_log SET incarnation = ?, number = 0, id = NULL WHERE peer = ?'),
    advance: database.prepare('UPDATE inbox_log SET number = ?, id = ?, last_at = ? WHERE peer = ?'),
  };
}
