// Reads and writes parameters and the pending change, each change together with its audit entry.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, textOrNull } from '../../../../shared/sqlite/row.ts';
import { storeFault } from '../../errors.ts';
import type { AuditEntry } from '../../audit-store.ts';
import type { ParameterRow, ParameterSnapshot, PendingParameters } from '../../parameter-store.ts';
import type { auditWrites } from './audit.ts';

interface ParameterChange {
  readonly expectedVersion: number;
  readonly rows: readonly ParameterRow[];
  readonly pending: PendingParameters | null;
  readonly audit: AuditEntry;
}

type Audit = ReturnType<typeof auditWrites>;

export function parameterWrites(database: DatabaseSync, audit: Audit) {
  const reads = parameterReads(database);
  const version = database.prepare('SELECT version FROM parameter_state');
  const upsert = database.prepare(`
    INSERT INTO parameter (name, value, changed_by, changed_at) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET value = excluded.value, changed_by = excluded.changed_by, changed_at = excluded.changed_at`);
  const advance = database.prepare('UPDATE parameter_state SET version = version + 1, pending = ?');
  return {
    saveParameters(change: ParameterChange): ParameterSnapshot {
      const found = integer(version.get(), 'version');
      if (found !== change.expectedVersion)
        throw storeFault('version_conflict', { found, expected: change.expectedVersion });
      for (const row of change.rows) upsert.run(row.name, row.value, row.changedBy, row.changedAt);
      advance.run(change.pending === null ? null : JSON.stringify(change.pending));
      audit.appendAudit(change.audit);
      return reads.loadParameters();
    },
  };
}

export function parameterReads(database: DatabaseSync) {
  // One statement, and so one snapshot: version, pending mark and values always belong together.
  const all = database.prepare(
    'SELECT version, pending, name, value, changed_by, changed_at FROM parameter_state LEFT JOIN parameter ORDER BY name',
  );
  return {
    loadParameters(): ParameterSnapshot {
      const rows = all.all();
      const pending = textOrNull(rows[0], 'pending');
      return {
        version: integer(rows[0], 'version'),
        rows: rows
          .filter((row) => row['name'] !== null)
          .map((row) => ({
            name: text(row, 'name'),
            value: textOrNull(row, 'value'),
            changedBy: text(row, 'changed_by'),
            changedAt: integer(row, 'changed_at'),
          })),
        // Written by saveParameters from a PendingParameters, in this schema version.
        pending: pending === null ? null : (JSON.parse(pending) as PendingParameters),
      };
    },
  };
}
