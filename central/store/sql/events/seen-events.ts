// What Central remembers of the messages of its agents. The outbox of an agent that says so refuses repeated messages
// within an incarnation of its log: of these nothing is written but the events, and nothing is looked up. Everything
// else is looked up message by message (DeduplicationTable): logs without that word, and for the retention each log
// that restarted. Before that begins, the agent's stored events are entered into the table, in steps. They are kept for
// at least as long as repeated messages are refused (central/parameters/values.ts).
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { readItem, type Item } from '../../../../shared/delivery/message.ts';
import { DeduplicationTable, type Deduplication, type Taken } from '../../../../shared/sqlite/logs/deduplication.ts';
import { fingerprint } from '../../../../shared/sqlite/logs/fingerprint.ts';
import { blob, integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { scanValue } from '../../../../shared/wire/json-text.ts';
import { LIMITS } from '../../../../shared/wire/messages.ts';
import { storeFault } from '../../errors.ts';
import { KnownKeys } from './run-keys.ts';
import { unpackTexts } from './run-texts.ts';
import { NEWEST_CURSOR } from './run-writes.ts';

/** For how long an agent with the capability refuses repeated messages (docs/PROTOCOL.md, "Deduplication"). */
const SENDER_DEDUPLICATION_MS = 7 * 86_400_000;
/** Messages that one step enters into the table: some milliseconds. A run has no more. */
const STEP_MESSAGES = 1_000;
/** Runs that one step looks at: those from before the retention are passed over. */
const STEP_RUNS = 1_000;

interface BegunLog {
  readonly incarnation: string;
  /** The agent has the capability `deduplication`. */
  readonly deduplicates: boolean;
}

export class SeenEvents implements Deduplication {
  readonly #deduplicationMs: number;
  readonly #table: DeduplicationTable;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #keys = new KnownKeys();

  constructor(database: SqlDatabase, deduplicationMs: number) {
    this.#deduplicationMs = deduplicationMs;
    this.#table = new DeduplicationTable(database, deduplicationMs);
    this.#statements = prepare(database);
  }

  /** To be called before the inbox notes the `begin`: compares it with the log so far. */
  begin(peer: number, { incarnation, deduplicates }: BegunLog, now: number): void {
    const { state, change, first } = this.#statements;
    const row = state.get(peer);
    const before = textOrNull(row, 'incarnation');
    const word = Number(deduplicates);
    // The events of an agent of this id that was removed are not those of this one.
    if (before === null) first.run(peer);
    if (before !== null && before !== incarnation) change.run(word, now, peer);
    else if (integer(row, 'deduplicates') !== word) {
      // In the middle of a log: what came before the word may be repeated.
      change.run(word, before === null ? null : now, peer);
    } else return;
    if (this.looksUp(peer)) this.index(peer);
  }

  /** Errors: deduplication_indexing (nothing is taken). */
  take(peer: number, items: readonly Item[], now: number): Taken {
    if (!this.looksUp(peer)) return { fresh: items.map(() => true), reused: new Set() };
    if (this.#nextRun(peer) !== undefined) throw storeFault('deduplication_indexing', {});
    return this.#table.take(peer, items, now);
  }

  /** Messages that were looked up are stored as the events through this cursor: they are in the table already. */
  stored(peer: number, through: number): void {
    this.#statements.enter.run(through, peer);
  }

  /** Enters the oldest events that are not in the table. True when there is more. */
  index(peer: number): boolean {
    const { run, enter } = this.#statements;
    let entered = 0;
    for (let looked = 0; looked < STEP_RUNS; looked += 1) {
      const next = this.#nextRun(peer);
      if (next === undefined) return false;
      const row = run.get(next.through);
      if (row !== undefined && text(row, 'agent_id') === next.agentId && integer(row, 'received_at') > next.olderThan) {
        const count = integer(row, 'count');
        if (entered > 0 && entered + count > STEP_MESSAGES) return true;
        entered += count;
        this.#enter(peer, row);
      }
      enter.run(next.through, peer);
    }
    return true;
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

  /**
   * The first run that is not in the table, of the agent or of another one with the same key; and what need not be
   * entered.
   */
  #nextRun(
    peer: number,
  ): { readonly agentId: string; readonly through: number; readonly olderThan: number } | undefined {
    const { agent, next } = this.#statements;
    const row = agent.get(peer);
    const agentId = text(row, 'id');
    const found = next.get(this.#keys.of('agent', agentId), integer(row, 'indexed'));
    if (found === undefined) return undefined;
    const olderThan = (integerOrNull(row, 'looked_up_since') ?? 0) - this.#deduplicationMs;
    return { agentId, through: integer(found, 'through'), olderThan };
  }

  #enter(peer: number, row: Row): void {
    const at = integer(row, 'received_at');
    for (const json of unpackTexts({ lengths: blob(row, 'lengths'), body: blob(row, 'body') })) {
      const item = readItem(scanValue(json), LIMITS.maxMessageBytes);
      if (item.kind === 'message') this.#table.enter(peer, fingerprint(item.message), at, item.message.dataHash);
      // It was a message by the rules of its time.
      else this.#table.enter(peer, fingerprint(item), at, null);
    }
  }
}

function prepare(database: SqlDatabase) {
  return {
    state: database.prepare('SELECT incarnation, deduplicates, looked_up_since FROM inbox_log WHERE peer = ?'),
    change: database.prepare('UPDATE inbox_log SET deduplicates = ?, looked_up_since = ? WHERE peer = ?'),
    first: database.prepare(`UPDATE inbox_log SET indexed = coalesce((${NEWEST_CURSOR}), 0) WHERE peer = ?`),
    enter: database.prepare('UPDATE inbox_log SET indexed = ? WHERE peer = ?'),
    agent: database.prepare(
      'SELECT agent.id, indexed, looked_up_since FROM agent JOIN inbox_log ON inbox_log.peer = agent.key WHERE key = ?',
    ),
    next: database.prepare('SELECT through FROM event_run_key WHERE what = ? AND through > ? ORDER BY through LIMIT 1'),
    run: database.prepare(`SELECT agent_id, received_at, count, lengths, body
      FROM event_run JOIN origin ON origin.key = event_run.origin WHERE through = ?`),
    settle: database.prepare('UPDATE inbox_log SET looked_up_since = NULL WHERE looked_up_since < ?'),
    lookUpAll: database.prepare('UPDATE inbox_log SET looked_up_since = ? WHERE looked_up_since IS NULL'),
  };
}
