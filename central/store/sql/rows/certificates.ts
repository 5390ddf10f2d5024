// Reads and writes the rows of certificates issued to agents, of the trust bundle last sent to each agent, and of
// expiry warnings.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { storeFault } from '../../errors.ts';
import type {
  AgentTrust,
  ExpiryWarning,
  IssuedCertificate,
  NewRenewal,
  RenewalOutcome,
  Revocation,
  RevocationReason,
} from '../../certificate-store.ts';

/** Expired certificates of one agent that are kept for look-ups. */
const MAX_EXPIRED_CERTIFICATES = 64;
/** Reasons that say nothing against the key itself: a renewal, a recovery, a removal. */
const HARMLESS = "('superseded', 'cessationOfOperation')";

const INSERT = `
  INSERT INTO agent_certificate (thumbprint, agent_id, serial, issuer, key_thumbprint, not_before, not_after, issued_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const SET_NEWEST = 'UPDATE agent SET certificate = ? WHERE id = ?';

export function certificateWrites(database: SqlDatabase) {
  const revocations = certificateRevocations(database);
  return {
    ...revocations,
    ...renewalWrites(database, revocations),
    ...issuedWrites(database),
    ...trustWrites(database),
  };
}

function certificateRevocations(database: SqlDatabase) {
  const revokeAll = database.prepare(`
    UPDATE agent_certificate SET revoked_at = ?1, revocation_reason = ?2 WHERE agent_id = ?3 AND (?4 IS NULL OR key_thumbprint = ?4) AND revoked_at IS NULL`);

  // Removing an agent lifts what was held against its key, so that the machine can enroll again; unless others may have
  // the key.
  const revokedKey = database.prepare(`
    SELECT agent_id, revocation_reason FROM agent_certificate WHERE key_thumbprint = ?1 AND revoked_at IS NOT NULL AND revocation_reason NOT IN ${HARMLESS}
      AND (revocation_reason = 'keyCompromise' OR EXISTS (SELECT 1 FROM agent WHERE agent.id = agent_certificate.agent_id)) LIMIT 1`);

  /** For a key that is about to become an agent's. Errors: agent_key_revoked. */
  function assertKeyGood(keyThumbprint: string): void {
    const row = revokedKey.get(keyThumbprint);
    if (row !== undefined)
      throw storeFault('agent_key_revoked', { id: text(row, 'agent_id'), reason: text(row, 'revocation_reason') });
  }

  return {
    assertKeyGood,
    /** Revokes every certificate that is not revoked yet; only those of one key when `ofKey` names it. */
    revokeAll(agentId: string, at: number, reason: RevocationReason, ofKey: string | null = null): void {
      revokeAll.run(at, reason, agentId, ofKey);
    },
  };
}

function renewalWrites(
  database: SqlDatabase,
  { assertKeyGood }: Pick<ReturnType<typeof certificateRevocations>, 'assertKeyGood'>,
) {
  const insert = database.prepare(INSERT);
  const setNewest = database.prepare(SET_NEWEST);
  const agentOf = database.prepare('SELECT id, key_thumbprint FROM agent WHERE id = ? AND epoch = ?');
  const ownerOf = database.prepare(
    'SELECT id FROM agent WHERE (key_thumbprint = ?1 OR next_key_thumbprint = ?1) AND id <> ?2',
  );
  const successorOf = database.prepare(
    'SELECT * FROM agent_certificate WHERE renews = ? AND agent_id = ? ORDER BY issued_at DESC LIMIT 1',
  );
  const renewed = database.prepare(
    'UPDATE agent_certificate SET renews = ?, chain = ?, address = ? WHERE thumbprint = ?',
  );
  const setNext = database.prepare(
    'UPDATE agent SET next_public_key = ?, next_key_thumbprint = ?, next_certificate = ? WHERE id = ?',
  );
  const forgetExpired = database.prepare(`
    DELETE FROM agent_certificate WHERE agent_id = ?1 AND not_after < ?2
      AND thumbprint NOT IN (SELECT thumbprint FROM agent_certificate WHERE agent_id = ?1 ORDER BY issued_at DESC LIMIT ${MAX_EXPIRED_CERTIFICATES})
      AND thumbprint NOT IN (SELECT certificate FROM agent WHERE id = ?1 AND certificate IS NOT NULL)
      AND (revocation_reason IS NULL OR revocation_reason IN ${HARMLESS})`);

  return {
    recordRenewal({ certificate, epoch, renews, publicKey, chain, address }: NewRenewal): RenewalOutcome {
      const { thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt } = certificate;
      const agent = agentOf.get(agentId, epoch);
      if (agent === undefined) throw storeFault('stale_epoch', { id: agentId });
      const owner = ownerOf.get(keyThumbprint, agentId);
      if (owner !== undefined) throw storeFault('agent_key_known', { owner: text(owner, 'id') });
      const currentKey = text(agent, 'key_thumbprint');
      if (keyThumbprint !== currentKey) assertKeyGood(keyThumbprint);
      const before = successorOf.get(renews, agentId);
      const known = before === undefined ? undefined : earlierOutcome(before, certificate, currentKey);
      if (known !== undefined) return known;
      forgetExpired.run(agentId, issuedAt);
      insert.run(thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt);
      renewed.run(renews, chain, address, thumbprint);
      if (keyThumbprint === currentKey) setNewest.run(thumbprint, agentId);
      else setNext.run(publicKey, keyThumbprint, thumbprint, agentId);
      return { outcome: 'issued', chain };
    },
  };
}

/** What an earlier renewal of the same certificate means for this one; undefined: nothing, a new one is issued. */
function earlierOutcome(
  before: Row,
  { keyThumbprint, issuer, issuedAt }: IssuedCertificate,
  currentKey: string,
): RenewalOutcome | undefined {
  const keyBefore = text(before, 'key_thumbprint');
  if (keyBefore === keyThumbprint) {
    const good =
      integer(before, 'not_after') > issuedAt &&
      integerOrNull(before, 'revoked_at') === null &&
      text(before, 'issuer') === issuer;
    return good ? { outcome: 'repeated', chain: text(before, 'chain') } : undefined;
  }
  // One for the current key that the agent never had is a lost answer, after which the agent decided for another key.
  return keyBefore !== currentKey || integerOrNull(before, 'installed_at') !== null
    ? { outcome: 'twice', address: textOrNull(before, 'address') }
    : undefined;
}

function issuedWrites(database: SqlDatabase) {
  const insert = database.prepare(INSERT);
  const setNewest = database.prepare(SET_NEWEST);
  const ofSession = database.prepare('SELECT id FROM agent WHERE id = ? AND epoch = ?');
  const installed = database.prepare(
    'UPDATE agent_certificate SET installed_at = ? WHERE thumbprint = ? AND agent_id = ? AND installed_at IS NULL',
  );
  return {
    recordInstalled(agentId: string, thumbprint: string, now: number): void {
      installed.run(now, thumbprint, agentId);
    },
    recordIssued(certificate: IssuedCertificate): void {
      const { thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt } = certificate;
      if (setNewest.run(thumbprint, agentId).changes === 0) throw storeFault('agent_unknown', { id: agentId });
      insert.run(thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt);
    },
    recordDevice(certificate: IssuedCertificate, epoch: number): void {
      const { thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt } = certificate;
      if (ofSession.get(agentId, epoch) === undefined) throw storeFault('stale_epoch', { id: agentId });
      insert.run(thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt);
    },
  };
}

function trustWrites(database: SqlDatabase) {
  const trust = database.prepare('UPDATE agent SET trusted = ? WHERE id = ?');
  const warned = database.prepare(
    'INSERT INTO expiry_warning (thumbprint, days, at) VALUES (?, ?, ?) ON CONFLICT (thumbprint) DO UPDATE SET days = excluded.days, at = excluded.at',
  );
  const forget = database.prepare('DELETE FROM expiry_warning WHERE at < ?');
  return {
    recordTrust(agentId: string, thumbprints: readonly string[]): void {
      if (trust.run(JSON.stringify(thumbprints), agentId).changes === 0)
        throw storeFault('agent_unknown', { id: agentId });
    },
    recordExpiryWarnings(warnings: readonly ExpiryWarning[], forgetOlderThan: number): void {
      for (const { thumbprint, days, at } of warnings) warned.run(thumbprint, days, at);
      forget.run(forgetOlderThan);
    },
  };
}

export function certificateReads(database: SqlDatabase) {
  const soonest = database.prepare(`
    SELECT agent_certificate.*, agent.name FROM agent_certificate JOIN agent ON agent.certificate = agent_certificate.thumbprint
    WHERE (agent_certificate.not_after, agent_certificate.thumbprint) > (?, ?) AND agent_certificate.not_after <= ? AND agent_certificate.revoked_at IS NULL
    ORDER BY agent_certificate.not_after, agent_certificate.thumbprint LIMIT ?`);
  const ofAgent = database.prepare(
    'SELECT agent_certificate.*, agent_id AS name FROM agent_certificate WHERE agent_id = ? ORDER BY issued_at DESC, thumbprint LIMIT ?',
  );
  const count = database.prepare(
    'SELECT count(*) AS agents FROM agent JOIN agent_certificate ON agent.certificate = agent_certificate.thumbprint WHERE agent_certificate.not_after <= ? AND agent_certificate.revoked_at IS NULL',
  );
  const trust = database.prepare(`
    SELECT id, name, session_transport, trusted, iif(session IS NOT NULL AND session_ended_at IS NULL, NULL, coalesce(session_ended_at, enrolled_at)) AS offline_since
    FROM agent WHERE name > ? AND state <> 'revoked' ORDER BY name LIMIT ?`);
  const trustOfOne = database.prepare('SELECT trusted FROM agent WHERE id = ?');
  const warned = database.prepare('SELECT days FROM expiry_warning WHERE thumbprint = ?');
  const find = database.prepare(
    'SELECT agent_id, revoked_at, revocation_reason FROM agent_certificate WHERE thumbprint = ?',
  );
  const renewable = database.prepare(`
    SELECT 1 AS renewable FROM agent WHERE id = ?1 AND (certificate = ?2 OR next_certificate = ?2)
    UNION ALL SELECT 1 FROM agent_certificate WHERE agent_id = ?1 AND renews = ?2 LIMIT 1`);
  const revoked = database.prepare(`
    SELECT thumbprint, serial, revoked_at, revocation_reason FROM agent_certificate
    WHERE revoked_at IS NOT NULL AND issuer = ? AND not_after > ? AND thumbprint > ? ORDER BY thumbprint LIMIT ?`);
  return {
    findCertificate(thumbprint: string): { readonly agentId: string; readonly revoked: Revocation | null } | undefined {
      const row = find.get(thumbprint);
      return row === undefined ? undefined : { agentId: text(row, 'agent_id'), revoked: revocationOf(row) };
    },
    mayRenew: (agentId: string, thumbprint: string): boolean => renewable.get(agentId, thumbprint) !== undefined,
    revokedCertificates: (issuer: string, endsAfter: number, after: string, limit: number) =>
      revoked.all(issuer, endsAfter, after, limit).flatMap((row) => {
        const revocation = revocationOf(row);
        return revocation === null
          ? []
          : [{ thumbprint: text(row, 'thumbprint'), serial: text(row, 'serial'), revoked: revocation }];
      }),
    soonestCertificates: (
      after: { readonly notAfter: number; readonly thumbprint: string },
      until: number,
      limit: number,
    ) => soonest.all(after.notAfter, after.thumbprint, until, limit).map(certificateRow),
    certificatesOfAgent: (agentId: string, limit: number) => ofAgent.all(agentId, limit).map(certificateRow),
    countCertificatesUntil: (until: number): number => integer(count.get(until), 'agents'),
    trustOfAgents: (afterName: string, limit: number): AgentTrust[] =>
      trust.all(afterName, limit).map((row) => {
        return {
          id: text(row, 'id'),
          name: text(row, 'name'),
          // Both written from these types only.
          transport: textOrNull(row, 'session_transport') as AgentTrust['transport'],
          trusted: thumbprints(row),
          offlineSince: integerOrNull(row, 'offline_since'),
        };
      }),
    trustOfAgent: (agentId: string): string[] | null => {
      const row = trustOfOne.get(agentId);
      return row === undefined ? null : thumbprints(row);
    },
    expiryWarnings: (thumbprints: readonly string[]): (number | null)[] =>
      thumbprints.map((thumbprint) => {
        const row = warned.get(thumbprint);
        return row === undefined ? null : integer(row, 'days');
      }),
  };
}

/** Both columns are written together, the reason from a RevocationReason only. The names are those of the row. */
export function revocationOf(row: Row, at = 'revoked_at', reason = 'revocation_reason'): Revocation | null {
  const why = textOrNull(row, reason);
  return why === null ? null : { at: integer(row, at), reason: why as RevocationReason };
}

/** Written by recordTrust only. */
function thumbprints(row: Row): string[] | null {
  const trusted = textOrNull(row, 'trusted');
  return trusted === null ? null : (JSON.parse(trusted) as string[]);
}

function certificateRow(row: Row): IssuedCertificate & { readonly name: string } {
  return {
    thumbprint: text(row, 'thumbprint'),
    agentId: text(row, 'agent_id'),
    name: text(row, 'name'),
    serial: text(row, 'serial'),
    issuer: text(row, 'issuer'),
    keyThumbprint: text(row, 'key_thumbprint'),
    notBefore: integer(row, 'not_before'),
    notAfter: integer(row, 'not_after'),
    issuedAt: integer(row, 'issued_at'),
  };
}
