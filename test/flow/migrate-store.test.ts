// A store of a real Central with a real agent is moved into PostgreSQL by a command that is killed again and again: it is
// completed or begun again, the embedded store stays whole, and the agent goes on with its log.
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openCentralStore } from '../../central/store/open-store.ts';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../postgres/cluster.ts';
import { framesOf } from '../shared/delivery/frames.ts';
import { items, NOW, online } from '../central/store/samples.ts';
import { AgentProcess, CENTRAL_PROGRAM, CentralProcess, Cleanup, Running, until, type Ended } from './processes.ts';

const EVENTS = 100_000;
const BATCH = 500;
const NAMES = { centralName: 'central.test', hostName: 'central.test', advertisedNames: ['localhost'] as const };
/** What the command needs beside what Node.js and its batches take; a store of any size. */
const MOST_RSS_KIB = 450 * 1024;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Many events of another agent, some 40 MB. */
async function fill(folder: string): Promise<void> {
  const store = await openCentralStore({ ...NAMES, dataFolder: folder }, () => undefined);
  const epoch = await online(store, 'loaded');
  const ids = (from: number): string[] => Array.from({ length: BATCH }, (_, i) => `${from + i}-${'x'.repeat(200)}`);
  for (let number = 1; number <= EVENTS; number += BATCH)
    await store.inbox.append('loaded', epoch, number, framesOf(number, items(...ids(number))), NOW);
  await store.stop();
}

class Move {
  readonly process: Running;
  peakKib = 0;

  constructor(folder: string, { url }: TestDatabase) {
    const args = [CENTRAL_PROGRAM, 'migrate-store', '--data-folder', folder, '--central-name', NAMES.centralName];
    this.process = new Running(process.execPath, args, { env: { QUEUEGATE_STORE_URL: url } });
    cleanup.add(() => this.process.stop('SIGKILL'));
  }

  /** To its end, with the most memory that it had. */
  async ended(): Promise<Ended> {
    let isOver = false;
    const ended = this.process.ended().finally(() => (isOver = true));
    while (!isOver) {
      this.#look();
      await delay(50);
    }
    return await ended;
  }

  async killedAfter(ms: number): Promise<void> {
    await delay(ms);
    await this.process.stop('SIGKILL');
  }

  #look(): void {
    try {
      const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.process.child.pid}/status`, 'utf8'))?.[1];
      this.peakKib = Math.max(this.peakKib, Number(found ?? 0));
    } catch {
      // It has ended.
    }
  }
}

describe.skipIf(lacksPostgres())('a move into PostgreSQL', () => {
  it('that is killed at any point begins again or is completed, and the agent goes on where it was', async () => {
    const folder = await cleanup.folder();
    const named = ['--central-name', NAMES.centralName];
    const before = await CentralProcess.startOnParameters(cleanup, folder, named);
    const agent = await AgentProcess.enrolled(cleanup, before, 'moved');
    const post = async (of: AgentProcess, n: number): Promise<void> =>
      void (await of.local('POST', '/api/v1/events', { type: 'test', id: `e${n}` }));
    for (let n = 0; n < 20; n += 1) await post(agent, n);
    const { id } = await before.online('moved');
    await until(async () => (await before.events(`&agent=${String(id)}`)).length === 20 || undefined);
    await before.stop();
    // Accepted while no Central is there.
    for (let n = 20; n < 40; n += 1) await post(agent, n);
    await fill(folder);

    const database = await freshDatabase();
    cleanup.add(() => database.drop());
    const [file, moved] = [join(folder, 'central.db'), join(folder, 'central.db.migrated')];
    const begun = performance.now();
    const probe = new Move(folder, await otherDatabase());
    expect(await probe.ended()).toMatchObject({ code: 0 });
    const wholeMs = performance.now() - begun;
    renameSync(moved, file);
    // While it starts, in the middle, and at the end.
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9, 0.97]) {
      await new Move(folder, database).killedAfter(wholeMs * share);
      if (!existsSync(file)) break;
    }
    // Where one of them was quicker than the kill, there is nothing left to move.
    const last = await new Move(folder, database).ended();
    expect(last.code === 0 || last.stderr.includes('store_moved_already'), `${last.stdout}${last.stderr}`).toBe(true);
    expect([existsSync(file), existsSync(moved)]).toEqual([false, true]);
    // As a kill between the commit and the new name leaves it.
    renameSync(moved, file);
    const completed = await new Move(folder, database).ended();
    expect(completed).toMatchObject({ code: 0, stdout: expect.stringContaining('had been moved into this database') });
    const again = await new Move(folder, database).ended();
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('store_moved_already') });
    console.log(JSON.stringify({ wholeMs: Math.round(wholeMs), peakMib: Math.round(probe.peakKib / 1024) }));
    expect(probe.peakKib).toBeLessThan(MOST_RSS_KIB);

    // The embedded store is whole: with it, Central could still go on.
    const copy = await cleanup.folder();
    await copyFile(moved, join(copy, 'central.db'));
    const embedded = await openCentralStore({ ...NAMES, dataFolder: copy }, () => undefined);
    expect(await embedded.inbox.lastCursor()).toBe(EVENTS + 20);
    await embedded.stop();

    const after = await CentralProcess.startOnParameters(cleanup, folder, named, { QUEUEGATE_STORE_URL: database.url });
    // The other agent is none that enrolled.
    after.isDescribed = false;
    await after.online('moved');
    await post(agent, 40);
    const ids = await until(async () => {
      const found = (await after.events(`&agent=${String(id)}`)).map(({ event }) => event['id']);
      return found.length >= 41 ? found : undefined;
    });
    expect(ids).toEqual(Array.from({ length: 41 }, (_, n) => `e${n}`));
    expect((await after.rest('GET', '/incidents')).body.items).toEqual([]);
    expect((await agent.local('GET', '/api/v1/status')).body).not.toMatchObject({ recovered: false });
  }, 600_000);

  it('does not count as moved where the store was used in the data folder since', async () => {
    const folder = await cleanup.folder();
    const named = ['--central-name', NAMES.centralName];
    const first = await CentralProcess.startOnParameters(cleanup, folder, named);
    const agent = await AgentProcess.enrolled(cleanup, first, 'moved');
    await first.online('moved');
    await first.stop();
    const database = await freshDatabase();
    cleanup.add(() => database.drop());
    expect(await new Move(folder, database).ended()).toMatchObject({ code: 0 });
    renameSync(join(folder, 'central.db.migrated'), join(folder, 'central.db'));
    const second = await CentralProcess.startOnParameters(cleanup, folder, named);
    await second.online('moved');
    await agent.stop();
    await second.stop();
    const refused = await new Move(folder, database).ended();
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('store_used_since') });
    expect(existsSync(join(folder, 'central.db'))).toBe(true);
    const strange = await freshDatabase();
    cleanup.add(() => strange.drop());
    await strange.cluster.primary.sql('CREATE TABLE of_others (x int)', [], strange.name);
    expect(await new Move(folder, strange).ended()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('store_not_empty'),
    });
  }, 120_000);
});

async function otherDatabase(): Promise<TestDatabase> {
  const database = await freshDatabase();
  cleanup.add(() => database.drop());
  return database;
}
