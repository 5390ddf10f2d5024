// Owns the rows of agents: registration, sessions and their epochs, states.
import type { DatabaseSync } from 'node:sqlite';
import type { InboxLog } from '../../../../shared/sqlite/logs/inbox-log.ts';
import type { OutboxLog } from '../../../../shared/sqlite/logs/outbox-log.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { MIN_ID_PREFIX } from '../../agent-names.ts';
import { storeFault } from '../../errors.ts';
import type { AgentCertificate, RevocationReason } from '../../certificate-store.ts';
import type {
  AgentRecord,
  AgentState,
  NewAgent,
  SessionClaim,
  SessionGrant,
  SessionRecord,
} from '../../agent-store.ts';
import type { EnrollmentTokenRecord } from '../../token-store.ts';
import { agentNameRules, BEHIND_ANY, ID_BEGINS_WITH } from './agent-names.ts';
import { revocationOf, type certificateWrites } from './certificates.ts';
import type { tokenWrites } from './tokens.ts';

export interface AgentWritesNeeds {
  readonly certificates: Pick<ReturnType<typeof certificateWrites>, 'assertKeyGood' | 'revokeAll'>;
  readonly now: () => number;
  readonly outbox: OutboxLog;
  readonly inbox: InboxLog;
  readonly tokens: Pick<ReturnType<typeof tokenWrites>, 'isBound' | 'useEnrollmentToken'>;
  readonly namesOfCentral: ReadonlySet<string>;
}

const CERTIFICATE_COLUMNS = [
  'thumbprint',
  'serial',
  'issuer',
  'key_thumbprint',
  'not_before',
  'not_after',
  'issued_at',
  'installed_at',
  'revoked_at',
  'revocation_reason',
] as const;
const certificateColumns = (table: 'current' | 'next'): string =>
  CERTIFICATE_COLUMNS.map((column) => `${table}_one.${column} AS ${table}_one_${column}`).join(', ');

/** One row with both logs and both certificates: look-ups by key, whatever the logs hold. */
const SELECT_AGENT = `
  SELECT agent.*, ${certificateColumns('current')}, ${certificateColumns('next')},
    outbox_log.incarnation AS outbox_incarnation, outbox_log.messages AS outbox_messages, outbox_log.bytes AS outbox_bytes,
    outbox_log.oldest_at AS outbox_oldest_at, inbox_log.incarnation AS inbox_incarnation, inbox_log.number AS inbox_number, inbox_log.last_at AS inbox_last_at
  FROM agent JOIN outbox_log ON outbox_log.peer = agent.key JOIN inbox_log ON inbox_log.peer = agent.key
    LEFT JOIN agent_certificate AS current_one ON current_one.thumbprint = agent.certificate
    LEFT JOIN agent_certificate AS next_one ON next_one.thumbprint = agent.next_certificate`;

