// The table of commands that local programs have not acknowledged yet, by consumer, with the totals of each.
// Synchronous: changes run inside a transaction of the caller.
import type { DatabaseSync } from 'node:sqlite';
import type { Message } from '../../shared/delivery/message.ts';
import { integer, text, type Row } from '../../shared/sqlite/row.ts';
import { agentFault } from '../errors.ts';
import { DEFAULT_CONSUMER } from './routing.ts';

export interface TakenCommand {
  /** Only grows, over all incarnations of Central's log; acknowledge through it. */
  readonly cursor: number;
  readonly json: string;
}

export interface CommandTotal {
  readonly messages: number;
  readonly bytes: number;
}

export interface ConsumerTotal extends CommandTotal {
  readonly name: string;
  /** The last cursor that was stored for it; 0: none. */
  readonly last: number;
  /** The last cursor that was handed out to it; 0: none. */
  readonly delivered: number;
  /** The last cursor that it has acknowledged; 0: none. */
  readonly acknowledged: number;
}

interface ExpiredCommand {
  /** 0: of an incarnation that is over. */
  readonly number: number;
  readonly id: string;
  readonly json: string;
  readonly consumer: string;
}

/** A command that is about to be stored. */
export interface NewCommand {
  /** In Central's log. */
  readonly number: number;
  readonly message: Message;
  readonly consumer: string;
}

/** One answer to a local program holds no more; at least one command. */
const TAKE_MAX_BYTES = 4 * 1024 * 1024;

export class Commands {
  readonly #statements: ReturnType<typeof prepare>;
  /** The rows of consumers. They change in `setConsumers` only. */
  readonly #keys = new Map<string, number>();

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
    this.#readKeys();
  }

  /**
   * From now on these consumers exist, and `default`. The commands of a consumer that is gone go to `default`, which
   * then gets all that it has not acknowledged in the order of Central's log, with new cursors. Returns the names of
   * those that are gone.
   */
  setConsumers(names: readonly string[]): string[] {
    const wanted = new Set([DEFAULT_CONSUMER, ...names]);
    const gone = [...this.#keys.keys()].filter((name) => !wanted.has(name));
    for (const name of wanted) this.#statements.addConsumer.run(name);
    let moved = false;
    for (const name of gone) {
      moved = integer(this.#statements.totalOf.get(name), 'messages') > 0 || moved;
      this.#statements.inherit.run(DEFAULT_CONSUMER, this.#key(name));
      this.#statements.removeConsumer.run(name);
    }
    this.#readKeys();
    if (moved) this.#renumber(this.#key(DEFAULT_CONSUMER));
    return gone;
  }

  /** Stores a batch; counts once for each consumer in it. */
  add(batch: readonly NewCommand[], at: number): void {
    const totals = new Map<number, { messages: number; bytes: number; last: number }>();
    for (const { number, message, consumer } of batch) {
      const key = this.#key(consumer);
      const bytes = Buffer.byteLength(message.json);
      const { lastInsertRowid } = this.#statements.add.run(
        number,
        bytes,
        at,
        message.expiresAt,
        message.id,
        message.json,
        key,
      );
      const total = totals.get(key) ?? { messages: 0, bytes: 0, last: 0 };
      total.messages += 1;
      total.bytes += bytes;
      total.last = Number(lastInsertRowid);
      totals.set(key, total);
    }
    for (const [key, { messages, bytes, last }] of totals) this.#statements.count.run(messages, bytes, last, key);
  }

  /** The oldest of a consumer behind `after` and before `before`. */
  take(consumer: string, max: number, after: number, before: number): TakenCommand[] {
    const taken: TakenCommand[] = [];
    let bytes = 0;
    for (const row of this.#statements.take.iterate(this.#key(consumer), after, before, max)) {
      bytes += integer(row, 'bytes');
      if (taken.length > 0 && bytes > TAKE_MAX_BYTES) break;
      taken.push({ cursor: integer(row, 'cursor'), json: text(row, 'json') });
    }
    return taken;
  }

  /** Commands through this cursor are handed out to the consumer. */
  setDelivered(consumer: string, through: number): void {
    this.#statements.deliver.run(through, this.#key(consumer));
  }

  /**
   * Deletes all of a consumer through this cursor. Errors: ack_beyond_delivered, cursor_unknown (it is that of a
   * command of another consumer).
   */
  acknowledge(consumer: string, through: number): void {
    const key = this.#key(consumer);
    const { delivered } = totalRow(this.#statements.totalOf.get(consumer));
    if (through > delivered) throw agentFault('ack_beyond_delivered', { through, consumer, delivered });
    const owner = this.#statements.ownerOf.get(through);
    if (owner !== undefined && integer(owner, 'consumer') !== key)
      throw agentFault('cursor_unknown', { found: through, consumer });
    const gone = this.#statements.totalThrough.get(key, through);
    this.#statements.remove.run(key, through);
    this.#statements.acknowledge.run(integer(gone, 'messages'), integer(gone, 'bytes'), through, key);
  }

  /** True when some command's time has passed. */
  anyExpired(now: number): boolean {
    return this.#statements.expired.get(now, 1) !== undefined;
  }

  /** Deletes at most `limit` commands whose time has passed. */
  expire(now: number, limit: number): ExpiredCommand[] {
    return this.#statements.expired.all(now, limit).map((row) => {
      this.#statements.removeOne.run(integer(row, 'cursor'));
      this.#statements.count.run(-1, -integer(row, 'bytes'), 0, integer(row, 'consumer'));
      return {
        number: integer(row, 'number'),
        id: text(row, 'id'),
        json: text(row, 'json'),
        consumer: text(row, 'name'),
      };
    });
  }

  /** The cursor of the consumer's first command whose time ends by `at`; undefined: there is none. */
  firstEndingBy(consumer: string, at: number): number | undefined {
    const row = this.#statements.firstEnding.get(this.#key(consumer), at);
    return row === undefined ? undefined : integer(row, 'cursor');
  }

  /** The numbers of all that is stored belong to a log that Central has given up. */
  forgetNumbers(): void {
    this.#statements.forgetNumbers.run();
  }

  totals(): ConsumerTotal[] {
    return this.#statements.totals.all().map(totalRow);
  }

  oldestAt(): number | null {
    const row = this.#statements.oldest.get();
    return row === undefined ? null : integer(row, 'received_at');
  }

  oldestAtOf(consumer: string): number | null {
    const row = this.#statements.oldestOf.get(this.#key(consumer));
    return row === undefined ? null : integer(row, 'received_at');
  }

  /** The number of the consumer's oldest command in the present log of Central; null: none waits. */
  firstNumberOf(consumer: string): number | null {
    const row = this.#statements.firstNumber.get(this.#key(consumer));
    return row === undefined ? null : integer(row, 'number');
  }

  /** Errors: local_consumer_unknown. */
  #key(consumer: string): number {
    const key = this.#keys.get(consumer);
    if (key === undefined) throw agentFault('local_consumer_unknown', { found: consumer.slice(0, 64) });
    return key;
  }

  #readKeys(): void {
    this.#keys.clear();
    for (const row of this.#statements.keys.iterate()) this.#keys.set(text(row, 'name'), integer(row, 'key'));
  }

  #renumber(key: number): void {
    const cursors = this.#statements.inOrder.all(key).map((row) => integer(row, 'cursor'));
    for (const cursor of cursors) {
      this.#statements.copy.run(cursor);
      this.#statements.removeOne.run(cursor);
    }
    this.#statements.recount.run(key);
  }
}

