// Keeps which acknowledged commands have expired here, until Central has recorded that. Bounded: beyond so many, the
// oldest are merged, so that their number is never lost. Synchronous: changes run inside a transaction of the caller.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, type Row } from '../../shared/sqlite/row.ts';
import { EXPIRED_COMMANDS, MAX_EXPIRED_BYTES, type ExpiredCommands } from '../../shared/wire/messages.ts';

export type ExpiredItem = ExpiredCommands['items'][number];
export type ExpiredBatch = Omit<ExpiredCommands, 'type'>;

const MAX_ENTRIES = 10_000;
const MAX_ITEMS = EXPIRED_COMMANDS.properties.items.maxItems;
/** Room for the frame around the items. */
const MAX_ITEM_BYTES = MAX_EXPIRED_BYTES - 256;

export class ExpiredLog {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #maxEntries: number;

  constructor(database: DatabaseSync, maxEntries = MAX_ENTRIES) {
    this.#statements = prepare(database);
    this.#maxEntries = maxEntries;
  }

  add({ number, throughNumber, count, id, source, consumer }: ExpiredItem): void {
    const { add, oldest, merge, remove } = this.#statements;
    const newest = Number(add.run(number, throughNumber, count, id, source, consumer).lastInsertRowid);
    const [first, second] = oldest.all();
    if (first === undefined || second === undefined) return;
    // Entries leave at the old end only: keys are contiguous.
    if (newest - integer(first, 'key') < this.#maxEntries) return;
    const { number: from, count: merged, id: firstId, source: firstSource, consumer: firstConsumer } = item(first);
    merge.run(from, merged, firstId, firstSource, firstConsumer, integer(second, 'key'));
    remove.run(integer(first, 'key'));
  }

  /** The oldest, as many as fit into a frame; undefined: there are none. */
  batch(): ExpiredBatch | undefined {
    const items: ExpiredItem[] = [];
    let [through, bytes] = [0, 0];
    for (const row of this.#statements.list.iterate(MAX_ITEMS)) {
      const next = item(row);
      bytes += Buffer.byteLength(JSON.stringify(next)) + 1;
      if (items.length > 0 && bytes > MAX_ITEM_BYTES) break;
      items.push(next);
      through = integer(row, 'key');
    }
    return items.length === 0 ? undefined : { through, items };
  }

  /** Central has those through this count on its disk. */
  recorded(through: number): void {
    this.#statements.remove.run(through);
  }
}

function item(row: Row): ExpiredItem {
  return {
    number: integer(row, 'number'),
    throughNumber: integer(row, 'through'),
    count: integer(row, 'count'),
    id: text(row, 'id'),
    source: text(row, 'source'),
    consumer: text(row, 'consumer'),
  };
}

function prepare(database: DatabaseSync) {
  return {
    add: database.prepare(
      'INSERT INTO expired_command (number, through, count, id, source, consumer) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    oldest: database.prepare('SELECT * FROM expired_command ORDER BY key LIMIT 2'),
    merge: database.prepare(
      'UPDATE expired_command SET number = ?, count = count + ?, id = ?, source = ?, consumer = ? WHERE key = ?',
    ),
    list: database.prepare('SELECT * FROM expired_command ORDER BY key LIMIT ?'),
    remove: database.prepare('DELETE FROM expired_command WHERE key <= ?'),
  };
}