export function agentWrites(
  database: DatabaseSync,
  { outbox, inbox, tokens, certificates, namesOfCentral, now }: AgentWritesNeeds,
) {
  const names = agentNameRules(database, { tokens, namesOfCentral });
  const byId = database.prepare(`${SELECT_AGENT} WHERE agent.id = ?`);
  const byKey = database.prepare('SELECT id FROM agent WHERE key_thumbprint = ?');
  const insert = database.prepare(`
    INSERT INTO agent (id, name, public_key, key_thumbprint, enrolled_at, enrolled_by, state, state_since, state_reason, epoch)
    VALUES (?, ?, ?, ?, ?, ?, 'Pending', ?, 'enrolled, not yet connected', 0)`);
  const remove = database.prepare('DELETE FROM agent WHERE key = ?');
  const claim = database.prepare(`
    UPDATE agent SET name = ?, epoch = epoch + 1, session = ?, session_boot = ?, session_version = ?, session_transport = ?, session_address = ?,
      session_node = ?, session_since = ?, session_ended_at = NULL, quarantined_until = NULL, state = 'Online', state_since = ?, state_reason = ?
    WHERE key = ?`);
  // A quarantine outlasts the session that it ends.
  const end = `session_ended_at = ?1, state_since = iif(state = 'Online', ?1, state_since), state_reason = iif(state = 'Online', ?2, state_reason),
    state = iif(state = 'Online', 'Disconnected', state)`;
  const endOne = database.prepare(`UPDATE agent SET ${end} WHERE id = ?3 AND epoch = ?4 AND session_ended_at IS NULL`);
  const endAll = database.prepare(`UPDATE agent SET ${end} WHERE session_node = ?3 AND session_ended_at IS NULL`);
  // A quarantine or a revocation was the old key's: its copies are strangers from now on.
  const heldBack = `state IN ('Quarantined', 'Revoked')`;
  const rekey = database.prepare(`
    UPDATE agent SET public_key = ?1, key_thumbprint = ?2, epoch = epoch + 1, quarantined_until = NULL, revocation_reason = NULL,
      next_public_key = NULL, next_key_thumbprint = NULL, next_certificate = NULL,
      state_since = iif(${heldBack}, ?3, state_since), state_reason = iif(${heldBack}, ?4, state_reason), state = iif(${heldBack}, 'Disconnected', state)
    WHERE id = ?5`);
  const quarantine = database.prepare(
    `UPDATE agent SET quarantined_until = ?, state = 'Quarantined', state_since = ?, state_reason = ? WHERE id = ?`,
  );

  const promote = database.prepare(`
    UPDATE agent SET public_key = next_public_key, key_thumbprint = next_key_thumbprint, certificate = next_certificate,
      next_public_key = NULL, next_key_thumbprint = NULL, next_certificate = NULL WHERE key = ?`);
  // The epoch grows, so that a session that stands can write nothing any more.
  const revoke = database.prepare(`
    UPDATE agent SET state = 'Revoked', state_since = ?1, state_reason = ?2, revocation_reason = ?3, epoch = epoch + 1, quarantined_until = NULL,
      session_ended_at = iif(session IS NULL, NULL, coalesce(session_ended_at, ?1)), next_public_key = NULL, next_key_thumbprint = NULL, next_certificate = NULL WHERE key = ?4`);

  // One that was made for another reason must not lift it again.
  const forgetRescue = database.prepare('DELETE FROM rescue_code WHERE agent = ?');

  function find(id: string): Row {
    const row = byId.get(id);
    if (row === undefined) throw storeFault('agent_unknown', { id });
    return row;
  }

  function admitAgent(agent: NewAgent, by: string, token: EnrollmentTokenRecord | null): AgentRecord {
    const existing = byId.get(agent.id);
    if (existing !== undefined && text(existing, 'key_thumbprint') === agent.keyThumbprint) {
      if (text(existing, 'state') === 'Revoked') throw storeFault('agent_revoked', { id: agent.id });
      return agentRecord(existing);
    }
    if (existing !== undefined) throw storeFault('agent_id_taken', { id: agent.id });
    const known = byKey.get(agent.keyThumbprint);
    if (known !== undefined) throw storeFault('agent_key_known', { owner: text(known, 'id') });
    certificates.assertKeyGood(agent.keyThumbprint);
    names.assertFree(agent, token);
    const { lastInsertRowid } = insert.run(
      agent.id,
      agent.name,
      agent.publicKey,
      agent.keyThumbprint,
      agent.now,
      by,
      agent.now,
    );
    outbox.create(Number(lastInsertRowid));
    inbox.create(Number(lastInsertRowid));
    return agentRecord(find(agent.id));
  }

  return {
    registerAgent(agent: NewAgent, tokenId: string): AgentRecord {
      const existing = byId.get(agent.id);
      const same = existing !== undefined && text(existing, 'key_thumbprint') === agent.keyThumbprint;
      if (same && text(existing, 'state') === 'Revoked') throw storeFault('agent_revoked', { id: agent.id });
      // The answer to the first enrollment got lost: the token was used for this very agent, and is not used up again.
      if (same && text(existing, 'enrolled_by') === tokenId) return agentRecord(existing);
      return admitAgent(agent, tokenId, tokens.useEnrollmentToken(tokenId, agent.now));
    },

    admitAgent: (agent: NewAgent, by: string): AgentRecord => admitAgent(agent, by, null),

    /** The session of the key before is over: it may write nothing any more. The same key again changes nothing. */
    replaceKey(
      id: string,
      { publicKey, keyThumbprint }: Pick<NewAgent, 'publicKey' | 'keyThumbprint'>,
      now: number,
      reason: string,
    ): AgentRecord {
      const row = find(id);
      if (text(row, 'key_thumbprint') === keyThumbprint) return agentRecord(row);
      const known = byKey.get(keyThumbprint);
      if (known !== undefined) throw storeFault('agent_key_known', { owner: text(known, 'id') });
      certificates.assertKeyGood(keyThumbprint);
      endOne.run(now, reason, id, integer(row, 'epoch'));
      rekey.run(publicKey, keyThumbprint, now, reason, id);
      certificates.revokeAll(id, now, 'superseded');
      return agentRecord(find(id));
    },

    removeAgent(id: string): void {
      const key = integer(find(id), 'key');
      outbox.remove(key);
      inbox.remove(key);
      certificates.revokeAll(id, now(), 'cessationOfOperation');
      remove.run(key);
    },

    claimSession(session: SessionClaim): SessionGrant {
      const row = find(session.agentId);
      const promoted = textOrNull(row, 'next_key_thumbprint') === session.keyThumbprint;
      const before = text(row, 'key_thumbprint');
      if (!promoted && before !== session.keyThumbprint) throw storeFault('agent_unknown', { id: session.agentId });
      if (text(row, 'state') === 'Revoked') throw storeFault('agent_revoked', { id: session.agentId });
      // The name that it has, it keeps, even one from before there were rules.
      if (session.name.toLowerCase() !== text(row, 'name').toLowerCase())
        names.assertNameFree(session.name, session.agentId, null, session.now);
      const key = integer(row, 'key');
      const { now } = session;
      if (promoted) {
        // Somebody enrolled meanwhile with the key that was to be this agent's.
        if (byKey.get(session.keyThumbprint) !== undefined) throw storeFault('agent_unknown', { id: session.agentId });
        promote.run(key);
        certificates.revokeAll(session.agentId, now, 'superseded', before);
      }
      claim.run(
        session.name,
        session.session,
        session.bootId,
        session.version,
        session.transport,
        session.address,
        session.node,
        now,
        now,
        `connected over ${session.transport} from ${session.address}`,
        key,
      );
      return { epoch: integer(row, 'epoch') + 1, up: inbox.position(key), promoted };
    },

    endSession(agentId: string, epoch: number, now: number, reason: string): void {
      endOne.run(now, reason, agentId, epoch);
    },

    endSessionsOfNode(node: string, now: number, reason: string): void {
      endAll.run(now, reason, node);
    },

    revokeAgent(agentId: string, reason: RevocationReason, at: number, why: string): number {
      const row = find(agentId);
      const key = integer(row, 'key');
      revoke.run(at, why, reason, key);
      forgetRescue.run(key);
      certificates.revokeAll(agentId, at, reason);
      return integer(row, 'epoch') + 1;
    },

    quarantineAgent(agentId: string, until: number, now: number, reason: string): void {
      if (quarantine.run(until, now, reason, agentId).changes === 0) throw storeFault('agent_unknown', { id: agentId });
    },
  };
}

