// Writes agents: registration, keys, sessions and their epochs, quarantine and revocation. agent-reads.ts reads them.
import type { SqlDatabase } from '../../../../../shared/sqlite/sql.ts';
import type { InboxLog } from '../../../../../shared/sqlite/logs/inbox-log.ts';
import type { OutboxLog } from '../../../../../shared/sqlite/logs/outbox-log.ts';
import { integer, text, textOrNull, type Row } from '../../../../../shared/sqlite/row.ts';
import type {
  AgentRecord,
  ClaimedSession,
  ConsumerReport,
  KnownBegin,
  NewAgent,
  RefusedHello,
  SessionClaim,
} from '../../../agent-store.ts';
import type { RevocationReason } from '../../../certificate-store.ts';
import type { Labels } from '../../../agents/labels.ts';
import { consumerState } from '../../../agents/consumer-state.ts';
import { codeOf, stateAfter, stateOfRefused, stateReason } from '../../../agents/state-reasons.ts';
import { storeFault } from '../../../errors.ts';
import type { EnrollmentTokenRecord } from '../../../token-store.ts';
import { agentChanges } from './agent-changes.ts';
import { agentNameRules } from './agent-names.ts';
import { agentReplacement } from './agent-replacement.ts';
import { agentRecord, findById, SELECT_AGENT } from './agent-reads.ts';
import type { certificateWrites } from '../certificates.ts';
import type { tokenWrites } from '../tokens.ts';

interface AgentWritesNeeds {
  readonly certificates: Pick<ReturnType<typeof certificateWrites>, 'assertKeyGood' | 'revokeAll'>;
  readonly now: () => number;
  readonly outbox: OutboxLog;
  readonly inbox: InboxLog;
  readonly tokens: Pick<ReturnType<typeof tokenWrites>, 'isBound' | 'useEnrollmentToken'>;
  readonly namesOfCentral: ReadonlySet<string>;
}

export function agentWrites(database: SqlDatabase, needs: AgentWritesNeeds) {
  const registrations = registrationWrites(database, needs);
  return {
    ...registrations,
    ...agentReplacement(database, { outbox: needs.outbox, removeAgent: (id) => registrations.removeAgent(id) }),
    ...sessionWrites(database, needs),
    ...restrictionWrites(database, needs),
    ...agentChanges(database, needs),
    ...consumerWrites(database),
  };
}

const HAS_SESSION = `state IN ('online', 'degraded')`;
const END_SESSION = (where: string): string =>
  // A quarantine outlasts the session that it ends.
  `UPDATE agent SET session_ended_at = ?1, state_since = iif(${HAS_SESSION}, ?1, state_since), state_reason = iif(${HAS_SESSION}, ?2, state_reason),
    state_until = iif(${HAS_SESSION}, ?4, state_until), state = iif(${HAS_SESSION}, ?3, state) WHERE ${where} AND session_ended_at IS NULL`;
const NEW_AGENT = stateReason('not_yet_connected', {});
const END_ONE_SESSION = END_SESSION('id = ?5 AND epoch = ?6');

