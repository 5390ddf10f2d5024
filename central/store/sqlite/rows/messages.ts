// Reads and writes the logs of agents at Central: commands down, events up, and what becomes of each message.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { OutboxBounds, ResumedLog } from '../../../../shared/delivery/log-interfaces.ts';
import { ID_REUSED } from '../../../../shared/delivery/dead-letters.ts';
import type { Begin, InboxLog } from '../../../../shared/sqlite/logs/inbox-log.ts';
import { READ_OUTBOX, readOutbox, type OutboxLog } from '../../../../shared/sqlite/logs/outbox-log.ts';
import { integer, integerOrNull, text, type Row } from '../../../../shared/sqlite/row.ts';
import type { Position, Range } from '../../../../shared/wire/messages.ts';
import { storeFault } from '../../errors.ts';
import type { NewIncident } from '../../agent-store.ts';
import type { CommittedEvents, EventFilter, StoredEvent } from '../../message-store.ts';
import { agentKeys } from './agents.ts';
import { GivenUp, type deadLetterWrites } from './dead-letters.ts';
import type { incidentWrites } from './incidents.ts';
import {
  packAppended,
  packEntries,
  unpackItems,
  unpackMessages,
  type PackedAppended,
  type PackedEntries,
  type PackedItems,
} from '../threads/packed-items.ts';

interface MessageWritesNeeds {
  readonly outbox: OutboxLog;
  readonly inbox: InboxLog;
  readonly incidents: ReturnType<typeof incidentWrites>;
  readonly deadLetters: ReturnType<typeof deadLetterWrites>;
}

export function messageWrites(database: DatabaseSync, needs: MessageWritesNeeds) {
  return { ...commandWrites(database, needs), ...eventWrites(database, needs) };
}

function commandWrites(database: DatabaseSync, { outbox, incidents, deadLetters }: MessageWritesNeeds) {
  const keys = agentKeys(database);
  const idOfKey = database.prepare('SELECT id FROM agent WHERE key = ?');
  return {
    appendCommands(agentId: string, packed: PackedItems, bounds: OutboxBounds, now: number): PackedAppended {
      return packAppended(outbox.append(keys.of(agentId), unpackMessages(packed), bounds, now));
    },

    /** Decides how the commands of an agent go on that says it is there, and records what is missing. */
    resumeOutbox(agentId: string, epoch: number, position: Position | null, now: number): ResumedLog {
      const { incarnation, next, missing, restarted } = outbox.resume(keys.ofSession(agentId, epoch), position);
      if (restarted && missing !== null)
        incidents.recordIncident(logRestarted(agentId, 'down', incarnation, missing, now));
      return { incarnation, next, missing };
    },

    acknowledgeCommands(agentId: string, epoch: number, through: number): void {
      outbox.acknowledge(keys.ofSession(agentId, epoch), through);
    },

    expireCommands(now: number, limit: number): number {
      const expired = outbox.expire(now, limit);
      for (const { peer, number, id, reason, json } of expired) {
        const agentId = text(idOfKey.get(peer), 'id');
        deadLetters.recordDeadLetters([
          { at: now, direction: 'down', agentId, number, through: number, count: 1, id, reason, json },
        ]);
      }
      return expired.length;
    },
  };
}

