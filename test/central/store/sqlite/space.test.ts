// The disk reserve as the writing thread keeps it: what is refused, what goes on, and when it ends; over a file system
// of the test's own figures.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DiskSpace } from '../../../../central/store/sqlite/space.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const MIB = 1024 * 1024;
const RESERVE = 64 * MIB;

describe('the disk reserve', () => {
  let folder: string;
  let database: DatabaseSync;
  let free: number;
  let total: number;
  let logHeld: boolean;
  let clock: number;
  let space: DiskSpace;

  beforeEach(() => {
    folder = temporaryFolder();
    const path = join(folder, 'central.db');
    database = new DatabaseSync(path);
    database.exec('PRAGMA journal_mode = WAL; CREATE TABLE filler (text TEXT)');
    [free, total, logHeld, clock] = [1024 * MIB, 4096 * MIB, false, 0];
    space = new DiskSpace({
      database,
      folder,
      path,
      statfs: () => ({ bavail: free / 4096, blocks: total / 4096, bsize: 4096 }),
      logHeld: () => logHeld,
      clock: () => (clock += 10_000),
    });
    space.setReserve(RESERVE);
  });

  afterEach(() => {
    database.close();
  });

  function at(megabytes: number): string {
    free = megabytes * MIB;
    space.measure();
    return space.report().state;
  }

  it('warns at twice the reserve, refuses below it with a retryable error, and each ends only with an eighth more', () => {
    expect([1024, 129, 127, 129, 65].map(at)).toEqual(['ample', 'ample', 'low', 'low', 'low']);
    space.take(1);
    expect(at(63)).toBe('reserved');
    expect(() => space.take(1)).toThrow(
      expect.objectContaining({ code: 'store_reserve', status: 503, retryable: true }),
    );
    expect([65, 71, 73, 143, 145].map(at)).toEqual(['reserved', 'reserved', 'low', 'low', 'ample']);
    expect(() => space.take(1)).not.toThrow();
  });

  it('counts what one transaction brings, twice: a fast writer gets at most one call into the reserve', () => {
    at(84);
    space.take(6 * MIB);
    space.take(6 * MIB);
    expect(() => space.take(1)).toThrow(expect.objectContaining({ code: 'store_reserve' }));
  });

  it('counts what the log still has to copy into the database, and cuts the log back first', () => {
    const grow = (): void => database.exec(`INSERT INTO filler VALUES (hex(zeroblob(${10 * MIB})))`);
    grow();
    const log = statSync(join(folder, 'central.db-wal')).size;
    expect(log).toBeGreaterThan(20 * MIB);
    logHeld = true;
    expect(at(80)).toBe('reserved');
    logHeld = false;
    expect(at(80)).toBe('low');
    expect(statSync(join(folder, 'central.db-wal')).size).toBe(0);
  });

  it('cuts the log back before it refuses anything, however short ago it did', () => {
    clock = 0;
    space = new DiskSpace({
      database,
      folder,
      path: join(folder, 'central.db'),
      statfs: () => ({ bavail: free / 4096, blocks: total / 4096, bsize: 4096 }),
      logHeld: () => false,
      clock: () => clock,
    });
    space.setReserve(RESERVE);
    for (let i = 0; i < 3; i += 1) {
      database.exec(`INSERT INTO filler VALUES (hex(zeroblob(${10 * MIB})))`);
      expect(at(80)).toBe('low');
    }
  });

  it('counts what is free inside the database, but for what the log needs', () => {
    database.exec(
      `INSERT INTO filler VALUES (hex(zeroblob(${25 * MIB}))); DELETE FROM filler; PRAGMA wal_checkpoint(TRUNCATE)`,
    );
    expect(at(40)).toBe('low');
    expect(at(31)).toBe('reserved');
  });

  it('takes at most a quarter of a small file system', () => {
    total = 64 * MIB;
    expect(at(40)).toBe('ample');
    expect(space.report().reserveBytes).toBe(16 * MIB);
    expect(at(15)).toBe('reserved');
  });

  it('ends the store in order when nothing is left, and without a reserve looks at nothing', () => {
    free = MIB / 2;
    expect(() => space.measure()).toThrow(
      expect.objectContaining({
        code: 'store_failed',
        hint: expect.stringContaining(`Free space on the disk of ${folder} and start again`),
      }),
    );
    space.setReserve(0);
    expect(at(0)).toBe('unwatched');
    expect(() => space.take(MIB)).not.toThrow();
  });
});
