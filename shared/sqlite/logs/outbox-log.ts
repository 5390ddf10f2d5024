// The tables of ordered outgoing logs, one per peer: producers append, a session reads, the peer's acknowledgements
// trim. Synchronous: runs inside a transaction of its caller (shared/sqlite/transaction.ts), where a throw undoes the
// call. Does not know what a peer is (at Central an agent's row, at the agent the one Central), nor where dead
// letters go.
import { EXPIRED, WITHDRAWN } from '../../delivery/dead-letters.ts';
import { randomBytes } from 'node:crypto';
import type { SqlDatabase } from '../sql.ts';
import { messageFault } from '../../delivery/errors.ts';
import { tombstoneJson, type Message } from '../../delivery/message.ts';
import { decideResume } from '../../delivery/ordered-log.ts';
import type { Appended, LogDepth, OutboxBounds, OutboxEntry, ResumedLog } from '../../delivery/log-interfaces.ts';
import type { CodedError } from '../../errors.ts';
import type { Position } from '../../wire/messages.ts';
import { databaseFault } from '../errors.ts';
import { fingerprint, linkOf } from './fingerprint.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../row.ts';

/**
 * `outbox_entry` keeps the order of arrival over all peers, so that appends fill one page after the other; its index is
 * small. `json` is the last column: what reads only the others never touches the pages of a long one. `link` is the
 * fingerprint of the log through this entry (`linkOf`), which the peer's position names; `outbox_log.link` is that of
 * the last one, `acknowledged_id` that of the last acknowledged one. A tombstone has the link of its message.
 * `outbox_seen` is ordered by peer: the messages of one frame fall into the few pages of their peer. Its number counts
 * only within its generation (a counter of incarnations).
 */
export const OUTBOX_SCHEMA = `
  CREATE TABLE outbox_log (
    peer INTEGER PRIMARY KEY,
    incarnation TEXT NOT NULL,
    generation INTEGER NOT NULL,
    next INTEGER NOT NULL,
    link TEXT NOT NULL,
    acknowledged INTEGER NOT NULL,
    acknowledged_id TEXT,
    missing_from INTEGER,
    missing_through INTEGER,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    oldest_at INTEGER
  ) STRICT;
  CREATE TABLE outbox_entry (
    entry INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL,
    number INTEGER NOT NULL,
    tombstone INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    at INTEGER NOT NULL,
    expires_at INTEGER,
    link TEXT NOT NULL,
    id TEXT NOT NULL,
    json TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX outbox_entry_number ON outbox_entry (peer, number);
  CREATE INDEX outbox_entry_expiry ON outbox_entry (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE outbox_seen (
    peer INTEGER NOT NULL,
    hash TEXT NOT NULL,
    at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (peer, hash)
  ) STRICT, WITHOUT ROWID;
`;

/** Of each message that was seen, what its data was; as INBOX_DATA_HASH (inbox-log.ts). */
export const OUTBOX_DATA_HASH = 'ALTER TABLE outbox_seen ADD COLUMN data INTEGER;';

/** A message that was given up. */
interface GivenUp {
  readonly peer: number;
  readonly number: number;
  readonly id: string;
  readonly reason: string;
  readonly json: string;
}

/**
 * `restarted`: this very call found that one side went back in time (recovered: false); to be recorded. `newest`: the
 * number of the last message in the log.
 */
type Resumption = ResumedLog & { readonly restarted: boolean; readonly newest: number };

interface Log {
  readonly incarnation: string;
  readonly generation: number;
  readonly next: number;
  readonly link: string;
  readonly acknowledged: number;
  readonly acknowledgedId: string | null;
  readonly missing: { readonly from: number; readonly through: number } | null;
  readonly messages: number;
  readonly bytes: number;
  readonly oldestAt: number | null;
}

/** So many messages of one request are named in an error. */
const MAX_REUSED = 20;

