import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import { CodedError } from '../../../shared/errors.ts';
import { transactionExecutor } from '../../../shared/sqlite/transaction.ts';

let database: DatabaseSync;

beforeEach(() => {
  database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE t (n INTEGER NOT NULL UNIQUE, filler TEXT) STRICT');
});

const insert =
  (n: number, filler = '') =>
  () => {
    database.prepare('INSERT INTO t VALUES (?, ?)').run(n, filler);
    return n;
  };
const rows = (): unknown[] =>
  database
    .prepare('SELECT n FROM t ORDER BY n')
    .all()
    .map((row) => row['n']);

describe('transactionExecutor', () => {
  it('undoes alone what a failing call had written', () => {
    const outcomes = transactionExecutor(database)([
      insert(1),
      () => {
        insert(2)();
        throw new CodedError('refused', { text: 'no', hint: 'test' }, {});
      },
      insert(1),
      insert(3),
    ]);
    expect(outcomes).toMatchObject([
      { ok: true, value: 1 },
      { ok: false, error: { code: 'refused' } },
      { ok: false },
      { ok: true, value: 3 },
    ]);
    expect(rows()).toEqual([1, 3]);
  });

  it('throws, and leaves nothing behind, when the store itself is at fault', () => {
    // SQLITE_FULL, as a full disk gives it.
    database.exec('PRAGMA max_page_count = 8');
    const execute = transactionExecutor(database);
    expect(() => execute([insert(1), insert(2, 'x'.repeat(100_000)), insert(3)])).toThrow(
      expect.objectContaining({ errcode: 13 }),
    );
    expect(database.isTransaction).toBe(false);
    expect(rows()).toEqual([]);
  });

  it('waits for the disk again after a batch that did not, also one that failed', () => {
    const execute = transactionExecutor(database);
    const synchronous = (): unknown => database.prepare('PRAGMA synchronous').get()?.['synchronous'];
    database.exec('PRAGMA synchronous = FULL');
    const [FULL, seen] = [synchronous(), [] as unknown[]];
    execute([insert(1), () => seen.push(synchronous())], 'unsynced');
    execute([() => seen.push(synchronous())]);
    expect([rows(), synchronous(), seen[1]]).toEqual([[1], FULL, FULL]);
    expect(seen[0]).not.toBe(FULL);
    database.exec('PRAGMA max_page_count = 8');
    expect(() => execute([insert(2, 'x'.repeat(100_000))], 'unsynced')).toThrow(
      expect.objectContaining({ errcode: 13 }),
    );
    expect(synchronous()).toBe(FULL);
  });

  it('throws when the COMMIT fails', () => {
    database.exec(
      'PRAGMA foreign_keys = ON; CREATE TABLE child (parent INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED) STRICT',
    );
    const execute = transactionExecutor(database);
    expect(() => execute([insert(1), () => database.exec('INSERT INTO child VALUES (9)')])).toThrow('FOREIGN KEY');
    expect(rows()).toEqual([]);
  });
});
