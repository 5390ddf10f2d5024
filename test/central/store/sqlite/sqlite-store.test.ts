import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_BOUNDS, INCIDENTS_OF_STRANGERS } from '../../../../central/store/space/bounds.ts';
import { APPLICATION_ID, MIGRATIONS } from '../../../../central/store/sqlite/migrations.ts';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import type { Item, Message } from '../../../../shared/delivery/message.ts';
import { openDatabase } from '../../../../shared/sqlite/database.ts';
import type { CodedError } from '../../../../shared/errors.ts';
import type { Store } from '../../../../central/store/store.ts';
import {
  allEventIds,
  auditEntry,
  claimOf,
  DAY,
  eventIds,
  items,
  message,
  NOW,
  online,
  registered,
  ROOM,
} from '../samples.ts';
import { positionId } from '../../../shared/sqlite/position-id.ts';
import { canMount } from '../../../small-disk.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';

function unexpected(error: CodedError): void {
  throw error;
}

const openAt = (folder: string, onFailure: (error: CodedError) => void = unexpected): Promise<Store> =>
  openSqliteStore({ folder, deduplicationMs: 7 * DAY, namesOfCentral: ['Central.Test', 'host-of-central'], onFailure });

/** An event with so much data. */
function ofBytes(id: string, bytes: number): Message {
  const json = { specversion: '1.0', id, source: '/test', type: 'test.thing', data: 'x'.repeat(bytes) };
  return message(id, { json: JSON.stringify(json) });
}