function registrationWrites(
  database: SqlDatabase,
  { outbox, inbox, tokens, certificates, namesOfCentral, now }: AgentWritesNeeds,
) {
  const names = agentNameRules(database, { tokens, namesOfCentral });
  const find = findById(database);
  const byId = database.prepare(`${SELECT_AGENT} WHERE agent.id = ?`);
  const byKey = database.prepare('SELECT id FROM agent WHERE key_thumbprint = ?');
  const insert = database.prepare(`
    INSERT INTO agent (id, name, public_key, key_thumbprint, enrolled_at, enrolled_by, state, state_since, state_reason, epoch)
    VALUES (?, ?, ?, ?, ?, ?, 'enrolled', ?, ?, 0) RETURNING key`);
  const remove = database.prepare('DELETE FROM agent WHERE key = ?');

  /** Errors: agent_key_known, agent_key_revoked. */
  function assertKeyFree(keyThumbprint: string): void {
    const known = byKey.get(keyThumbprint);
    if (known !== undefined) throw storeFault('agent_key_known', { owner: text(known, 'id') });
    certificates.assertKeyGood(keyThumbprint);
  }

  function admitAgent(agent: NewAgent, by: string, token: EnrollmentTokenRecord | null): AgentRecord {
    const { id, name, publicKey, keyThumbprint, now: at } = agent;
    const existing = byId.get(id);
    if (existing !== undefined && text(existing, 'key_thumbprint') === keyThumbprint) {
      if (text(existing, 'state') === 'revoked') throw storeFault('agent_revoked', { id });
      return agentRecord(existing);
    }
    if (existing !== undefined) throw storeFault('agent_id_taken', { id });
    assertKeyFree(keyThumbprint);
    names.assertFree(agent, token);
    const key = integer(insert.get(id, name, publicKey, keyThumbprint, at, by, at, NEW_AGENT), 'key');
    outbox.create(key);
    inbox.create(key);
    return agentRecord(find(id));
  }

  return {
    ...keyWrites(database, { certificates, assertKeyFree }),

    registerAgent(agent: NewAgent, tokenId: string): AgentRecord {
      const existing = byId.get(agent.id);
      const same = existing !== undefined && text(existing, 'key_thumbprint') === agent.keyThumbprint;
      if (same && text(existing, 'state') === 'revoked') throw storeFault('agent_revoked', { id: agent.id });
      // The answer to the first enrollment was lost: the token was used for this very agent, and no second use is
      // consumed.
      if (same && text(existing, 'enrolled_by') === tokenId) return agentRecord(existing);
      return admitAgent(agent, tokenId, tokens.useEnrollmentToken(tokenId, agent.now));
    },

    admitAgent: (agent: NewAgent, by: string): AgentRecord => admitAgent(agent, by, null),

    removeAgent(id: string): Labels {
      const row = find(id);
      const key = integer(row, 'key');
      outbox.remove(key);
      inbox.remove(key);
      certificates.revokeAll(id, now(), 'cessationOfOperation');
      remove.run(key);
      return agentRecord(row).labels;
    },
  };
}

function keyWrites(
  database: SqlDatabase,
  needs: Pick<AgentWritesNeeds, 'certificates'> & { readonly assertKeyFree: (keyThumbprint: string) => void },
) {
  const find = findById(database);
  const endSession = database.prepare(END_ONE_SESSION);
  // What held the old key back applies to it alone: its copies are strangers from now on.
  const heldBack = `state IN ('quarantined', 'revoked', 'unauthenticated', 'misconfigured', 'throttled')`;
  const rekey = database.prepare(`
    UPDATE agent SET public_key = ?1, key_thumbprint = ?2, epoch = epoch + 1, quarantined_until = NULL, revocation_reason = NULL,
      next_public_key = NULL, next_key_thumbprint = NULL, next_certificate = NULL,
      state_since = iif(${heldBack}, ?3, state_since), state_reason = iif(${heldBack}, ?4, state_reason), state = iif(${heldBack}, 'disconnected', state)
    WHERE id = ?5`);
  return {
    /** Ends the session of the old key, which can write nothing from now on. The same key again changes nothing. */
    replaceKey(
      id: string,
      { publicKey, keyThumbprint }: Pick<NewAgent, 'publicKey' | 'keyThumbprint'>,
      now: number,
      reason: string,
    ): AgentRecord {
      const row = find(id);
      if (text(row, 'key_thumbprint') === keyThumbprint) return agentRecord(row);
      needs.assertKeyFree(keyThumbprint);
      endSession.run(now, reason, 'disconnected', null, id, integer(row, 'epoch'));
      rekey.run(publicKey, keyThumbprint, now, reason, id);
      needs.certificates.revokeAll(id, now, 'superseded');
      return agentRecord(find(id));
    },
  };
}

