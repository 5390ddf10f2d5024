// Identifies messages by (source, id), as CloudEvents does (section 3.1), fingerprints logs, and prunes old
// identities step by step.
import { hash } from 'node:crypto';
import type { SqlDatabase, SqlStatement } from '../sql.ts';

/** What identifies a message. */
interface Identity {
  readonly source: string;
  readonly id: string;
}

/**
 * 96 bits of SHA-256 as 16 characters, which SQLite stores in 16 bytes: two of ten million messages of one peer share
 * it with a probability of 10^-15. Text, because `hash` makes text in half the time that a Buffer takes, and this runs
 * per message.
 */
export function fingerprint(item: Identity): string {
  return linkOf('', item);
}

/**
 * The fingerprint of a whole log through one item, from that of the log before it ('' before the first): the `id` of a
 * position on the wire (docs/PROTOCOL.md, "Ordered logs"). Were it of that one item, a sender whose disk was restored
 * could come to the same message at the same number over other ones, and these would count as delivered. Both sides of
 * a log must make the same of it: what it is made of may not change. No two logs give the same text: a fingerprint has
 * no colon, and the length ends at the first one.
 */
export function linkOf(before: string, { source, id }: Identity): string {
  return hash('sha256', `${before}${source.length}:${source}${id}`, 'base64url').slice(0, 16);
}

/**
 * Forgets in small steps what was seen before a time. The tables of what was seen have no index by time, which would
 * cost as much per message as the table itself: this walks in the order of their key instead.
 */
export class SeenWalk {
  readonly #bound: SqlStatement;
  readonly #delete: SqlStatement;

  constructor(database: SqlDatabase, table: 'outbox_seen' | 'inbox_dedup', stepRows = 5_000) {
    this.#bound = database.prepare(
      `SELECT peer, hash FROM ${table} WHERE (peer, hash) > (?, ?) ORDER BY peer, hash LIMIT 1 OFFSET ${stepRows - 1}`,
    );
    this.#delete = database.prepare(
      `DELETE FROM ${table} WHERE (peer, hash) > (?, ?) AND (peer, hash) <= (?, ?) AND at < ?`,
    );
  }

  /** One step behind `after` (null: from the start). Gives where the next step begins, null at the end. */
  step(after: SeenPlace | null, olderThan: number): SeenPlace | null {
    const from = after ?? { peer: 0, hash: '' };
    const row = this.#bound.get(from.peer, from.hash);
    const to = row === undefined ? null : { peer: Number(row['peer']), hash: String(row['hash']) };
    this.#delete.run(from.peer, from.hash, to?.peer ?? Number.MAX_SAFE_INTEGER, to?.hash ?? '', olderThan);
    return to;
  }
}

export interface SeenPlace {
  readonly peer: number;
  readonly hash: string;
}
