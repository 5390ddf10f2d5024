// What comes of many sessions at once, in few statements for all of them: their ends, and what their agents report behind
// each welcome. Nothing is written of a report that says what is stored.
import { RELEASE_PARTS, type ReleasePart } from '../../../../shared/releases/software.ts';
import { integer, text } from '../../../../shared/sqlite/row.ts';
import type { AgentStore, ConsumerReport } from '../../agent-store.ts';
import { consumerState } from '../../agents/consumer-state.ts';
import { stateAfter } from '../../agents/state-reasons.ts';
import type { ReportedDigests, RevertCauses, RevertedPart } from '../../rollouts/rollout-store.ts';
import { isOtherReport } from '../../sql/document-reports.ts';
import { storable, type BlockingConnection } from '../connection/blocking-connection.ts';

export type SessionEnd = Parameters<AgentStore['endSession']>[0];

/** A report that replaces the one before, as its JSON document. */
export interface DocumentReport {
  readonly agentId: string;
  readonly epoch: number;
  readonly report: string;
  /** Of a report of task handlers. */
  readonly queues?: readonly string[];
}

export interface ReleaseReport {
  readonly agentId: string;
  readonly releases: ReportedDigests;
  readonly causes: RevertCauses;
  readonly now: number;
}

/** `alone`: the call of one fails, or has to follow another one of the same agent. */
type Recorded<T = 'recorded'> = T | 'alone';

const END = `UPDATE agent SET session_ended_at = one.now, state_since = CASE WHEN agent.state IN ('online', 'degraded') THEN one.now ELSE agent.state_since END,
    state_reason = CASE WHEN agent.state IN ('online', 'degraded') THEN one.reason ELSE agent.state_reason END,
    state_until = CASE WHEN agent.state IN ('online', 'degraded') THEN one.until ELSE agent.state_until END,
    state = CASE WHEN agent.state IN ('online', 'degraded') THEN one.state ELSE agent.state END
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[]) AS one (id, epoch, now, reason, state, until)
  WHERE agent.id = one.id AND agent.epoch = one.epoch AND agent.session_ended_at IS NULL RETURNING agent.id`;
/** Of sessions that have not been followed by another one. */
const DOCUMENTS = (table: string): string => `WITH known AS (
    SELECT agent.id, agent.key, one.report FROM unnest($1::text[], $2::bigint[], $3::text[]) AS one (id, epoch, report)
      JOIN agent ON agent.id = one.id AND agent.epoch = one.epoch),
  written AS (INSERT INTO ${table} (agent, report) SELECT key, report FROM known
    ON CONFLICT (agent) DO UPDATE SET report = excluded.report WHERE ${isOtherReport(table)} RETURNING agent)
  SELECT known.id, known.key, (written.agent IS NOT NULL)::int AS is_new FROM known LEFT JOIN written ON written.agent = known.key`;
const LEAVE_QUEUES = 'DELETE FROM task_queue_agent WHERE agent = ANY($1::bigint[])';
const SERVE_QUEUES = `INSERT INTO task_queue_agent (queue, agent) SELECT one.queue, one.agent
  FROM unnest($1::text[], $2::bigint[]) AS one (queue, agent) ON CONFLICT DO NOTHING`;
const CONSUMERS = `INSERT INTO consumer_report (agent, epoch, at, report) SELECT agent.key, one.epoch, one.at, one.report
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS one (id, epoch, at, report)
      JOIN agent ON agent.id = one.id AND agent.epoch = one.epoch
  ON CONFLICT (agent) DO UPDATE SET epoch = excluded.epoch, at = excluded.at, report = excluded.report`;
const CONSUMER_STATES = `UPDATE agent SET state = one.state, state_since = one.at, state_reason = one.reason
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[]) AS one (id, epoch, at, state, reason, before)
  WHERE agent.id = one.id AND agent.epoch = one.epoch AND agent.state = one.before RETURNING agent.id`;
