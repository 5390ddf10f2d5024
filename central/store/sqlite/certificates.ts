// Owns the rows of certificates that agents were given, of what each agent was told to trust, and of the expiry warnings that
// have been given.
import type { DatabaseSync } from 'node:sqlite';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../shared/sqlite/row.ts';
import { storeFault } from '../errors.ts';
import type { AgentTrust, ExpiryWarning, IssuedCertificate } from '../certificate-store.ts';

export function certificateWrites(database: DatabaseSync) {
  const insert = database.prepare(`
    INSERT INTO agent_certificate (thumbprint, agent_id, serial, issuer, key_thumbprint, not_before, not_after, issued_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`);
  const newest = database.prepare('UPDATE agent SET certificate = ? WHERE id = ?');
  const trust = database.prepare('UPDATE agent SET trusted = ? WHERE id = ?');
  const warned = database.prepare('INSERT INTO expiry_warning (thumbprint, days, at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET days = excluded.days, at = excluded.at');
  const forget = database.prepare('DELETE FROM expiry_warning WHERE at < ?');

  return {
    recordIssued(certificate: IssuedCertificate): void {
      const { thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt } = certificate;
      if (newest.run(thumbprint, agentId).changes === 0) throw storeFault('agent_unknown', { id: agentId });
      insert.run(thumbprint, agentId, serial, issuer, keyThumbprint, notBefore, notAfter, issuedAt);
    },
    recordTrust(agentId: string, thumbprints: readonly string[]): void {
      if (trust.run(JSON.stringify(thumbprints), agentId).changes === 0) throw storeFault('agent_unknown', { id: agentId });
    },
    recordExpiryWarnings(warnings: readonly ExpiryWarning[], forgetOlderThan: number): void {
      for (const { thumbprint, days, at } of warnings) warned.run(thumbprint, days, at);
      forget.run(forgetOlderThan);
    },
  };
}

export function certificateReads(database: DatabaseSync) {
  const soonest = database.prepare(`
    SELECT agent_certificate.*, agent.name FROM agent_certificate JOIN agent ON agent.certificate = agent_certificate.thumbprint
    WHERE (agent_certificate.not_after, agent_certificate.thumbprint) > (?, ?) AND agent_certificate.not_after <= ?
    ORDER BY agent_certificate.not_after, agent_certificate.thumbprint LIMIT ?`);
  const ofAgent = database.prepare('SELECT agent_certificate.*, agent_id AS name FROM agent_certificate WHERE agent_id = ? ORDER BY issued_at DESC, thumbprint LIMIT ?');
  const count = database.prepare('SELECT count(*) AS agents FROM agent JOIN agent_certificate ON agent.certificate = agent_certificate.thumbprint WHERE agent_certificate.not_after <= ?');
  const trust = database.prepare(`
    SELECT id, name, session_transport, trusted, iif(session IS NOT NULL AND session_ended_at IS NULL, NULL, coalesce(session_ended_at, enrolled_at)) AS offline_since
    FROM agent WHERE name > ? ORDER BY name LIMIT ?`);
  const trustOfOne = database.prepare('SELECT trusted FROM agent WHERE id = ?');
  const warned = database.prepare('SELECT days FROM expiry_warning WHERE thumbprint = ?');
  return {
    soonestCertificates: (after: { readonly notAfter: number; readonly thumbprint: string }, until: number, limit: number) => soonest.all(after.notAfter, after.thumbprint, until, limit).map(certificateRow),
    certificatesOfAgent: (agentId: string, limit: number) => ofAgent.all(agentId, limit).map(certificateRow),
    countCertificatesUntil: (until: number): number => integer(count.get(until), 'agents'),
    trustOfAgents: (afterName: string, limit: number): AgentTrust[] =>
      trust.all(afterName, limit).map((row) => {
        return {
          id: text(row, 'id'),
          name: text(row, 'name'),
          // Both written from the types they are given here.
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
