// Reads and writes the rows of the audit log, each chained to the one before (central/store/audit-store.ts).
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { CHAIN_START, chainHash } from '../../audit-store.ts';
import type { AuditEntry } from '../../audit-store.ts';

export function auditWrites(database: DatabaseSync) {
  const last = database.prepare('SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1');
  const insert = database.prepare(
    'INSERT INTO audit (number, at, who, place, action, detail, comment, ticket, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  return {
    appendAudit(entry: AuditEntry): void {
      const row = last.get();
      const number = row === undefined ? 1 : integer(row, 'number') + 1;
      const hash = chainHash(row === undefined ? CHAIN_START : text(row, 'hash'), number, entry);
      insert.run(
        number,
        entry.at,
        entry.who,
        entry.from,
        entry.action,
        entry.detail,
        entry.comment,
        entry.ticket,
        hash,
      );
    },
  };
}

/** An act with its audit entry, in one transaction: what was done has an entry, and what was refused has none. */
export function audited<K extends string, T extends Readonly<Record<K, (...call: never[]) => unknown>>>(
  audit: Pick<ReturnType<typeof auditWrites>, 'appendAudit'>,
  acts: T,
  name: K,
): (entry: AuditEntry, ...call: Parameters<T[K]>) => ReturnType<T[K]> {
  // The constraint says that it is a function, but not that these are its parameters.
  const act = acts[name] as unknown as (...call: Parameters<T[K]>) => ReturnType<T[K]>;
  return (entry, ...call) => {
    const result = act(...call);
    audit.appendAudit(entry);
    return result;
  };
}

export function auditReads(database: DatabaseSync) {
  const page = database.prepare('SELECT * FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?');
  return { listAudit: (before: number, limit: number) => page.all(before, limit).map(auditRow) };
}

function auditRow(row: Row) {
  return {
    number: integer(row, 'number'),
    at: integer(row, 'at'),
    who: text(row, 'who'),
    from: text(row, 'place'),
    action: text(row, 'action'),
    detail: text(row, 'detail'),
    comment: textOrNull(row, 'comment'),
    ticket: textOrNull(row, 'ticket'),
    hash: text(row, 'hash'),
  };
}
