// queuegate store backup and queuegate store restore on a running Central, with an agent whose logs do not fit
// afterwards.
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it } from 'vitest';
import { auditEntry, CENTRAL } from '../../central/audit.ts';
import { Backups } from '../../central/store/backup/backup.ts';
import { openStoreFiles } from '../../central/store/open-store.ts';
import { openSqliteStore } from '../../central/store/sqlite/sqlite-store.ts';
import { CentralProcess, Cleanup } from '../flow/processes.ts';
import { ids, portFlags, Site } from './restored-site.ts';
import { storedEvents } from './stored-events.ts';
import { Producer } from './traffic.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function passwordFile(text = 'correct horse battery staple'): Promise<string> {
  const file = join(await cleanup.folder(), 'password');
  await writeFile(file, `${text}\n`);
  return file;
}

const byDirection = <T extends { readonly direction: string }>(restarts: readonly T[]): T[] =>
  restarts.toSorted((a, b) => a.direction.localeCompare(b.direction));

describe('queuegate store backup and queuegate store restore', () => {
  it('keep the newest backups of a folder, and delete nothing that the command did not write', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const folder = await cleanup.folder();
    const older = ['central-20200101T000000Z.qgbackup', 'central-20200102T000000Z.qgbackup'];
    const others = ['before-the-move.qgbackup', 'central-20200101T000000Z.qgbackup.unfinished', 'notes'];
    for (const name of [...older, ...others]) await writeFile(join(folder, name), '');
    const flags = ['--password-file', await passwordFile(), '--json'];
    const made = await central.cli('store', 'backup', '--out', folder, '--keep', '2', ...flags);
    expect([made.code, made.stderr]).toEqual([0, '']);
    const { file, deleted } = JSON.parse(made.stdout) as { file: string; deleted: string[] };
    expect(deleted).toEqual(older.slice(0, 1));
    expect((await readdir(folder)).toSorted()).toEqual([...others, ...older.slice(1), basename(file)].toSorted());
  });

  it('bring a running Central back to the backup: sessions end and come again, ranges are recorded, no cursor is given twice', async () => {
    const site = await Site.open(cleanup);
    await site.post(ids('e', 1, 5));
    await site.command(ids('c', 1, 3));
    await site.quiet();
    const file = join(await cleanup.folder(), 'central.qgbackup');
    const flags = ['--password-file', await passwordFile()];
    const { pid } = site.central.process.child;

    const made = await site.central.cli('store', 'backup', '--out', file, ...flags);
    expect([made.code, made.stderr]).toEqual([0, '']);
    expect((await site.central.cli('store', 'backup', '--out', file, ...flags)).stderr).toContain('already exists');
    expect((await site.central.cli('store', 'backup', '--out', `${file}.2`)).stderr).toContain(
      '(backup_password_missing)',
    );
    expect(
      (await site.central.cli('store', 'backup', '--out', `${file}.2`, '--password-file', await passwordFile('short')))
        .stderr,
    ).toContain('(backup_password_short)');

    await site.post(ids('e', 6, 10));
    await site.command(ids('c', 4, 6));
    await site.quiet();
    const { body: before } = await site.central.rest('GET', '/events?after=oldest');
    // These wait at Central only.
    await site.agent.stop();
    await site.command(['x1', 'x2']);

    // A wrong password, and a file that is none: said, and nothing is touched.
    const { body: running } = await site.central.rest('GET', '/status');
    const wrong = await site.central.cli(
      'store',
      'restore',
      file,
      '--yes',
      '--password-file',
      await passwordFile('another password'),
    );
    expect([wrong.code, wrong.stderr]).toEqual([6, expect.stringContaining('(backup_password_wrong)')]);
    const none = await site.central.cli('store', 'restore', flags[1] ?? '', '--yes', ...flags);
    expect([none.code, none.stderr]).toEqual([6, expect.stringContaining('(backup_unknown)')]);
    expect((await site.central.rest('GET', '/status')).body.startedAt).toBe(running.startedAt);
    expect((await readdir(site.central.folder)).filter((name) => /restore/.test(name))).toEqual([]);

    const restored = await site.central.cli('store', 'restore', file, '--yes', ...flags);
    expect([restored.code, restored.stderr]).toEqual([0, '']);
    // The same process with another start: a consumer from before is ahead, and gets an error.
    expect((await site.central.rest('GET', '/status')).body.startedAt).not.toBe(running.startedAt);
    expect(site.central.process.child.pid).toBe(pid);
    expect(site.central.process.running).toBe(true);
    expect(await site.central.rest('GET', `/events?after=${before.next}`)).toMatchObject({
      status: 410,
      body: { type: 'urn:queuegate:error:cursor_ahead' },
    });

    const { body: recorded } = await site.central.rest('GET', '/incidents');
    expect(recorded.items).toMatchObject([
      {
        code: 'commands_forgotten',
        agentId: site.agentId,
        detail: { recovered: false, direction: 'down', from: 7, through: 8 },
      },
    ]);

    await site.startAgent();
    await site.post(ids('e', 11, 13));
    await site.command(['c7']);
    await site.quiet();
    expect(await site.events()).toEqual([...ids('e', 1, 5), ...ids('e', 11, 13)].map((id) => `/till ${id}`));
    expect(await site.take()).toEqual(ids('c', 1, 7));
    const records = [
      { direction: 'down', from: 4, through: 6 },
      { direction: 'up', from: 6, through: 10 },
    ];
    expect(byDirection(await site.recordedAtCentral())).toEqual(records);
    expect(byDirection(await site.recordedAtAgent())).toEqual(records);
    // A consumer that slept through all of it learns that Central went back, and misses nothing that is new.
    const { body: ahead } = await site.central.rest('GET', `/events?after=${before.next}`);
    expect(ahead).toMatchObject({ code: 'cursor_ahead' });
    const { body: after } = await site.central.rest('GET', `/events?after=${ahead.resumeAfter}`);
    expect(after.items.map(({ event }: { event: { id: string } }) => event.id)).toEqual(ids('e', 11, 13));

    await site.central.stop();
    const kept = (await readdir(site.central.folder)).filter((name) => name.startsWith('central.db'));
    expect(kept.toSorted()).toEqual(['central.db', expect.stringMatching(/^central\.db\.before-restore-2\d{3}-/)]);
    expect(audited(join(site.central.folder, 'central.db')).filter((action) => action.startsWith('store.'))).toEqual([
      'store.backup',
      'store.restore',
    ]);
    const replaced = new DatabaseSync(join(site.central.folder, kept.find((name) => name !== 'central.db') ?? ''), {
      readOnly: true,
    });
    expect(storedEvents(replaced)).toHaveLength(10);
    replaced.close();
  }, 120_000);

  it('go back to the store before, and say so, when Central does not start with the restored one', async () => {
    const site = await Site.open(cleanup);
    await site.post(ids('e', 1, 3));
    await site.quiet();
    const file = join(await cleanup.folder(), 'central.qgbackup');
    await writeFile(file, await backupThatCannotStart());
    const { body: running } = await site.central.rest('GET', '/status');

    const { code, stderr } = await site.central.cli(
      'store',
      'restore',
      file,
      '--yes',
      '--password-file',
      await passwordFile(),
    );
    expect([code, stderr]).toEqual([1, expect.stringContaining('(restore_rolled_back)')]);
    expect(stderr).toContain('authority.generations');
    const { body: now } = await site.central.rest('GET', '/status');
    expect(now).toMatchObject({
      problems: [],
      restore: { backup: { central: 'elsewhere' }, failure: expect.stringContaining('authority.generations') },
    });
    expect(now.startedAt).not.toBe(running.startedAt);
    await site.post(ids('e', 4, 5));
    await site.quiet();
    expect(await site.events()).toEqual(ids('e', 1, 5).map((id) => `/till ${id}`));
    expect((await readdir(site.central.folder)).filter((name) => /restore/.test(name))).toEqual([]);
  }, 120_000);

  it('carry a Central under load to another machine, whole to one instant', async () => {
    const site = await Site.open(cleanup);
    const producers = ['p1', 'p2'].map((name) => Producer.events(site.agent, name));
    for (const producer of producers) await producer.further(200);
    const file = join(await cleanup.folder(), 'central.qgbackup');
    const flags = ['--password-file', await passwordFile()];
    expect((await site.central.cli('store', 'backup', '--out', file, ...flags)).code).toBe(0);
    const accepted = producers.map((producer) => producer.accepted.length);
    // It went on all the while.
    for (const producer of producers) await producer.further(50);
    for (const producer of producers) await producer.stop();

    const folder = await cleanup.folder();
    // Its ports have to stay: the second start in its process takes them again.
    const other = await CentralProcess.start(cleanup, folder, await portFlags());
    const restored = await other.cli('store', 'restore', file, '--yes', ...flags);
    expect([restored.code, restored.stderr]).toEqual([0, '']);
    await other.stop();
    const database = new DatabaseSync(join(folder, 'central.db'), { readOnly: true });
    const rows = storedEvents(database);
    expect(database.prepare('SELECT name FROM agent').all()).toEqual([{ name: 'branch-1' }]);
    database.close();
    // Without a gap, each producer's own in its order, and nothing that came long after.
    expect(rows.map(({ number }) => number)).toEqual(rows.map((_, i) => i + 1));
    for (const [i, producer] of producers.entries()) {
      const found = rows
        .map((row) => (JSON.parse(row.json) as { id: string }).id)
        .filter((id) => id.startsWith(`p${i + 1}-`));
      expect(found.length).toBeGreaterThan(100);
      expect(found.length).toBeLessThanOrEqual((accepted[i] ?? 0) + 5);
      expect(found).toEqual(producer.accepted.slice(0, found.length));
    }
  }, 120_000);
});

/** Of a sound store, whose authority cannot be read. */
async function backupThatCannotStart(): Promise<Buffer> {
  const folder = await cleanup.folder();
  const store = await openSqliteStore({ folder, deduplicationMs: 1, onFailure: (error) => console.error(error) });
  try {
    await store.keyMaterial.put(
      [{ subject: 'authority', version: 0, entries: [{ name: 'authority.generations', value: 'no list' }] }],
      auditEntry(CENTRAL, 'ca.create', {}, Date.now()),
    );
    const keys = { bytes: () => randomBytes(32), reencrypt: () => undefined };
    const chunks: Buffer[] = [];
    for await (const chunk of (
      await new Backups({
        folder,
        store,
        files: openStoreFiles(folder),
        keys,
        central: 'elsewhere',
        now: Date.now,
      }).make('correct horse battery staple', CENTRAL)
    ).sealed)
      chunks.push(chunk);
    return Buffer.concat(chunks);
  } finally {
    await store.stop();
  }
}

function audited(path: string): string[] {
  const database = new DatabaseSync(path, { readOnly: true });
  const actions = database
    .prepare('SELECT action FROM audit ORDER BY number')
    .all()
    .map((row) => String(row['action']));
  database.close();
  return actions;
}
