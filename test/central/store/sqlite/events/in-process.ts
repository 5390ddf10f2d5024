// The calls of both database threads over one connection, for tests that look into the tables or count what is written.
import { DatabaseSync } from 'node:sqlite';
import { MIGRATIONS } from '../../../../../central/store/sqlite/migrations.ts';
import type { EventFilter, StoredEvent } from '../../../../../central/store/message-store.ts';
import { createReads, type Reads } from '../../../../../central/store/sql/reads.ts';
import { createWrites, type Writes } from '../../../../../central/store/sql/writes.ts';
import type { Item } from '../../../../../shared/delivery/message.ts';
import { transactionExecutor } from '../../../../../shared/sqlite/transaction.ts';
import { framesOf } from '../../../../shared/delivery/frames.ts';
import { ACT, claimOf, DAY, NOW } from '../../samples.ts';

export interface InProcess {
  readonly database: DatabaseSync;
  readonly writes: Writes;
  readonly reads: Reads;
  /** A call in a transaction of its own. */
  commit<T>(work: () => T): T;
  /** Registers an agent and opens a session; its epoch. `begin`: the log begins too. */
  online(id: string, begin?: { readonly deduplicates: boolean }): number;
  append(id: string, epoch: number, first: number, items: readonly Item[], now?: number): number;
  /** All pages of what matches, as a reader gets them. */
  readAll(filter: EventFilter, limit: number, after?: number): StoredEvent[];
  count(table: string): number;
}

/** `schema`: the number of migrations of an older version. */
export function inProcess(database = emptyDatabase()): InProcess {
  const writes = createWrites(database, {
    deduplicationMs: 366 * DAY,
    namesOfCentral: [],
    now: () => NOW,
    space: {
      report: () => ({ state: 'ample', freeBytes: null, availableBytes: null, reserveBytes: 0 }),
      setReserve: () => undefined,
      take: () => undefined,
    },
    holdLog: () => undefined,
  });
  const reads = createReads(database, []);
  const execute = transactionExecutor(database);
  const commit = <T>(work: () => T): T => {
    const [outcome] = execute([work]);
    if (outcome?.ok !== true) throw outcome?.error;
    return outcome.value as T;
  };
  return {
    database,
    writes,
    reads,
    commit,
    online(id, begin) {
      const agent = { id, name: id, publicKey: `key of ${id}`, keyThumbprint: `thumbprint of ${id}`, now: NOW };
      commit(() => writes.admitAgent(ACT, agent, 'admin'));
      const { epoch } = commit(() => writes.claimSession(claimOf(id)));
      if (begin !== undefined)
        commit(() =>
          writes.beginInbox(id, epoch, { incarnation: `log of ${id}`, next: 1, missing: null, ...begin }, NOW),
        );
      return epoch;
    },
    append: (id, epoch, first, items, now = NOW) =>
      commit(() => writes.appendEvents(id, epoch, first, framesOf(first, items), now)).through,
    readAll(filter, limit, after = 0) {
      const all: StoredEvent[] = [];
      for (let at = after; ;) {
        const { events, through, last } = reads.readEvents(at, filter, limit);
        if (events.length > limit) throw new Error(`a page of ${events.length} events where ${limit} are allowed`);
        if (events.length === 0 && through >= last) return all;
        all.push(...events);
        at = events.at(-1)?.cursor ?? through;
      }
    },
    count: (table) => Number(database.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.['rows']),
  };
}

export function emptyDatabase(schema = MIGRATIONS.length): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  database.exec(MIGRATIONS.slice(0, schema).join(';\n'));
  return database;
}

/** The schema in front of the runs. */
export const SCHEMA_OF_ROWS = MIGRATIONS.findIndex((sql) => sql.includes('CREATE TABLE event_run'));

/** Brings a database of an older schema to that of today. */
export function migrate(database: DatabaseSync, from: number): void {
  database.exec(`BEGIN; ${MIGRATIONS.slice(from).join(';\n')}; COMMIT`);
}