/** A claimed session without its commands. */
type AgentClaim = Omit<ClaimedSession, 'down' | 'newest'>;

function sessionWrites(database: SqlDatabase, { inbox, tokens, certificates, namesOfCentral }: AgentWritesNeeds) {
  const names = agentNameRules(database, { tokens, namesOfCentral });
  const find = findById(database);
  const byKey = database.prepare('SELECT id FROM agent WHERE key_thumbprint = ?');
  const claim = database.prepare(`
    UPDATE agent SET version = version + iif(name <> ?1 COLLATE BINARY, 1, 0), name = ?1, epoch = epoch + 1, session = ?, session_boot = ?, session_version = ?, session_transport = ?, session_address = ?,
      session_node = ?, session_since = ?, session_ended_at = NULL, quarantined_until = NULL, state = 'online', state_since = ?, state_reason = ?
    WHERE key = ?`);
  const endOne = database.prepare(END_ONE_SESSION);
  const endAll = database.prepare(END_SESSION('session IS NOT NULL'));
  const promote = database.prepare(`
    UPDATE agent SET public_key = next_public_key, key_thumbprint = next_key_thumbprint, certificate = next_certificate,
      next_public_key = NULL, next_key_thumbprint = NULL, next_certificate = NULL WHERE key = ?`);

  return {
    /** `row`: the agent's, when it was read already. */
    claimSession(session: Omit<SessionClaim, 'down'>, row = find(session.agentId)): AgentClaim {
      const { agentId, now, transport, address } = session;
      const promoted = textOrNull(row, 'next_key_thumbprint') === session.keyThumbprint;
      const before = text(row, 'key_thumbprint');
      if (!promoted && before !== session.keyThumbprint) throw storeFault('agent_unknown', { id: agentId });
      if (text(row, 'state') === 'revoked') throw storeFault('agent_revoked', { id: agentId });
      if (text(row, 'state') === 'disabled') throw storeFault('agent_disabled', { id: agentId });
      const known = text(row, 'name');
      const name = integer(row, 'name_set') === 1 ? known : session.name;
      // An agent keeps its current name, even one from before there were rules.
      if (name.toLowerCase() !== known.toLowerCase()) names.assertNameFree(name, agentId, null, now);
      const key = integer(row, 'key');
      if (promoted) {
        // Another agent enrolled meanwhile with the key that was to be this agent's.
        if (byKey.get(session.keyThumbprint) !== undefined) throw storeFault('agent_unknown', { id: agentId });
        promote.run(key);
        certificates.revokeAll(agentId, now, 'superseded', before);
      }
      const { session: id, bootId, version, node } = session;
      const reason = stateReason('session_opened', { transport, address });
      claim.run(name, id, bootId, version, transport, address, node, now, now, reason, key);
      return { epoch: integer(row, 'epoch') + 1, key, name, up: inbox.position(key), begun: knownBegin(row), promoted };
    },

    endSession(agentId: string, epoch: number, now: number, reason: string, until: number | null): void {
      endOne.run(now, reason, stateAfter(reason), until, agentId, epoch);
    },

    endAbandonedSessions(now: number, reason: string): void {
      endAll.run(now, reason, stateAfter(reason), null);
    },
  };
}

/** Null: no `begin` was noted yet. */
export function knownBegin(row: Row): KnownBegin | null {
  const [incarnation, number] = [textOrNull(row, 'inbox_incarnation'), integer(row, 'inbox_number')];
  if (incarnation === null) return null;
  return { incarnation, next: number + 1, deduplicates: integer(row, 'inbox_deduplicates') === 1 };
}

