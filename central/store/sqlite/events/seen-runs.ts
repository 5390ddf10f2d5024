// What Central remembers of the messages of its agents. The outbox of an agent that says so refuses repeated messages
// within an incarnation of its log: of these, what was seen is written in the order of arrival, and looked up never.
// Everything else is looked up message by message (DeduplicationTable): logs without that word, and for the retention
// each log that restarted. Before that begins, what was written in order of arrival is entered into the table, in steps.
import type { DatabaseSync } from 'node:sqlite';
import type { Item } from '../../../../shared/delivery/message.ts';
import { DeduplicationTable, type Deduplication, type Taken } from '../../../../shared/sqlite/logs/deduplication.ts';
import { blob, integer, integerOrNull, textOrNull } from '../../../../shared/sqlite/row.ts';
import { storeFault } from '../../errors.ts';
import { bufferOf } from './run-keys.ts';

/** For how long an agent with the capability refuses repeated messages (docs/PROTOCOL.md, "Deduplication"). */
const SENDER_DEDUPLICATION_MS = 7 * 86_400_000;
/** Messages that one step enters into the table: some milliseconds. A row has no more. */
const STEP_MESSAGES = 1_000;
/** A fingerprint: 16 characters of base64url (shared/sqlite/logs/fingerprint.ts). */
const HASH_BYTES = 12;
/** Message.dataHash. */
const DATA_BYTES = 6;
export const SEEN_ENTRY_BYTES = HASH_BYTES + DATA_BYTES;

interface BegunLog {
  readonly incarnation: string;
  /** The agent has the capability `deduplication`. */
  readonly deduplicates: boolean;
}

export class SeenRuns implements Deduplication {
  readonly #table: DeduplicationTable;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: DatabaseSync, deduplicationMs: number) {
    this.#table = new DeduplicationTable(database, deduplicationMs);
    this.#statements = prepare(database);
  }

  /** To be called before the inbox notes the `begin`: compares it with the log so far. */
  begin(peer: number, { incarnation, deduplicates }: BegunLog, now: number): void {
    const { state, change } = this.#statements;
    const row = state.get(peer);
    const before = textOrNull(row, 'incarnation');
    const word = Number(deduplicates);
    if (before !== null && before !== incarnation) change.run(word, now, peer);
    else if (integer(row, 'deduplicates') !== word) {
      // In the middle of a log: what came before the word may be repeated.
      change.run(word, before === null ? null : now, peer);
    } else return;
    if (this.looksUp(peer)) this.index(peer);
  }

  /** Errors: deduplication_indexing (nothing is taken). */
  take(peer: number, items: readonly Item[], hashes: readonly string[], now: number): Taken {
    if (this.looksUp(peer)) {
      if (this.#statements.oldest.get(peer) !== undefined) throw storeFault('deduplication_indexing', {});
      return this.#table.take(peer, items, hashes, now);
    }
    for (let from = 0; from < items.length; from += STEP_MESSAGES) {
      const hashed = packHashes(items.slice(from, from + STEP_MESSAGES), hashes.slice(from, from + STEP_MESSAGES));
      if (hashed.length > 0) this.#statements.add.run(peer, now, hashed);
    }
    return { fresh: items.map(() => true), reused: new Set() };
  }

  /** Enters the oldest of what was written in order of arrival into the table. True when there is more. */
  index(peer: number): boolean {
    const { oldest, remove } = this.#statements;
    let entered = 0;
    for (;;) {
      const row = oldest.get(peer);
      if (row === undefined) return false;
      const hashes = bufferOf(blob(row, 'hashes'));
      const count = Math.floor(hashes.length / SEEN_ENTRY_BYTES);
      if (entered > 0 && entered + count > STEP_MESSAGES) return true;
      entered += count;
      const [key, at] = [integer(row, 'key'), integer(row, 'at')];
      for (let index = 0; index < count; index += 1) {
        const hash = hashes.toString('base64url', index * HASH_BYTES, (index + 1) * HASH_BYTES);
        const data = hashes.readUIntBE(count * HASH_BYTES + index * DATA_BYTES, DATA_BYTES);
        this.#table.enter(peer, hash, at, data);
      }
      remove.run(key);
    }
  }

  /**
   * Ends the looking up of logs whose restart is past the retention: all that was seen before it is forgotten by now. A
   * retention that is longer than what senders refuse has every message looked up.
   */
  age(now: number, olderThan: number): void {
    const { settle, lookUpAll } = this.#statements;
    settle.run(olderThan);
    if (now - olderThan > SENDER_DEDUPLICATION_MS) lookUpAll.run(now);
  }

  /** Each of its messages is looked up. */
  looksUp(peer: number): boolean {
    const row = this.#statements.state.get(peer);
    return integer(row, 'deduplicates') === 0 || integerOrNull(row, 'looked_up_since') !== null;
  }
}

function prepare(database: DatabaseSync) {
  return {
    state: database.prepare('SELECT incarnation, deduplicates, looked_up_since FROM inbox_log WHERE peer = ?'),
    change: database.prepare('UPDATE inbox_log SET deduplicates = ?, looked_up_since = ? WHERE peer = ?'),
    add: database.prepare('INSERT INTO seen_run (peer, at, hashes) VALUES (?, ?, ?)'),
    oldest: database.prepare('SELECT key, at, hashes FROM seen_run WHERE peer = ? ORDER BY key LIMIT 1'),
    remove: database.prepare('DELETE FROM seen_run WHERE key = ?'),
    settle: database.prepare('UPDATE inbox_log SET looked_up_since = NULL WHERE looked_up_since < ?'),
    lookUpAll: database.prepare('UPDATE inbox_log SET looked_up_since = ? WHERE looked_up_since IS NULL'),
  };
}

/** The fingerprints of the messages among the items, and behind them what their data was. */
function packHashes(items: readonly Item[], hashes: readonly string[]): Uint8Array {
  let joined = '';
  const data: number[] = [];
  for (const [index, item] of items.entries()) {
    if (item.kind !== 'message') continue;
    joined += hashes[index] ?? '';
    data.push(item.message.dataHash);
  }
  const packed = Buffer.allocUnsafe(data.length * SEEN_ENTRY_BYTES);
  // Twelve bytes are sixteen characters, without a rest between two of them.
  packed.write(joined, 0, 'base64url');
  for (const [index, one] of data.entries())
    packed.writeUIntBE(one, data.length * HASH_BYTES + index * DATA_BYTES, DATA_BYTES);
  return packed;
}
