// Owns the rows that tell the administrator what went wrong: incidents, and dead letters of both directions.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, textOrNull, type Row } from '../../../shared/sqlite/row.ts';
import type { DeadLetter, Incident } from '../store.ts';

export function incidentWrites(database: DatabaseSync) {
  const incident = database.prepare('INSERT INTO incident (at, kind, agent_id, address, detail) VALUES (?, ?, ?, ?, ?)');
  const letter = database.prepare('INSERT INTO dead_letter (at, direction, agent_id, number, id, reason, json) VALUES (?, ?, ?, ?, ?, ?, ?)');
  return {
    recordIncident({ at, kind, agentId, address, detail }: Incident): void {
      incident.run(at, kind, agentId, address, detail);
    },
    recordDeadLetter({ at, direction, agentId, number, id, reason, json }: DeadLetter): void {
      letter.run(at, direction, agentId, number, id, reason, json);
    },
  };
}

export function incidentReads(database: DatabaseSync) {
  const incidents = database.prepare('SELECT * FROM incident ORDER BY key DESC LIMIT ?');
  const incidentsOf = database.prepare('SELECT * FROM incident WHERE agent_id = ? ORDER BY key DESC LIMIT ?');
  const letters = database.prepare('SELECT * FROM dead_letter ORDER BY key DESC LIMIT ?');
  const lettersOf = database.prepare('SELECT * FROM dead_letter WHERE agent_id = ? ORDER BY key DESC LIMIT ?');
  return {
    listIncidents: (limit: number, agentId: string | null) => (agentId === null ? incidents.all(limit) : incidentsOf.all(agentId, limit)).map(incidentRow),
    listDeadLetters: (limit: number, agentId: string | null) => (agentId === null ? letters.all(limit) : lettersOf.all(agentId, limit)).map(letterRow),
  };
}

function incidentRow(row: Row): Incident {
  return { at: integer(row, 'at'), kind: text(row, 'kind'), agentId: textOrNull(row, 'agent_id'), address: textOrNull(row, 'address'), detail: text(row, 'detail') };
}

function letterRow(row: Row): DeadLetter {
  return {
    at: integer(row, 'at'),
    // Written from a DeadLetter only.
    direction: text(row, 'direction') as DeadLetter['direction'],
    agentId: text(row, 'agent_id'),
    number: integer(row, 'number'),
    id: text(row, 'id'),
    reason: text(row, 'reason'),
    json: text(row, 'json'),
  };
}
