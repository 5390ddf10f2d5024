// Reads and writes dead letters of both directions: how many messages share a row, and how many rows an agent may have.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import {
  EXPIRED,
  EXPIRED_AT_AGENT,
  ID_REUSED,
  WITHDRAWN,
  type DeadLetterCode,
} from '../../../../shared/delivery/dead-letters.ts';
import { tombstoneJson, type Item, type Message } from '../../../../shared/delivery/message.ts';
import { integer, integerOrNull, text, type Row } from '../../../../shared/sqlite/row.ts';
import { TextPage } from '../../../../shared/text-page.ts';
import type { ExpiredCommands } from '../../../../shared/wire/messages.ts';
import { DEAD_LETTER_TEXT, DEAD_LETTERS_PER_APPEND, type StoreBounds } from '../../space/bounds.ts';
import type { Keyed, NewIncident } from '../../agent-store.ts';
import type { DeadLetter, DeadLetterPage, DeadLetterQuery } from '../../message-store.ts';
import { LETTER_BYTES } from '../letter-bytes.ts';

type DeadLetterBounds = Pick<StoreBounds, 'deadLettersPerAgent' | 'deadLetterBytesPerAgent'>;

interface DeadLetterNeeds {
  readonly bounds: () => DeadLetterBounds;
  readonly recordIncident: (incident: NewIncident) => void;
}

const MAX_KEY = Number.MAX_SAFE_INTEGER;
/** Rows that one step of giving way looks at: well below a millisecond. */
const STEP_ROWS = 256;
/**
 * Among so many of the newest, one that an agent repeats is found: it sends a few dozen, and repeats them before
 * others.
 */
const RECENT_LETTERS = 256;
/** Steps within one call; what is left, the next call or the next pruning takes. */
const MAX_STEPS = 8;

export function deadLetterWrites(database: SqlDatabase, { bounds, recordIncident }: DeadLetterNeeds) {
  const insert = database.prepare(
    'INSERT INTO dead_letter (at, direction, agent_id, number, through, count, id, reason, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const kept = database.prepare('SELECT entries, bytes FROM kept WHERE what = ? AND owner = ?');
  const oldest = database.prepare(
    `SELECT key, count, ${LETTER_BYTES('dead_letter')} AS bytes FROM dead_letter WHERE agent_id = ? AND direction = ? ORDER BY key LIMIT ${STEP_ROWS}`,
  );
  const remove = database.prepare('DELETE FROM dead_letter WHERE agent_id = ? AND direction = ? AND key <= ?');
  const count = database.prepare("UPDATE counter SET value = value + ? WHERE name = 'dead_letters_dropped'");
  const crowded = database.prepare(
    "SELECT what, owner FROM kept WHERE what IN ('up', 'down') AND (entries > ? OR bytes > ?) LIMIT 1",
  );

  /**
   * Removes the oldest until the rest is within the bounds, or the steps are used up; the number of messages they stood
   * for.
   */
  function giveWay(direction: DeadLetter['direction'], agentId: string): number {
    const { deadLettersPerAgent, deadLetterBytesPerAgent } = bounds();
    let dropped = 0;
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const row = kept.get(direction, agentId);
      let [rows, bytes] =
        row === undefined
          ? [0, 0]
          : [integer(row, 'entries') - deadLettersPerAgent, integer(row, 'bytes') - deadLetterBytesPerAgent];
      if (rows <= 0 && bytes <= 0) break;
      let last: number | undefined;
      for (const letter of oldest.all(agentId, direction)) {
        if (rows <= 0 && bytes <= 0) break;
        rows -= 1;
        bytes -= integer(letter, 'bytes');
        dropped += integer(letter, 'count');
        last = integer(letter, 'key');
      }
      if (last === undefined) break;
      remove.run(agentId, direction, last);
    }
    return dropped;
  }

  /** Never in silence: the incident of the interval counts them, and so do the figures. */
  function enforce(direction: DeadLetter['direction'], agentId: string, at: number): void {
    const dropped = giveWay(direction, agentId);
    if (dropped === 0) return;
    count.run(dropped);
    const { deadLettersPerAgent, deadLetterBytesPerAgent } = bounds();
    const detail = JSON.stringify({
      direction,
      maxPerAgent: deadLettersPerAgent,
      maxBytesPerAgent: deadLetterBytesPerAgent,
    });
    recordIncident({ at, kind: 'dead_letters_dropped', agentId, address: null, detail, by: 'agent', count: dropped });
  }

  function recordDeadLetters(letters: readonly DeadLetter[]): void {
    for (const { at, direction, agentId, number, through, count: messages, id, reason, json } of letters) {
      insert.run(at, direction, agentId, number, through, messages, id, reason, json);
    }
    const first = letters[0];
    if (first !== undefined) enforce(first.direction, first.agentId, first.at);
  }

  return {
    /** All of one agent and one direction. */
    recordDeadLetters,

    /**
     * Bounds that were lowered, and rows from before there were any: one agent in a step. True when there may be more.
     */
    pruneDeadLetters(now: number): boolean {
      const { deadLettersPerAgent, deadLetterBytesPerAgent } = bounds();
      const row = crowded.get(deadLettersPerAgent, deadLetterBytesPerAgent);
      if (row === undefined) return false;
      enforce(text(row, 'what') as DeadLetter['direction'], text(row, 'owner'), now);
      return true;
    },
  };
}