function eventWrites(database: DatabaseSync, { inbox, incidents, deadLetters }: MessageWritesNeeds) {
  const keys = agentKeys(database);
  const nextCursor = eventCursors(database);
  const findOrigin = database.prepare('SELECT key FROM origin WHERE agent_id = ? AND incarnation = ?');
  const addOrigin = database.prepare('INSERT INTO origin (agent_id, incarnation) VALUES (?, ?)');
  const addEvent = database.prepare(
    'INSERT INTO event (cursor, origin, number, received_at, type, source, json) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );

  function originOf(agentId: string, incarnation: string): number {
    const row = findOrigin.get(agentId, incarnation);
    return row === undefined ? Number(addOrigin.run(agentId, incarnation).lastInsertRowid) : integer(row, 'key');
  }

  return {
    beginInbox(agentId: string, epoch: number, begin: Begin, now: number): void {
      const lost = inbox.begin(keys.ofSession(agentId, epoch), begin);
      if (lost && begin.missing !== null)
        incidents.recordIncident(logRestarted(agentId, 'up', begin.incarnation, begin.missing, now));
    },

    appendEvents(agentId: string, epoch: number, first: number, packed: PackedItems, now: number): CommittedEvents {
      const items = unpackItems(packed);
      const { incarnation, through, fresh, reused } = inbox.accept(keys.ofSession(agentId, epoch), first, items, now);
      let origin: number | undefined;
      let firstCursor: number | null = null;
      const stored: number[] = [];
      const givenUp = new GivenUp(agentId, now);
      for (const [index, item] of items.entries()) {
        if (item.kind === 'message') {
          if (reused.has(index)) givenUp.keep(first + index, item.message, ID_REUSED);
          if (fresh[index] !== true) continue;
          origin ??= originOf(agentId, incarnation);
          const { type, source, json } = item.message;
          const { lastInsertRowid } = addEvent.run(nextCursor(), origin, first + index, now, type, source, json);
          firstCursor ??= Number(lastInsertRowid);
          stored.push(index);
        } else givenUp.add(first + index, item);
      }
      deadLetters.recordDeadLetters(givenUp.letters());
      return { through, incarnation, firstCursor, stored: stored.length === items.length ? null : stored };
    },
  };
}

/**
 * The cursor of the next event; null: one more than the newest. Skips the cursors of a store that was replaced by a
 * backup: its consumers must not take new events for those they have already.
 */
function eventCursors(database: DatabaseSync): () => number | null {
  const newestEvent = database.prepare('SELECT coalesce(max(cursor), 0) AS newest FROM event');
  let gap = integerOrNull(database.prepare('SELECT max(through) AS through FROM event_gap').get(), 'through');
  return () => {
    if (gap !== null && integer(newestEvent.get(), 'newest') >= gap) gap = null;
    return gap === null ? null : gap + 1;
  };
}

function logRestarted(
  agentId: string,
  direction: 'up' | 'down',
  incarnation: string,
  { from, through }: Range,
  at: number,
): NewIncident {
  const detail = JSON.stringify({ recovered: false, direction, from, through, incarnation });
  return { at, kind: 'log_restarted', agentId, address: null, detail };
}

/** One step of reading events: those up to `through` that match the filter; `last` is the newest cursor. */
export interface EventSlice {
  readonly events: StoredEvent[];
  readonly through: number;
  readonly last: number;
}

/** Cursors per step, some 10 ms of work, so that a filter that matches little does not hold up other reads. */
const SLICE_CURSORS = 20_000;
/** A page of the largest messages would be hundreds of MiB. */
const PAGE_MAX_BYTES = 8 * 1024 * 1024;

export function messageReads(database: DatabaseSync) {
  const keyOf = database.prepare('SELECT key FROM agent WHERE id = ?');
  const outbox = database.prepare(READ_OUTBOX);
  const last = database.prepare('SELECT coalesce(max(cursor), 0) AS last FROM event');
  const select =
    'SELECT cursor, agent_id, incarnation, number, received_at, json FROM event JOIN origin ON origin.key = event.origin';
  const range = 'cursor > ?1 AND cursor <= ?2 AND (?4 IS NULL OR type = ?4) AND (?5 IS NULL OR source = ?5)';
  const all = database.prepare(`${select} WHERE ${range} AND ?6 IS NULL ORDER BY cursor LIMIT ?3`);
  const ofAgent = database.prepare(
    `${select} WHERE event.origin IN (SELECT key FROM origin WHERE agent_id = ?6) AND ${range} ORDER BY cursor LIMIT ?3`,
  );

  const oldest = database.prepare('SELECT min(cursor) AS oldest FROM event');
  // Cursors of a replaced store were never given out.
  const unused = database.prepare(
    'SELECT coalesce(sum(min(through, ?2) - max(before, ?1)), 0) AS cursors FROM event_gap WHERE through > ?1 AND before < ?2',
  );

  const lastCursor = (): number => integer(last.get(), 'last');

  return {
    lastCursor,

    prunedThrough(after: number): number | null {
      const first = integerOrNull(oldest.get(), 'oldest');
      if (first === null || after >= first - 1) return null;
      const pruned = first - 1 - after - integer(unused.get(after, first - 1), 'cursors');
      return pruned > 0 ? first - 1 : null;
    },

    readCommands(agentId: string, after: number, maxItems: number, maxBytes: number): PackedEntries {
      const row = keyOf.get(agentId);
      if (row === undefined) throw storeFault('agent_unknown', { id: agentId });
      return packEntries(readOutbox(outbox, integer(row, 'key'), after, maxItems, maxBytes));
    },

    readEvents(after: number, filter: EventFilter, limit: number): EventSlice {
      const newest = lastCursor();
      const { agentId = null, type = null, source = null } = filter;
      const filtered = agentId !== null || type !== null || source !== null;
      // Without a filter the limit bounds the work.
      const through = filtered ? Math.min(newest, after + SLICE_CURSORS) : newest;
      const events = takeEvents(agentId === null ? all : ofAgent, [after, through, limit, type, source, agentId]);
      return { events, through, last: newest };
    },
  };
}

function takeEvents(statement: StatementSync, parameters: (string | number | null)[]): StoredEvent[] {
  const events: StoredEvent[] = [];
  let size = 0;
  for (const row of statement.iterate(...parameters)) {
    const event = storedEvent(row);
    size += event.json.length;
    if (events.length > 0 && size > PAGE_MAX_BYTES) break;
    events.push(event);
  }
  return events;
}

function storedEvent(row: Row): StoredEvent {
  return {
    cursor: integer(row, 'cursor'),
    agentId: text(row, 'agent_id'),
    incarnation: text(row, 'incarnation'),
    number: integer(row, 'number'),
    receivedAt: integer(row, 'received_at'),
    json: text(row, 'json'),
  };
}
