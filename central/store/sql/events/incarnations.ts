// The incarnations of the store: which cursors of events mean the same in it (StoreIncarnation of message-store.ts).
import { randomBytes } from 'node:crypto';
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integerOrNull, text } from '../../../../shared/sqlite/row.ts';
import type { StoreIncarnation } from '../../message-store.ts';

/** A restored backup begins another one. `ended`: as StoreIncarnation has it. */
export const STORE_INCARNATIONS = `
  CREATE TABLE store_incarnation (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ended INTEGER) STRICT;
  INSERT INTO store_incarnation (id) VALUES (lower(hex(randomblob(5))));
`;

/** A cursor from before so many restores is one of another installation. */
const MAX_KEPT = 64;
const SELECT = 'SELECT id, ended FROM store_incarnation ORDER BY key';

export function incarnationReads(database: SqlDatabase) {
  const select = database.prepare(SELECT);
  return { storeIncarnations: (): StoreIncarnation[] => select.all().map(incarnationOf) };
}

/**
 * A restored store begins another incarnation behind its cursor `newest`. It knows those of the store that it replaces
 * too: they have the same events up to where they part from an incarnation that both have, or none.
 */
export function beginIncarnation(restored: SqlDatabase, replaced: SqlDatabase, newest: number): void {
  restored.prepare('UPDATE store_incarnation SET ended = ? WHERE ended IS NULL').run(newest);
  const own = new Map(
    restored
      .prepare(SELECT)
      .all()
      .map(incarnationOf)
      .map(({ id, ended }) => [id, ended]),
  );
  const add = restored.prepare('INSERT INTO store_incarnation (id, ended) VALUES (?, ?)');
  let shared = 0;
  for (const { id, ended } of replaced.prepare(SELECT).all().map(incarnationOf)) {
    const known = own.get(id);
    if (known === undefined) add.run(id, shared);
    else shared = Math.min(known ?? newest, ended ?? newest);
  }
  add.run(randomBytes(5).toString('hex'), null);
  restored.exec(
    `DELETE FROM store_incarnation WHERE key NOT IN (SELECT key FROM store_incarnation ORDER BY key DESC LIMIT ${MAX_KEPT})`,
  );
}

function incarnationOf(row: Parameters<typeof text>[0]): StoreIncarnation {
  return { id: text(row, 'id'), ended: integerOrNull(row, 'ended') };
}