/**
 * Commands that expired at an agent, which has their payload; the number of those that are new. A repeat is the newest
 * that the agent has reported.
 */
export function expiredAtAgents(
  database: SqlDatabase,
  { recordDeadLetters }: Pick<ReturnType<typeof deadLetterWrites>, 'recordDeadLetters'>,
) {
  const recent = database.prepare(
    `SELECT number, json FROM dead_letter WHERE agent_id = ? AND direction = 'down' ORDER BY key DESC LIMIT ${RECENT_LETTERS}`,
  );
  return (agentId: string, items: ExpiredCommands['items'], at: number): number => {
    const known = new Set(recent.all(agentId).map((row) => `${integer(row, 'number')} ${text(row, 'json')}`));
    const letters = items.map(({ number, throughNumber: through, count: messages, id, source, consumer }) => ({
      at,
      direction: 'down' as const,
      agentId,
      number,
      through,
      count: messages,
      id,
      reason: EXPIRED_AT_AGENT,
      json: JSON.stringify({ tombstone: EXPIRED, id, source, consumer }),
    }));
    const fresh = letters.filter(({ number, json }) => !known.has(`${number} ${json}`));
    recordDeadLetters(fresh);
    return fresh.reduce((sum, { count: messages }) => sum + messages, 0);
  };
}

interface Group {
  readonly reason: string;
  readonly id: string;
  readonly number: number;
  through: number;
  count: number;
  json: string;
}

/**
 * Gathers what one batch gives up: one dead letter for each kind and reason of items that are not messages, and one for
 * all reasons beyond the first few; a whole message that cannot be stored keeps a dead letter of its own, since its
 * payload is nowhere else.
 */
export class GivenUp {
  readonly #agentId: string;
  readonly #at: number;
  readonly #groups = new Map<string, Group>();
  readonly #whole: Group[] = [];

  constructor(agentId: string, at: number) {
    this.#agentId = agentId;
    this.#at = at;
  }

  add(number: number, item: Exclude<Item, { kind: 'message' }>): void {
    const json = item.kind === 'tombstone' ? tombstoneJson(item.id, item.source, item.reason) : item.json;
    const own = `${item.kind} ${item.reason}`;
    const full = this.#groups.size >= DEAD_LETTERS_PER_APPEND - 1 && !this.#groups.has(own);
    const key = full ? '' : own;
    const group = this.#groups.get(key);
    if (group === undefined) {
      this.#groups.set(key, {
        reason: full ? `various reasons, such as: ${item.reason}` : item.reason,
        id: item.id,
        number,
        through: number,
        count: 1,
        json,
      });
      return;
    }
    group.through = number;
    group.count += 1;
    if (group.json.length + json.length < DEAD_LETTER_TEXT) group.json += `\n${json}`;
  }

  /** Costs on the disk what the agent sent, and a row. */
  keep(number: number, { id, json }: Pick<Message, 'id' | 'json'>, reason: string): void {
    this.#whole.push({ reason, id, number, through: number, count: 1, json });
  }

  letters(): DeadLetter[] {
    return [...this.#groups.values(), ...this.#whole].map((group) => ({
      at: this.#at,
      direction: 'up',
      agentId: this.#agentId,
      ...group,
    }));
  }
}

