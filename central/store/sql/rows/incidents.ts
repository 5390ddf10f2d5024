// Reads and writes incidents: when a repetition is counted in an existing row, and how many rows an agent, or all
// strangers together, may have.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import {
  INCIDENT_INTERVAL_MS,
  INCIDENTS_OF_STRANGERS,
  INCIDENTS_PER_AGENT,
  INCIDENTS_PER_INTERVAL,
} from '../../space/bounds.ts';
import type { Incident, Keyed, NewIncident } from '../../agent-store.ts';

/** The owner of what strangers caused: no agent has an empty id. */
const STRANGERS = '';
/** Rows that give way in one call. */
const STEP_ROWS = 500;

export function incidentWrites(database: SqlDatabase) {
  const insert = database.prepare(
    'INSERT INTO incident (at, kind, agent_id, address, detail, owner, source, count, last_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const newest = database.prepare(
    'SELECT key, at, detail FROM incident WHERE owner = ? AND kind = ? AND source = ? ORDER BY key DESC LIMIT ?',
  );
  const raise = database.prepare(
    'UPDATE incident SET count = count + ?, last_at = max(?, coalesce(last_at, at)) WHERE key = ?',
  );
  const kept = database.prepare("SELECT entries FROM kept WHERE what = 'incident' AND owner = ?");
  const remove = database.prepare(
    'DELETE FROM incident WHERE key IN (SELECT key FROM incident WHERE owner = ? ORDER BY key LIMIT ?)',
  );
  const crowded = database.prepare(
    `SELECT owner FROM kept WHERE what = 'incident' AND entries > iif(owner = '${STRANGERS}', ${INCIDENTS_OF_STRANGERS}, ${INCIDENTS_PER_AGENT}) LIMIT 1`,
  );

  /**
   * The row of the interval that counts this one too: the one with the same detail; any of its kind when there are
   * enough.
   */
  function rowOf(owner: string, kind: string, source: string, detail: string, at: number): number | undefined {
    const most = owner === STRANGERS ? 1 : INCIDENTS_PER_INTERVAL;
    const rows = newest
      .all(owner, kind, source, most)
      .filter((row) => Math.abs(at - integer(row, 'at')) < INCIDENT_INTERVAL_MS);
    const same = rows.find((row) => text(row, 'detail') === detail) ?? (rows.length === most ? rows[0] : undefined);
    return same === undefined ? undefined : integer(same, 'key');
  }

  function giveWay(owner: string): boolean {
    const row = kept.get(owner);
    const excess =
      (row === undefined ? 0 : integer(row, 'entries')) -
      (owner === STRANGERS ? INCIDENTS_OF_STRANGERS : INCIDENTS_PER_AGENT);
    if (excess <= 0) return false;
    remove.run(owner, Math.min(excess, STEP_ROWS));
    return true;
  }

  return {
    recordIncident({ at, kind, agentId, address, detail, by, block, count = 1 }: NewIncident): void {
      const own = agentId !== null && (by === undefined ? address === null : by === 'agent');
      const owner = own ? agentId : STRANGERS;
      const source = own ? '' : (block ?? address ?? '');
      const row = rowOf(owner, kind, source, detail, at);
      if (row !== undefined) return void raise.run(count, at, row);
      insert.run(at, kind, agentId, address, detail, owner, source, count, at);
      giveWay(owner);
    },

    /** Rows from before there was a bound. True when there may be more. */
    pruneIncidents(): boolean {
      const row = crowded.get();
      return row !== undefined && giveWay(text(row, 'owner'));
    },
  };
}

export function incidentReads(database: SqlDatabase) {
  const incidents = database.prepare(
    'SELECT * FROM incident WHERE key < ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY key DESC LIMIT ?3',
  );
  const incidentsOf = database.prepare(
    'SELECT * FROM incident WHERE agent_id = ?4 AND key < ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY key DESC LIMIT ?3',
  );
  return {
    listIncidents: (limit: number, agentId: string | null, before: number, kind: string | null) =>
      (agentId === null ? incidents.all(before, kind, limit) : incidentsOf.all(before, kind, limit, agentId)).map(
        incidentRow,
      ),
  };
}

function incidentRow(row: Row): Keyed<Incident> {
  const at = integer(row, 'at');
  return {
    key: integer(row, 'key'),
    at,
    kind: text(row, 'kind'),
    agentId: textOrNull(row, 'agent_id'),
    address: textOrNull(row, 'address'),
    detail: text(row, 'detail'),
    count: integer(row, 'count'),
    lastAt: integerOrNull(row, 'last_at') ?? at,
  };
}
