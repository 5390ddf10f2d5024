// The rows of nodes: who works, who leads, and what nodes tell each other. Runs in groups of calls like all acts (acts.ts);
// times are those of the clock of the database.
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../shared/sqlite/row.ts';
import type { SqlDatabase } from '../../../shared/sqlite/sql.ts';
import { keptReason, stateAfter } from '../agents/state-reasons.ts';
import type { AuditEntry } from '../audit-store.ts';
import {
  NODE_DEAD_MS,
  type HeldName,
  type NodeBeat,
  type NodeNews,
  type NodeNote,
  type NodeRecord,
  type SharedChange,
  type SharedSubject,
} from '../nodes/node-store.ts';
import type { auditWrites } from '../sql/rows/audit.ts';
import { nodeFault } from '../nodes/errors.ts';

/** Changes that one beat reads. */
const CHANGES_AT_ONCE = 2_000;
/** A node that is alive reads them within a second. */
const CHANGES_KEPT_MS = 600_000;

/** No change takes as long; a node that is alive and never releases it is not waited for longer. */
const HELD_MS = 60_000;

/** Beats come once a second; those further apart than this are a gap. */
const STEADY_MS = NODE_DEAD_MS / 2;

const NODES = `
  SELECT node.*, coalesce(lease.holder = node.name AND lease.until > database_ms(), false) AS leads
    FROM node LEFT JOIN lease ON lease.name = 'leader'`;

interface Self {
  readonly name: string;
  readonly generation: number;
}

export function nodeReads(database: SqlDatabase) {
  const list = database.prepare(`${NODES} ORDER BY node.name`);
  const newest = database.prepare('SELECT database_ms() AS time, coalesce(max(number), 0) AS last FROM shared_change');
  return {
    nodeNews(): NodeNews {
      const row = newest.get();
      return {
        nodes: list.all().map(nodeRecord),
        databaseTime: integer(row, 'time'),
        changes: [],
        hasGap: false,
        hasMore: false,
        next: integer(row, 'last'),
      };
    },
  };
}

export function nodeWrites(database: SqlDatabase, self: Self, audit: ReturnType<typeof auditWrites>) {
  const say = database.prepare(`
    UPDATE node SET sessions = ?, applied_parameters = ?, clock_offset_ms = ? - database_ms() WHERE name = ?`);
  const list = database.prepare(`${NODES} ORDER BY node.name`);
  const find = database.prepare(`${NODES} WHERE node.name = ?`);
  const time = database.prepare('SELECT database_ms() AS time');
  const changes = database.prepare(`
    SELECT number, subject, id, is_deleted, labels_before, body FROM shared_change
    WHERE number > ? AND node <> ? ORDER BY number LIMIT ${CHANGES_AT_ONCE}`);
  const newest = database.prepare('SELECT coalesce(max(number), 0) AS last FROM shared_change');
  const pruned = database.prepare("SELECT value FROM counter WHERE name = 'shared_changes_pruned'");
  const drain = database.prepare('UPDATE node SET drained_at = ? WHERE name = ?');
  const remove = database.prepare('DELETE FROM node WHERE name = ?');
  const tell = database.prepare('SELECT note_changes(?, ?)');
  const stop = database.prepare("UPDATE node SET state = 'stopped' WHERE name = ? AND generation = ?");
  const release = database.prepare('UPDATE lease SET until = 0 WHERE holder = ? AND generation = ?');
  const leadership = leaderWrites(database, self);
  const sessions = sessionsOfNodes(database);

  const known = (name: string): NodeRecord => {
    const row = find.get(name);
    if (row === undefined) throw nodeFault('node_unknown', { name });
    return nodeRecord(row);
  };

  return {
    beat({ sessions: open, appliedParameters, after }: NodeBeat): NodeNews {
      // When this is carried out, and not when it was asked for: a wait in between is not one of the clock.
      say.run(open, appliedParameters, Date.now(), self.name);
      const databaseTime = integer(time.get(), 'time');
      leadership.take(databaseTime);
      const rows = changes.all(after, self.name);
      const hasMore = rows.length === CHANGES_AT_ONCE;
      return {
        nodes: list.all().map(nodeRecord),
        databaseTime,
        changes: rows.map(sharedChange),
        hasGap: after < (integerOrNull(pruned.get() ?? { value: 0 }, 'value') ?? 0),
        hasMore,
        next: hasMore ? integer(rows.at(-1), 'number') : Math.max(after, integer(newest.get(), 'last')),
      };
    },

    drainNode(entry: AuditEntry, name: string, isDrained: boolean): NodeRecord {
      const { drainedAt } = known(name);
      drain.run(isDrained ? (drainedAt ?? integer(time.get(), 'time')) : null, name);
      audit.appendAudit(entry);
      return known(name);
    },

    /** Errors: node_unknown, node_alive. */
    removeNode(entry: AuditEntry, name: string): void {
      if (known(name).state === 'alive') throw nodeFault('node_alive', { name });
      remove.run(name);
      audit.appendAudit(entry);
    },

    tell(notes: readonly NodeNote[]): void {
      tell.run(self.name, JSON.stringify(notes));
    },

    ...heldWrites(database, self),

    /** This process ends in order. */
    leave(): void {
      stop.run(self.name, self.generation);
      release.run(self.name, self.generation);
    },

    endSessionsOf: (node: string, now: number, reason: string): void => sessions.end(node, now, reason),
  };
}

