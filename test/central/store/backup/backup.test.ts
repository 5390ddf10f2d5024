import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { auditEntry, CENTRAL } from '../../../../central/audit.ts';
import { openKeyMaterial, type KeyMaterial } from '../../../../central/pki/keys/key-material.ts';
import { Backups, removeLeftovers, type StagedRestore } from '../../../../central/store/backup/backup.ts';
import { sealBackup } from '../../../../central/store/backup/format.ts';
import { MIGRATIONS } from '../../../../central/store/sqlite/migrations.ts';
import { openStoreFiles } from '../../../../central/store/open-store.ts';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { keyMaterialOf, putKeyMaterial } from '../../fakes.ts';
import { DAY, eventIds, items, NOW, online } from '../samples.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';
import { until } from '../../../flow/processes.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const PASSWORD = 'correct horse battery staple';
/** The least that is taken: each guess costs the test, too. */
const LIGHT = { N: 2 ** 14, r: 8, p: 1 };

/** Key-encryption keys: of this Central, and of another. */
const [ours, others] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];

let root: string;
let folder: string;
let store: Store;
let backups: Backups;

async function open(at: string): Promise<Store> {
  return await openSqliteStore({
    folder: at,
    deduplicationMs: 7 * DAY,
    onFailure: (error) => {
      throw error;
    },
  });
}

beforeEach(async () => {
  root = temporaryFolder();
  folder = join(root, 'data');
  store = await open(folder);
  backups = new Backups({
    folder,
    store,
    files: openStoreFiles(folder),
    keys: (await keyMaterial(store, ours)).keys,
    central: 'central.test',
    now: () => NOW,
  });
});

afterEach(async () => {
  await store.stop();
});

/** The store's private keys, sealed with a key of the environment. */
async function keyMaterial(of: Store, key: string): Promise<KeyMaterial> {
  const sources = {
    dataFolder: folder,
    file: undefined,
    previousFile: undefined,
    environment: key,
    credentialsFolder: undefined,
  };
  return await openKeyMaterial({
    store: of.keyMaterial,
    sources,
    log: { info: () => undefined, warn: () => undefined },
    now: () => NOW,
  });
}

async function made(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of (await backups.make(PASSWORD, CENTRAL)).sealed) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const stage = (backup: Buffer): Promise<StagedRestore> => backups.stage(Readable.from([backup]), PASSWORD, CENTRAL);

/** A backup of any file, with a lighter key. */
async function sealed(content: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of sealBackup(
    { created: '2026-11-22T10:00:00.000Z', central: 'c', version: '0', bytes: content.length },
    PASSWORD,
    { storeKey: randomBytes(32), store: Readable.from([content]) },
    LIGHT,
  ))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

const light = async (): Promise<Buffer> => await sealed(await changed(''));

/** The file of a store like ours, changed by SQL. */
async function changed(sql: string): Promise<Buffer> {
  const copy = join(root, 'copy.db');
  await store.snapshot(copy);
  const database = new DatabaseSync(copy, { defensive: false });
  database.exec(sql);
  database.close();
  return await readFile(copy);
}

const leftIn = (): string[] =>
  readdirSync(folder).filter((name) => !/^(central\.db(-wal|-shm)?|lock(\.pid|-journal)?)$/.test(name));

/** Each key costs 128 MiB and its time, as it should. */
const PATIENCE = { timeout: 120_000 };

