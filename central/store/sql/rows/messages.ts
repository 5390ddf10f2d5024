// Reads and writes the logs of agents at Central: commands down, events up, and what becomes of each message.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import type { Item, Message } from '../../../../shared/delivery/message.ts';
import type { Appended, OutboxBounds, ResumedLog } from '../../../../shared/delivery/log-interfaces.ts';
import { ID_REUSED } from '../../../../shared/delivery/dead-letters.ts';
import type { InboxLog } from '../../../../shared/sqlite/logs/inbox-log.ts';
import { READ_OUTBOX, readOutbox, type OutboxLog } from '../../../../shared/sqlite/logs/outbox-log.ts';
import { integer, text } from '../../../../shared/sqlite/row.ts';
import type { ExpiredCommands, Position, Range } from '../../../../shared/wire/messages.ts';
import { storeFault } from '../../errors.ts';
import type { NewIncident } from '../../agent-store.ts';
import { MAX_REMEMBERED } from '../../memory/recent-events.ts';
import type { BegunInbox, CommittedEvents, EventMessage } from '../../message-store.ts';
import { RunWriter, type RunMessage } from '../events/run-writes.ts';
import type { SeenEvents } from '../events/seen-events.ts';
import { agentKeys } from './agents/agents.ts';
import { expiredAtAgents, GivenUp, type deadLetterWrites } from './dead-letters.ts';
import type { incidentWrites } from './incidents.ts';
import { packEntries, type PackedEntries } from '../packed-items.ts';

interface MessageWritesNeeds {
  readonly outbox: OutboxLog;
  readonly inbox: InboxLog;
  readonly seen: SeenEvents;
  readonly incidents: ReturnType<typeof incidentWrites>;
  readonly deadLetters: ReturnType<typeof deadLetterWrites>;
  /** Errors: store_reserve. */
  readonly takeRoom: (bytes: number) => void;
  /** As RunWriter has it. */
  readonly takeCursors?: ((count: number) => number) | undefined;
}

/**
 * Estimates of what events take on the disk besides their texts. A message that is looked up has a row on a page of its
 * own, which is written whole; one that is not, little more than its text.
 */
const LOOKED_UP_COSTS = { itemCost: 1024 };
const RUN_COSTS = { itemCost: 32, runCost: 1024, keyCost: 64 };

interface EventCosts {
  /** The rows and indexes of each item. */
  readonly itemCost: number;
  /** Those of messages that follow each other. */
  readonly runCost?: number;
  /** Each other type and source among them. */
  readonly keyCost?: number;
}

/** An estimate of what these items take on the disk. */
function costOf(items: readonly Item[], { itemCost, runCost = 0, keyCost = 0 }: EventCosts): number {
  let bytes = items.length * itemCost;
  let before: Message | undefined;
  for (const item of items) {
    if (item.kind !== 'message') {
      bytes += item.id.length + item.source.length + item.reason.length;
      if (item.kind === 'rejected') bytes += item.json.length;
      before = undefined;
      continue;
    }
    const { message } = item;
    bytes += message.json.length;
    if (before === undefined) bytes += runCost;
    if (message.source !== before?.source) bytes += keyCost;
    if (message.type !== before?.type) bytes += keyCost;
    before = message;
  }
  return bytes;
}

export function messageWrites(database: SqlDatabase, needs: MessageWritesNeeds) {
  return { ...commandWrites(database, needs), ...eventWrites(database, needs) };
}

