// What a receiver remembers of the messages of its peers, to know a repeated (source, id): the interface, and the table
// in which each message is looked up. Synchronous: runs inside a transaction of its caller.
import type { SqlDatabase } from '../sql.ts';
import type { Item } from '../../delivery/message.ts';
import { integerOrNull } from '../row.ts';
import { fingerprint } from './fingerprint.ts';

export interface Taken {
  /** By index of the items: false for a message whose (source, id) was seen before. */
  readonly fresh: readonly boolean[];
  /**
   * Indexes of messages with the (source, id) of an earlier one and other data: the sender has acknowledged both to its
   * producers.
   */
  readonly reused: ReadonlySet<number>;
}

export interface Deduplication {
  /** Remembers the messages among `items`. */
  take(peer: number, items: readonly Item[], now: number): Taken;
}

/**
 * Looks up each message, and remembers it, in a table ordered by peer and fingerprint: a random page for each message.
 */
export class DeduplicationTable implements Deduplication {
  readonly #deduplicationMs: number;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: SqlDatabase, deduplicationMs: number) {
    this.#deduplicationMs = deduplicationMs;
    this.#statements = prepare(database);
  }

  take(peer: number, items: readonly Item[], now: number): Taken {
    const { see, seen } = this.#statements;
    const cutoff = now - this.#deduplicationMs;
    const reused = new Set<number>();
    const fresh = items.map((item, index) => {
      if (item.kind !== 'message') return true;
      const hash = fingerprint(item.message);
      const { dataHash } = item.message;
      if (see.run(peer, hash, now, dataHash, cutoff).changes === 1) return true;
      if ((integerOrNull(seen.get(peer, hash), 'data') ?? dataHash) !== dataHash) reused.add(index);
      return false;
    });
    return { fresh, reused };
  }

  /**
   * Enters a message that was seen at that time, elsewhere. Without a hash of its data, each other one counts as a
   * repeat.
   */
  enter(peer: number, hash: string, at: number, dataHash: number | null): void {
    this.#statements.enter.run(peer, hash, at, dataHash);
  }
}

function prepare(database: SqlDatabase) {
  return {
    // One statement both asks and notes; no row is changed when the message was seen within the time.
    see: database.prepare(
      'INSERT INTO inbox_dedup (peer, hash, at, data) VALUES (?, ?, ?, ?) ON CONFLICT (peer, hash) DO UPDATE SET at = excluded.at, data = excluded.data WHERE inbox_dedup.at <= ?',
    ),
    seen: database.prepare('SELECT data FROM inbox_dedup WHERE peer = ? AND hash = ?'),
    enter: database.prepare(
      'INSERT INTO inbox_dedup (peer, hash, at, data) VALUES (?, ?, ?, ?) ON CONFLICT (peer, hash) DO UPDATE SET at = excluded.at, data = excluded.data WHERE inbox_dedup.at < excluded.at',
    ),
  };
}