export class OutboxLog {
  readonly #deduplicationMs: number;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: SqlDatabase, deduplicationMs: number) {
    this.#deduplicationMs = deduplicationMs;
    this.#statements = prepare(database);
  }

  /** Begins the log of a new peer. */
  create(peer: number): void {
    this.#statements.create.run(peer, newIncarnation());
  }

  /** Forgets a peer's log. What was seen from it ages out (SeenWalk): a peer's number is never given again. */
  remove(peer: number): void {
    this.#statements.removeEntries.run(peer);
    this.#statements.removeLog.run(peer);
  }

  /** All or nothing, in order. Errors: outbox_full, id_reused. */
  append(peer: number, messages: readonly Message[], bounds: OutboxBounds, now: number): Appended[] {
    const log = this.#log(peer);
    let { next, link, messages: count, bytes } = log;
    const reused: number[] = [];
    const since = now - Math.min(this.#deduplicationMs, bounds.deduplicationMs ?? Number.POSITIVE_INFINITY);
    const appended = messages.map((message, index): Appended => {
      const hash = fingerprint(message);
      const fresh =
        this.#statements.see.run(peer, hash, now, log.generation, next, message.dataHash, since).changes === 1;
      if (!fresh) {
        const seen = this.#statements.seen.get(peer, hash);
        if ((integerOrNull(seen, 'data') ?? message.dataHash) !== message.dataHash) reused.push(index);
        // The number that it got, unless its log has been numbered again since.
        return {
          outcome: 'duplicate',
          number: integer(seen, 'generation') === log.generation ? integer(seen, 'number') : null,
        };
      }
      const size = Buffer.byteLength(message.json);
      link = linkOf(link, message);
      this.#statements.insert.run(peer, next, size, now, message.expiresAt, link, message.id, message.json);
      count += 1;
      bytes += size;
      next += 1;
      return { outcome: 'stored', number: next - 1 };
    });
    if (reused.length > 0) throw idReused(messages, reused);
    if (next === log.next) return appended;
    if (count > bounds.maxMessages || bytes > bounds.maxBytes) {
      throw databaseFault('outbox_full', {
        messages: log.messages,
        bytes: log.bytes,
        added: count - log.messages,
        addedBytes: bytes - log.bytes,
        maxMessages: bounds.maxMessages,
        maxBytes: bounds.maxBytes,
      });
    }
    this.#statements.grow.run(next, link, count, bytes, now, peer);
    return appended;
  }

  /** Messages behind `after`, contiguous, within both bounds, but at least one if there is any. */
  read(peer: number, after: number, maxItems: number, maxBytes: number): OutboxEntry[] {
    return readOutbox(this.#statements.read, peer, after, maxItems, maxBytes);
  }

  /** Trims through this number. Errors: log_violation (it was never appended). */
  acknowledge(peer: number, through: number): void {
    const log = this.#log(peer);
    if (through <= log.acknowledged) return;
    if (through >= log.next)
      throw databaseFault('log_violation', { found: `${through} acknowledged, ${log.next - 1} was the last` });
    const { entryLink, trimmed, remove, oldest, trim } = this.#statements;
    const link = text(entryLink.get(peer, through), 'link');
    // Looks only at what is about to be deleted; the sums of the rest are in the log's row.
    const gone = trimmed.get(peer, through);
    remove.run(peer, through);
    const first = oldest.get(peer);
    trim.run(
      through,
      link,
      integer(gone, 'messages'),
      integer(gone, 'bytes'),
      first === undefined ? null : integer(first, 'at'),
      peer,
    );
  }

  /** Decides how to go on from where the peer says it is, and makes it so. */
  resume(peer: number, position: Position | null): Resumption {
    const log = this.#log(peer);
    const decision = decideResume(log, position, (number) => this.#linkAt(peer, number));
    if (decision.kind === 'resume') {
      this.acknowledge(peer, decision.through);
      const restarted = decision.missing !== null && log.missing === null;
      if (restarted) this.#statements.miss.run(decision.missing.from, decision.missing.through, peer);
      return {
        incarnation: log.incarnation,
        next: Math.max(decision.through, log.acknowledged) + 1,
        missing: decision.missing,
        restarted,
        newest: log.next - 1,
      };
    }
    const incarnation = newIncarnation();
    // In two steps over negative numbers: a number is unique at any moment.
    this.#statements.renumber.run(log.acknowledged, peer);
    this.#statements.turn.run(peer);
    this.#statements.restart.run(
      incarnation,
      this.#linkAnew(peer),
      log.acknowledged,
      decision.missing.from,
      decision.missing.through,
      peer,
    );
    const newest = log.next - 1 - log.acknowledged;
    return { incarnation, next: 1, missing: decision.missing, restarted: true, newest };
  }

  /** Gives up at most `limit` messages whose time has passed and puts tombstones in their place. */
  expire(now: number, limit: number): GivenUp[] {
    return this.#statements.expired.all(now, limit).map((row) => this.#giveUp(row, EXPIRED));
  }

  /** Gives up one message, which must not have been sent; undefined: it is not in the log, or was given up before. */
  withdraw(peer: number, number: number): GivenUp | undefined {
    const row = this.#statements.whole.get(peer, number);
    return row === undefined ? undefined : this.#giveUp(row, WITHDRAWN);
  }

  /** Appends what waits in the log of another peer, as messages of their own; the number of those that are new here. */
  adopt(peer: number, from: number, now: number): number {
    const messages = this.#statements.waiting.all(from).map((row): Message => {
      const [id, json] = [text(row, 'id'), text(row, 'json')];
      const source = sourceOf(json);
      const dataHash = integerOrNull(this.#statements.seen.get(from, fingerprint({ source, id })), 'data') ?? 0;
      return { id, source, type: '', json, expiresAt: integerOrNull(row, 'expires_at'), dataHash };
    });
    const unbounded = { maxMessages: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY };
    return this.append(peer, messages, unbounded, now).filter(({ outcome }) => outcome === 'stored').length;
  }

  /** Puts a tombstone in the place of a message. */
  #giveUp(row: Row, reason: string): GivenUp {
    const [entry, peer, id] = [integer(row, 'entry'), integer(row, 'peer'), text(row, 'id')];
    const json = tombstoneJson(id, sourceOf(text(row, 'json')), reason);
    const size = Buffer.byteLength(json);
    this.#statements.bury.run(size, json, entry);
    this.#statements.lighten.run(size - integer(row, 'bytes'), peer);
    return { peer, number: integer(row, 'number'), id, reason, json: text(row, 'json') };
  }

  depth(peer: number): LogDepth {
    const { incarnation, messages, bytes, oldestAt } = this.#log(peer);
    return { incarnation, messages, bytes, oldestAt };
  }

  #log(peer: number): Log {
    const row = this.#statements.log.get(peer);
    const from = integerOrNull(row, 'missing_from');
    return {
      incarnation: text(row, 'incarnation'),
      generation: integer(row, 'generation'),
      next: integer(row, 'next'),
      link: text(row, 'link'),
      acknowledged: integer(row, 'acknowledged'),
      acknowledgedId: textOrNull(row, 'acknowledged_id'),
      missing: from === null ? null : { from, through: integer(row, 'missing_through') },
      messages: integer(row, 'messages'),
      bytes: integer(row, 'bytes'),
      oldestAt: integerOrNull(row, 'oldest_at'),
    };
  }

  #linkAt(peer: number, number: number): string | undefined {
    const row = this.#statements.entryLink.get(peer, number);
    return row === undefined ? undefined : text(row, 'link');
  }

  /** Links the entries of a new incarnation from its first one on; gives the last link. */
  #linkAnew(peer: number): string {
    let link = '';
    for (const row of this.#statements.linked.all(peer)) {
      const entry = integer(row, 'entry');
      const source = sourceOf(text(this.#statements.json.get(entry), 'json'));
      link = linkOf(link, { source, id: text(row, 'id') });
      this.#statements.relink.run(link, entry);
    }
    return link;
  }
}

