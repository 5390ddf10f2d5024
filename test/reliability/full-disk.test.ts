// A full disk under load: acknowledging stops, the process ends in order and says what to do, and once there is room it
// starts clean; everything that was acknowledged is there, and everything else arrives. The disk is a small file system
// of the test's own.
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openSqliteStore } from '../../central/store/sqlite/sqlite-store.ts';
import { AgentProcess, CentralProcess, Cleanup, runNode, until } from '../flow/processes.ts';
import { missing } from './tracer.ts';
import { Consumer, enrolledFolders, onlineAgent, Producer, storedEvents, takenCommands } from './traffic.ts';
import { canMount, mountSmallDisk } from '../small-disk.ts';

/** What a process may take to notice, to say so and to end. */
const ENDED_WITHIN_MS = 30_000;
const DATA = 'x'.repeat(2_000);

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** A file system of so many MiB; gone after the test. */
async function smallDisk(megabytes: number): Promise<string> {
  const folder = await cleanup.folder();
  mountSmallDisk(folder, megabytes, cleanup);
  return folder;
}

/** Takes all the room there is; on demand gives it back, and more for what has gathered meanwhile. */
function fill(folder: string): () => void {
  const path = join(folder, 'filler');
  const file = openSync(path, 'w');
  for (const size of [1024 * 1024, 4096]) {
    const block = Buffer.alloc(size);
    try {
      while (writeSync(file, block) === size);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    }
  }
  closeSync(file);
  return () => {
    rmSync(path);
    if (spawnSync('mount', ['-o', 'remount,size=256m', folder]).status !== 0)
      throw new Error(`${folder} could not be made larger`);
  };
}

/** What it ends with; fails when it goes on. */
async function endsByItself(
  process_: CentralProcess['process'],
): Promise<{ code: number | null; signal: NodeJS.Signals | null; said: string }> {
  await until(
    () => !process_.running || undefined,
    ENDED_WITHIN_MS,
    () => `it goes on:\n${process_.stdout.slice(-2000)}\n${process_.stderr}`,
  );
  const { code, signal, stdout, stderr } = await process_.ended();
  return { code, signal, said: `${stdout}\n${stderr}` };
}

