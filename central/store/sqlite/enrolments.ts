// Owns the rows of askings without a token and of rescue codes, and what becomes of them: a registered agent, another key.
import type { DatabaseSync } from 'node:sqlite';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../shared/sqlite/row.ts';
import type { AskedBounds, AskedEnrolment, AskedLimits, AskedState, Asking, PendingBlock, Rescue, RescueCode } from '../enrolment-store.ts';
import { storeFault } from '../errors.ts';
import type { AgentRecord, NewAgent } from '../store.ts';
import type { agentWrites } from './agents.ts';

const BLOCKS = `SELECT block, count(*) AS pending FROM pending_enrolment WHERE state = 'pending' GROUP BY block ORDER BY pending DESC, block LIMIT ?`;
const RESCUE_OF = 'SELECT rescue_code.* FROM rescue_code JOIN agent ON agent.key = rescue_code.agent WHERE agent.id = ?';

export function enrolmentWrites(database: DatabaseSync, { admitAgent, replaceKey }: Pick<ReturnType<typeof agentWrites>, 'admitAgent' | 'replaceKey'>) {
  const get = database.prepare('SELECT * FROM pending_enrolment WHERE key_thumbprint = ?');
  const known = database.prepare('SELECT 1 FROM agent WHERE key_thumbprint = ?');
  const count = database.prepare(`SELECT count(*) AS entries FROM pending_enrolment WHERE state = 'pending'`);
  const countOfBlock = database.prepare(`SELECT count(*) AS entries FROM pending_enrolment WHERE state = 'pending' AND block = ?`);
  const blocks = database.prepare(BLOCKS);
  const silent = database.prepare(`
    SELECT key_thumbprint FROM pending_enrolment WHERE state = 'pending' AND (?1 IS NULL OR block = ?1) AND last_asked_at < ?2
    ORDER BY last_asked_at, first_asked_at, key_thumbprint LIMIT 1`);
  const insert = database.prepare(`
    INSERT INTO pending_enrolment (key_thumbprint, name, id, csr, address, block, transport, first_asked_at, last_asked_at, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')`);
  const again = database.prepare('UPDATE pending_enrolment SET name = ?, id = ?, csr = ?, address = ?, block = ?, transport = ?, last_asked_at = ? WHERE key_thumbprint = ?');
  const askedAgain = database.prepare('UPDATE pending_enrolment SET last_asked_at = ? WHERE key_thumbprint = ?');
  const remove = database.prepare('DELETE FROM pending_enrolment WHERE key_thumbprint = ?');
  const forget = database.prepare(`
    DELETE FROM pending_enrolment WHERE (state = 'pending' AND last_asked_at < ?) OR (state = 'rejected' AND decided_at < ?) OR (state = 'accepted' AND decided_at < ?)`);
  const decide = database.prepare('UPDATE pending_enrolment SET state = ?, decided_at = ?, decided_by = ?, comment = ? WHERE key_thumbprint = ?');
  const keep = database.prepare('UPDATE pending_enrolment SET certificate = ? WHERE key_thumbprint = ?');
  const putRescue = database.prepare('INSERT OR REPLACE INTO rescue_code (agent, hash, created_at, created_by, expires_at) SELECT key, ?, ?, ?, ? FROM agent WHERE id = ?');
  const rescueOf = database.prepare(RESCUE_OF);
  const used = database.prepare('UPDATE rescue_code SET used_by = ? WHERE agent = (SELECT key FROM agent WHERE id = ?)');

  function find(keyThumbprint: string): AskedEnrolment {
    const row = get.get(keyThumbprint);
    if (row === undefined) throw storeFault('enrolment_not_asked', { found: keyThumbprint });
    return askedRow(row);
  }

  function forgetAsked({ pendingBefore, rejectedBefore, acceptedBefore }: AskedLimits): void {
    forget.run(pendingBefore, rejectedBefore, acceptedBefore);
  }

  function enter({ keyThumbprint, name, id, csr, address, block, transport }: Asking, { most, mostOfBlock, silentBefore }: AskedBounds, now: number): void {
    const ofBlock = integer(countOfBlock.get(block), 'entries');
    if (ofBlock >= mostOfBlock) throw storeFault('enrolments_full_of_address', { most: mostOfBlock, address: block });
    if (integer(count.get(), 'entries') >= most && !makeRoom(ofBlock, silentBefore)) throw storeFault('enrolments_full', { most });
    insert.run(keyThumbprint, name, id, csr, address, block, transport, now, now);
  }

  /** Drops one entry for a newcomer whose block holds `ofBlock`; false when nobody gives way. */
  function makeRoom(ofBlock: number, silentBefore: number): boolean {
    const fullest = blocks.all(1).map(blockRow)[0];
    // It shall hold more than the newcomer's even then: two blocks do not push each other out in turns.
    const unfair = fullest !== undefined && fullest.pending > ofBlock + 1;
    const row = unfair ? silent.get(fullest.block, Number.MAX_SAFE_INTEGER) : silent.get(null, silentBefore);
    if (row === undefined) return false;
    remove.run(text(row, 'key_thumbprint'));
    return true;
  }

  return {
    askEnrolment(asking: Asking, bounds: AskedBounds, now: number): AskedEnrolment {
      forgetAsked(bounds);
      const { keyThumbprint, name, id, csr, address, block, transport } = asking;
      const row = get.get(keyThumbprint);
      if (row !== undefined && text(row, 'state') === 'accepted' && known.get(keyThumbprint) === undefined) remove.run(keyThumbprint);
      const entry = get.get(keyThumbprint);
      if (entry === undefined) enter(asking, bounds, now);
      else if (text(entry, 'state') === 'pending') again.run(name, id, csr, address, block, transport, now, keyThumbprint);
      else askedAgain.run(now, keyThumbprint);
      return find(keyThumbprint);
    },

    forgetAsked,

    acceptEnrolment(csr: string, agent: NewAgent, by: string): AgentRecord {
      const asked = find(agent.keyThumbprint);
      if (asked.state === 'accepted' || asked.csr !== csr) throw storeFault('enrolment_not_asked', { found: agent.keyThumbprint });
      const record = admitAgent(agent, by);
      decide.run('accepted', agent.now, by, null, agent.keyThumbprint);
      return record;
    },

    rejectEnrolment(keyThumbprint: string, by: string, comment: string | null, now: number): void {
      if (find(keyThumbprint).state !== 'pending') throw storeFault('enrolment_not_asked', { found: keyThumbprint });
      decide.run('rejected', now, by, comment, keyThumbprint);
    },

    keepCertificate(keyThumbprint: string, certificate: string): void {
      keep.run(certificate, keyThumbprint);
    },

    putRescue(agentId: string, { hash, createdAt, createdBy, expiresAt }: Pick<RescueCode, 'hash' | 'createdAt' | 'createdBy' | 'expiresAt'>): void {
      if (putRescue.run(hash, createdAt, createdBy, expiresAt, agentId).changes === 0) throw storeFault('agent_unknown', { id: agentId });
    },

    rescueAgent({ agentId, hash, publicKey, keyThumbprint, now, reason }: Rescue): AgentRecord {
      const row = rescueOf.get(agentId);
      const code = row === undefined ? undefined : rescueRow(row);
      // Another code was made since.
      if (code === undefined || code.hash !== hash) throw storeFault('rescue_used', {});
      if (code.usedBy !== null && code.usedBy !== keyThumbprint) throw storeFault('rescue_used', {});
      if (code.expiresAt <= now) throw storeFault('rescue_expired', { expiry: new Date(code.expiresAt).toISOString() });
      const agent = replaceKey(agentId, { publicKey, keyThumbprint }, now, reason);
      used.run(keyThumbprint, agentId);
      return agent;
    },
  };
}