describe('a backup and its restore', PATIENCE, () => {
  it('is refused, as a restore is, where the store is in PostgreSQL', async () => {
    const keys = (await keyMaterial(store, ours)).keys;
    const common = { folder, store, files: openStoreFiles(folder), keys, central: 'central.test', now: () => NOW };
    const elsewhere = new Backups({ ...common, isElsewhere: true });
    await expect(elsewhere.make(PASSWORD, CENTRAL)).rejects.toMatchObject({ code: 'backup_elsewhere', status: 409 });
    const staged = elsewhere.stage(Readable.from([Buffer.from('x')]), PASSWORD, CENTRAL);
    await expect(staged).rejects.toMatchObject({ code: 'backup_elsewhere' });
  });

  it('give back what was there; cursors go on behind those that the replaced store gave', async () => {
    const epoch = await online(store, 'a1');
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1', 'e2')), NOW);
    const backup = await made();
    await store.inbox.append('a1', epoch, 3, framesOf(3, items('e3', 'e4', 'e5')), NOW);
    const staged = await stage(backup);
    expect(staged.facts).toMatchObject({ central: 'central.test', created: new Date(NOW).toISOString() });
    const lastCursor = await store.inbox.lastCursor();
    const [before] = await store.inbox.incarnations();
    await store.stop();
    await openStoreFiles(folder).replace(staged, lastCursor);

    store = await open(folder);
    expect(await eventIds(store)).toEqual(['e1', 'e2']);
    expect(await store.inbox.lastCursor()).toBe(2);
    expect(await store.inbox.incarnations()).toEqual([
      { id: before?.id, ended: 2 },
      { id: expect.not.stringMatching(before?.id ?? ''), ended: null },
    ]);
    await store.inbox.append('a1', epoch, 3, framesOf(3, items('n3', 'n4')), NOW);
    expect((await store.inbox.read(lastCursor, {}, 9)).map(({ cursor }) => cursor)).toEqual([6, 7]);
    expect(await store.stats()).toMatchObject({ events: 4 });
    expect((await store.audit.list({ limit: 2 })).map(({ action }) => action)).toEqual([
      'store.restore',
      'store.backup',
    ]);
    expect(leftIn()).toEqual([expect.stringMatching(/^central\.db\.before-restore-/)]);
    // Once more on the same store: the cursors of both are kept.
    await store.stop();
    store = await open(folder);
    await store.inbox.append('a1', epoch, 5, framesOf(5, items('n5')), NOW);
    expect(await store.inbox.lastCursor()).toBe(8);
  });

  it('bring the private keys along, sealed for the Central that restores them', async () => {
    await putKeyMaterial(
      await keyMaterial(store, ours),
      [
        { name: 'authority.key', value: 'the private key' },
        { name: 'authority.note', value: 'no secret' },
      ],
      auditEntry(CENTRAL, 'ca.create', {}, NOW),
    );
    const backup = await made();
    const elsewhere = join(root, 'elsewhere');
    const other = await open(elsewhere);
    const keys = await keyMaterial(other, others);
    const staged = await new Backups({
      folder: elsewhere,
      store: other,
      files: openStoreFiles(elsewhere),
      keys: keys.keys,
      central: 'other.test',
      now: () => NOW,
    }).stage(Readable.from([backup]), PASSWORD, CENTRAL);
    await other.stop();
    await openStoreFiles(elsewhere).replace(staged, 0);

    const restored = await open(elsewhere);
    try {
      const found = await keyMaterial(restored, others);
      expect([await keyMaterialOf(found, 'authority.key'), await keyMaterialOf(found, 'authority.note')]).toEqual([
        'the private key',
        'no secret',
      ]);
      expect(await keyMaterialOf(restored.keyMaterial, 'authority.key')).toMatch(/^qgk1:/);
      await expect(keyMaterial(restored, ours)).rejects.toMatchObject({ code: 'key_encryption_key_wrong' });
    } finally {
      await restored.stop();
    }
  });

  it('are refused when the keys in the store do not open with the key that came along', async () => {
    await putKeyMaterial(
      await keyMaterial(store, ours),
      [{ name: 'authority.key', value: 'the private key' }],
      auditEntry(CENTRAL, 'ca.create', {}, NOW),
    );
    await expect(stage(await sealed(await changed('DELETE FROM audit')))).rejects.toMatchObject({
      code: 'backup_unsound',
    });
    expect(leftIn()).toEqual([]);
  });

  it('can be undone: the store before is back, whole', async () => {
    const epoch = await online(store, 'a1');
    const staged = await stage(await made());
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW);
    await store.stop();
    const replaced = await openStoreFiles(folder).replace(staged, 1);
    const other = await open(folder);
    expect(await eventIds(other)).toEqual([]);
    await other.stop();
    await replaced.rollBack();
    store = await open(folder);
    expect(await eventIds(store)).toEqual(['e1']);
  });

  it('go one at a time, and leave nothing on the disk when they fail or no one reads on', async () => {
    const first = await backups.make(PASSWORD, CENTRAL);
    await expect(backups.make(PASSWORD, CENTRAL)).rejects.toMatchObject({ code: 'backup_busy', status: 409 });
    await expect(stage(Buffer.from('x'))).rejects.toMatchObject({ code: 'backup_busy' });
    for await (const chunk of first.sealed) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    await until(() => (leftIn().length === 0 ? true : undefined));
    await expect(backups.make('short', CENTRAL)).rejects.toMatchObject({ code: 'backup_password_short' });
    await expect(stage(Buffer.from('no backup'))).rejects.toMatchObject({ code: 'backup_unknown' });
    const staged = await stage(await made());
    await backups.discard(staged);
    expect(leftIn()).toEqual([]);
  });

  it('end with a client that leaves, however early: the next one begins, and no descriptor of a copy stays open', async () => {
    const copies = (): string[] =>
      readdirSync('/proc/self/fd').filter((descriptor) => {
        try {
          return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(join(folder, 'restore-'));
        } catch {
          return false;
        }
      });
    for (const isRead of [false, true]) {
      const { sealed } = await backups.make(PASSWORD, CENTRAL);
      // The head and the first chunk: the copy is open.
      if (isRead)
        for (let i = 0; i < 2;) i += sealed.read() === null ? await once(sealed, 'readable').then(() => 0) : 1;
      sealed.destroy();
      await until(() => (leftIn().length === 0 ? true : undefined));
      if (process.platform === 'linux') await until(() => (copies().length === 0 ? true : undefined));
    }
    expect((await made()).length).toBeGreaterThan(0);
  });

  it('remove what a killed Central left behind', async () => {
    const staged = await stage(await made());
    writeFileSync(`${staged.file}-wal`, '');
    await removeLeftovers(folder);
    expect(leftIn()).toEqual([]);
  });
});