describe.skipIf(missing('root and the right to mount', canMount()))('a full disk under load', () => {
  it('of Central ends it in order with the hint, and with room it starts clean: every accepted event and every accepted command is there once and in order', async () => {
    const disk = await smallDisk(32);
    const central = await CentralProcess.startOnParameters(cleanup, disk);
    const { id, agent } = await onlineAgent(cleanup, central, 'a1');
    const up = Producer.events(agent, 'up', { data: DATA, pauseMs: 20 });
    const down = Producer.commands(central, id, 'down');
    const consumer = new Consumer(agent);
    await Promise.all([up.further(100), down.further(100)]);

    const free = fill(disk);
    const { code, signal, said } = await endsByItself(central.process);
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(said).toContain(`Free space on the disk of ${disk} and start again`);
    expect(said).toContain('Central stopped');
    // Its producer no longer reaches it; what was accepted counts.
    await down.stop().catch(() => undefined);

    // Without room it says so again and leaves everything as it is.
    const again = await runNode('central/main.ts', ['--data-folder', disk, '--advertised-names', 'localhost']);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain(`Free space on the disk of ${disk}`);

    free();
    await up.further(50);
    const restarted = await CentralProcess.startOnParameters(cleanup, disk);
    // A file that changed makes the agent dial at once, however long its backoff had become.
    await utimes(join(agent.folders.profile, 'conf', 'agent.conf'), new Date(), new Date());
    await restarted.online('a1');
    await up.stop();
    expect(await storedEvents(restarted, id, up.accepted.length)).toEqual(up.accepted);
    await takenCommands(consumer, down.accepted.length);
    const more = Producer.commands(restarted, id, 'more');
    await more.further(10);
    await more.stop();
    await until(() => consumer.taken.includes(more.accepted.at(-1) ?? '') || undefined);
    // The last request may have been committed without its answer: it is there too, and it was the last.
    const taken = consumer.taken.filter((each) => each.startsWith('down'));
    expect(taken.slice(0, down.accepted.length)).toEqual(down.accepted);
    expect(new Set(taken).size).toBe(taken.length);
    expect((await restarted.rest('GET', '/incidents')).body.items).toEqual([]);
    await consumer.stop();
  }, 120_000);

  it('of Central refuses an act whose audit entry cannot be written, and says what to do: what was not recorded has not happened', async () => {
    const disk = await smallDisk(32);
    const central = await CentralProcess.startOnParameters(cleanup, disk);
    let free = (): void => undefined;
    let refusal: unknown;
    const accepted: string[] = [];
    // The write-ahead log may have some room left in its file.
    for (let i = 0; refusal === undefined; i += 1) {
      if (i === 3) free = fill(disk);
      const comment = `act ${i} ${DATA.slice(0, 900)}`;
      const { status, body } = await central.change({ 'events.retentionDays': 20 + (i % 10) }, { comment });
      if (status === 200) accepted.push(comment);
      else refusal = body;
    }
    expect(refusal).toMatchObject({
      code: 'store_failed',
      hint: expect.stringContaining(`Free space on the disk of ${disk} and start again`),
    });
    expect((await endsByItself(central.process)).code).toBe(1);

    free();
    const store = await openSqliteStore({ folder: disk, deduplicationMs: 1, onFailure: () => undefined });
    cleanup.add(() => store.stop());
    const recorded: Awaited<ReturnType<typeof store.audit.list>>[number][] = [];
    for (;;) {
      const before = recorded.at(-1)?.number;
      const page = await store.audit.list({ limit: 1000, ...(before === undefined ? {} : { before }) });
      recorded.push(...page);
      if (page.length < 1000) break;
    }
    const acts = recorded.filter(({ action }) => action === 'parameters.set').toReversed();
    const { version, rows } = await store.parameters.load();
    // Each change raises the version by one.
    expect(acts).toHaveLength(version);
    // The first one set the ports. An act that was refused may have been the last one that was recorded.
    expect(acts.slice(1, accepted.length + 1).map(({ comment }) => comment)).toEqual(accepted);
    expect(accepted.length).toBeGreaterThanOrEqual(3);
    const last = Number(acts.at(-1)?.comment?.split(' ')[1]);
    expect(rows.find(({ name }) => name === 'events.retentionDays')?.value).toBe(String(20 + (last % 10)));
  }, 120_000);

  it('of an agent ends it in order with the hint, and with room it starts clean: every accepted event and every accepted command is there once and in order', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const disk = await smallDisk(12);
    const folders = await enrolledFolders(cleanup, central, 'a1', disk);
    const agent = AgentProcess.start(cleanup, folders, 'a1');
    const id = String((await central.online('a1'))['id']);
    const up = Producer.events(agent, 'up', { data: DATA, pauseMs: 20 });
    // No program takes them: they gather on the agent's disk.
    const down = Producer.commands(central, id, 'down', { data: DATA });
    await Promise.all([up.further(100), down.further(100)]);

    const free = fill(disk);
    const { code, signal, said } = await endsByItself(agent.process);
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(said).toContain(`Free space on the disk of ${disk} and start again`);
    expect(said).toContain('"msg":"stopped"');
    await up.stop().catch(() => undefined);

    free();
    const restarted = AgentProcess.start(cleanup, folders, 'a1');
    await central.online('a1');
    await down.further(50);
    await down.stop();
    const consumer = new Consumer(restarted);
    expect(await takenCommands(consumer, down.accepted.length)).toEqual(down.accepted);
    const stored = await storedEvents(central, id, up.accepted.length);
    expect(stored.slice(0, up.accepted.length)).toEqual(up.accepted);
    expect(new Set(stored).size).toBe(stored.length);
    expect((await central.rest('GET', '/incidents')).body.items).toEqual([]);
    await consumer.stop();
  }, 120_000);
});
