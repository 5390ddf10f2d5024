import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import { compatibilitySchema } from '../../../shared/sqlite/compatibility.ts';
import { boundLog, openDatabase, openReader, type DatabaseOptions } from '../../../shared/sqlite/database.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const hasStrace = spawnSync('strace', ['-V']).status === 0;

let folder: string;
let options: DatabaseOptions;

beforeEach(() => {
  folder = temporaryFolder();
  options = {
    path: join(folder, 'test.db'),
    applicationId: 42,
    migrations: ['CREATE TABLE a (n INTEGER) STRICT', 'CREATE TABLE b (n INTEGER) STRICT'],
    cacheKiB: 256,
    checkpointPages: 100,
  };
});

const pragma = (database: DatabaseSync, name: string): unknown =>
  Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];

/** A database of some hundred pages, closed. */
function filled(): void {
  const database = openDatabase(options);
  const insert = database.prepare('INSERT INTO a VALUES (?)');
  database.exec('BEGIN');
  for (let n = 0; n < 50_000; n += 1) insert.run(n);
  database.exec('COMMIT');
  database.close();
}

function overwrite(path: string, start: number, bytes: number): void {
  writeFileSync(path, readFileSync(path).fill(0xa5, start, start + bytes));
}

describe('openDatabase', () => {
  it('makes a private file with WAL, FULL and the newest schema', () => {
    using database = openDatabase(options);
    expect([
      pragma(database, 'journal_mode'),
      pragma(database, 'synchronous'),
      pragma(database, 'foreign_keys'),
      pragma(database, 'user_version'),
    ]).toEqual(['wal', 2, 1, 2]);
    database.exec('INSERT INTO b VALUES (1)');
    for (const name of ['test.db', 'test.db-wal', 'test.db-shm'])
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  it('brings an older schema forward and keeps its rows', () => {
    const old = openDatabase({ ...options, migrations: options.migrations.slice(0, 1) });
    old.exec('INSERT INTO a VALUES (7)');
    old.close();
    using database = openDatabase(options);
    expect(database.prepare('SELECT n FROM a').get()).toEqual({ n: 7 });
    expect(pragma(database, 'user_version')).toBe(2);
  });

  it('leaves the schema as it was when a migration fails halfway', () => {
    openDatabase({ ...options, migrations: options.migrations.slice(0, 1) }).close();
    expect(() =>
      openDatabase({
        ...options,
        migrations: [options.migrations[0] ?? '', 'CREATE TABLE c (n INTEGER); CREATE TABLE a (n INTEGER)'],
      }),
    ).toThrow('already exists');
    using database = openDatabase(options);
    expect(database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'c'").get()).toEqual({ n: 0 });
  });

  it('is migrated whole or left as it was: an error in a later step undoes the earlier ones, and the old version still opens it', () => {
    openDatabase({ ...options, migrations: options.migrations.slice(0, 1) }).close();
    const steps = ['CREATE TABLE c (n INTEGER)', 'CREATE TABLE a (n INTEGER)'];
    expect(() => openDatabase({ ...options, migrations: [options.migrations[0] ?? '', ...steps] })).toThrow(
      expect.objectContaining({
        code: 'data_not_migrated',
        message: expect.stringContaining('from schema 1 to schema 3'),
      }),
    );
    using old = openDatabase({ ...options, migrations: options.migrations.slice(0, 1) });
    expect([pragma(old, 'user_version'), pragma(old, 'integrity_check')]).toEqual([1, 'ok']);
  });

  it.runIf(hasStrace)('never calls a file damaged because the disk failed to give a page once', () => {
    filled();
    const database = join(import.meta.dirname, '../../../shared/sqlite/database.ts');
    const script = `
      const { openDatabase } = await import(${JSON.stringify(database)});
      try { openDatabase(${JSON.stringify(options)}).close(); console.log('opened'); } catch ({ code }) { console.log(code); }`;
    const outcomes = [2, 5, 9, 30].map((read) => {
      const inject = ['-f', '-e', 'trace=pread64', '-e', `inject=pread64:error=EIO:when=${read}`, '-P', options.path];
      const node = [process.execPath, '--input-type=module', '--eval', script];
      return spawnSync('strace', ['-qq', '-o', '/dev/null', ...inject, ...node], { encoding: 'utf8' }).stdout.trim();
    });
    expect(outcomes).toEqual(['opened', 'opened', 'opened', 'opened']);
  });

  it('refuses a file of a newer version, naming both, and leaves it as it is', () => {
    openDatabase({ ...options, migrations: [...options.migrations, 'CREATE TABLE c (n INTEGER) STRICT'] }).close();
    const before = readFileSync(options.path);
    expect(() => openDatabase(options)).toThrow(
      expect.objectContaining({
        code: 'data_newer',
        message: expect.stringContaining('its schema is 3; this version supports up to 2'),
      }),
    );
    expect(readFileSync(options.path).equals(before)).toBe(true);
  });

  it('opens a file that a newer version has migrated and left readable, changes nothing of it, and gives it back', () => {
    const released = [...options.migrations, compatibilitySchema(3)];
    const newer = [...released, 'ALTER TABLE a ADD COLUMN more TEXT; CREATE TABLE c (n INTEGER) STRICT'];
    openDatabase({ ...options, migrations: released }).close();
    const after = openDatabase({ ...options, migrations: newer });
    after.exec("INSERT INTO a VALUES (1, 'x'); INSERT INTO c VALUES (2)");
    after.close();
    const older = openDatabase({ ...options, migrations: released });
    expect(pragma(older, 'user_version')).toBe(4);
    older.exec('INSERT INTO a (n) VALUES (3)');
    older.close();
    using again = openDatabase({ ...options, migrations: newer });
    expect(again.prepare('SELECT n, more FROM a ORDER BY n').all()).toEqual([
      { n: 1, more: 'x' },
      { n: 3, more: null },
    ]);
    expect(again.prepare('SELECT n FROM c').get()).toEqual({ n: 2 });
  });

  it('refuses a file that a newer version has made unreadable for it', () => {
    const released = [...options.migrations, compatibilitySchema(3)];
    const added = [...released, 'CREATE TABLE c (n INTEGER) STRICT'];
    const contracted = [...added, 'DROP TABLE a; UPDATE compatibility SET readable_by = 4'];
    openDatabase({ ...options, migrations: contracted }).close();
    expect(() => openDatabase({ ...options, migrations: released })).toThrow(
      expect.objectContaining({ code: 'data_newer' }),
    );
    openDatabase({ ...options, migrations: added }).close();
  });

  it('refuses a database of another program', () => {
    const other = new DatabaseSync(options.path);
    other.exec('CREATE TABLE theirs (n INTEGER)');
    other.close();
    expect(() => openDatabase(options)).toThrow(expect.objectContaining({ code: 'data_foreign' }));
  });

  it.each<[string, (path: string) => void]>([
    [
      'a text file',
      (path) => writeFileSync(path, 'no database, and longer than the header of one would be; '.repeat(10)),
    ],
    ['an empty file', (path) => writeFileSync(path, '')],
    ['a truncated file', (path) => truncateSync(path, 4096 * 20)],
    ['a file cut within a page', (path) => truncateSync(path, 4096 * 20 + 100)],
    ['a file with a page overwritten', (path) => overwrite(path, 4096 * 30, 4096)],
    ['a file without its header', (path) => overwrite(path, 0, 100)],
  ])('refuses %s', (_, damage) => {
    filled();
    damage(options.path);
    expect(() => openDatabase(options)).toThrow(
      expect.objectContaining({ code: 'data_damaged', hint: expect.stringContaining('restore the last backup') }),
    );
  });

  it('refuses to begin beside the log of a database that is gone', () => {
    filled();
    writeFileSync(`${options.path}-wal`, 'the log');
    rmSync(options.path);
    expect(() => openDatabase(options)).toThrow(expect.objectContaining({ code: 'data_damaged' }));
    expect(existsSync(options.path)).toBe(false);
  });

  it('makes the database again when the making was cut off', () => {
    writeFileSync(`${options.path}.new`, 'half');
    openDatabase(options).close();
    expect(existsSync(`${options.path}.new`)).toBe(false);
  });

  it.skipIf(process.getuid?.() === 0)('says that the file may not be read', () => {
    filled();
    chmodSync(options.path, 0);
    expect(() => openDatabase(options)).toThrow(expect.objectContaining({ code: 'data_unusable' }));
  });

  it('says that the folder is missing', () => {
    expect(() => openDatabase({ ...options, path: join(folder, 'none', 'test.db') })).toThrow(
      expect.objectContaining({ code: 'data_unusable', hint: expect.stringContaining('folder') }),
    );
  });
});

describe('openReader', () => {
  it('sees each commit and cannot write', () => {
    using database = openDatabase(options);
    using reader = openReader(options.path, 256);
    database.exec('INSERT INTO a VALUES (1)');
    expect(reader.prepare('SELECT n FROM a').get()).toEqual({ n: 1 });
    expect(() => reader.exec('INSERT INTO a VALUES (2)')).toThrow('readonly');
  });
});

describe('boundLog', () => {
  it('cuts a log back that a reader had kept from being folded in', () => {
    using database = openDatabase(options);
    using reader = openReader(options.path, 256);
    const snapshot = reader.prepare('SELECT n FROM a UNION ALL SELECT 1').iterate();
    snapshot.next();
    const insert = database.prepare('INSERT INTO a VALUES (?)');
    for (let n = 0; n < 300; n += 1) insert.run(n);
    const walSize = (): number => statSync(`${options.path}-wal`).size;
    expect(walSize()).toBeGreaterThan(1_000_000);
    snapshot.return?.();
    boundLog(database, options.path, 2_000_000);
    expect(walSize()).toBeGreaterThan(1_000_000);
    boundLog(database, options.path, 1_000_000);
    expect(walSize()).toBe(0);
  });
});
