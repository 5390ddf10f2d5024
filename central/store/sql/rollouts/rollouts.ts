// Writes and reads the rows of rollouts and of the releases of agents (central/store/rollouts/rollout-store.ts).
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { RELEASE_PARTS, type ReleasePart } from '../../../../shared/releases/software.ts';
import { countsByState, integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { TextPage } from '../../../../shared/text-page.ts';
import { storeFault } from '../../errors.ts';
import {
  ROLLOUT_AGENT_STATES,
  rolloutText,
  type AgentRelease,
  type ReportedDigests,
  type RevertCauses,
  type RevertedPart,
  type NewRollout,
  type NewRolloutAgent,
  type ReleaseAgents,
  type RolloutAgentRecord,
  type RolloutAgentState,
  type RolloutCounts,
  type RolloutRecord,
  type RolloutSave,
  type RolloutState,
} from '../../rollouts/rollout-store.ts';
import { MAX_ROLLOUTS } from '../../space/bounds.ts';
import type { auditWrites } from '../rows/audit.ts';

/** Of so many agents a conflict looks for the one that it names first. */
const BUSY = `SELECT rollout_agent.rollout AS number, agent.name FROM rollout_agent JOIN agent ON agent.key = rollout_agent.agent
  WHERE rollout_agent.busy = 1 AND rollout_agent.rollout <> ?1 AND agent.id = ?2`;

export function rolloutWrites(database: SqlDatabase, audit: Pick<ReturnType<typeof auditWrites>, 'appendAudit'>) {
  const count = database.prepare('SELECT count(*) AS rollouts FROM rollout');
  const oldestEnded = database.prepare(
    `SELECT number FROM rollout WHERE state IN ('completed', 'canceled', 'rolled-back') AND NOT EXISTS (
      SELECT 1 FROM rollout_agent WHERE rollout_agent.rollout = rollout.number AND busy = 1) ORDER BY number LIMIT 1`,
  );
  const forget = database.prepare('DELETE FROM rollout WHERE number = ?');
  const forgetAgents = database.prepare('DELETE FROM rollout_agent WHERE rollout = ?');
  const insert = database.prepare('INSERT INTO rollout (state, document) VALUES (?, ?) RETURNING number');
  const update = database.prepare('UPDATE rollout SET state = ?, document = ? WHERE number = ?');
  const insertAgent = database.prepare(`
    INSERT INTO rollout_agent (rollout, agent, state, state_changed_at, eligible, busy, code, detail, hint)
      SELECT ?, key, ?, ?, ?, ?, ?, ?, ? FROM agent WHERE id = ?`);
  const save = agentSaves(database);
  const busy = database.prepare(BUSY);

  const assertFree = (number: number, agentIds: readonly string[]): void => {
    for (const agentId of agentIds) {
      const row = busy.get(number, agentId);
      if (row !== undefined)
        throw storeFault('rollout_conflict', { agent: text(row, 'name'), rollout: `r-${integer(row, 'number')}` });
    }
  };

  /** The oldest one that has ended makes room. */
  const makeRoom = (): void => {
    if (integer(count.get(), 'rollouts') < MAX_ROLLOUTS) return;
    const row = oldestEnded.get();
    if (row === undefined) throw storeFault('rollouts_full', { most: MAX_ROLLOUTS });
    forgetAgents.run(integer(row, 'number'));
    forget.run(integer(row, 'number'));
  };

  return {
    ...reportedWrites(database),
    /** Errors: rollout_conflict, rollouts_full. */
    createRollout(rollout: NewRollout, agents: readonly NewRolloutAgent[]): RolloutRecord {
      makeRoom();
      const busyOnes = agents.filter(({ isBusy = true }) => isBusy);
      assertFree(
        0,
        busyOnes.map(({ agentId }) => agentId),
      );
      const number = integer(insert.get(rollout.state, JSON.stringify(rollout)), 'number');
      for (const { agentId, isEligible, isBusy = true, state = 'waiting', code = '', detail = '', hint = '' } of agents)
        insertAgent.run(
          number,
          state,
          rollout.createdAt,
          Number(isEligible),
          isBusy ? 1 : null,
          code,
          detail,
          hint,
          agentId,
        );
      return { ...rollout, number };
    },

    /** Errors: rollout_conflict. */
    saveRollout({ rollout, number, agents, generations, committed, audit: entry }: RolloutSave): void {
      assertFree(
        number,
        agents.filter(({ isBusy }) => isBusy).map(({ agentId }) => agentId),
      );
      if (rollout !== undefined) update.run(rollout.state, JSON.stringify(rollout), number);
      for (const agent of agents) save.agent(number, agent);
      for (const generation of generations) save.generation(generation);
      for (const one of committed) save.committed(number, one);
      if (entry !== undefined) audit.appendAudit(entry);
    },
  };
}

function agentSaves(database: SqlDatabase) {
  const agent = database.prepare(`
    UPDATE rollout_agent SET state = ?, state_changed_at = ?, wave = ?, busy = ?, deadline_at = ?, started_at = ?, attempts = ?,
      generation = ?, target = ?, previous = ?, inconclusive = ?, code = ?, detail = ?, hint = ?, received_bytes = ?,
      total_bytes = ?
    WHERE rollout = ? AND agent = (SELECT key FROM agent WHERE id = ?)`);
  // A generation never shrinks, whatever the caller knew.
  const generation = database.prepare(`
    INSERT INTO agent_release (agent, kind, generation) SELECT key, ?2, ?3 FROM agent WHERE id = ?1
    ON CONFLICT (agent, kind) DO UPDATE SET generation = max(agent_release.generation, excluded.generation)`);
  const commit = database.prepare(`
    INSERT INTO agent_release (agent, kind, desired, rollout) SELECT key, ?2, ?3, ?4 FROM agent WHERE id = ?1
    ON CONFLICT (agent, kind) DO UPDATE SET previous = iif(agent_release.desired IS NOT DISTINCT FROM excluded.desired,
      agent_release.previous, agent_release.desired), desired = excluded.desired,
      rollout = excluded.rollout`);
  return {
    agent(number: number, record: RolloutAgentRecord): void {
      agent.run(
        record.state,
        record.stateChangedAt,
        record.wave,
        record.isBusy ? 1 : null,
        record.deadlineAt,
        record.startedAt,
        record.attempts,
        record.generation,
        record.target,
        record.previous,
        Number(record.isInconclusive),
        record.code,
        record.detail,
        record.hint,
        record.receivedBytes,
        record.totalBytes,
        number,
        record.agentId,
      );
    },
    generation(of: RolloutSave['generations'][number]): void {
      generation.run(of.agentId, of.part, of.generation);
    },
    committed(number: number, { agentId, part, release }: RolloutSave['committed'][number]): void {
      commit.run(agentId, part, release, number);
    },
  };
}

function reportedWrites(database: SqlDatabase) {
  const report = database.prepare(`
    INSERT INTO agent_release (agent, kind, reported, reported_at) SELECT key, ?2, ?3, ?4 FROM agent WHERE id = ?1
    ON CONFLICT (agent, kind) DO UPDATE SET reported = excluded.reported, reported_at = excluded.reported_at
      WHERE agent_release.reported IS DISTINCT FROM excluded.reported`);
  const clear = database.prepare(`
    UPDATE agent_release SET reported = NULL, reported_at = ?3
    WHERE kind = ?2 AND reported IS NOT NULL AND agent = (SELECT key FROM agent WHERE id = ?1)`);
  const revert = database.prepare(`
    UPDATE rollout_agent SET state = 'rolled-back', state_changed_at = ?4, code = ?5, detail = ?6, hint = ?7
    WHERE state = 'succeeded' AND target IS DISTINCT FROM ?3 AND agent = (SELECT key FROM agent WHERE id = ?1)
      AND rollout = (SELECT rollout FROM agent_release WHERE agent_release.agent = rollout_agent.agent AND kind = ?2)
      AND NOT EXISTS (SELECT 1 FROM rollout_agent AS present
        WHERE present.agent = rollout_agent.agent AND present.busy = 1 AND present.target IS NOT DISTINCT FROM ?3)
    RETURNING rollout`);
  return {
    recordReported(agentId: string, releases: ReportedDigests, causes: RevertCauses, now: number): RevertedPart[] {
      return RELEASE_PARTS.flatMap((part) => {
        const digest = releases[part];
        // Most agents never had a release of their software: nothing is written for them.
        if (digest === null && part !== 'profile') clear.run(agentId, part, now);
        else report.run(agentId, part, digest, now);
        const { code, detail, hint } = causes[part];
        const row = revert.get(agentId, part, digest, now, code, detail, hint);
        return row === undefined ? [] : [{ part, rollout: integer(row, 'rollout') }];
      });
    },
  };
}

const SELECT_AGENTS = `SELECT rollout_agent.*, agent.id, agent.name, agent.session_ended_at FROM rollout_agent JOIN agent ON agent.key = rollout_agent.agent`;
const ONE_OF = (column: string, parameter: string): string =>
  `(${parameter} IS NULL OR ${column} IN (SELECT value FROM json_each(${parameter})))`;

export function rolloutReads(database: SqlDatabase) {
  const get = database.prepare('SELECT number, document FROM rollout WHERE number = ?');
  const list = database.prepare(
    `SELECT number, document FROM rollout WHERE number < ?1 AND ${ONE_OF('state', '?3')} ORDER BY number DESC LIMIT ?2`,
  );
  const active = database.prepare(`
    SELECT number, document FROM rollout WHERE state IN ('running', 'paused', 'halted', 'rolling-back')
      OR number IN (SELECT rollout FROM rollout_agent WHERE busy = 1) ORDER BY number`);
  const agents = database.prepare(
    `${SELECT_AGENTS} WHERE rollout = ?1 AND agent.id > ?2 AND ${ONE_OF('rollout_agent.state', '?4')} ORDER BY agent.id LIMIT ?3`,
  );
  const ofAgent = database.prepare(`
    SELECT number, document FROM rollout WHERE number =
      (SELECT rollout FROM rollout_agent WHERE busy = 1 AND agent = (SELECT key FROM agent WHERE id = ?))`);
  const states = database.prepare('SELECT state, count(*) AS rows FROM rollout_agent WHERE rollout = ? GROUP BY state');
  const totals = database.prepare(
    'SELECT count(*) AS total, coalesce(sum(eligible), 0) AS eligible FROM rollout_agent WHERE rollout = ?',
  );
  return {
    ...releaseReads(database),
    getRollout(number: number): RolloutRecord | undefined {
      const row = get.get(number);
      return row === undefined ? undefined : rolloutRecord(row);
    },
    listRollouts(before: number, limit: number, wanted: readonly RolloutState[] | null): RolloutRecord[] {
      const page = new TextPage<RolloutRecord>(limit, rolloutText);
      for (const row of list.iterate(before, limit, wanted === null ? null : JSON.stringify(wanted))) {
        page.add(rolloutRecord(row));
        if (page.isFull) break;
      }
      return page.entries;
    },
    activeRollouts: (): RolloutRecord[] => active.all().map(rolloutRecord),
    agentsOfRollout: (number: number, after: string, limit: number, wanted: readonly RolloutAgentState[] | null) =>
      agents.all(number, after, limit, wanted === null ? null : JSON.stringify(wanted)).map(agentRecord),
    rolloutOfAgent(agentId: string): RolloutRecord | undefined {
      const row = ofAgent.get(agentId);
      return row === undefined ? undefined : rolloutRecord(row);
    },
    rolloutCounts(number: number): RolloutCounts {
      const row = totals.get(number);
      const byState = countsByState(ROLLOUT_AGENT_STATES, states.all(number));
      return { total: integer(row, 'total'), eligible: integer(row, 'eligible'), byState };
    },
  };
}

/** Of rows of agents: one of these, or any. */
const AMONG =
  '(?2 IS NULL OR agent IN (SELECT agent.key FROM agent WHERE agent.id IN (SELECT value FROM json_each(?2))))';

function releaseReads(database: SqlDatabase) {
  const releases = database.prepare(
    'SELECT agent_release.* FROM agent_release JOIN agent ON agent.key = agent_release.agent WHERE agent.id = ? ORDER BY kind',
  );
  const facts = database.prepare(`
    SELECT agent.id, max(agent_release.generation) AS generation, max(iif(kind = ?2, desired, NULL)) AS desired FROM agent_release JOIN agent ON agent.key = agent_release.agent
    WHERE agent.id IN (SELECT value FROM json_each(?1)) GROUP BY agent.id`);
  // One pass over the rows of agents; a profile is named without regard to case, as everywhere.
  const perRelease = database.prepare(`
    SELECT release.name, release.digest, sum(shall.desired) AS desired, sum(shall.reported) AS reported FROM (
      SELECT desired AS digest, count(*) AS desired, 0 AS reported FROM agent_release
        WHERE kind = 'profile' AND desired IS NOT NULL AND ${AMONG} GROUP BY desired
      UNION ALL SELECT reported, 0, count(*) FROM agent_release
        WHERE kind = 'profile' AND reported IS NOT NULL AND ${AMONG} GROUP BY reported
    ) AS shall JOIN release ON release.digest = shall.digest
    WHERE release.kind = 'profile' AND (?1 IS NULL OR release.name = ?1 COLLATE NOCASE)
    GROUP BY release.number ORDER BY release.number DESC`);
  return {
    agentsPerRelease: (profile: string | null, agentIds: readonly string[] | null): ReleaseAgents[] =>
      perRelease.all(profile, agentIds === null ? null : JSON.stringify(agentIds)).map((row) => ({
        profile: text(row, 'name'),
        release: text(row, 'digest'),
        desiredCount: integer(row, 'desired'),
        reportedCount: integer(row, 'reported'),
      })),
    releasesOfAgent: (agentId: string): AgentRelease[] =>
      releases.all(agentId).map((row) => ({
        agentId,
        // Written from a ReleasePart only.
        part: text(row, 'kind') as ReleasePart,
        desired: textOrNull(row, 'desired'),
        previous: textOrNull(row, 'previous'),
        generation: integer(row, 'generation'),
        rollout: integerOrNull(row, 'rollout'),
        reported: textOrNull(row, 'reported'),
        reportedAt: integerOrNull(row, 'reported_at'),
      })),
    releaseFacts: (part: ReleasePart, agentIds: readonly string[]) =>
      Object.fromEntries(
        facts
          .all(JSON.stringify(agentIds), part)
          .map((row) => [
            text(row, 'id'),
            { generation: integer(row, 'generation'), desired: textOrNull(row, 'desired') },
          ]),
      ),
  };
}

function rolloutRecord(row: Row): RolloutRecord {
  // Written from a NewRollout only; from before there were scopes, without one.
  const document = JSON.parse(text(row, 'document')) as Omit<NewRollout, 'scope'> & Partial<Pick<NewRollout, 'scope'>>;
  return { ...document, scope: document.scope ?? null, number: integer(row, 'number') };
}

function agentRecord(row: Row): RolloutAgentRecord {
  return {
    agentId: text(row, 'id'),
    agentName: text(row, 'name'),
    offlineSince: integerOrNull(row, 'session_ended_at'),
    // Written from a RolloutAgentState only.
    state: text(row, 'state') as RolloutAgentState,
    stateChangedAt: integer(row, 'state_changed_at'),
    wave: integerOrNull(row, 'wave'),
    isEligible: integer(row, 'eligible') === 1,
    isBusy: integerOrNull(row, 'busy') === 1,
    deadlineAt: integerOrNull(row, 'deadline_at'),
    startedAt: integerOrNull(row, 'started_at'),
    attempts: integer(row, 'attempts'),
    generation: integerOrNull(row, 'generation'),
    target: textOrNull(row, 'target'),
    previous: textOrNull(row, 'previous'),
    isInconclusive: integer(row, 'inconclusive') === 1,
    code: text(row, 'code'),
    detail: text(row, 'detail'),
    hint: text(row, 'hint'),
    receivedBytes: integer(row, 'received_bytes'),
    totalBytes: integer(row, 'total_bytes'),
  };
}