function commandWrites(database: SqlDatabase, { outbox, incidents, deadLetters }: MessageWritesNeeds) {
  const keys = agentKeys(database);
  const idOfKey = database.prepare('SELECT id FROM agent WHERE key = ?');
  const recordExpired = expiredAtAgents(database, deadLetters);
  return {
    appendCommands(agentId: string, commands: readonly Message[], bounds: OutboxBounds, now: number): Appended[] {
      return outbox.append(keys.of(agentId), commands, bounds, now);
    },

    /** Decides how the commands of an agent go on that says it is there, and records what is missing. */
    resumeOutbox(
      agentId: string,
      epoch: number,
      position: Position | null,
      now: number,
    ): { readonly down: ResumedLog; readonly newest: number } {
      const { restarted, newest, ...down } = outbox.resume(keys.ofSession(agentId, epoch), position);
      const { incarnation, missing } = down;
      if (restarted && missing !== null)
        incidents.recordIncident(logRestarted(agentId, 'down', incarnation, missing, now));
      return { down, newest };
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

    recordExpiredCommands(agentId: string, epoch: number, items: ExpiredCommands['items'], now: number): number {
      keys.ofSession(agentId, epoch);
      return recordExpired(agentId, items, now);
    },
  };
}

function eventWrites(database: SqlDatabase, needs: MessageWritesNeeds) {
  const { inbox, seen, incidents, deadLetters, takeRoom } = needs;
  const keys = agentKeys(database);
  const runs = new RunWriter(database, needs.takeCursors);
  const origins = eventOrigins(database);

  return {
    beginInbox(agentId: string, epoch: number, begin: BegunInbox, now: number): void {
      const peer = keys.ofSession(agentId, epoch);
      const { incarnation, deduplicates = false } = begin;
      seen.begin(peer, { incarnation, deduplicates }, now);
      const restarted = inbox.begin(peer, begin);
      if (begin.next === 1) origins.end(agentId, incarnation, runs.newest());
      if (restarted && begin.missing !== null)
        incidents.recordIncident(logRestarted(agentId, 'up', incarnation, begin.missing, now));
    },

    appendEvents(agentId: string, epoch: number, first: number, items: readonly Item[], now: number): CommittedEvents {
      const peer = keys.ofSession(agentId, epoch);
      const looksUp = seen.looksUp(peer);
      takeRoom(costOf(items, looksUp ? LOOKED_UP_COSTS : RUN_COSTS));
      const { incarnation, through, fresh, reused } = inbox.accept(peer, first, items, now);
      let firstCursor: number | null = null;
      let stored = 0;
      const events: EventMessage[] = [];
      const givenUp = new GivenUp(agentId, now);
      let run: RunMessage[] = [];
      let origin: number | undefined;
      /** Stores the messages before `index` that follow each other. */
      const store = (index: number): void => {
        if (run.length === 0) return;
        origin ??= origins.of(agentId, incarnation);
        const cursor = runs.append({ agentId, origin, receivedAt: now }, first + index - run.length, run);
        firstCursor ??= cursor;
        run = [];
      };
      for (const [index, item] of items.entries()) {
        if (item.kind === 'message' && fresh[index] === true) {
          run.push(item.message);
          stored += 1;
          const { type, source, json } = item.message;
          if (stored <= MAX_REMEMBERED) events.push({ number: first + index, type, source, json });
          continue;
        }
        store(index);
        if (item.kind !== 'message') givenUp.add(first + index, item);
        else if (reused.has(index)) givenUp.keep(first + index, item.message, ID_REUSED);
      }
      store(items.length);
      if (looksUp && stored > 0) seen.stored(peer, runs.newest());
      deadLetters.recordDeadLetters(givenUp.letters());
      return { through, incarnation, firstCursor, stored, events: stored > MAX_REMEMBERED ? null : events };
    },

    /** One step of entering what was seen of an agent into the table. True when there is more. */
    indexSeen: (agentId: string): boolean => seen.index(keys.of(agentId)),
  };
}

/** Numbers for the logs of agents, which events carry. */
function eventOrigins(database: SqlDatabase) {
  const find = database.prepare('SELECT key, ended FROM origin WHERE agent_id = ? AND incarnation = ?');
  const add = database.prepare('INSERT INTO origin (agent_id, incarnation) VALUES (?, ?) RETURNING key');
  const reopen = database.prepare('UPDATE origin SET ended = NULL WHERE key = ?');
  const end = database.prepare('UPDATE origin SET ended = ? WHERE agent_id = ? AND incarnation <> ? AND ended IS NULL');
  return {
    of(agentId: string, incarnation: string): number {
      const row = find.get(agentId, incarnation);
      if (row === undefined) return integer(add.get(agentId, incarnation), 'key');
      const key = integer(row, 'key');
      // A restored agent goes on with a log that had ended here.
      if (row['ended'] !== null) reopen.run(key);
      return key;
    },
    /** All logs of the agent but this one are over: no event of theirs comes behind `newest`. */
    end: (agentId: string, incarnation: string, newest: number): void => void end.run(newest, agentId, incarnation),
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

export function messageReads(database: SqlDatabase) {
  const keyOf = database.prepare('SELECT key FROM agent WHERE id = ?');
  const outbox = database.prepare(READ_OUTBOX);
  return {
    readCommands(agentId: string, after: number, maxItems: number, maxBytes: number): PackedEntries {
      const row = keyOf.get(agentId);
      if (row === undefined) throw storeFault('agent_unknown', { id: agentId });
      return packEntries(readOutbox(outbox, integer(row, 'key'), after, maxItems, maxBytes));
    },
  };
}