function restrictionWrites(database: SqlDatabase, { certificates }: AgentWritesNeeds) {
  const find = findById(database);
  const quarantine = database.prepare(
    `UPDATE agent SET quarantined_until = ?, state = 'quarantined', state_since = ?, state_reason = ?
      WHERE id = ? AND state NOT IN ('disabled', 'revoked')`,
  );
  const refused = database.prepare(`
    UPDATE agent SET state = ?1, state_since = ?2, state_reason = ?3, state_until = ?4
      WHERE id = ?5 AND (key_thumbprint = ?6 OR next_key_thumbprint = ?6) AND NOT ${HAS_SESSION}
        AND state NOT IN ('quarantined', 'disabled', 'revoked') AND NOT (state = ?1 AND substr(state_reason, 1, length(?7)) = ?7)`);
  // The epoch grows, so that an open session can write nothing any more.
  const revoke = database.prepare(`
    UPDATE agent SET state = 'revoked', state_since = ?1, state_reason = ?2, revocation_reason = ?3, epoch = epoch + 1, quarantined_until = NULL,
      session_ended_at = iif(session IS NULL, NULL, coalesce(session_ended_at, ?1)), next_public_key = NULL, next_key_thumbprint = NULL, next_certificate = NULL WHERE key = ?4`);
  // A code that was made for another reason must not lift the revocation.
  const forgetRecoveryCode = database.prepare('DELETE FROM recovery_code WHERE agent = ?');
  return {
    revokeAgent(agentId: string, reason: RevocationReason, at: number, why: string): number {
      const row = find(agentId);
      const key = integer(row, 'key');
      revoke.run(at, why, reason, key);
      forgetRecoveryCode.run(key);
      certificates.revokeAll(agentId, at, reason);
      return integer(row, 'epoch') + 1;
    },

    recordRefusedHello({ agentId, keyThumbprint, reason, until, now }: RefusedHello): void {
      const code = codeOf(reason);
      const state = stateOfRefused(code);
      if (state !== undefined) refused.run(state, now, reason, until, agentId, keyThumbprint, `${code}: `);
    },

    quarantineAgent(agentId: string, until: number, now: number, reason: string): void {
      find(agentId);
      quarantine.run(until, now, reason, agentId);
    },
  };
}

/**
 * The number of an agent in the logs. Errors: agent_unknown, agent_revoked; stale_epoch when the epoch is no longer the
 * agent's.
 */
export function agentKeys(database: SqlDatabase) {
  const select = database.prepare('SELECT key, epoch, state FROM agent WHERE id = ?');
  return {
    /** For commands: an agent that may connect. */
    of(id: string): number {
      const row = select.get(id);
      if (row === undefined) throw storeFault('agent_unknown', { id });
      if (text(row, 'state') === 'revoked') throw storeFault('agent_revoked', { id });
      return integer(row, 'key');
    },
    ofSession(id: string, epoch: number): number {
      const row = select.get(id);
      if (row === undefined || integer(row, 'epoch') !== epoch) throw storeFault('stale_epoch', { id });
      return integer(row, 'key');
    },
  };
}

/** What agents reported of the consumers of their commands. */
function consumerWrites(database: SqlDatabase) {
  const record = database.prepare(`
    INSERT INTO consumer_report (agent, epoch, at, report) SELECT key, ?2, ?3, ?4 FROM agent WHERE id = ?1 AND epoch = ?2
    ON CONFLICT (agent) DO UPDATE SET epoch = excluded.epoch, at = excluded.at, report = excluded.report`);
  const change = database.prepare(
    'UPDATE agent SET state = ?1, state_since = ?2, state_reason = ?3 WHERE id = ?4 AND epoch = ?5 AND state = ?6',
  );
  return {
    recordConsumers(reports: readonly ConsumerReport[]): string[] {
      const changed: string[] = [];
      for (const report of reports) {
        const { agentId, epoch, at, position, inboxFull, consumers } = report;
        record.run(agentId, epoch, at, JSON.stringify({ position, inboxFull, consumers }));
        const become = consumerState(report);
        if (become === undefined) continue;
        if (change.run(become.state, at, become.reason, agentId, epoch, become.before).changes > 0)
          changed.push(agentId);
      }
      return changed;
    },
  };
}
