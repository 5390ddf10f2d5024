// The tasks of an agent on its disk: written with the position in Central's log, and once each.
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { MIGRATIONS } from '../../../agent/store/migrations.ts';
import { TaskLog } from '../../../agent/store/tasks.ts';
import { TASK_SOURCE, TASK_START } from '../../../shared/wire/tasks/frames.ts';
import { framesOf } from '../../shared/delivery/frames.ts';
import { temporaryFolder } from '../../temporary-folder.ts';
import { message, openAt } from './samples.ts';

const start = (digit: string) => ({
  task: `t-${digit}`,
  key: digit.repeat(32),
  handler: 'backup',
  arguments: ['--full'],
  deadlineAt: 1_790_000_060_000,
});
const command = (digit: string, data: unknown = start(digit), id = digit) => {
  const json = JSON.stringify({ specversion: '1.0', id, source: TASK_SOURCE, type: TASK_START, data });
  return { kind: 'message', message: message(id, { source: TASK_SOURCE, type: TASK_START, json }) } as const;
};

it('come with the log, go to no consumer, and come once', async () => {
  const folder = temporaryFolder();
  let store = openAt(folder);
  await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
  const other = { kind: 'message', message: message('c1', { type: TASK_START }) } as const;
  await store.inbox.append(1, framesOf(1, [command('1'), other, command('2')]));
  expect(store.tasks.acceptedCount).toBe(2);
  expect((await store.inbox.take('default', 10)).map(({ json }) => json)).toEqual([other.message.json]);
  expect(await store.tasks.waiting(0, 10)).toEqual([
    { place: 1, key: '1'.repeat(32), handler: 'backup', deadlineAt: 1_790_000_060_000 },
    { place: 2, key: '2'.repeat(32), handler: 'backup', deadlineAt: 1_790_000_060_000 },
  ]);
  expect(await store.tasks.waiting(1, 10)).toMatchObject([{ place: 2 }]);
  expect(await store.tasks.get('1'.repeat(32))).toMatchObject({
    task: 't-1',
    state: 'accepted',
    arguments: ['--full'],
  });
  await store.stop();
  store = openAt(folder);
  await store.inbox.begin({ incarnation: 'B', next: 1, missing: { from: 1, through: 3 } });
  // After a restart of Central's log, some come again; and one with another id but the same key.
  await store.inbox.append(1, framesOf(1, [command('1'), command('1', start('1'), 'another')]));
  expect(await store.tasks.waiting(0, 10)).toHaveLength(2);
  await store.stop();
});

it('that say something else than this version knows are dead letters', async () => {
  const store = openAt(temporaryFolder());
  await store.inbox.begin({ incarnation: 'A', next: 1, missing: null });
  const bad = [{ ...start('1'), key: 'short' }, { ...start('1'), arguments: ['a\0b'] }, null, { task: 't-1' }];
  await store.inbox.append(
    1,
    framesOf(
      1,
      bad.map((data, i) => command('1', data, `c${i}`)),
    ),
  );
  expect(await store.tasks.waiting(0, 10)).toEqual([]);
  expect((await store.deadLetters({ limit: 10, before: Number.MAX_SAFE_INTEGER })).length).toBe(4);
  await store.stop();
});

function logOf(): TaskLog {
  const database = new DatabaseSync(':memory:');
  for (const migration of MIGRATIONS) database.exec(migration);
  return new TaskLog(database);
}

it('that are canceled before they come are never started', () => {
  const log = logOf();
  expect(log.cancelUnknown(start('1'), 5)).toBe(true);
  expect(log.cancelUnknown(start('1'), 5)).toBe(false);
  log.accept(start('1'), 6);
  expect(log.waiting(0, 10)).toEqual([]);
  expect(log.batch()).toMatchObject({ items: [{ key: '1'.repeat(32), state: 'canceled' }] });
});

it('are reported with their newest state; an answer to an earlier report covers no later change', () => {
  const log = logOf();
  log.accept(start('1'), 5);
  const first = log.batch();
  expect(first).toMatchObject({ items: [{ state: 'accepted' }] });
  const row = log.get('1'.repeat(32));
  if (row === undefined) throw new Error('no row');
  log.save({ ...row, state: 'starting' });
  log.save({ ...row, state: 'running', changedAt: 7 });
  log.recorded(first?.through ?? 0);
  const second = log.batch();
  expect(second).toMatchObject({ items: [{ state: 'running', changedAt: '1970-01-01T00:00:00.007Z' }] });
  log.recorded(second?.through ?? 0);
  expect(log.batch()).toBeUndefined();
  log.save({ ...row, state: 'succeeded', changedAt: 8, exitCode: 0 });
  // Central does not know its end.
  expect(log.endedBefore(100, 10)).toEqual([]);
  log.recorded(log.batch()?.through ?? 0);
  expect(log.endedBefore(8, 10)).toEqual([]);
  expect(log.endedBefore(9, 10)).toEqual(['1'.repeat(32)]);
});

it('with the largest results fit into frames', () => {
  const log = logOf();
  const output = { keptBytes: 9, sha256: 'a'.repeat(64), truncated: true, tail: 'x'.repeat(5464) };
  for (const digit of ['1', '2', '3']) {
    log.accept(start(digit), 5);
    const row = log.get(digit.repeat(32));
    if (row !== undefined)
      log.save({
        ...row,
        state: 'failed',
        detail: 'd'.repeat(1024),
        hint: 'h'.repeat(1024),
        stdout: output,
        stderr: output,
      });
  }
  let frames = 0;
  for (let batch = log.batch(); batch !== undefined; batch = log.batch()) {
    expect(JSON.stringify({ type: 'task-states', ...batch }).length).toBeLessThanOrEqual(20 * 1024);
    log.recorded(batch.through);
    frames += 1;
  }
  expect(frames).toBe(3);
});
