// Reads and writes whether maintenance mode is enabled: rows of the table `counter`.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer } from '../../../../shared/sqlite/row.ts';
import type { AuditEntry } from '../../audit-store.ts';
import type { MaintenanceState } from '../../store.ts';

/** Agents try again after this time, unless an administrator says otherwise: ten thousand of them are 170 handshakes a second. */
const DEFAULT_RETRY_SECONDS = 60;
const SINCE = 'maintenance_enabled_at';
const RETRY = 'maintenance_retry_seconds';

export function maintenanceWrites(database: SqlDatabase, audit: { appendAudit(entry: AuditEntry): void }) {
  const write = database.prepare(
    'INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  );
  return {
    saveMaintenance({ enabledAt, retryAfterSeconds }: MaintenanceState, entry: AuditEntry): void {
      audit.appendAudit(entry);
      // A time that no clock shows: it is disabled.
      write.run(SINCE, enabledAt ?? 0);
      write.run(RETRY, retryAfterSeconds);
    },
  };
}

export function maintenanceReads(database: SqlDatabase) {
  const read = database.prepare('SELECT value FROM counter WHERE name = ?');
  const valueOf = (name: string): number | null => {
    const row = read.get(name);
    return row === undefined ? null : integer(row, 'value');
  };
  return {
    loadMaintenance: (): MaintenanceState => ({
      enabledAt: valueOf(SINCE) || null,
      retryAfterSeconds: valueOf(RETRY) ?? DEFAULT_RETRY_SECONDS,
    }),
  };
}