/** Most agents never had a release of their software: nothing is written for them. */
const RELEASES = `WITH written AS (INSERT INTO agent_release (agent, kind, reported, reported_at)
    SELECT agent.key, one.kind, one.digest, one.now FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS one (id, kind, digest, now)
      JOIN agent ON agent.id = one.id
      WHERE one.digest IS NOT NULL OR one.kind = 'profile' OR EXISTS (SELECT 1 FROM agent_release AS known
        WHERE known.agent = agent.key AND known.kind = one.kind AND known.reported IS NOT NULL)
    ON CONFLICT (agent, kind) DO UPDATE SET reported = excluded.reported, reported_at = excluded.reported_at
      WHERE agent_release.reported IS DISTINCT FROM excluded.reported RETURNING agent)
  SELECT DISTINCT agent.id FROM written JOIN agent ON agent.key = written.agent`;
const REVERT = `UPDATE rollout_agent SET state = 'rolled-back', state_changed_at = one.now, code = one.code, detail = one.detail, hint = one.hint
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[]) AS one (id, kind, digest, now, code, detail, hint)
    JOIN agent ON agent.id = one.id JOIN agent_release ON agent_release.agent = agent.key AND agent_release.kind = one.kind
  WHERE rollout_agent.state = 'succeeded' AND rollout_agent.target IS DISTINCT FROM one.digest AND rollout_agent.agent = agent.key
    AND rollout_agent.rollout = agent_release.rollout
    AND NOT EXISTS (SELECT 1 FROM rollout_agent AS present
      WHERE present.agent = agent.key AND present.busy = 1 AND present.target IS NOT DISTINCT FROM one.digest)
  RETURNING rollout_agent.rollout, one.id, one.kind`;
const TRUST =
  'UPDATE agent SET trusted = one.trusted FROM unnest($1::text[], $2::text[]) AS one (id, trusted) WHERE agent.id = one.id RETURNING agent.id';

type NoteAgent = (agentId: string) => void;

/** `noteAgent`: other nodes must hear of it (notes.ts). */
export function reportWrites(connection: BlockingConnection, noteAgent: NoteAgent) {
  return {
    ...stateWrites(connection, noteAgent),
    ...documentWrites(connection),
    ...releaseWrites(connection, noteAgent),
    recordTrustOfMany(
      reports: readonly { readonly agentId: string; readonly thumbprints: readonly string[] }[],
    ): Recorded[] {
      const firsts = firstOfEach(reports);
      const { rows } = connection.query(TRUST, [
        Array.from(firsts, ({ agentId }) => agentId),
        Array.from(firsts, ({ thumbprints }) => JSON.stringify(thumbprints)),
      ]);
      return outcomes(reports, firsts, new Set(rows.map((row) => text(row, 'id'))));
    },
  };
}

/** Of which the state of an agent follows. */
function stateWrites(connection: BlockingConnection, noteAgent: NoteAgent) {
  return {
    /** An end of a session that is over changes nothing. */
    endSessions(ends: readonly SessionEnd[]): Recorded[] {
      const { rows } = connection.query(END, [
        ends.map(({ agentId }) => agentId),
        ends.map(({ epoch }) => epoch),
        ends.map(({ now }) => now),
        ends.map(({ reason }) => storable(reason)),
        ends.map(({ reason }) => stateAfter(reason)),
        ends.map(({ until }) => until ?? null),
      ]);
      for (const row of rows) noteAgent(text(row, 'id'));
      return ends.map(() => 'recorded');
    },

    /** Of each agent one. The agents whose state changed. */
    recordConsumersOfMany(reports: readonly ConsumerReport[]): string[] {
      connection.query(CONSUMERS, [
        reports.map(({ agentId }) => agentId),
        reports.map(({ epoch }) => epoch),
        reports.map(({ at }) => at),
        reports.map(({ position, inboxFull, consumers }) => JSON.stringify({ position, inboxFull, consumers })),
      ]);
      const states = reports.flatMap((report) => {
        const become = consumerState(report);
        return become === undefined ? [] : [{ ...report, ...become }];
      });
      if (states.length === 0) return [];
      const { rows } = connection.query(CONSUMER_STATES, [
        states.map(({ agentId }) => agentId),
        states.map(({ epoch }) => epoch),
        states.map(({ at }) => at),
        states.map(({ state }) => state),
        states.map(({ reason }) => storable(reason)),
        states.map(({ before }) => before),
      ]);
      const changed = rows.map((row) => text(row, 'id'));
      for (const id of changed) noteAgent(id);
      return changed;
    },
  };
}