/** What one node does at a time, beside the work of the one that leads. */
function heldWrites(database: SqlDatabase, self: Self) {
  const time = database.prepare('SELECT database_ms() AS time');
  const hold = database.prepare(`
    INSERT INTO lease (name, holder, generation, until) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, generation = excluded.generation, until = excluded.until
      WHERE lease.until < ?5 OR (lease.holder = excluded.holder AND lease.generation = excluded.generation)
        OR NOT EXISTS (SELECT 1 FROM node WHERE node.name = lease.holder AND node.generation = lease.generation
          AND node.state = 'alive')`);
  const holder = database.prepare('SELECT holder FROM lease WHERE name = ?');
  const list = database.prepare(`${NODES} ORDER BY node.name`);
  const releaseOne = database.prepare('UPDATE lease SET until = 0 WHERE name = ? AND holder = ? AND generation = ?');
  return {
    holdLease(name: HeldName): { holder: string | null; nodes: readonly NodeRecord[] } {
      const now = integer(time.get(), 'time');
      const { changes: taken } = hold.run(name, self.name, self.generation, now + HELD_MS, now);
      return {
        holder: Number(taken) > 0 ? null : text(holder.get(name), 'holder'),
        nodes: list.all().map(nodeRecord),
      };
    },

    releaseLease(name: HeldName): void {
      releaseOne.run(name, self.name, self.generation);
    },
  };
}

/** One node does what has to be done once: who has the lease, until it is late. */
function leaderWrites(database: SqlDatabase, self: Self) {
  const take = database.prepare(`
    INSERT INTO lease (name, holder, generation, until) VALUES ('leader', ?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, generation = excluded.generation, until = excluded.until
      WHERE lease.until < ?4 OR (lease.holder = excluded.holder AND lease.generation = excluded.generation)`);
  const dead = database.prepare("SELECT name FROM node WHERE state = 'alive' AND last_seen_at < ? AND name <> ?");
  const giveUp = database.prepare("UPDATE node SET state = 'dead', generation = generation + 1 WHERE name = ?");
  const pruneTo = database.prepare('SELECT coalesce(max(number), 0) AS last FROM shared_change WHERE at < ?');
  const prune = database.prepare('DELETE FROM shared_change WHERE number <= ?');
  const note = database.prepare(`
    INSERT INTO counter (name, value) VALUES ('shared_changes_pruned', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`);
  const sessions = sessionsOfNodes(database);
  let prunedAt = 0;
  let [lastAt, steadySince] = [0, 0];
  return {
    take(now: number): void {
      const { name, generation } = self;
      // While PostgreSQL was away no node could say that it is alive: others have as long as this one to do so.
      if (now - lastAt > STEADY_MS) steadySince = now;
      lastAt = now;
      if (Number(take.run(name, generation, now + NODE_DEAD_MS, now).changes) === 0) return;
      const silent = now - steadySince < NODE_DEAD_MS ? [] : dead.all(now - NODE_DEAD_MS, name);
      for (const row of silent) {
        giveUp.run(text(row, 'name'));
        sessions.end(
          text(row, 'name'),
          now,
          keptReason({ code: 'central_ended', message: 'the node that held it is dead' }),
        );
      }
      if (now - prunedAt < CHANGES_KEPT_MS / 10) return;
      prunedAt = now;
      const last = integer(pruneTo.get(now - CHANGES_KEPT_MS), 'last');
      if (last > 0 && Number(prune.run(last).changes) > 0) note.run(last);
    },
  };
}

/** Ends what a node has open, and fences it: a process that is only frozen appends nothing to these logs any more. */
function sessionsOfNodes(database: SqlDatabase) {
  const end = database.prepare(`
    UPDATE agent SET epoch = epoch + 1, session_ended_at = ?1,
      state_since = CASE WHEN state IN ('online', 'degraded') THEN ?1 ELSE state_since END,
      state_reason = CASE WHEN state IN ('online', 'degraded') THEN ?2 ELSE state_reason END,
      state_until = CASE WHEN state IN ('online', 'degraded') THEN NULL ELSE state_until END,
      state = CASE WHEN state IN ('online', 'degraded') THEN ?3 ELSE state END
    WHERE session_node = ?4 AND session IS NOT NULL AND session_ended_at IS NULL`);
  return {
    end(node: string, now: number, reason: string): void {
      end.run(now, reason, stateAfter(reason), node);
    },
  };
}

function nodeRecord(row: Row): NodeRecord {
  // Written by this file and by `join` only.
  const state = text(row, 'state') as NodeRecord['state'];
  return {
    name: text(row, 'name'),
    generation: integer(row, 'generation'),
    version: text(row, 'version'),
    address: textOrNull(row, 'address'),
    startedAt: integer(row, 'started_at'),
    lastSeenAt: integer(row, 'last_seen_at'),
    state,
    leads: integer(row, 'leads') === 1,
    clockOffsetMs: integer(row, 'clock_offset_ms'),
    // The row has what it said last.
    sessions: state === 'alive' ? integer(row, 'sessions') : 0,
    appliedParameters: integer(row, 'applied_parameters'),
    drainedAt: integerOrNull(row, 'drained_at'),
  };
}

function sharedChange(row: Row): SharedChange {
  const labels = textOrNull(row, 'labels_before');
  const body = textOrNull(row, 'body');
  return {
    // Written by notes.ts only.
    subject: text(row, 'subject') as SharedSubject,
    id: text(row, 'id'),
    isDeleted: integer(row, 'is_deleted') === 1,
    labelsBefore: labels === null ? null : (JSON.parse(labels) as SharedChange['labelsBefore']),
    ...(body === null ? {} : { body }),
  };
}
