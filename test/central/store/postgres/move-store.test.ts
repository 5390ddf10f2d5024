// An embedded store that is moved into PostgreSQL: what the store in PostgreSQL then answers, and what is refused.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { migrateStore } from '../../../../central/composition/migrate-store.ts';
import { moveEmbeddedStore, openCentralStore } from '../../../../central/store/open-store.ts';
import { CHAIN_START } from '../../../../central/store/audit-store.ts';
import { openPostgresStore } from '../../../../central/store/postgres/postgres-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { freshDatabase, type TestDatabase } from '../../../postgres/cluster.ts';
import { lacksPostgres } from '../../../postgres/binaries.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';
import { ACT, allEventIds, claimOf, DAY, items, message, NOW, online, registered, ROOM } from '../samples.ts';

const NAMES = { centralName: 'central.test', hostName: 'central.test', nodeName: 'central.test' };
const configOf = (dataFolder: string) => ({ ...NAMES, dataFolder, advertisedNames: ['central.test'] as const });
const BLOB = [0, 1, 2, 0, 255, 92, 39];

/** A store with something of each kind, and the epoch of its agent. */
async function fill(store: Store): Promise<number> {
  const epoch = await online(store, 'a1');
  await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1', 'e2', "e3 'quoted' \\ grüezi")), NOW);
  await store.outbox.append('a1', [message('c1'), message('c2')], ROOM, NOW);
  await registered(store, 'a2', 'Zweigstelle "2"');
  await registered(store, 'a3');
  // Its number is not given again.
  await store.agents.remove('a3', ACT);
  const blob = await store.releases.beginBlob(NOW);
  await store.releases.appendChunk(blob, 0, new Uint8Array(BLOB));
  await store.releases.finishBlob(blob, { sha256: 'f'.repeat(64), size: BLOB.length }, NOW);
  await store.keyMaterial.put(
    [{ subject: 'authority', version: 0, entries: [{ name: 'authority.x', value: 'sealed' }] }],
    ACT,
  );
  return epoch;
}

describe.skipIf(lacksPostgres())('an embedded store', () => {
  let database: TestDatabase;
  beforeAll(async () => void (database = await freshDatabase()));
  afterAll(() => database.drop());

  const openMoved = async (url: string): Promise<Store> => {
    const node = { name: 'node-1', address: null, version: '0.1.0' };
    const store = await openPostgresStore({
      url,
      node,
      deduplicationMs: 7 * DAY,
      namesOfCentral: [],
      onFailure: (error) => {
        throw error;
      },
    });
    onTestFinished(() => store.stop());
    return store;
  };

  it('goes on in PostgreSQL where it was: logs, cursors, audit chain, numbers, blobs, keys', async () => {
    const folder = temporaryFolder();
    const embedded = await openCentralStore(configOf(folder), () => undefined);
    const epoch = await fill(embedded);
    const before = {
      events: await embedded.inbox.read(0, {}, 100),
      cursor: await embedded.inbox.lastCursor(),
      incarnations: await embedded.inbox.incarnations(),
      agents: await embedded.agents.get('a2'),
    };
    await embedded.stop();
    const said: string[] = [];
    await migrateStore({ ...configOf(folder), storeUrl: database.url }, (line) => void said.push(line));
    expect(said.join('\n')).toMatch(/event_run: 1 row, [0-9a-f]{32}/);
    expect([existsSync(join(folder, 'central.db')), existsSync(join(folder, 'central.db.migrated'))]).toEqual([
      false,
      true,
    ]);

    const moved = await openMoved(database.url);
    expect(await moved.inbox.read(0, {}, 100)).toEqual(before.events);
    expect(await moved.inbox.lastCursor()).toBe(before.cursor);
    expect(await moved.inbox.incarnations()).toEqual(before.incarnations);
    expect(await moved.agents.get('a2')).toEqual(before.agents);
    // The session of the Central that was stopped is over.
    expect((await moved.agents.get('a1'))?.session?.endedAt).not.toBeNull();
    // The agent goes on with its log: nothing of it is missing, and nothing is asked for again.
    const claimed = await moved.agents.claimSession(claimOf('a1', { node: 'node-1', session: 's2' }));
    expect(claimed).toMatchObject({ epoch: epoch + 1, up: { incarnation: 'log of a1', number: 3 } });
    await moved.inbox.begin('a1', claimed.epoch, { incarnation: 'log of a1', next: 4, missing: null }, NOW);
    await moved.inbox.append('a1', claimed.epoch, 4, framesOf(4, items('e4')), NOW);
    expect(await allEventIds(moved)).toEqual(['e1', 'e2', "e3 'quoted' \\ grüezi", 'e4']);
    expect((await moved.inbox.read(before.cursor, {}, 10)).map(({ cursor }) => cursor)).toEqual([before.cursor + 1]);
    expect((await moved.outbox.read('a1', 0, 10, 1_000_000)).map(({ number }) => number)).toEqual([1, 2]);
    expect([...((await moved.releases.readChunk('f'.repeat(64), 0)) ?? [])]).toEqual(BLOB);
    expect(await moved.keyMaterial.load('authority')).toMatchObject({ version: 1, rows: [{ value: 'sealed' }] });
    const audit = await moved.audit.list({ limit: 1 });
    expect(audit).toMatchObject([{ action: 'store.migrate' }]);
    await moved.audit.append(ACT);
    expect((await moved.audit.check({ number: 0, hash: CHAIN_START }, 1_000)).faults).toEqual([]);
    expect((await registered(moved, 'a4')).key).toBe(4);
  });

  it('is not moved into a database with something in it, and stays as it is', async () => {
    const folder = temporaryFolder();
    const embedded = await openCentralStore(configOf(folder), () => undefined);
    await fill(embedded);
    await embedded.stop();
    const other = await freshDatabase();
    onTestFinished(() => other.drop());
    await other.cluster.primary.sql('CREATE TABLE of_others (x int)', [], other.name);
    await expect(migrateStore({ ...configOf(folder), storeUrl: other.url }, () => undefined)).rejects.toMatchObject({
      code: 'store_not_empty',
      message: expect.stringContaining('of_others'),
    });
    expect(existsSync(join(folder, 'central.db'))).toBe(true);
  });

  it('is moved whole or not at all: a move that is cut leaves an empty database and the store, and can be repeated', async () => {
    const folder = temporaryFolder();
    const embedded = await openCentralStore(configOf(folder), () => undefined);
    await fill(embedded);
    await embedded.stop();
    const other = await freshDatabase();
    onTestFinished(() => other.drop());
    const cut = new Error('cut');
    const move = moveEmbeddedStore(
      configOf(folder),
      other.url,
      async () => undefined,
      ({ table }) => {
        if (table === 'outbox_entry') throw cut;
      },
    );
    await expect(move).rejects.toBe(cut);
    expect(existsSync(join(folder, 'central.db'))).toBe(true);
    const { tables } = await moveEmbeddedStore(
      configOf(folder),
      other.url,
      async () => undefined,
      () => undefined,
    );
    expect(tables.find(({ table }) => table === 'outbox_entry')?.rows).toBe(2);
  });
});