describe('a restore refuses, and touches nothing', PATIENCE, () => {
  it.each<readonly [string, () => Promise<Buffer>, string]>([
    [
      'a file that is not a database',
      async () => await sealed(Buffer.from('no database at all'.repeat(1000))),
      'backup_unsound',
    ],
    [
      'the database of another program',
      async () => await sealed(await changed('PRAGMA application_id = 7')),
      'backup_unsound',
    ],
    [
      'a store of a newer version',
      async () => await sealed(await changed(`PRAGMA user_version = ${MIGRATIONS.length + 1}`)),
      'backup_newer',
    ],
    [
      'a store with an index that does not fit its table',
      async () =>
        await sealed(
          await changed(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX event_origin ON event (number)' WHERE name = 'event_origin'; INSERT INTO origin (agent_id, incarnation) VALUES ('a', 'i'); INSERT INTO event VALUES (1, 5, 7, 0, 't', 's', '{}')",
          ),
        ),
      'backup_unsound',
    ],
    [
      'a store with a trigger of its own',
      async () =>
        await sealed(
          await changed(
            "CREATE TRIGGER t AFTER INSERT ON audit BEGIN INSERT INTO api_token VALUES ('t', 'n', 'administrator', 'h', 1, 'x', NULL); END",
          ),
        ),
      'backup_unsound',
    ],
    [
      'a store that goes on behind its end',
      async () => Buffer.concat([await light(), Buffer.alloc(1)]),
      'backup_tampered',
    ],
    ['a store that was cut off', async () => (await light()).subarray(0, -1), 'backup_truncated'],
    ['one that asks for more room than there is', async () => await hugely(), 'backup_no_room'],
  ])('%s', async (_what, make, code) => {
    await expect(stage(await make())).rejects.toMatchObject({ code });
    expect(leftIn()).toEqual([]);
    expect(await store.audit.list({ limit: 9 })).toEqual([]);
  });

  it('when the write-ahead log of the store cannot be looked at: only a missing one shows that there is none', async () => {
    await online(store, 'a1');
    const staged = await stage(await made());
    await store.stop();
    const log = join(folder, 'central.db-wal');
    // A link to itself: the look fails with ELOOP, for every account.
    symlinkSync('central.db-wal', log);
    const files = openStoreFiles(folder);
    const failed = { code: 'backup_failed', message: expect.stringContaining('ELOOP') };
    await expect(files.replace(staged, 0)).rejects.toMatchObject(failed);
    await expect(files.copyBytes()).rejects.toMatchObject(failed);
    expect([lstatSync(log).isSymbolicLink(), existsSync(staged.file)]).toEqual([true, true]);
    rmSync(log);
    store = await open(folder);
    expect(await store.agents.get('a1')).toBeDefined();
  });

  it('to take the place of a store that did not stop in order', async () => {
    await online(store, 'a1');
    const staged = await stage(await made());
    await store.stop();
    await appendFile(join(folder, 'central.db-wal'), 'what a killed process left');
    await expect(openStoreFiles(folder).replace(staged, 0)).rejects.toMatchObject({ code: 'backup_failed' });
    rmSync(join(folder, 'central.db-wal'));
    store = await open(folder);
    expect(await store.agents.get('a1')).toBeDefined();
  });
});

/** Says that its store has a petabyte; nothing behind its first chunk is read. */
async function hugely(): Promise<Buffer> {
  const facts = { created: '2026-11-22T10:00:00.000Z', central: 'c', version: '0', bytes: 2 ** 50 };
  const pieces = sealBackup(
    facts,
    PASSWORD,
    { storeKey: randomBytes(32), store: Readable.from([Buffer.alloc(64 * 1024)]) },
    LIGHT,
  );
  return Buffer.concat([
    (await pieces.next()).value ?? Buffer.alloc(0),
    (await pieces.next()).value ?? Buffer.alloc(0),
  ]);
}