/** Names the first of the messages at `reused`, and all of them by their indexes. */
function idReused(messages: readonly Message[], reused: readonly number[]): CodedError {
  const { id = '', source = '' } = messages[reused[0] ?? 0] ?? {};
  return messageFault('id_reused', { id, source, indexes: reused.slice(0, MAX_REUSED).join(', ') });
}

/** The source of a message of ours, which was validated before it was stored. */
function sourceOf(json: string): string {
  const { source } = JSON.parse(json) as { readonly source: string };
  return source;
}

/** The statement that `readOutbox` runs; a reading connection prepares its own. */
export const READ_OUTBOX =
  'SELECT number, id, json, bytes, expires_at FROM outbox_entry WHERE peer = ? AND number > ? ORDER BY number LIMIT ?';

/** Runs READ_OUTBOX, stopping before `maxBytes` is passed by the entries and a comma behind each. */
export function readOutbox(
  statement: ReturnType<SqlDatabase['prepare']>,
  peer: number,
  after: number,
  maxItems: number,
  maxBytes: number,
): OutboxEntry[] {
  const entries: OutboxEntry[] = [];
  let bytes = 0;
  for (const row of statement.iterate(peer, after, maxItems)) {
    const entry = outboxEntry(row);
    bytes += entry.bytes + 1;
    if (entries.length > 0 && bytes > maxBytes) break;
    const before = entries.at(-1)?.number ?? entry.number - 1;
    if (entry.number !== before + 1)
      throw databaseFault('data_damaged', {
        path: 'The outbox',
        found: `number ${before + 1} of log ${peer} is missing`,
      });
    entries.push(entry);
  }
  return entries;
}

