// Reads events: those of older schemas first, which have a row each, then the runs.
import type { SqlDatabase, SqlStatement } from '../../../../shared/sqlite/sql.ts';
import { blob, integer, integerOrNull, text, type Row } from '../../../../shared/sqlite/row.ts';
import type { EventFilter, StoredEvent } from '../../message-store.ts';
import { runFilters } from './run-filter.ts';
import { unpackTexts } from './run-texts.ts';
import { NEWEST_CURSOR, OLDEST_CURSOR } from './run-writes.ts';

/** One step of reading events: those up to `through` that match the filter; `last` is the newest cursor. */
export interface EventSlice {
  readonly events: StoredEvent[];
  readonly through: number;
  readonly last: number;
}

/** Work of one step, some 10 ms, so that a filter that matches little does not hold up other reads. */
const SLICE_EVENTS = 20_000;
const SLICE_SEEKS = 2_000;
const SLICE_LENGTH = 4 * 1024 * 1024;
/** A page of the largest messages would be hundreds of MiB. */
const PAGE_MAX_LENGTH = 8 * 1024 * 1024;

const RUN = `SELECT through, count, agent_id, incarnation, first_number, received_at, keys, lengths, body
  FROM event_run JOIN origin ON origin.key = event_run.origin`;

export function storedEventReads(database: SqlDatabase) {
  const newest = database.prepare(NEWEST_CURSOR);
  const oldest = database.prepare(OLDEST_CURSOR);
  // Cursors of a replaced store were never given out.
  const unused = database.prepare(
    'SELECT coalesce(sum(min(through, ?2) - max(before, ?1)), 0) AS cursors FROM event_gap WHERE through > ?1 AND before < ?2',
  );
  const lastRow = database.prepare('SELECT max(cursor) AS last FROM event');
  const rows = rowReads(database);
  const runsBehind = database.prepare(`${RUN} WHERE through > ? ORDER BY through LIMIT ?`);
  const runAt = database.prepare(`${RUN} WHERE through = ?`);
  const filters = runFilters(database);
  const lastCursor = (): number => integerOrNull(newest.get(), 'newest') ?? 0;

  /** All runs in their order. */
  function readRuns(page: Page, after: number, last: number): EventSlice {
    for (const row of runsBehind.iterate(after, page.room)) {
      page.addRun(row, after, page.room);
      if (page.isFull) break;
    }
    return { events: page.events, through: last, last };
  }

  /** The runs that may match, within the work of one step. */
  function findRuns(page: Page, after: number, last: number, filter: EventFilter): EventSlice {
    const found = filters(filter);
    let through = after;
    let [events, length] = [0, 0];
    while (!page.isFull && events < SLICE_EVENTS && length < SLICE_LENGTH) {
      const next = found.run(through + 1, SLICE_SEEKS);
      if (next === undefined) return { events: page.events, through: last, last };
      through = next.through;
      if (!next.isCandidate) break;
      const row = runAt.get(through);
      if (row === undefined) continue;
      events += integer(row, 'count');
      length += page.addRun(row, after, Infinity, found.matcher(text(row, 'agent_id'), blob(row, 'keys')));
    }
    return { events: page.events, through: Math.min(through, last), last };
  }

  return {
    lastCursor,

    prunedThrough(after: number): number | null {
      const first = integerOrNull(oldest.get(), 'oldest');
      if (first === null || after >= first - 1) return null;
      const pruned = first - 1 - after - integer(unused.get(after, first - 1), 'cursors');
      return pruned > 0 ? first - 1 : null;
    },

    readEvents: (after: number, filter: EventFilter, limit: number): EventSlice =>
      inSnapshot(database, () => {
        const last = lastCursor();
        const isFiltered = filter.agentId !== undefined || filter.type !== undefined || filter.source !== undefined;
        const page = new Page(limit);
        const rowsEnd = integerOrNull(lastRow.get(), 'last') ?? 0;
        if (after < rowsEnd) {
          // Without a filter the limit bounds the work.
          const through = isFiltered ? Math.min(rowsEnd, after + SLICE_EVENTS) : rowsEnd;
          rows(page, after, through, filter);
          if (page.isFull || through < rowsEnd) return { events: page.events, through, last };
        }
        const behind = Math.max(after, rowsEnd);
        return isFiltered ? findRuns(page, behind, last, filter) : readRuns(page, behind, last);
      }),
  };
}

/** The events of one answer. */
class Page {
  readonly events: StoredEvent[] = [];
  readonly #limit: number;
  #length = 0;
  #isFull = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isFull(): boolean {
    return this.#isFull || this.events.length >= this.#limit;
  }

  /** Events that still fit. */
  get room(): number {
    return this.#limit - this.events.length;
  }

  add(event: StoredEvent): void {
    if (this.isFull) return;
    this.#length += event.json.length;
    if (this.events.length > 0 && this.#length > PAGE_MAX_LENGTH) this.#isFull = true;
    else this.events.push(event);
  }

  /**
   * Adds what matches of the first `most` events of a run behind the cursor `after`, until the page is full. Gives the
   * length of what it looked at.
   */
  addRun(row: Row, after: number, most: number, matches: (json: string) => boolean = () => true): number {
    const through = integer(row, 'through');
    const before = through - integer(row, 'count');
    const skipped = Math.max(0, after - before);
    const agentId = text(row, 'agent_id');
    const incarnation = text(row, 'incarnation');
    const [number, receivedAt] = [integer(row, 'first_number'), integer(row, 'received_at')];
    let length = 0;
    const texts = unpackTexts({ lengths: blob(row, 'lengths'), body: blob(row, 'body') }, skipped, most);
    for (const [index, json] of texts.entries()) {
      if (this.isFull) break;
      length += json.length;
      if (!matches(json)) continue;
      const at = skipped + index;
      this.add({ cursor: before + 1 + at, agentId, incarnation, number: number + at, receivedAt, json });
    }
    return length;
  }
}

/** Events of older schemas, which have a row each. */
function rowReads(database: SqlDatabase) {
  const select =
    'SELECT cursor, agent_id, incarnation, number, received_at, json FROM event JOIN origin ON origin.key = event.origin';
  const range = 'cursor > ?1 AND cursor <= ?2 AND (?4 IS NULL OR type = ?4) AND (?5 IS NULL OR source = ?5)';
  const all = database.prepare(`${select} WHERE ${range} AND ?6 IS NULL ORDER BY cursor LIMIT ?3`);
  const ofAgent = database.prepare(
    `${select} WHERE event.origin IN (SELECT key FROM origin WHERE agent_id = ?6) AND ${range} ORDER BY cursor LIMIT ?3`,
  );
  return (page: Page, after: number, through: number, filter: EventFilter): void => {
    const { agentId = null, type = null, source = null } = filter;
    const statement: SqlStatement = agentId === null ? all : ofAgent;
    for (const row of statement.iterate(after, through, page.room, type, source, agentId)) {
      page.add({
        cursor: integer(row, 'cursor'),
        agentId: text(row, 'agent_id'),
        incarnation: text(row, 'incarnation'),
        number: integer(row, 'number'),
        receivedAt: integer(row, 'received_at'),
        json: text(row, 'json'),
      });
      if (page.isFull) break;
    }
  };
}

/** One state of the database for several statements: a conversion moves events from one table into the other. */
function inSnapshot<T>(database: SqlDatabase, read: () => T): T {
  database.exec('BEGIN');
  try {
    const result = read();
    database.exec('COMMIT');
    return result;
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}
