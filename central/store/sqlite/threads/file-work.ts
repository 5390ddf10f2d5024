// The thread for work on whole store files, which takes seconds to minutes: copies the running store, validates an
// uploaded one, and prepares it to replace the other.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parentPort } from 'node:worker_threads';
import { isCoded, textOf, type CodedError } from '../../../../shared/errors.ts';
import { openDatabase } from '../../../../shared/sqlite/database.ts';
import { createPrivateFile } from '../../../../shared/sqlite/private-file.ts';
import { integer, text } from '../../../../shared/sqlite/row.ts';
import { serveReader } from '../../../../shared/sqlite/worker/side.ts';
import type { NewIncident } from '../../agent-store.ts';
import type { AuditEntry } from '../../audit-store.ts';
import type { KeyMaterialRow } from '../../key-material-store.ts';
import { backupFault } from '../../backup/errors.ts';
import { auditWrites } from '../../sql/rows/audit.ts';
import { incidentWrites } from '../../sql/rows/incidents.ts';
import { beginIncarnation } from '../../sql/events/incarnations.ts';
import { NEWEST_CURSOR } from '../../sql/events/run-writes.ts';
import { APPLICATION_ID, MIGRATIONS } from '../migrations.ts';
import { checkStore } from '../store-check.ts';
import { CHECKPOINT_PAGES, READER_CACHE_KIB } from './thread-data.ts';

export type FileWork = typeof methods;

const methods = {
  /** One read transaction, beside the connections that work: what is committed now, without the pages that are free. */
  copyStore(path: string, copy: string): void {
    attempt(copy, () => {
      createPrivateFile(copy);
      withReadOnly(path, (database) => database.prepare('VACUUM INTO ?').run(copy));
    });
  },

  /** Changes nothing. Errors: backup_newer, backup_unsound. */
  validateStore(path: string): void {
    attempt(path, () => withReadOnly(path, checkStore));
  },

  /** Changes nothing. */
  keyMaterialOf(path: string): KeyMaterialRow[] {
    const rows: KeyMaterialRow[] = [];
    attempt(path, () =>
      withReadOnly(path, (database) => {
        for (const row of database.prepare('SELECT name, value FROM key_material').iterate())
          rows.push({ name: text(row, 'name'), value: text(row, 'value') });
      }),
    );
    return rows;
  },

  /**
   * Migrates it to this version's schema, replaces the private keys by `keys`, writes the audit entry, begins another
   * incarnation, reserves the cursors up to `lastCursor`, which its predecessor used, and records the commands that only
   * the predecessor (`replaced`) holds.
   */
  prepareStore(
    path: string,
    { keys, audit: entry }: { readonly keys: readonly KeyMaterialRow[]; readonly audit: AuditEntry },
    lastCursor: number,
    replaced: string,
  ): void {
    attempt(path, () => {
      const database = openDatabase({
        path,
        applicationId: APPLICATION_ID,
        migrations: MIGRATIONS,
        cacheKiB: READER_CACHE_KIB,
        checkpointPages: CHECKPOINT_PAGES,
      });
      try {
        database.exec('BEGIN IMMEDIATE');
        for (const { name, value } of keys)
          database.prepare('UPDATE key_material SET value = ? WHERE name = ?').run(value, name);
        auditWrites(database).appendAudit(entry);
        for (const incident of forgottenCommands(database, replaced, entry.at))
          incidentWrites(database).recordIncident(incident);
        const newest = integer(
          database
            .prepare(
              `SELECT max(coalesce(newest, 0), coalesce((SELECT max(through) FROM event_gap), 0)) AS newest FROM (${NEWEST_CURSOR})`,
            )
            .get(),
          'newest',
        );
        withReadOnly(replaced, (predecessor) => beginIncarnation(database, predecessor, newest));
        if (lastCursor > newest)
          database.prepare('INSERT INTO event_gap (before, through) VALUES (?, ?)').run(newest, lastCursor);
        // Its predecessor may have sent all commands that wait here.
        database.exec('UPDATE outbox_log SET offered = next - 1');
        database.exec('COMMIT');
      } finally {
        // Folds its write-ahead log into the file: from here on it is one file.
        database.close();
      }
    });
  },
};

/**
 * Commands that were accepted after the backup was made and that no agent has acknowledged: their senders got an answer
 * that they are on disk, and no log of either side shows that they are gone.
 */
function forgottenCommands(restored: DatabaseSync, replaced: string, at: number): NewIncident[] {
  const logOf = restored.prepare(
    'SELECT incarnation, next FROM outbox_log JOIN agent ON agent.key = peer WHERE agent.id = ?',
  );
  const found: NewIncident[] = [];
  withReadOnly(replaced, (database) => {
    for (const row of database
      .prepare('SELECT agent.id AS id, incarnation, acknowledged, next FROM outbox_log JOIN agent ON agent.key = peer')
      .iterate()) {
      const agentId = text(row, 'id');
      const known = logOf.get(agentId);
      const same = known !== undefined && text(known, 'incarnation') === text(row, 'incarnation');
      const from = Math.max(integer(row, 'acknowledged') + 1, same ? integer(known, 'next') : 1);
      const through = integer(row, 'next') - 1;
      if (from > through) continue;
      found.push({
        at,
        kind: 'commands_forgotten',
        agentId,
        address: null,
        detail: JSON.stringify({
          recovered: false,
          direction: 'down',
          from,
          through,
          incarnation: text(row, 'incarnation'),
        }),
      });
    }
  });
  return found;
}

function withReadOnly(path: string, work: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
  try {
    work(database);
  } finally {
    database.close();
  }
}

/** Deletes the file when the work fails. */
function attempt(file: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${end}`, { force: true });
    throw faultOf(error, dirname(file));
  }
}

function faultOf(error: unknown, path: string): CodedError {
  if (isCoded(error) && error.code.startsWith('backup_')) return error;
  if (isCoded(error, 'data_newer'))
    return backupFault('backup_newer', { found: 'its schema', known: `schema ${MIGRATIONS.length}` }, error);
  if (isCoded(error, 'data_damaged', 'data_foreign'))
    return backupFault('backup_unsound', { found: error.message }, error);
  const code =
    error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
      ? error.errcode & 0xff
      : undefined;
  // CORRUPT and NOTADB (sqlite.org/rescode.html).
  if (code === 11 || code === 26) return backupFault('backup_unsound', { found: textOf(error) }, error);
  return backupFault('backup_failed', { found: textOf(error), path }, error);
}

if (parentPort === null) throw new Error('file-work.ts is a thread of store-files.ts');
serveReader(parentPort, { methods, failure: (error) => faultOf(error, '.'), close: () => undefined });