/** The number of an agent in the logs. Errors: agent_unknown; stale_epoch when an epoch is given and no longer the agent's. */
export function agentKeys(database: DatabaseSync) {
  const select = database.prepare('SELECT key, epoch FROM agent WHERE id = ?');
  return {
    of(id: string): number {
      const row = select.get(id);
      if (row === undefined) throw storeFault('agent_unknown', { id });
      return integer(row, 'key');
    },
    ofSession(id: string, epoch: number): number {
      const row = select.get(id);
      if (row === undefined || integer(row, 'epoch') !== epoch) throw storeFault('stale_epoch', { id });
      return integer(row, 'key');
    },
  };
}

export function agentReads(database: DatabaseSync) {
  const byId = database.prepare(`${SELECT_AGENT} WHERE agent.id = ?`);
  const byKey = database.prepare(`${SELECT_AGENT} WHERE agent.key_thumbprint = ?`);
  const byName = database.prepare(`${SELECT_AGENT} WHERE agent.name = ?`);
  const byPrefix = database.prepare(
    `${SELECT_AGENT} WHERE ${ID_BEGINS_WITH} ORDER BY agent.id COLLATE NOCASE LIMIT ?3`,
  );
  const page = database.prepare(
    `${SELECT_AGENT} WHERE agent.name > ? AND (?2 IS NULL OR agent.state = ?2) ORDER BY agent.name LIMIT ?3`,
  );
  const inState = database.prepare('SELECT count(*) AS agents FROM agent WHERE state = ?');
  return {
    countAgentsInState: (state: AgentState): number => integer(inState.get(state), 'agents'),
    getAgent: (id: string) => oneAgent(byId.get(id)),
    findAgentByKey: (keyThumbprint: string) => oneAgent(byKey.get(keyThumbprint)),
    findAgentByName: (name: string) => oneAgent(byName.get(name)),
    findAgentsByReference(reference: string, limit: number): AgentRecord[] {
      const exact = byId.get(reference) ?? byName.get(reference);
      if (exact !== undefined) return [agentRecord(exact)];
      return reference.length < MIN_ID_PREFIX
        ? []
        : byPrefix.all(reference, `${reference}${BEHIND_ANY}`, limit).map(agentRecord);
    },
    listAgents: (after: string, limit: number, state: AgentState | null) =>
      page.all(after, state, limit).map(agentRecord),
  };
}

