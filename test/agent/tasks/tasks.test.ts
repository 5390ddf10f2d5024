// Thousands of tasks that wait for one of their handler, over the records of a real database.
import { mkdir, open, readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, expect, it, vi } from 'vitest';
import { TaskTokens } from '../../../agent/local-api/task-tokens.ts';
import type { CentralTime } from '../../../agent/store/central-time.ts';
import { MIGRATIONS } from '../../../agent/store/migrations.ts';
import { TaskLog, TaskRecords } from '../../../agent/store/tasks.ts';
import { readTaskHandlers } from '../../../agent/tasks/settings.ts';
import { Tasks } from '../../../agent/tasks/tasks.ts';
import { parseProperties } from '../../../shared/settings/properties.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const HANDLERS =
  'task.long.command=/bin/sleep\ntask.long.arguments=list\ntask.long.graceSeconds=1\ntask.long.onRestart=kill\n';
const DEADLINE = 1_000_000;
let stop = (): Promise<void> => Promise.resolve();
afterEach(() => stop());

async function opened(log: TaskLog, now = (): number => 0): Promise<{ folder: string; tasks: Tasks }> {
  const run = <T>(work: () => T) => Promise.resolve(work());
  const time = { atLeast: now, probably: now };
  const folder = temporaryFolder();
  const tasks = new Tasks({
    dataFolder: folder,
    runnerSocket: undefined,
    profileFolder: folder,
    queues: [],
    handlers: readTaskHandlers([parseProperties(Buffer.from(HANDLERS), 'agent.conf')]),
    agentName: () => 'branch-1',
    tokens: new TaskTokens(Date.now),
    records: new TaskRecords({ read: run, write: run }, log, time as unknown as CentralTime),
    environment: process.env,
    now: Date.now,
    log: { debug() {}, info() {}, error: (facts) => expect(facts).toBeUndefined() },
  });
  stop = () => tasks.stop();
  return { folder, tasks };
}

function logOf(): TaskLog {
  const database = new DatabaseSync(':memory:');
  for (const migration of MIGRATIONS) database.exec(migration);
  return new TaskLog(database);
}

it('are read once each, not whenever one of them could start, and start in their order', async () => {
  const log = logOf();
  let now = 0;
  const accept = (number: number, words: string[]): void =>
    log.accept(
      {
        task: `t-${number}`,
        key: String(number).padStart(32, '0'),
        handler: 'long',
        arguments: words,
        deadlineAt: DEADLINE,
      },
      0,
    );
  for (let number = 1; number <= 2_000; number += 1) accept(number, ['60']);
  const [pages, rows] = [vi.spyOn(log, 'waiting'), vi.spyOn(log, 'get')];
  const { tasks } = await opened(log, () => now);
  await tasks.start();
  await vi.waitFor(() => expect(log.started()).toMatchObject([{ task: 't-1', state: 'running' }]));
  for (let count = 0; count < 20; count += 1) {
    tasks.hint();
    await new Promise(setImmediate);
  }
  accept(2_001, ['60']);
  tasks.hint();
  await vi.waitFor(() => expect(tasks.status()).toMatchObject({ runningCount: 1, waitingCount: 2_000 }));
  expect(rows).toHaveBeenCalledTimes(1);
  const read = pages.mock.results.flatMap(({ value }) => value as unknown[]);
  expect(read).toHaveLength(2_001);

  await tasks.cancel([
    { task: 't-3', key: '3'.padStart(32, '0') },
    { task: 't-1', key: '1'.padStart(32, '0') },
  ]);
  await vi.waitFor(() => expect(log.started()).toMatchObject([{ task: 't-2', state: 'running' }]), 10_000);
  expect(log.get('3'.padStart(32, '0'))).toMatchObject({ state: 'canceled' });
  expect(log.get('1'.padStart(32, '0'))).toMatchObject({ state: 'canceled' });
  now = DEADLINE;
  tasks.hint();
  await vi.waitFor(() => expect(tasks.status().waitingCount).toBe(0), 10_000);
  expect(log.get('2001'.padStart(32, '0'))).toMatchObject({ state: 'expired', code: 'task_not_started_in_time' });
});

it('leave at most a gigabyte of what they wrote on the disk of the agent, the newest of it', async () => {
  const { folder, tasks } = await opened(logOf());
  for (const [index, mebibytes] of [300, 300, 300, 300, 2000].entries()) {
    const path = join(folder, 'tasks', String(index));
    await mkdir(path, { recursive: true });
    await using file = await open(join(path, 'stdout'), 'wx');
    await file.truncate(mebibytes * 1024 ** 2);
    await utimes(path, index, index === 4 ? 0 : index + 1);
  }
  await tasks.start();
  await vi.waitFor(async () => expect((await readdir(join(folder, 'tasks'))).toSorted()).toEqual(['1', '2', '3']));
});
