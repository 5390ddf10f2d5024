// Tasks at Central over a real store: request, reports, cancel, and what is overdue.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createMetrics } from '../../../central/metrics.ts';
import { defaultValues } from '../../../central/parameters/definitions.ts';
import type { Session } from '../../../central/sessions/session.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { TaskRecord } from '../../../central/store/tasks/task-store.ts';
import { taskId } from '../../../central/store/tasks/task-steps.ts';
import { Tasks } from '../../../central/tasks/tasks.ts';
import type { CentralControl } from '../../../shared/wire/messages.ts';
import { readTaskStart, type TaskReport } from '../../../shared/wire/tasks/frames.ts';
import { online, taskReport } from '../store/samples.ts';

const ACTOR = { who: 'operator', from: '192.0.2.1' };
const HANDLER = {
  name: 'backup',
  arguments: 'list',
  argumentPattern: null,
  timeoutSeconds: 60,
  graceSeconds: 10,
  concurrencyCount: 1,
  rerun: false,
} as const;

async function scene() {
  const folder = mkdtempSync(join(tmpdir(), 'tasks-'));
  const store = await openSqliteStore({
    folder,
    deduplicationMs: 7 * 86_400_000,
    onFailure: (error) => {
      throw error;
    },
  });
  const clock = { now: 1_790_000_000_000 };
  const sent: CentralControl[] = [];
  const notified: string[] = [];
  const epoch = await online(store, 'a1');
  const facts = { agentId: 'a1', agentName: 'a1', epoch, capabilities: ['tasks.1'] };
  const session = { facts, sendControl: (frame: CentralControl) => void sent.push(frame) } as unknown as Session;
  const open: { session: Session | undefined } = { session };
  const create = (): Tasks =>
    new Tasks({
      store: store.tasks,
      parameters: { values: () => ({ ...defaultValues(), 'tasks.maxPerAgent': 3 }) },
      sessions: { notify: (id) => void notified.push(id), of: (id) => (id === 'a1' ? open.session : undefined) },
      leads: () => true,
      metrics: createMetrics(),
      log: { info: () => undefined, debug: () => undefined, error: () => undefined },
      now: () => clock.now,
    });
  onTestFinished(async () => {
    await store.stop();
    rmSync(folder, { recursive: true });
  });
  const tasks = create();
  await store.tasks.recordHandlers('a1', epoch, {
    accounts: 'one',
    containment: 'cgroup',
    handlers: [HANDLER],
    reportedAt: 1,
  });
  const agent = { id: 'a1', name: 'a1' };
  const run = (words: string[] = []): Promise<TaskRecord> =>
    tasks.run({ agent, handler: 'backup', arguments: words, deadlineAt: undefined }, ACTOR);
  const report = async (
    task: TaskRecord,
    state: TaskReport['state'],
    change: Partial<TaskReport> = {},
    of = session,
  ): Promise<void> => {
    const item = taskReport(state, { key: task.key, changedAt: new Date(clock.now).toISOString(), ...change });
    const count = sent.length;
    tasks.onFrame(of, { type: 'task-states', through: count + 1, items: [item] });
    // Where nothing is answered, the store has still done it.
    await vi.waitFor(() => {
      if (of === session && !sent.slice(count).some(({ type }) => type === 'task-states-recorded'))
        throw new Error('no answer');
    });
    if (of !== session) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  return { store, clock, sent, notified, session, open, create, tasks, run, report, agent, epoch };
}

it('a task is in the log of its agent, in the audit log and in the list, in one step', async () => {
  const { store, notified, tasks, run } = await scene();
  const task = await run(['--full']);
  expect(task).toMatchObject({ number: 1, state: 'sent', arguments: ['--full'], createdBy: 'operator' });
  expect(notified).toEqual(['a1']);
  const [entry] = await store.outbox.read('a1', 0, 10, 100_000);
  expect(JSON.parse(entry?.json ?? '')).toMatchObject({
    id: task.key,
    expirytime: new Date(task.deadlineAt).toISOString(),
  });
  expect(readTaskStart(entry?.json ?? '')).toEqual({
    task: 't-1',
    key: task.key,
    handler: 'backup',
    arguments: ['--full'],
    deadlineAt: task.deadlineAt,
  });
  const { entries } = await store.audit.find({
    order: 'newest',
    after: null,
    limit: 1,
    filter: {
      actors: null,
      actions: null,
      targets: null,
      number: null,
      from: null,
      to: null,
      text: null,
      result: null,
    },
  });
  expect(entries[0]).toMatchObject({ action: 'tasks.run', who: 'operator' });
  expect(JSON.parse(entries[0]?.detail ?? '')).toEqual({
    task: 't-1',
    agent: 'a1',
    handler: 'backup',
    argumentCount: 1,
  });
  expect(await tasks.list({ limit: 10, states: ['sent'], agentId: 'a1', handler: 'backup' })).toEqual([task]);
  expect(await tasks.list({ limit: 10, states: ['running'] })).toEqual([]);
});

it('what the agent cannot run, or not in time, is refused, and leaves nothing', async () => {
  const { store, clock, tasks, agent } = await scene();
  const order = { agent, handler: 'backup', arguments: [], deadlineAt: undefined };
  await expect(tasks.run({ ...order, handler: 'other' }, ACTOR)).rejects.toMatchObject({ code: 'handler_unknown' });
  await expect(tasks.run({ ...order, agent: { id: 'a2', name: 'a2' } }, ACTOR)).rejects.toMatchObject({
    code: 'agent_without_tasks',
  });
  for (const deadlineAt of [clock.now, clock.now + 7 * 86_400_000])
    await expect(tasks.run({ ...order, deadlineAt }, ACTOR)).rejects.toMatchObject({ code: 'task_deadline_invalid' });
  expect(await store.outbox.read('a1', 0, 10, 100_000)).toEqual([]);
  for (const id of ['t-1', 't-0', 't-01', 'x', 't-99999999999999999'])
    await expect(tasks.find(id)).rejects.toMatchObject({ code: 'task_unknown' });
});

it('no more tasks of an agent are unfinished than its bound', async () => {
  const { run, report } = await scene();
  const [first] = [await run(), await run(), await run()];
  await expect(run()).rejects.toMatchObject({ code: 'tasks_full', status: 503 });
  await report(first, 'succeeded', { exitCode: 0 });
  expect(await run()).toMatchObject({ number: 4 });
});

it('reports of unknown tasks, of other agents and of ended sessions change nothing', async () => {
  const { store, session, tasks, run, report } = await scene();
  const task = await run();
  await report({ ...task, key: 'f'.repeat(32) }, 'succeeded');
  const other = await online(store, 'a2');
  const of = (facts: object): Session =>
    ({ facts: { ...session.facts, ...facts }, sendControl: () => undefined }) as unknown as Session;
  await report(task, 'succeeded', {}, of({ agentId: 'a2', epoch: other }));
  await report(task, 'succeeded', {}, of({ epoch: session.facts.epoch - 1 }));
  expect(await tasks.find('t-1')).toEqual(task);
  await report(task, 'running', { endsWithinSeconds: 70, startedAt: '1970-01-01T00:00:00.005Z' });
  await report(task, 'failed', { exitCode: 3 });
  await report(task, 'succeeded', { exitCode: 0 });
  expect(await tasks.find('t-1')).toMatchObject({ state: 'failed', exitCode: 3, startedAt: 5 });
});

it('a cancel is sent at once, after each welcome and again, until the task has ended; also after a restart of Central', async () => {
  const { sent, session, open, create, tasks, run, report } = await scene();
  const task = await run();
  await report(task, 'accepted');
  const cancel = { type: 'task-cancel', tasks: [{ task: 't-1', key: task.key }] };
  open.session = undefined;
  expect(await tasks.cancel('t-1', ACTOR)).toMatchObject({ state: 'canceling' });
  expect(sent).not.toContainEqual(cancel);
  open.session = session;
  tasks.onOpened(session);
  expect(sent.at(-1)).toEqual(cancel);
  const restarted = create();
  await restarted.start();
  restarted.onOpened(session);
  expect(sent.filter(({ type }) => type === 'task-cancel')).toEqual([cancel, cancel]);
  await restarted.stop();
  await report(task, 'canceled');
  sent.length = 0;
  tasks.onOpened(session);
  expect(sent).toEqual([]);
  expect(await tasks.cancel('t-1', ACTOR)).toMatchObject({ state: 'canceled' });
});

it('a task that was certainly not sent is taken back when it is canceled', async () => {
  const { store, clock, open, tasks, run, epoch } = await scene();
  open.session = undefined;
  await store.agents.endSession({ agentId: 'a1', epoch, now: clock.now, reason: 'gone' });
  const task = await run();
  expect(await tasks.cancel(taskId(task), ACTOR)).toMatchObject({ state: 'canceled', stateDeadlineAt: null });
  const [entry] = await store.outbox.read('a1', 0, 10, 100_000);
  expect(JSON.parse(entry?.json ?? '')).toMatchObject({ tombstone: 'withdrawn' });
});

it('tasks are given up when they are overdue, and deleted when they are old', async () => {
  const { store, clock, run, report, tasks } = await scene();
  const [unaccepted, running] = [await run(), await run()];
  await report(running, 'running', { endsWithinSeconds: 70 });
  const at = async (ms: number): Promise<string[]> => {
    clock.now += ms;
    return (await store.tasks.endOverdue(clock.now, 10)).map(({ state }) => state);
  };
  expect(await at(86_400_000 + 59_000)).toEqual([]);
  expect(await at(2_000)).toEqual(['expired']);
  expect(await at(10_000)).toEqual(['lost']);
  await report(unaccepted, 'succeeded', { exitCode: 0 });
  expect(await tasks.find('t-1')).toMatchObject({ state: 'expired', lateResult: { state: 'succeeded', exitCode: 0 } });
  expect(await store.tasks.countByState()).toEqual({});
  await store.prune({
    now: clock.now,
    eventsOlderThan: 0,
    deadLettersOlderThan: 0,
    deduplicationOlderThan: 0,
    incidentsOlderThan: 0,
    tasksOlderThan: clock.now + 1,
  });
  expect(await tasks.list({ limit: 10 })).toEqual([]);
});

it('a flood of reports of its handlers is two writes, and the newest report is kept', async () => {
  const { store, session, tasks } = await scene();
  const recordHandlers = vi.spyOn(store.tasks, 'recordHandlers');
  for (let number = 1; number <= 500; number += 1)
    tasks.onFrame(session, {
      type: 'task-handlers',
      accounts: 'one',
      containment: 'cgroup',
      handlers: [{ ...HANDLER, timeoutSeconds: number }],
    });
  await vi.waitFor(async () =>
    expect((await store.tasks.handlersOf('a1'))?.handlers).toEqual([{ ...HANDLER, timeoutSeconds: 500 }]),
  );
  expect(recordHandlers).toHaveBeenCalledTimes(2);
});
