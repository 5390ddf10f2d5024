// Reads and writes what administrators change under a version: parameters with the pending change, and Central's keys
// and certificates; each change together with its audit entry.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, text, textOrNull } from '../../../../shared/sqlite/row.ts';
import { storeFault } from '../../errors.ts';
import type { AuditEntry } from '../../audit-store.ts';
import type { KeyMaterialChange, KeyMaterialSnapshot } from '../../key-material-store.ts';
import type { ParameterRow, ParameterSnapshot, PendingParameters } from '../../parameter-store.ts';
import type { auditWrites } from './audit.ts';

interface ParameterChange {
  readonly expectedVersion: number;
  readonly rows: readonly ParameterRow[];
  readonly pending: PendingParameters | null;
  readonly audit: AuditEntry;
}

type Audit = ReturnType<typeof auditWrites>;

export function parameterWrites(database: SqlDatabase, audit: Audit) {
  const reads = parameterReads(database);
  const version = database.prepare('SELECT version FROM parameter_state');
  const upsert = database.prepare(`
    INSERT INTO parameter (name, value, changed_by, changed_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_by = excluded.changed_by, changed_at = excluded.changed_at`);
  const advance = database.prepare('UPDATE parameter_state SET version = version + 1, pending = ?');
  return {
    saveParameters(change: ParameterChange): ParameterSnapshot {
      const found = integer(version.get(), 'version');
      if (found !== change.expectedVersion)
        throw storeFault('version_conflict', { subject: 'the parameters', found, expected: change.expectedVersion });
      for (const row of change.rows) upsert.run(row.name, row.value, row.changedBy, row.changedAt);
      advance.run(change.pending === null ? null : JSON.stringify(change.pending));
      audit.appendAudit(change.audit);
      return reads.loadParameters();
    },
  };
}

export function parameterReads(database: SqlDatabase) {
  // One statement, and so one snapshot: version, pending mark and values always belong together.
  const all = database.prepare(
    'SELECT version, pending, name, value, changed_by, changed_at FROM parameter_state LEFT JOIN parameter ON 1 = 1 ORDER BY name',
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

export function keyMaterialWrites(database: SqlDatabase, audit: Audit) {
  const versionOf = database.prepare('SELECT version FROM key_material_version WHERE subject = ?');
  const advance = database.prepare(
    'INSERT INTO key_material_version (subject, version) VALUES (?, 1) ON CONFLICT (subject) DO UPDATE SET version = key_material_version.version + 1',
  );
  const upsert = database.prepare(
    'INSERT INTO key_material (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  );
  const remove = database.prepare('DELETE FROM key_material WHERE name = ?');
  return {
    putKeyMaterial(changes: readonly KeyMaterialChange[], entry: AuditEntry): void {
      for (const { subject, version: expected } of changes) {
        const row = versionOf.get(subject);
        const found = row === undefined ? 0 : integer(row, 'version');
        if (found !== expected) throw storeFault('key_material_conflict', { subject, found, expected });
      }
      for (const { subject, entries } of changes) {
        advance.run(subject);
        for (const { name, value } of entries) {
          if (value === null) remove.run(name);
          else upsert.run(name, value);
        }
      }
      audit.appendAudit(entry);
    },
  };
}

export function keyMaterialReads(database: SqlDatabase) {
  const names = database.prepare('SELECT name FROM key_material ORDER BY name');
  // One statement, and so one snapshot: version and values belong together. '/' is the character after '.'.
  const load = database.prepare(`
    SELECT coalesce((SELECT version FROM key_material_version WHERE subject = ?1), 0) AS version, name, value
    FROM (SELECT 1 AS one) AS always LEFT JOIN key_material ON name >= ?1 || '.' AND name < ?1 || '/' ORDER BY name`);
  return {
    keyMaterialNames: (): string[] => names.all().map((row) => text(row, 'name')),
    loadKeyMaterial(subject: string): KeyMaterialSnapshot {
      const rows = load.all(subject);
      return {
        version: integer(rows[0], 'version'),
        rows: rows
          .filter((row) => textOrNull(row, 'name') !== null)
          .map((row) => ({ name: text(row, 'name'), value: text(row, 'value') })),
      };
    },
  };
}
