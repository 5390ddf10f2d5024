// Owns the rows of agents: registration, sessions and their epochs, states.
import type { DatabaseSync } from 'node:sqlite';
import type { InboxLog } from '../../../shared/sqlite/inbox-log.ts';
import type { OutboxLog } from '../../../shared/sqlite/outbox-log.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../shared/sqlite/row.ts';
import { storeFault } from '../errors.ts';
import type { AgentRecord, AgentState, NewAgent, SessionClaim, SessionGrant, SessionRecord } from '../store.ts';
import type { tokenWrites } from './tokens.ts';

export interface AgentWritesNeeds {
  readonly outbox: OutboxLog;
  readonly inbox: InboxLog;
  readonly tokens: Pick<ReturnType<typeof tokenWrites>, 'useEnrolmentToken'>;
}

/** One row with both logs: three look-ups by key, whatever the logs hold. */
const SELECT_AGENT = `
  SELECT agent.*, outbox_log.incarnation AS outbox_incarnation, outbox_log.messages AS outbox_messages, outbox_log.bytes AS outbox_bytes,
    outbox_log.oldest_at AS outbox_oldest_at, inbox_log.incarnation AS inbox_incarnation, inbox_log.number AS inbox_number, inbox_log.last_at AS inbox_last_at
  FROM agent JOIN outbox_log ON outbox_log.peer = agent.key JOIN inbox_log ON inbox_log.peer = agent.key`;

export function agentWrites(database: DatabaseSync, { outbox, inbox, tokens }: AgentWritesNeeds) {
  const byId = database.prepare(`${SELECT_AGENT} WHERE agent.id = ?`);
  const byKey = database.prepare('SELECT id FROM agent WHERE key_thumbprint = ?');
  const byName = database.prepare('SELECT id FROM agent WHERE name = ?');
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
    UPDATE agent SET public_key = ?1, key_thumbprint = ?2, epoch = epoch + 1, quarantined_until = NULL,
      state_since = iif(${heldBack}, ?3, state_since), state_reason = iif(${heldBack}, ?4, state_reason), state = iif(${heldBack}, 'Disconnected', state)
    WHERE id = ?5`);
  const quarantine = database.prepare(`UPDATE agent SET quarantined_until = ?, state = 'Quarantined', state_since = ?, state_reason = ? WHERE id = ?`);

  function find(id: string): Row {
    const row = byId.get(id);
    if (row === undefined) throw storeFault('agent_unknown', { id });
    return row;
  }

  function ownerOfName(name: string): string | undefined {
    const row = byName.get(name);
    return row === undefined ? undefined : text(row, 'id');
  }

  function admitAgent(agent: NewAgent, by: string): AgentRecord {
    const existing = byId.get(agent.id);
    if (existing !== undefined && text(existing, 'key_thumbprint') === agent.keyThumbprint) return agentRecord(existing);
    if (existing !== undefined) throw storeFault('agent_id_taken', { id: agent.id });
    const known = byKey.get(agent.keyThumbprint);
    if (known !== undefined) throw storeFault('agent_key_known', { owner: text(known, 'id') });
    const owner = ownerOfName(agent.name);
    if (owner !== undefined) throw storeFault('agent_name_taken', { name: agent.name, owner });
    const { lastInsertRowid } = insert.run(agent.id, agent.name, agent.publicKey, agent.keyThumbprint, agent.now, by, agent.now);
    outbox.create(Number(lastInsertRowid));
    inbox.create(Number(lastInsertRowid));
    return agentRecord(find(agent.id));
  }

  return {
    registerAgent(agent: NewAgent, tokenId: string): AgentRecord {
      const existing = byId.get(agent.id);
      const same = existing !== undefined && text(existing, 'key_thumbprint') === agent.keyThumbprint;
      // The answer to the first enrolment got lost: the token was used for this very agent, and is not used up again.
      if (same && text(existing, 'enrolled_by') === tokenId) return agentRecord(existing);
      tokens.useEnrolmentToken(tokenId, agent.now);
      return admitAgent(agent, tokenId);
    },

    admitAgent,

    /** The session of the key before is over: it may write nothing any more. The same key again changes nothing. */
    replaceKey(id: string, { publicKey, keyThumbprint }: Pick<NewAgent, 'publicKey' | 'keyThumbprint'>, now: number, reason: string): AgentRecord {
      const row = find(id);
      if (text(row, 'key_thumbprint') === keyThumbprint) return agentRecord(row);
      const known = byKey.get(keyThumbprint);
      if (known !== undefined) throw storeFault('agent_key_known', { owner: text(known, 'id') });
      endOne.run(now, reason, id, integer(row, 'epoch'));
      rekey.run(publicKey, keyThumbprint, now, reason, id);
      return agentRecord(find(id));
    },

    removeAgent(id: string): void {
      const key = integer(find(id), 'key');
      outbox.remove(key);
      inbox.remove(key);
      remove.run(key);
    },

    claimSession(session: SessionClaim): SessionGrant {
      const row = find(session.agentId);
      if (text(row, 'key_thumbprint') !== session.keyThumbprint) throw storeFault('agent_unknown', { id: session.agentId });
      const owner = ownerOfName(session.name);
      if (owner !== undefined && owner !== session.agentId) throw storeFault('agent_name_taken', { name: session.name, owner });
      const key = integer(row, 'key');
      const { now } = session;
      claim.run(
        session.name, session.session, session.boot, session.version, session.transport, session.address,
        session.node, now, now, `connected over ${session.transport} from ${session.address}`, key,
      );
      return { epoch: integer(row, 'epoch') + 1, up: inbox.position(key) };
    },

    endSession(agentId: string, epoch: number, now: number, reason: string): void {
      endOne.run(now, reason, agentId, epoch);
    },

    endSessionsOfNode(node: string, now: number, reason: string): void {
      endAll.run(now, reason, node);
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
  const page = database.prepare(`${SELECT_AGENT} WHERE agent.name > ? AND (?2 IS NULL OR agent.state = ?2) ORDER BY agent.name LIMIT ?3`);
  return {
    getAgent: (id: string) => oneAgent(byId.get(id)),
    findAgentByKey: (keyThumbprint: string) => oneAgent(byKey.get(keyThumbprint)),
    findAgentByName: (name: string) => oneAgent(byName.get(name)),
    listAgents: (after: string, limit: number, state: AgentState | null) => page.all(after, state, limit).map(agentRecord),
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
    outbox: {
      incarnation: text(row, 'outbox_incarnation'),
      messages: integer(row, 'outbox_messages'),
      bytes: integer(row, 'outbox_bytes'),
      oldestAt: integerOrNull(row, 'outbox_oldest_at'),
    },
    inbox: { incarnation: textOrNull(row, 'inbox_incarnation'), number: integer(row, 'inbox_number'), lastAt: integerOrNull(row, 'inbox_last_at') },
  };
}

function sessionRecord(row: Row): SessionRecord | null {
  const session = textOrNull(row, 'session');
  if (session === null) return null;
  return {
    session,
    boot: text(row, 'session_boot'),
    version: text(row, 'session_version'),
    transport: text(row, 'session_transport') as SessionRecord['transport'],
    address: text(row, 'session_address'),
    node: text(row, 'session_node'),
    since: integer(row, 'session_since'),
    endedAt: integerOrNull(row, 'session_ended_at'),
  };
}
