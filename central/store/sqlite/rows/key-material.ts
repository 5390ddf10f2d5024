// Rows of keys and certificates of Central, and the version of each subject (central/store/key-material-store.ts).
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, textOrNull } from '../../../../shared/sqlite/row.ts';
import type { AuditEntry } from '../../audit-store.ts';
import { storeFault } from '../../errors.ts';
import type { KeyMaterialChange, KeyMaterialSnapshot } from '../../key-material-store.ts';
import type { auditWrites } from './audit.ts';

export function keyMaterialWrites(database: DatabaseSync, audit: ReturnType<typeof auditWrites>) {
  const versionOf = database.prepare('SELECT version FROM key_material_version WHERE subject = ?');
  const advance = database.prepare(
    'INSERT INTO key_material_version (subject, version) VALUES (?, 1) ON CONFLICT DO UPDATE SET version = version + 1',
  );
  const upsert = database.prepare(
    'INSERT INTO key_material (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
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

export function keyMaterialReads(database: DatabaseSync) {
  const names = database.prepare('SELECT name FROM key_material ORDER BY name');
  // One statement, and so one snapshot: version and values belong together. '/' is the character after '.'.
  const load = database.prepare(`
    SELECT coalesce((SELECT version FROM key_material_version WHERE subject = ?1), 0) AS version, name, value
    FROM (SELECT 1) LEFT JOIN key_material ON name >= ?1 || '.' AND name < ?1 || '/' ORDER BY name`);
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