export function enrolmentReads(database: DatabaseSync) {
  const page = database.prepare(`
    SELECT * FROM pending_enrolment WHERE key_thumbprint > ?1 AND (?2 IS NULL OR substr(key_thumbprint, 1, length(?2)) = ?2) AND (?3 IS NULL OR state = ?3)
    ORDER BY key_thumbprint LIMIT ?4`);
  const blocks = database.prepare(BLOCKS);
  const count = database.prepare(`SELECT count(*) AS entries FROM pending_enrolment WHERE state = 'pending'`);
  const rescueOf = database.prepare(RESCUE_OF);
  return {
    askedEnrolments: (after: string, prefix: string | null, state: AskedState | null, limit: number) => page.all(after, prefix, state, limit).map(askedRow),
    pendingBlocks: (limit: number) => blocks.all(limit).map(blockRow),
    countPendingEnrolments: (): number => integer(count.get(), 'entries'),
    getRescue(agentId: string): RescueCode | undefined {
      const row = rescueOf.get(agentId);
      return row === undefined ? undefined : rescueRow(row);
    },
  };
}

function blockRow(row: Row): PendingBlock {
  return { block: text(row, 'block'), pending: integer(row, 'pending') };
}

function askedRow(row: Row): AskedEnrolment {
  return {
    keyThumbprint: text(row, 'key_thumbprint'),
    name: text(row, 'name'),
    id: textOrNull(row, 'id'),
    csr: text(row, 'csr'),
    address: text(row, 'address'),
    block: text(row, 'block'),
    // Both written from their types, by the statements above only.
    transport: text(row, 'transport') as Asking['transport'],
    firstAskedAt: integer(row, 'first_asked_at'),
    lastAskedAt: integer(row, 'last_asked_at'),
    state: text(row, 'state') as AskedState,
    decidedAt: integerOrNull(row, 'decided_at'),
    decidedBy: textOrNull(row, 'decided_by'),
    comment: textOrNull(row, 'comment'),
    certificate: textOrNull(row, 'certificate'),
  };
}

function rescueRow(row: Row): RescueCode {
  return {
    hash: text(row, 'hash'),
    createdAt: integer(row, 'created_at'),
    createdBy: text(row, 'created_by'),
    expiresAt: integer(row, 'expires_at'),
    usedBy: textOrNull(row, 'used_by'),
  };
}