function documentWrites(connection: BlockingConnection) {
  const documents = (table: string, reports: readonly DocumentReport[]) =>
    connection
      .query(DOCUMENTS(table), [
        reports.map(({ agentId }) => agentId),
        reports.map(({ epoch }) => epoch),
        reports.map(({ report }) => report),
      ])
      .rows.map((row) => ({ id: text(row, 'id'), key: integer(row, 'key'), isNew: integer(row, 'is_new') === 1 }));
  return {
    recordServicesOfMany(reports: readonly DocumentReport[]): Recorded[] {
      const firsts = firstOfEach(reports);
      const known = documents('reported_services', [...firsts]);
      return outcomes(reports, firsts, new Set(known.map(({ id }) => id)));
    },

    recordHandlersOfMany(reports: readonly DocumentReport[]): Recorded[] {
      const firsts = firstOfEach(reports);
      const known = documents('task_handlers', [...firsts]);
      const changed = new Map(known.filter(({ isNew }) => isNew).map(({ id, key }) => [id, key]));
      if (changed.size > 0) connection.query(LEAVE_QUEUES, [[...changed.values()]]);
      const served = [...firsts].flatMap(({ agentId, queues = [] }) => {
        const key = changed.get(agentId);
        return key === undefined ? [] : queues.map((queue) => ({ queue: storable(queue), key }));
      });
      if (served.length > 0)
        connection.query(SERVE_QUEUES, [served.map(({ queue }) => queue), served.map(({ key }) => key)]);
      return outcomes(reports, firsts, new Set(known.map(({ id }) => id)));
    },
  };
}

function releaseWrites(connection: BlockingConnection, noteAgent: NoteAgent) {
  return {
    recordReleasesOfMany(reports: readonly ReleaseReport[]): Recorded<readonly RevertedPart[]>[] {
      const firsts = firstOfEach(reports);
      const parts = [...firsts].flatMap(({ agentId, releases, causes, now }) =>
        RELEASE_PARTS.map((part) => ({ agentId, part, digest: releases[part], now, ...causes[part] })),
      );
      const values = [
        parts.map(({ agentId }) => agentId),
        parts.map(({ part }) => part),
        parts.map(({ digest }) => digest),
        parts.map(({ now }) => now),
      ];
      const changed = new Set(connection.query(RELEASES, values).rows.map((row) => text(row, 'id')));
      const { rows } = connection.query(REVERT, [
        ...values,
        parts.map(({ code }) => code),
        parts.map(({ detail }) => storable(detail)),
        parts.map(({ hint }) => hint),
      ]);
      const reverted = new Map<string, RevertedPart[]>();
      for (const row of rows) {
        // As it was passed.
        const one = { part: text(row, 'kind') as ReleasePart, rollout: integer(row, 'rollout') };
        const id = text(row, 'id');
        reverted.set(id, [...(reverted.get(id) ?? []), one]);
        changed.add(id);
      }
      for (const id of changed) noteAgent(id);
      return reports.map((report) => (firsts.has(report) ? (reverted.get(report.agentId) ?? []) : 'alone'));
    },
  };
}

function firstOfEach<R extends { readonly agentId: string }>(reports: readonly R[]): Set<R> {
  const firsts = new Map<string, R>();
  for (const report of reports) if (!firsts.has(report.agentId)) firsts.set(report.agentId, report);
  return new Set(firsts.values());
}

function outcomes<R extends { readonly agentId: string }>(
  reports: readonly R[],
  firsts: ReadonlySet<R>,
  known: ReadonlySet<string>,
): Recorded[] {
  return reports.map((report) => (firsts.has(report) && known.has(report.agentId) ? 'recorded' : 'alone'));
}