function outboxEntry(row: Row): OutboxEntry {
  return {
    number: integer(row, 'number'),
    id: text(row, 'id'),
    json: text(row, 'json'),
    bytes: integer(row, 'bytes'),
    expiresAt: integerOrNull(row, 'expires_at'),
  };
}

/** 128 random bits: two incarnations never bear one name. */
function newIncarnation(): string {
  return randomBytes(16).toString('base64url');
}

function prepare(database: SqlDatabase) {
  return {
    create: database.prepare(
      "INSERT INTO outbox_log (peer, incarnation, generation, next, link, acknowledged, messages, bytes) VALUES (?, ?, 0, 1, '', 0, 0, 0)",
    ),
    removeEntries: database.prepare('DELETE FROM outbox_entry WHERE peer = ?'),
    removeLog: database.prepare('DELETE FROM outbox_log WHERE peer = ?'),
    log: database.prepare('SELECT * FROM outbox_log WHERE peer = ?'),
    // One statement both asks and notes; no row is changed when the message was seen within the time.
    see: database.prepare(`
      INSERT INTO outbox_seen (peer, hash, at, generation, number, data) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (peer, hash) DO UPDATE SET at = excluded.at, generation = excluded.generation, number = excluded.number,
        data = excluded.data WHERE outbox_seen.at <= ?`),
    seen: database.prepare('SELECT generation, number, data FROM outbox_seen WHERE peer = ? AND hash = ?'),
    insert: database.prepare(
      'INSERT INTO outbox_entry (peer, number, tombstone, bytes, at, expires_at, link, id, json) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)',
    ),
    grow: database.prepare(
      'UPDATE outbox_log SET next = ?, link = ?, messages = ?, bytes = ?, oldest_at = coalesce(oldest_at, ?) WHERE peer = ?',
    ),
    read: database.prepare(READ_OUTBOX),
    entryLink: database.prepare('SELECT link FROM outbox_entry WHERE peer = ? AND number = ?'),
    trimmed: database.prepare(
      'SELECT count(*) - coalesce(sum(tombstone), 0) AS messages, coalesce(sum(bytes), 0) AS bytes FROM outbox_entry WHERE peer = ? AND number <= ?',
    ),
    remove: database.prepare('DELETE FROM outbox_entry WHERE peer = ? AND number <= ?'),
    oldest: database.prepare('SELECT at FROM outbox_entry WHERE peer = ? ORDER BY number LIMIT 1'),
    // The first acknowledgement ends the story of what is missing: the peer has noted it.
    trim: database.prepare(`
      UPDATE outbox_log SET acknowledged = ?, acknowledged_id = ?, messages = messages - ?, bytes = bytes - ?, oldest_at = ?,
        missing_from = NULL, missing_through = NULL WHERE peer = ?`),
    miss: database.prepare('UPDATE outbox_log SET missing_from = ?, missing_through = ? WHERE peer = ?'),
    renumber: database.prepare('UPDATE outbox_entry SET number = ? - number WHERE peer = ?'),
    turn: database.prepare('UPDATE outbox_entry SET number = -number WHERE peer = ?'),
    linked: database.prepare('SELECT entry, id FROM outbox_entry WHERE peer = ? ORDER BY number'),
    json: database.prepare('SELECT json FROM outbox_entry WHERE entry = ?'),
    relink: database.prepare('UPDATE outbox_entry SET link = ? WHERE entry = ?'),
    restart: database.prepare(`
      UPDATE outbox_log SET incarnation = ?, link = ?, generation = generation + 1, next = next - ?, acknowledged = 0, acknowledged_id = NULL,
        missing_from = ?, missing_through = ? WHERE peer = ?`),
    expired: database.prepare(
      'SELECT entry, peer, number, id, bytes, json FROM outbox_entry WHERE expires_at <= ? ORDER BY expires_at LIMIT ?',
    ),
    waiting: database.prepare(
      'SELECT id, json, expires_at FROM outbox_entry WHERE peer = ? AND tombstone = 0 ORDER BY number',
    ),
    whole: database.prepare(
      'SELECT entry, peer, number, id, bytes, json FROM outbox_entry WHERE peer = ? AND number = ? AND tombstone = 0',
    ),
    bury: database.prepare(
      'UPDATE outbox_entry SET tombstone = 1, bytes = ?, json = ?, expires_at = NULL WHERE entry = ?',
    ),
    // A tombstone is not a message any more: it counts with its few bytes, which bound the number of tombstones.
    lighten: database.prepare('UPDATE outbox_log SET messages = messages - 1, bytes = bytes + ? WHERE peer = ?'),
  };
}