function oneAgent(row: Row | undefined): AgentRecord | undefined {
  return row === undefined ? undefined : agentRecord(row);
}

function agentRecord(row: Row): AgentRecord {
  return {
    id: text(row, 'id'),
    name: text(row, 'name'),
    publicKey: text(row, 'public_key'),
    keyThumbprint: text(row, 'key_thumbprint'),
    enrolledAt: integer(row, 'enrolled_at'),
    enrolledBy: text(row, 'enrolled_by'),
    // Written by the statements above only.
    state: text(row, 'state') as AgentState,
    stateSince: integer(row, 'state_since'),
    stateReason: text(row, 'state_reason'),
    epoch: integer(row, 'epoch'),
    session: sessionRecord(row),
    quarantinedUntil: integerOrNull(row, 'quarantined_until'),
    certificate: certificateOf(row, 'current'),
    next: nextOf(row),
    revocation: revocationOf(row, 'state_since', 'revocation_reason'),
    outbox: {
      incarnation: text(row, 'outbox_incarnation'),
      messages: integer(row, 'outbox_messages'),
      bytes: integer(row, 'outbox_bytes'),
      oldestAt: integerOrNull(row, 'outbox_oldest_at'),
    },
    inbox: {
      incarnation: textOrNull(row, 'inbox_incarnation'),
      number: integer(row, 'inbox_number'),
      lastAt: integerOrNull(row, 'inbox_last_at'),
    },
  };
}

function nextOf(row: Row): AgentRecord['next'] {
  const certificate = certificateOf(row, 'next');
  return certificate === null
    ? null
    : { publicKey: text(row, 'next_public_key'), keyThumbprint: text(row, 'next_key_thumbprint'), certificate };
}

function certificateOf(row: Row, which: 'current' | 'next'): AgentCertificate | null {
  const column = (name: (typeof CERTIFICATE_COLUMNS)[number]): string => `${which}_one_${name}`;
  const thumbprint = textOrNull(row, column('thumbprint'));
  if (thumbprint === null) return null;
  return {
    thumbprint,
    serial: text(row, column('serial')),
    issuer: text(row, column('issuer')),
    keyThumbprint: text(row, column('key_thumbprint')),
    notBefore: integer(row, column('not_before')),
    notAfter: integer(row, column('not_after')),
    issuedAt: integer(row, column('issued_at')),
    installedAt: integerOrNull(row, column('installed_at')),
    revoked: revocationOf(row, column('revoked_at'), column('revocation_reason')),
  };
}

function sessionRecord(row: Row): SessionRecord | null {
  const session = textOrNull(row, 'session');
  if (session === null) return null;
  return {
    session,
    bootId: text(row, 'session_boot'),
    version: text(row, 'session_version'),
    transport: text(row, 'session_transport') as SessionRecord['transport'],
    address: text(row, 'session_address'),
    node: text(row, 'session_node'),
    since: integer(row, 'session_since'),
    endedAt: integerOrNull(row, 'session_ended_at'),
  };
}