/** Which of the causes a query wants, as one number: their bits. */
const CODE_BITS: Readonly<Record<DeadLetterCode, number>> = {
  message_expired: 1,
  message_withdrawn: 2,
  id_reused: 4,
  message_invalid: 8,
};
const FITS = `(?2 IS NULL OR direction = ?2) AND at >= ?3 AND at < ?4 AND (?5 & CASE
  WHEN reason IN ('${EXPIRED}', '${EXPIRED_AT_AGENT}') THEN ${CODE_BITS.message_expired}
  WHEN reason = '${WITHDRAWN}' THEN ${CODE_BITS.message_withdrawn}
  WHEN reason = '${ID_REUSED}' THEN ${CODE_BITS.id_reused} ELSE ${CODE_BITS.message_invalid} END) <> 0`;
/** A call looks at so many rows at most, some milliseconds, whatever fits: the next page goes on behind them. */
const SLICE_LETTERS = 5_000;
/** Rows are in the order of their time, as long as the clock was not set back by more. */
const CLOCK_MS = 24 * 3_600_000;

/** The newest first. */
export function deadLetterReads(database: SqlDatabase) {
  const ofAll = database.prepare(
    `SELECT key FROM dead_letter WHERE key < ?1 AND key >= ?7 AND ${FITS} ORDER BY key DESC LIMIT ?6`,
  );
  const ofDirection = (direction: DeadLetter['direction']): string =>
    `SELECT key FROM (SELECT key FROM dead_letter WHERE agent_id = ?7 AND direction = '${direction}' AND key < ?1 AND ${FITS} ORDER BY key DESC LIMIT ?6) AS one`;
  const ofAgent = database.prepare(`${ofDirection('up')} UNION ALL ${ofDirection('down')} ORDER BY key DESC LIMIT ?6`);
  const end = database.prepare(
    `SELECT key, at FROM dead_letter WHERE key < ? ORDER BY key DESC LIMIT 1 OFFSET ${SLICE_LETTERS - 1}`,
  );
  const byKey = database.prepare('SELECT * FROM dead_letter WHERE key = ?');
  /** Their texts one by one: those behind the end of the page are not read. */
  function pageOf(rows: readonly Row[], limit: number, rest: number | null): DeadLetterPage {
    const found = new TextPage<Keyed<DeadLetter>>(limit, ({ json }) => json);
    for (const row of rows) {
      const letter = byKey.get(integer(row, 'key'));
      if (letter !== undefined) found.add(letterRow(letter));
      if (found.isFull) break;
    }
    return { items: found.entries, next: found.isFull ? (found.entries.at(-1)?.key ?? null) : rest };
  }
  return {
    listDeadLetters({ limit, before, agentId, direction, codes, from, to }: DeadLetterQuery): DeadLetterPage {
      const bits = codes?.reduce((sum, code) => sum | CODE_BITS[code], 0) ?? ~0;
      const first = before ?? MAX_KEY;
      const terms = [first, direction ?? null, from ?? 0, to ?? MAX_KEY, bits, limit] as const;
      if (agentId !== undefined) return pageOf(ofAgent.all(...terms, agentId), limit, null);
      const last = end.get(first);
      const isEnd = last === undefined || integer(last, 'at') < (from ?? 0) - CLOCK_MS;
      const through = last === undefined ? 0 : integer(last, 'key');
      return pageOf(ofAll.all(...terms, through), limit, isEnd ? null : through);
    },
  };
}

function letterRow(row: Row): Keyed<DeadLetter> {
  const number = integer(row, 'number');
  return {
    key: integer(row, 'key'),
    at: integer(row, 'at'),
    // Written from a DeadLetter only.
    direction: text(row, 'direction') as DeadLetter['direction'],
    agentId: text(row, 'agent_id'),
    number,
    through: integerOrNull(row, 'through') ?? number,
    count: integer(row, 'count'),
    id: text(row, 'id'),
    reason: text(row, 'reason'),
    json: text(row, 'json'),
  };
}