function totalRow(row: Row | undefined): ConsumerTotal {
  return {
    name: text(row, 'name'),
    messages: integer(row, 'messages'),
    bytes: integer(row, 'bytes'),
    last: integer(row, 'last'),
    delivered: integer(row, 'delivered'),
    acknowledged: integer(row, 'acknowledged'),
  };
}

function prepare(database: DatabaseSync) {
  return {
    keys: database.prepare('SELECT key, name FROM consumer'),
    addConsumer: database.prepare('INSERT INTO consumer (name) VALUES (?) ON CONFLICT DO NOTHING'),
    removeConsumer: database.prepare('DELETE FROM consumer WHERE name = ?'),
    inherit: database.prepare(
      'UPDATE command SET consumer = (SELECT key FROM consumer WHERE name = ?) WHERE consumer = ?',
    ),
    inOrder: database.prepare('SELECT cursor FROM command WHERE consumer = ? ORDER BY number > 0, number, cursor'),
    copy: database.prepare(`
      INSERT INTO command (number, bytes, received_at, expires_at, id, json, consumer)
      SELECT number, bytes, received_at, expires_at, id, json, consumer FROM command WHERE cursor = ?`),
    recount: database.prepare(`
      UPDATE consumer SET (messages, bytes, last) =
        (SELECT count(*), coalesce(sum(bytes), 0), coalesce(max(cursor), 0) FROM command WHERE consumer = consumer.key)
      WHERE key = ?`),
    add: database.prepare(
      'INSERT INTO command (number, bytes, received_at, expires_at, id, json, consumer) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    count: database.prepare(
      'UPDATE consumer SET messages = messages + ?, bytes = bytes + ?, last = max(last, ?) WHERE key = ?',
    ),
    take: database.prepare(
      'SELECT cursor, bytes, json FROM command WHERE consumer = ? AND cursor > ? AND cursor < ? ORDER BY cursor LIMIT ?',
    ),
    deliver: database.prepare('UPDATE consumer SET delivered = max(delivered, ?) WHERE key = ?'),
    ownerOf: database.prepare('SELECT consumer FROM command WHERE cursor = ?'),
    totalThrough: database.prepare(
      'SELECT count(*) AS messages, coalesce(sum(bytes), 0) AS bytes FROM command WHERE consumer = ? AND cursor <= ?',
    ),
    remove: database.prepare('DELETE FROM command WHERE consumer = ? AND cursor <= ?'),
    acknowledge: database.prepare(
      'UPDATE consumer SET messages = messages - ?, bytes = bytes - ?, acknowledged = max(acknowledged, ?) WHERE key = ?',
    ),
    expired: database.prepare(
      'SELECT cursor, number, command.bytes, id, json, consumer, name FROM command JOIN consumer ON consumer.key = command.consumer WHERE expires_at <= ? ORDER BY expires_at LIMIT ?',
    ),
    firstEnding: database.prepare(
      'SELECT cursor FROM command WHERE consumer = ? AND expires_at <= ? ORDER BY cursor LIMIT 1',
    ),
    removeOne: database.prepare('DELETE FROM command WHERE cursor = ?'),
    forgetNumbers: database.prepare('UPDATE command SET number = 0 WHERE number <> 0'),
    totals: database.prepare('SELECT * FROM consumer ORDER BY key'),
    totalOf: database.prepare('SELECT * FROM consumer WHERE name = ?'),
    oldest: database.prepare('SELECT received_at FROM command ORDER BY cursor LIMIT 1'),
    oldestOf: database.prepare('SELECT received_at FROM command WHERE consumer = ? ORDER BY cursor LIMIT 1'),
    firstNumber: database.prepare(
      'SELECT number FROM command WHERE consumer = ? AND number > 0 ORDER BY cursor LIMIT 1',
    ),
  };
}
