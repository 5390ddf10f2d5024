import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { CodedError } from '../../../shared/errors.ts';
import { DAY, idsOf, message, openAt } from './samples.ts';
import { linesUntilKilled } from '../../killed-writer.ts';
import { canMount } from '../../small-disk.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

describe('openAgentStore', () => {
  let folder: string;

  beforeEach(() => {
    folder = temporaryFolder();
  });

  it('keeps its file to its account, and its folder to itself', async () => {
    const store = openAt(folder);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'agent.db')).mode & 0o777).toBe(0o600);
    expect(() => openAt(folder)).toThrow(expect.objectContaining({ code: 'data_in_use' }));
    await store.stop();
    await store.stop();
    await openAt(folder).stop();
  });

  it('refuses damaged and newer data, and lets go of the folder', async () => {
    await openAt(folder).stop();
    const path = join(folder, 'agent.db');
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, 10_000));
    expect(() => openAt(folder)).toThrow(expect.objectContaining({ code: 'data_damaged' }));
    writeFileSync(path, whole);
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99; UPDATE compatibility SET readable_by = 99');
    database.close();
    expect(() => openAt(folder)).toThrow(expect.objectContaining({ code: 'data_newer' }));
    writeFileSync(path, whole);
    await openAt(folder).stop();
  });

  it('begins each installation with an incarnation of its own', async () => {
    const first = openAt(folder);
    const { incarnation } = await first.outbox.depth();
    await first.stop();
    rmSync(folder, { recursive: true });
    const second = openAt(folder);
    expect((await second.outbox.depth()).incarnation).not.toBe(incarnation);
    await second.stop();
  });

  it('forgets with prune what was seen too long ago', async () => {
    let time = 0;
    const store = openAt(folder, { now: () => time });
    await store.outbox.append([message('e1')]);
    time = 8 * DAY;
    await store.outbox.append([message('e2')]);
    await store.prune();
    await store.stop();
    using database = new DatabaseSync(join(folder, 'agent.db'));
    expect(database.prepare('SELECT at FROM outbox_seen').all()).toEqual([{ at: 8 * DAY }]);
  });

  it.skipIf(!canMount())(
    'ends on a full disk without losing what it answered, and starts again when there is room',
    async () => {
      spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
      try {
        const onFailure = vi.fn<(error: CodedError) => void>();
        const bounds = { maxMessages: 10_000, maxBytes: 100_000_000 };
        const full = openAt(folder, { onFailure, outbox: bounds });
        let answered = 0;
        const failure: unknown = await (async () => {
          for (;;) {
            await full.outbox.append([
              message(`e${answered + 1}`, {
                json: JSON.stringify({ id: `e${answered + 1}`, data: 'x'.repeat(10_000) }),
              }),
            ]);
            answered += 1;
          }
        })().catch((error: unknown) => error);
        expect(failure).toMatchObject({ code: 'store_failed', hint: expect.stringContaining(folder) });
        await expect(full.outbox.append([message('late')])).rejects.toMatchObject({ code: 'store_failed' });
        expect(onFailure).toHaveBeenCalledTimes(1);
        await full.stop();
        spawnSync('mount', ['-o', 'remount,size=64m', folder]);
        const store = openAt(folder, { outbox: bounds });
        expect(await store.outbox.read(0, 10_000, 100_000_000)).toHaveLength(answered);
        await store.stop();
      } finally {
        spawnSync('umount', [folder]);
      }
    },
  );

  it('loses nothing that it answered when it is killed while it writes', async () => {
    let before = { events: 0, commands: 0 };
    for (let round = 0; round < 5; round += 1) {
      const answered = await killedWriter(folder, 50 + 40 * round);
      expect(answered.events).toBeGreaterThan(before.events);
      expect(answered.commands).toBeGreaterThan(before.commands);
      const bounds = { maxMessages: 1_000_000, maxBytes: 1_000_000_000 };
      const store = openAt(folder, { outbox: bounds, inbox: bounds });
      const events = idsOf(await store.outbox.read(0, 1_000_000, 1_000_000_000));
      const commands = idsOf(await store.inbox.take('default', 1_000_000));
      expect(events).toEqual(events.map((_, index) => `e${index + 1}`));
      expect(commands).toEqual(commands.map((_, index) => `c${index + 1}`));
      expect(events.length).toBeGreaterThanOrEqual(answered.events);
      expect(commands.length).toBeGreaterThanOrEqual(answered.commands);
      expect((await store.inbox.position())?.number).toBe(commands.length);
      before = { events: events.length, commands: commands.length };
      await store.stop();
    }
  });
});

/** Runs a process that writes both logs, and kills it after so many answers. Returns the last answer of each log. */
async function killedWriter(folder: string, afterLines: number): Promise<{ events: number; commands: number }> {
  const answered = { events: 0, commands: 0 };
  for (const line of await linesUntilKilled(new URL('./killed-agent.ts', import.meta.url), folder, afterLines)) {
    const [kind, number] = line.split(' ');
    answered[kind === 'e' ? 'events' : 'commands'] = Number(number);
  }
  return answered;
}
