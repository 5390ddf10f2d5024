// Reads and writes the rows of the audit log, each chained to the one before (central/store/audit-store.ts).
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { TextPage } from '../../../../shared/text-page.ts';
import { CHAIN_START, chainHash } from '../../audit-store.ts';
import type {
  AuditCheck,
  AuditEntry,
  AuditFault,
  AuditFilter,
  AuditHead,
  StoredAuditEntry,
} from '../../audit-store.ts';

export function auditWrites(database: SqlDatabase) {
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

/** An act as it would be, undone at once: it throws what the act would throw, and leaves neither a change nor an entry. */
export function rehearsed<K extends string, T extends Readonly<Record<K, (...call: never[]) => unknown>>>(
  database: SqlDatabase,
  acts: T,
  name: K,
): (...call: Parameters<T[K]>) => void {
  // As in `audited`.
  const act = acts[name] as unknown as (...call: Parameters<T[K]>) => unknown;
  return (...call) => {
    database.exec('SAVEPOINT rehearsal');
    // What it throws is undone with the call.
    act(...call);
    database.exec('ROLLBACK TO rehearsal; RELEASE rehearsal');
  };
}

export function auditReads(database: SqlDatabase) {
  const page = database.prepare('SELECT * FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?');
  const newest = database.prepare('SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1');
  return {
    ...auditSearch(database),
    ...auditCheck(database),
    listAudit: (before: number, limit: number) => page.all(before, limit).map(auditRow),
    auditHead(): AuditHead | null {
      const row = newest.get();
      return row === undefined ? null : { number: integer(row, 'number'), hash: text(row, 'hash') };
    },
  };
}

/** Entries that one call looks at: some 50 ms, however much the filter leaves out. */
const SEARCHED_AT_ONCE = 20_000;

const ONE_OF = (column: string, list: string): string =>
  `(${list} IS NULL OR EXISTS (SELECT 1 FROM json_each(${list}) AS wanted WHERE glob(wanted.value, ${column})))`;

/** What a text is looked for in. */
const ALL_TEXT = ['who', 'place', 'action', 'detail', "coalesce(comment, '')", "coalesce(ticket, '')"].join(
  ' || char(10) || ',
);

function auditSearch(database: SqlDatabase) {
  const found = (order: 'ASC' | 'DESC') =>
    database.prepare(`
      SELECT * FROM audit WHERE number > ?1 AND number < ?2 AND ${ONE_OF('who', '?3')} AND ${ONE_OF('action', '?4')}
        AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(iif(json_valid(detail), detail, '{}')) AS part
          WHERE part.type = 'text' AND ${ONE_OF('part.value', '?5')}))
        AND (?6 IS NULL OR number = ?6) AND (?7 IS NULL OR at >= ?7) AND (?8 IS NULL OR at < ?8)
        AND (?9 IS NULL OR instr(lower(${ALL_TEXT}), ?9) > 0)
        AND (?10 IS NULL OR (glob('*.refuse', action) OR glob('*.forbid', action)) = (?10 = 'refused'))
      ORDER BY number ${order} LIMIT ?11`);
  const [ascending, descending] = [found('ASC'), found('DESC')];
  const ends = database.prepare('SELECT min(number) AS first, max(number) AS last FROM audit');
  return {
    findAudit(order: 'newest' | 'oldest', after: number | null, limit: number, filter: AuditFilter) {
      const row = ends.get();
      const [first, last] = [integerOrNull(row, 'first') ?? 0, integerOrNull(row, 'last') ?? 0];
      const { actors, actions, targets, number, from, to, result } = filter;
      // As lower() of SQLite does: ASCII letters only.
      const sought = filter.text?.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()) ?? null;
      const named = [patterns(actors), patterns(actions), patterns(targets), number] as const;
      const only = [...named, from, to, sought, result] as const;
      const newest = order === 'newest';
      // An entry that is named is looked up, however far away it is.
      const reach = number === null ? SEARCHED_AT_ONCE : last - first + 1;
      const start = after ?? (newest ? last + 1 : first - 1);
      const [low, high] = newest ? [start - reach - 1, start] : [start, start + reach + 1];
      const rows = (newest ? descending : ascending).iterate(low, high, ...only, limit);
      const page = new TextPage<StoredAuditEntry>(limit, ({ detail }) => detail);
      for (const each of rows) {
        page.add(auditRow(each));
        if (page.isFull) break;
      }
      const { entries } = page;
      const end = entries.at(-1)?.number;
      const reached = page.isFull && end !== undefined ? end : newest ? low + 1 : high - 1;
      return { entries, next: (newest ? reached > first : reached < last) ? reached : null };
    },
  };
}

/** GLOB knows more than `*`: what is special to it is taken as it is. */
function patterns(texts: readonly string[] | null): string | null {
  return texts === null ? null : JSON.stringify(texts.map((one) => one.replaceAll(/[[?]/g, '[$&]')));
}

function auditCheck(database: SqlDatabase) {
  const one = database.prepare('SELECT hash FROM audit WHERE number = ?');
  const behind = database.prepare('SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?');
  return {
    checkAudit(from: AuditHead, limit: number, lookFor: string | null): AuditCheck {
      const faults: AuditFault[] = [];
      const start = from.number === 0 ? undefined : one.get(from.number);
      if (from.number > 0 && (start === undefined || text(start, 'hash') !== from.hash)) faults.push({ kind: 'head' });
      let last = from;
      let count = 0;
      let found = from.hash === lookFor;
      for (const row of behind.iterate(from.number, limit)) {
        count += 1;
        const { number, hash, ...entry } = auditRow(row);
        if (number !== last.number + 1) faults.push({ kind: 'missing', number: last.number + 1, through: number - 1 });
        // Behind a gap the hash before is unknown: from the next entry on the chain is checked again.
        else if (chainHash(last.hash, number, entry) !== hash) faults.push({ kind: 'altered', number });
        last = { number, hash };
        found ||= hash === lookFor;
      }
      return { faults, last, count, found };
    },
  };
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
