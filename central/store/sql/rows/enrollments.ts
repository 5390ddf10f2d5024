// Reads and writes the rows of enrollment requests without a token and of recovery codes; their outcome is a registered
// agent or a replaced key.
import type { SqlDatabase, SqlStatement } from '../../../../shared/sqlite/sql.ts';
import { countsByState, integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import {
  ENROLLMENT_REQUEST_STATES,
  type RequestBounds,
  type EnrollmentRequestRecord,
  type RequestRetention,
  type EnrollmentRequestState,
  type EnrollmentRequest,
  type PendingBlock,
  type Recovery,
  type RecoveryCode,
} from '../../enrollment-store.ts';
import { storeFault } from '../../errors.ts';
import type { AgentRecord, NewAgent } from '../../agent-store.ts';
import type { agentWrites } from './agents/agents.ts';

const BLOCKS = `SELECT block, count(*) AS pending FROM enrollment_request WHERE state = 'pending' GROUP BY block ORDER BY pending DESC, block LIMIT ?`;
const RECOVERY_CODE_OF =
  'SELECT recovery_code.* FROM recovery_code JOIN agent ON agent.key = recovery_code.agent WHERE agent.id = ?';

type AgentChanges = Pick<ReturnType<typeof agentWrites>, 'admitAgent' | 'replaceKey'>;

export function enrollmentWrites(database: SqlDatabase, agents: AgentChanges) {
  return {
    ...requestWrites(database),
    ...decisionWrites(database, agents),
    ...recoveryWrites(database, agents),
  };
}

const GET = 'SELECT * FROM enrollment_request WHERE key_thumbprint = ?';
const REMOVE = 'DELETE FROM enrollment_request WHERE key_thumbprint = ?';

function findRequest(database: SqlDatabase): (keyThumbprint: string) => EnrollmentRequestRecord {
  const get = database.prepare(GET);
  return (keyThumbprint) => {
    const row = get.get(keyThumbprint);
    if (row === undefined) throw storeFault('enrollment_request_unknown', { found: keyThumbprint });
    return requestRow(row);
  };
}

function requestWrites(database: SqlDatabase) {
  const find = findRequest(database);
  const assertRoom = requestRoom(database);
  const get = database.prepare(GET);
  const known = database.prepare('SELECT 1 FROM agent WHERE key_thumbprint = ?');
  const insert = database.prepare(`
    INSERT INTO enrollment_request (key_thumbprint, name, id, csr, address, block, site, transport, first_requested_at, last_requested_at, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')`);
  const again = database.prepare(
    'UPDATE enrollment_request SET name = ?, id = ?, csr = ?, address = ?, block = ?, site = ?, transport = ?, last_requested_at = ? WHERE key_thumbprint = ?',
  );
  const touch = database.prepare('UPDATE enrollment_request SET last_requested_at = ? WHERE key_thumbprint = ?');
  const remove = database.prepare(REMOVE);
  const forget = database.prepare(`
    DELETE FROM enrollment_request WHERE (state = 'pending' AND last_requested_at < ?) OR (state = 'rejected' AND decided_at < ?) OR (state = 'accepted' AND decided_at < ?)`);

  function pruneEnrollmentRequests({ pendingBefore, rejectedBefore, acceptedBefore }: RequestRetention): void {
    forget.run(pendingBefore, rejectedBefore, acceptedBefore);
  }

  return {
    pruneEnrollmentRequests,

    submitEnrollmentRequest(request: EnrollmentRequest, bounds: RequestBounds, now: number): EnrollmentRequestRecord {
      pruneEnrollmentRequests(bounds);
      const { keyThumbprint, name, id, csr, address, block, site, transport } = request;
      const row = get.get(keyThumbprint);
      if (row !== undefined && text(row, 'state') === 'accepted' && known.get(keyThumbprint) === undefined)
        remove.run(keyThumbprint);
      const entry = get.get(keyThumbprint);
      if (entry === undefined) {
        assertRoom(request, bounds);
        insert.run(keyThumbprint, name, id, csr, address, block, site, transport, now, now);
      } else if (text(entry, 'state') === 'pending')
        again.run(name, id, csr, address, block, site, transport, now, keyThumbprint);
      else touch.run(now, keyThumbprint);
      return find(keyThumbprint);
    },
  };
}

/** Makes room for one more pending request. Errors: enrollments_full, enrollments_full_of_address. */
function requestRoom(database: SqlDatabase): (request: EnrollmentRequest, bounds: RequestBounds) => void {
  const countWhere = (where: string) =>
    database.prepare(`SELECT count(*) AS entries FROM enrollment_request WHERE state = 'pending'${where}`);
  const count = countWhere('');
  const countOfBlock = countWhere(' AND block = ?');
  const countOfSite = countWhere(' AND site = ?');
  const fullestBlock = database.prepare(BLOCKS);
  const fullestSite = database.prepare(
    `SELECT site, count(*) AS pending FROM enrollment_request WHERE state = 'pending' GROUP BY site ORDER BY pending DESC, site LIMIT 1`,
  );
  const silentLongest = (where: string) =>
    database.prepare(`
    SELECT key_thumbprint FROM enrollment_request WHERE state = 'pending' AND ${where} ORDER BY last_requested_at, first_requested_at, key_thumbprint LIMIT 1`);
  const silentOfBlock = silentLongest('block = ?');
  const silentOfSite = silentLongest('site = ?');
  const silentSince = silentLongest('last_requested_at < ?');
  const remove = database.prepare(REMOVE);

  /** Drops one entry for a newcomer; false when none gives way. */
  function dropOne({ block, site }: EnrollmentRequest, silentBefore: number): boolean {
    const row =
      givesWay(fullestBlock.get(1), 'block', countOfBlock.get(block), silentOfBlock) ??
      givesWay(fullestSite.get(), 'site', countOfSite.get(site), silentOfSite) ??
      silentSince.get(silentBefore);
    if (row === undefined) return false;
    remove.run(text(row, 'key_thumbprint'));
    return true;
  }

  return (request, { most, mostOfBlock, silentBefore }) => {
    const { block } = request;
    const ofBlock = integer(countOfBlock.get(block), 'entries');
    if (ofBlock >= mostOfBlock) throw storeFault('enrollments_full_of_address', { most: mostOfBlock, address: block });
    if (integer(count.get(), 'entries') >= most && !dropOne(request, silentBefore))
      throw storeFault('enrollments_full', { most });
  };
}

function decisionWrites(database: SqlDatabase, { admitAgent, replaceKey }: AgentChanges) {
  const find = findRequest(database);
  const decide = database.prepare(
    'UPDATE enrollment_request SET state = ?, decided_at = ?, decided_by = ?, comment = ? WHERE key_thumbprint = ?',
  );
  const keep = database.prepare('UPDATE enrollment_request SET certificate = ? WHERE key_thumbprint = ?');
  return {
    acceptEnrollment(csr: string, agent: NewAgent, by: string): AgentRecord {
      const asked = find(agent.keyThumbprint);
      if (asked.state === 'accepted' || asked.csr !== csr)
        throw storeFault('enrollment_request_unknown', { found: agent.keyThumbprint });
      const record = admitAgent(agent, by);
      decide.run('accepted', agent.now, by, null, agent.keyThumbprint);
      return record;
    },

    replaceByRequest(
      csr: string,
      { agentId, publicKey, keyThumbprint, now, reason }: Omit<Recovery, 'hash'>,
      by: string,
    ): AgentRecord {
      const asked = find(keyThumbprint);
      if (asked.state === 'accepted' || asked.csr !== csr)
        throw storeFault('enrollment_request_unknown', { found: keyThumbprint });
      const record = replaceKey(agentId, { publicKey, keyThumbprint }, now, reason);
      decide.run('accepted', now, by, null, keyThumbprint);
      return record;
    },

    rejectEnrollment(keyThumbprint: string, by: string, comment: string | null, now: number): void {
      if (find(keyThumbprint).state !== 'pending')
        throw storeFault('enrollment_request_unknown', { found: keyThumbprint });
      decide.run('rejected', now, by, comment, keyThumbprint);
    },

    keepCertificate(keyThumbprint: string, certificate: string): void {
      keep.run(certificate, keyThumbprint);
    },
  };
}

function recoveryWrites(database: SqlDatabase, { replaceKey }: AgentChanges) {
  const putRecoveryCode = database.prepare(
    `INSERT INTO recovery_code (agent, hash, created_at, created_by, expires_at) SELECT key, ?, ?, ?, ? FROM agent WHERE id = ?
    ON CONFLICT (agent) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at,
      created_by = excluded.created_by, expires_at = excluded.expires_at, used_by = NULL`,
  );
  const removeRecoveryCode = database.prepare(
    'DELETE FROM recovery_code WHERE agent = (SELECT key FROM agent WHERE id = ?)',
  );
  const recoveryCodeOf = database.prepare(RECOVERY_CODE_OF);
  const used = database.prepare(
    'UPDATE recovery_code SET used_by = ? WHERE agent = (SELECT key FROM agent WHERE id = ?)',
  );
  return {
    putRecoveryCode(
      agentId: string,
      { hash, createdAt, createdBy, expiresAt }: Pick<RecoveryCode, 'hash' | 'createdAt' | 'createdBy' | 'expiresAt'>,
    ): void {
      if (putRecoveryCode.run(hash, createdAt, createdBy, expiresAt, agentId).changes === 0)
        throw storeFault('agent_unknown', { id: agentId });
    },

    removeRecoveryCode(agentId: string): void {
      if (removeRecoveryCode.run(agentId).changes === 0) throw storeFault('recovery_code_missing', { name: agentId });
    },

    recoverAgent({ agentId, hash, publicKey, keyThumbprint, now, reason }: Recovery): AgentRecord {
      const row = recoveryCodeOf.get(agentId);
      const code = row === undefined ? undefined : recoveryCodeRow(row);
      // Another code was made since.
      if (code === undefined || code.hash !== hash) throw storeFault('recovery_code_used', {});
      if (code.usedBy !== null && code.usedBy !== keyThumbprint) throw storeFault('recovery_code_used', {});
      if (code.expiresAt <= now)
        throw storeFault('recovery_code_expired', { expiry: new Date(code.expiresAt).toISOString() });
      const agent = replaceKey(agentId, { publicKey, keyThumbprint }, now, reason);
      used.run(keyThumbprint, agentId);
      return agent;
    },
  };
}

export function enrollmentReads(database: SqlDatabase) {
  const page = database.prepare(`
    SELECT * FROM enrollment_request WHERE key_thumbprint > ?1 AND (?2 IS NULL OR substr(key_thumbprint, 1, length(?2)) = ?2) AND (?3 IS NULL OR state = ?3)
    ORDER BY key_thumbprint LIMIT ?4`);
  const blocks = database.prepare(BLOCKS);
  const byState = database.prepare('SELECT state, count(*) AS rows FROM enrollment_request GROUP BY state');
  const recoveryCodeOf = database.prepare(RECOVERY_CODE_OF);
  return {
    listEnrollmentRequests: (
      after: string,
      prefix: string | null,
      state: EnrollmentRequestState | null,
      limit: number,
    ) => page.all(after, prefix, state, limit).map(requestRow),
    pendingBlocks: (limit: number) => blocks.all(limit).map(blockRow),
    countEnrollmentRequestsByState: () => countsByState(ENROLLMENT_REQUEST_STATES, byState.all()),
    getRecoveryCode(agentId: string): RecoveryCode | undefined {
      const row = recoveryCodeOf.get(agentId);
      return row === undefined ? undefined : recoveryCodeRow(row);
    },
  };
}

/**
 * The entry to drop of the fullest block or site, if it holds more than the newcomer's even then: two do not push each
 * other out in turns.
 */
function givesWay(
  fullest: Row | undefined,
  column: 'block' | 'site',
  own: Row | undefined,
  silent: SqlStatement,
): Row | undefined {
  return fullest !== undefined && integer(fullest, 'pending') > integer(own, 'entries') + 1
    ? silent.get(text(fullest, column))
    : undefined;
}

function blockRow(row: Row): PendingBlock {
  return { block: text(row, 'block'), pending: integer(row, 'pending') };
}

function requestRow(row: Row): EnrollmentRequestRecord {
  return {
    keyThumbprint: text(row, 'key_thumbprint'),
    name: text(row, 'name'),
    id: textOrNull(row, 'id'),
    csr: text(row, 'csr'),
    address: text(row, 'address'),
    block: text(row, 'block'),
    site: text(row, 'site'),
    // Both written from their types, by the statements above only.
    transport: text(row, 'transport') as EnrollmentRequest['transport'],
    firstRequestedAt: integer(row, 'first_requested_at'),
    lastRequestedAt: integer(row, 'last_requested_at'),
    state: text(row, 'state') as EnrollmentRequestState,
    decidedAt: integerOrNull(row, 'decided_at'),
    decidedBy: textOrNull(row, 'decided_by'),
    comment: textOrNull(row, 'comment'),
    certificate: textOrNull(row, 'certificate'),
  };
}

function recoveryCodeRow(row: Row): RecoveryCode {
  return {
    hash: text(row, 'hash'),
    createdAt: integer(row, 'created_at'),
    createdBy: text(row, 'created_by'),
    expiresAt: integer(row, 'expires_at'),
    usedBy: textOrNull(row, 'used_by'),
  };
}
