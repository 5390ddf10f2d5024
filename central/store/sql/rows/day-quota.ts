// Enforces what an agent may add within a day: events (where a limit is set), log restarts, and repeated enrollments. A
// refused call changes nothing and may be repeated; no message is lost.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { databaseFault } from '../../../../shared/sqlite/errors.ts';
import { integer, textOrNull } from '../../../../shared/sqlite/row.ts';
import { ENROLLMENTS_PER_DAY, RESTARTS_PER_DAY, type StoreBounds } from '../../space/bounds.ts';
import { storeFault } from '../../errors.ts';
import type { NewIncident } from '../../agent-store.ts';

interface DayQuotaNeeds {
  readonly bounds: () => Pick<StoreBounds, 'eventsPerDay'>;
  readonly recordIncident: (incident: NewIncident) => void;
}

const DAY_MS = 86_400_000;

/** Days are UTC days, so that the incident tells when the limit ends. */
export function dayQuotas(database: SqlDatabase, { bounds, recordIncident }: DayQuotaNeeds) {
  const peerOf = database.prepare('SELECT key FROM agent WHERE id = ?');
  const incarnationOf = database.prepare('SELECT incarnation FROM inbox_log WHERE peer = ?');
  const used = database.prepare('SELECT events, restarts FROM event_day WHERE peer = ? AND day = ?');
  const use = database.prepare(
    'INSERT INTO event_day (peer, day, events, restarts) VALUES (?, ?, ?, ?) ON CONFLICT (peer) DO UPDATE SET day = excluded.day, events = excluded.events, restarts = excluded.restarts',
  );
  const issued = database.prepare(
    'SELECT count(*) AS certificates FROM agent_certificate WHERE agent_id = ? AND issued_at > ?',
  );

  function usedOn(day: number, peer: number): { readonly events: number; readonly restarts: number } {
    const row = used.get(peer, day);
    return row === undefined
      ? { events: 0, restarts: 0 }
      : { events: integer(row, 'events'), restarts: integer(row, 'restarts') };
  }

  return {
    /**
     * Counts what is about to be appended. The call that reaches the limit is taken whole: at most a window more.
     * Without a limit nothing is read or written. Errors: events_per_day.
     */
    takeEvents(agentId: string, count: number, now: number): void {
      const { eventsPerDay } = bounds();
      const row = eventsPerDay === 0 ? undefined : peerOf.get(agentId);
      if (row === undefined) return;
      const [peer, day] = [integer(row, 'key'), Math.floor(now / DAY_MS)];
      const { events, restarts } = usedOn(day, peer);
      if (events >= eventsPerDay) throw storeFault('events_per_day', { id: agentId, most: eventsPerDay });
      use.run(peer, day, events + count, restarts);
      if (events + count < eventsPerDay) return;
      recordIncident({
        at: now,
        kind: 'events_per_day',
        agentId,
        address: null,
        detail: JSON.stringify({ eventsPerDay, until: new Date((day + 1) * DAY_MS).toISOString() }),
        by: 'agent',
      });
    },

    /** Counts a log that begins again. Errors: log_violation. */
    takeRestart(agentId: string, incarnation: string, now: number): void {
      const row = peerOf.get(agentId);
      if (row === undefined) return;
      const [peer, day] = [integer(row, 'key'), Math.floor(now / DAY_MS)];
      const before = textOrNull(incarnationOf.get(peer), 'incarnation');
      if (before === null || before === incarnation) return;
      const { events, restarts } = usedOn(day, peer);
      if (restarts >= RESTARTS_PER_DAY)
        throw databaseFault('log_violation', {
          found: `a log that begins again for the ${restarts + 1}th time within a day, where ${RESTARTS_PER_DAY} are allowed`,
        });
      use.run(peer, day, events, restarts + 1);
    },

    /** A repeated enrollment repairs a lost answer, and issues a certificate each time. Errors: enrollments_per_day. */
    takeEnrollment(agentId: string, now: number): void {
      if (integer(issued.get(agentId, now - DAY_MS), 'certificates') >= ENROLLMENTS_PER_DAY)
        throw storeFault('enrollments_per_day', { id: agentId, most: ENROLLMENTS_PER_DAY });
    },
  };
}