describe('openSqliteStore', () => {
  let folder: string;
  const opened: Store[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'store-'));
  });

  afterEach(async () => {
    for (const store of opened.splice(0)) await store.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(onFailure?: (error: CodedError) => void): Promise<Store> {
    const store = await openAt(folder, onFailure);
    opened.push(store);
    return store;
  }

  it('keeps its files to its account', async () => {
    const store = await open();
    await store.audit.append(auditEntry('x'));
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of ['central.db', 'central.db-wal']) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  it('ends the sessions that were left open under another node.name: no other process has its folder', async () => {
    const before = await open();
    await registered(before, 'a1');
    await before.agents.claimSession(claimOf('a1', { node: 'old-name' }));
    await before.stop();
    const store = await open();
    expect(await store.agents.get('a1')).toMatchObject({ state: 'online', session: { endedAt: null } });
    await store.agents.endAbandonedSessions('new-name', NOW + 3, 'Central ended without closing it');
    expect(await store.agents.get('a1')).toMatchObject({
      state: 'disconnected',
      stateSince: NOW + 3,
      stateReason: 'Central ended without closing it',
      session: { endedAt: NOW + 3 },
    });
  });

  it('refuses a folder that is in use, and gives the folder back when it stops or could not start', async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({
      code: 'data_in_use',
      message: expect.stringContaining(`pid ${process.pid}`),
    });
    await store.stop();
    writeFileSync(join(folder, 'central.db'), 'garbage');
    await expect(open()).rejects.toMatchObject({ code: 'data_damaged' });
    rmSync(join(folder, 'central.db'));
    await open();
  });

  it('reports agents from before the rules on ids and names, which stay reachable by their full id', async () => {
    const before = await open();
    for (const [id, name] of [
      ['victim-id', 'victim'],
      ['a1', 'thief'],
      ['a2', 'two'],
      ['a3', 'three'],
      ['a4', 'four'],
      ['a5', 'five'],
    ] as const)
      await registered(before, id, name);
    await before.stop();
    const database = new DatabaseSync(join(folder, 'central.db'));
    const changed = (column: 'id' | 'name', value: string, of: string) =>
      database.prepare(`UPDATE agent SET ${column} = ? WHERE id = ?`).run(value, of);
    changed('id', 'VICTIM', 'a1');
    changed('id', 'two words', 'a2');
    changed('id', 'Victim-Id', 'a3');
    changed('name', 'host-of-central', 'a4');
    changed('id', 'ALL', 'a5');
    database.close();
    const store = await open();
    const { count, faults } = await store.agents.nameFaults(9);
    expect(count).toBe(5);
    expect(faults).toEqual([
      {
        id: 'victim-id',
        name: 'victim',
        found: 'its id differs from that of the agent Victim-Id in upper and lower case only',
      },
      { id: 'VICTIM', name: 'thief', found: 'its id is the name of the agent victim-id' },
      { id: 'two words', name: 'two', found: 'its id is not plain printable ASCII without blanks' },
      { id: 'a4', name: 'host-of-central', found: 'its name is a reserved name' },
      { id: 'ALL', name: 'five', found: 'its id is a reserved name' },
    ]);
    expect((await store.agents.nameFaults(2)).faults).toHaveLength(2);
    for (const id of ['victim-id', 'Victim-Id', 'VICTIM', 'two words', 'a4', 'ALL'])
      expect(await store.agents.findByReference(id, 9)).toMatchObject([{ id }]);
    // The name still means its owner, and the agents come back as they are.
    expect(await store.agents.findByReference('victim', 9)).toMatchObject([{ id: 'victim-id' }]);
    for (const [id, name, key] of [
      ['two words', 'two', 'a2'],
      ['a4', 'host-of-central', 'a4'],
      ['VICTIM', 'thief', 'a1'],
    ] as const) {
      expect(
        await store.agents.claimSession(claimOf(id, { name, keyThumbprint: `thumbprint of ${key}` })),
      ).toMatchObject({ epoch: 1 });
    }
  });

  it('takes over recovery codes and machines that wait from the schema before', async () => {
    const old = openDatabase({
      path: join(folder, 'central.db'),
      applicationId: APPLICATION_ID,
      migrations: MIGRATIONS.slice(0, 4),
      cacheKiB: 1024,
      checkpointPages: 1000,
    });
    old.exec(`INSERT INTO pending_enrollment (key_thumbprint, name, csr, address, transport, first_asked_at, last_asked_at, state) VALUES ('aa', 'n', 'c', '192.0.2.7', 'wss', 1, 1, 'pending');
      INSERT INTO recovery_code (agent, hash, created_at, created_by, expires_at, wrong_tries) VALUES (1, 'h', 1, 'admin', ${NOW}, 10)`);
    old.close();
    const store = await open();
    expect(await store.enrollments.pendingBlocks(9)).toEqual([{ block: '192.0.2.7', pending: 1 }]);
    await registered(store, 'a1');
    expect(await store.enrollments.getRecoveryCode('a1')).toEqual({
      hash: 'h',
      createdAt: 1,
      createdBy: 'admin',
      expiresAt: NOW,
      usedBy: null,
    });
  });

  it('refuses the data of a newer version', async () => {
    await (await open()).stop();
    const database = new DatabaseSync(join(folder, 'central.db'));
    database.exec('PRAGMA user_version = 99; UPDATE compatibility SET readable_by = 99');
    database.close();
    await expect(open()).rejects.toMatchObject({ code: 'data_newer', message: expect.stringContaining('99') });
  });

  it('takes on the disk no more than four times what an agent sent that was rejected', async () => {
    const store = await open();
    const epoch = await online(store, 'a1');
    const size = async (): Promise<number> => {
      const copy = join(folder, 'copy');
      await store.snapshot(copy);
      const { size: bytes } = statSync(copy);
      rmSync(copy);
      return bytes;
    };
    const before = await size();
    // Frames of 2,000 items of two bytes, each item with another reason than the one before.
    let sent = 0;
    for (let batch = 0; batch < 65; batch += 1) {
      const items: Item[] = Array.from({ length: 2_000 }, (_, i) => ({
        kind: 'rejected',
        id: '(none)',
        source: '',
        reason: 'one of four',
        json: ['{}', '[]', '""', '11'][i % 4] ?? '',
      }));
      sent += 2 * items.length;
      await store.inbox.append('a1', epoch, batch * 2_000 + 1, framesOf(batch * 2_000 + 1, items), NOW);
    }
    expect(sent).toBe(260_000);
    expect((await size()) - before).toBeLessThan(4 * sent);
    expect(await store.stats()).toMatchObject({ deadLettersDropped: 0 });
  });

  it('counts the dead letters and incidents of a store from before there were quotas, and brings them within the quotas', async () => {
    const path = join(folder, 'central.db');
    const index = MIGRATIONS.findIndex((sql) => sql.includes('CREATE TABLE kept'));
    const old = new DatabaseSync(path);
    old.exec(
      `PRAGMA application_id = ${APPLICATION_ID}; ${MIGRATIONS.slice(0, index).join(';')}; PRAGMA user_version = ${index}`,
    );
    old.exec(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) INSERT INTO incident (at, kind, agent_id, address, detail) SELECT ${NOW} + i, 'agent_key_mismatch', 'made up', '192.0.2.' || i, '{}' FROM n`,
    );
    old.exec(
      `INSERT INTO incident (at, kind, agent_id, address, detail) VALUES (${NOW}, 'clone', 'a1', '192.0.2.7', '{}'), (${NOW}, 'log_restarted', 'a1', NULL, '{}')`,
    );
    old.exec(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO dead_letter (at, direction, agent_id, number, id, reason, json) SELECT ${NOW}, 'up', 'a1', i, 'x', 'bad', '0' FROM n`,
    );
    old.close();
    const store = await open();
    expect(await store.stats()).toMatchObject({ deadLetters: 300 });
    expect((await store.inbox.deadLetters({ limit: 1 })).items).toMatchObject([
      { number: 300, through: 300, count: 1 },
    ]);
    await store.bound({ ...DEFAULT_BOUNDS, deadLettersPerAgent: 100 });
    await store.prune({
      now: NOW,
      eventsOlderThan: 0,
      deadLettersOlderThan: 0,
      deduplicationOlderThan: 0,
      incidentsOlderThan: 0,
    });
    expect(await store.stats()).toMatchObject({ deadLetters: 100, deadLettersDropped: 200 });
    const incidents = await store.agents.incidents({ limit: 20_000 });
    expect(incidents.filter(({ kind }) => kind === 'agent_key_mismatch')).toHaveLength(INCIDENTS_OF_STRANGERS);
    expect(incidents.filter(({ agentId }) => agentId === 'a1').map(({ kind, count }) => [kind, count])).toEqual([
      ['dead_letters_dropped', 200],
      ['log_restarted', 1],
      ['clone', 1],
    ]);
  });

  it('groups what arrives together into few commits', async () => {
    const store = await open();
    const epochs = await Promise.all(Array.from({ length: 20 }, (_, n) => online(store, `a${n}`)));
    const before = (await store.stats()).commits;
    await Promise.all(
      epochs.map((epoch, n) => store.inbox.append(`a${n}`, epoch, 1, framesOf(1, items(`e${n}`)), NOW)),
    );
    expect((await store.stats()).commits - before).toBeLessThanOrEqual(2);
    expect(await eventIds(store)).toHaveLength(20);
  });

  it('calls back with the time of each commit', async () => {
    const store = await open();
    const times: number[] = [];
    store.onCommit((ms) => void times.push(ms));
    const before = (await store.stats()).commits;
    for (let n = 0; n < 3; n += 1) await store.audit.append(auditEntry('x'));
    expect(times).toHaveLength((await store.stats()).commits - before);
    expect(times.filter((ms) => !(ms > 0))).toEqual([]);
  });

  it('gives trims no commit of their own as long as others come', async () => {
    const store = await open();
    const epoch = await online(store, 'a1');
    await store.outbox.append('a1', [message('c1')], ROOM, NOW);
    const before = (await store.stats()).commits;
    const trimmed = store.outbox.acknowledge('a1', epoch, 1);
    await store.audit.append(auditEntry('x'));
    await trimmed;
    expect((await store.stats()).commits - before).toBe(1);
  });

  it('finds a rare event among many, and lets other reads in between', async () => {
    const store = await open();
    const epoch = await online(store, 'a1');
    for (let first = 1; first < 50_000; first += 5_000) {
      await store.inbox.append(
        'a1',
        epoch,
        first,
        framesOf(first, items(...Array.from({ length: 5_000 }, (_, n) => `e${first + n}`))),
        NOW,
      );
    }
    await store.inbox.append(
      'a1',
      epoch,
      50_001,
      framesOf(50_001, [{ kind: 'message', message: message('rare', { type: 'rare' }) }]),
      NOW,
    );
    expect(await store.inbox.read(0, { type: 'rare' }, 10)).toMatchObject([{ cursor: 50_001 }]);
    expect(await store.inbox.read(0, { type: 'none' }, 10)).toEqual([]);
  });

  it('cuts a page of large events by bytes, and goes on behind it', async () => {
    const store = await open();
    const epoch = await online(store, 'a1');
    const large = Array.from({ length: 60 }, (_, n) => ({
      kind: 'message' as const,
      message: ofBytes(`e${n}`, 250_000),
    }));
    await store.inbox.append('a1', epoch, 1, framesOf(1, large), NOW);
    const page = await store.inbox.read(0, {}, 100);
    expect(page.length).toBeGreaterThan(20);
    expect(page.length).toBeLessThan(60);
    expect(await store.inbox.read(page.at(-1)?.cursor ?? 0, {}, 100)).toMatchObject([
      { cursor: page.length + 1 },
      ...Array.from({ length: 59 - page.length }, () => ({})),
    ]);
  });

  it('stops for good, and says so once, when it meets a damaged page', async () => {
    const onFailure = vi.fn<(error: CodedError) => void>();
    let store = await open();
    const epoch = await online(store, 'a1');
    // More than is checked wholly at a start.
    for (let first = 1; first <= 160; first += 20) {
      const large = Array.from({ length: 20 }, (_, n) => ({
        kind: 'message' as const,
        message: ofBytes(`e${first + n}`, 250_000),
      }));
      await store.inbox.append('a1', epoch, first, framesOf(first, large), NOW);
    }
    await store.stop();
    const path = join(folder, 'central.db');
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0xa5, 4096 * 5_000, 4096 * 7_000));
    store = await open(onFailure);
    await expect(allEventIds(store)).rejects.toMatchObject({
      code: 'store_failed',
      hint: expect.stringContaining('restore the last backup'),
    });
    await expect(store.inbox.append('a1', epoch, 161, framesOf(161, items('late')), NOW)).rejects.toMatchObject({
      code: 'store_failed',
    });
    await expect(store.agents.get('a1')).rejects.toMatchObject({ code: 'store_failed' });
    expect(onFailure).toHaveBeenCalledTimes(1);
  });

  it.skipIf(!canMount())(
    'ends on a full disk without losing what it answered, and starts again when there is room',
    async () => {
      spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder]);
      try {
        const onFailure = vi.fn<(error: CodedError) => void>();
        let store = await open(onFailure);
        const epoch = await online(store, 'a1');
        let answered = 0;
        const failure: unknown = await (async () => {
          for (;;) {
            const batch = Array.from({ length: 10 }, (_, n) => ({
              kind: 'message' as const,
              message: ofBytes(`e${answered + n}`, 10_000),
            }));
            answered = await store.inbox.append('a1', epoch, answered + 1, framesOf(answered + 1, batch), NOW);
          }
        })().catch((error: unknown) => error);
        expect(failure).toMatchObject({ code: 'store_failed', hint: expect.stringContaining(folder) });
        await expect(store.audit.append(auditEntry('late'))).rejects.toMatchObject({ code: 'store_failed' });
        expect(onFailure).toHaveBeenCalledTimes(1);
        await store.stop();
        spawnSync('mount', ['-o', 'remount,size=64m', folder]);
        store = await open();
        expect((await store.agents.claimSession(claimOf('a1'))).up?.number).toBe(answered);
        expect(await allEventIds(store)).toHaveLength(answered);
        await store.stop();
      } finally {
        spawnSync('umount', [folder]);
      }
    },
  );

  it("is found again by the numbers after yesterday's copy of the folder came back", async () => {
    let store = await open();
    await registered(store, 'a1');
    const { epoch } = await store.agents.claimSession(claimOf('a1'));
    await store.inbox.begin('a1', epoch, { incarnation: 'A', next: 1, missing: null }, NOW);
    await store.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), NOW);
    await store.stop();
    const yesterday = readFileSync(join(folder, 'central.db'));
    store = await open();
    await store.inbox.append('a1', epoch, 2, framesOf(2, items('e2')), NOW);
    await store.stop();
    writeFileSync(join(folder, 'central.db'), yesterday);
    store = await open();
    // The agent had e2 acknowledged: it decides on a new incarnation, and says what is missing.
    const grant = await store.agents.claimSession(claimOf('a1', { session: 's2' }));
    expect(grant.up).toEqual({ incarnation: 'A', number: 1, id: positionId('e1') });
    await store.inbox.begin('a1', grant.epoch, { incarnation: 'B', next: 1, missing: { from: 2, through: 2 } }, NOW);
    expect(await store.agents.incidents({ limit: 1 })).toMatchObject([{ kind: 'log_restarted' }]);
  });

  it('says how much space there is, and takes what comes where no reserve is set', async () => {
    const store = await open();
    expect(await store.space()).toMatchObject({ state: 'unwatched', reserveBytes: 0 });
    await store.bound({ ...DEFAULT_BOUNDS, reserveBytes: 1 });
    expect(await store.space()).toMatchObject({ state: 'ample', reserveBytes: 1 });
  });
});
