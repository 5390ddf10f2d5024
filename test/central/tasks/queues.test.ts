// Tasks that wait in queues, over a real store: who gets them, when, and that none is given away twice.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { parseScope } from '../../../central/agents/scope.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { defaultValues } from '../../../central/parameters/definitions.ts';
import type { Session } from '../../../central/sessions/session.ts';
import { openSqliteStore } from '../../../central/store/sqlite/sqlite-store.ts';
import type { TaskRecord } from '../../../central/store/tasks/task-store.ts';
import { taskId } from '../../../central/store/tasks/task-steps.ts';
import { Tasks } from '../../../central/tasks/tasks.ts';
import { readTaskStart, type TaskReport } from '../../../shared/wire/tasks/frames.ts';
import { ACT, claimOf, online, taskReport } from '../store/samples.ts';

const ACTOR = { who: 'operator', from: '192.0.2.1' };

const HANDLER = {
  arguments: 'list',
  argumentPattern: null,
  timeoutSeconds: 60,
  graceSeconds: 10,
  rerun: false,
} as const;

async function scene() {
  const folder = mkdtempSync(join(tmpdir(), 'queues-'));
  const store = await openSqliteStore({
    folder,
    deduplicationMs: 7 * 86_400_000,
    onFailure: (error) => {
      throw error;
    },
  });
  const clock = { now: 1_790_000_000_000 };
  const sessions = new Map<string, Session>();
  const metrics = createMetrics();
  const central: { tasks: Tasks } = { tasks: create() };
  function create(): Tasks {
    return new Tasks({
      store: store.tasks,
      parameters: { values: () => ({ ...defaultValues(), 'tasks.maxPerQueue': 4, 'tasks.maxQueued': 6 }) },
      sessions: { notify: () => undefined, of: (id) => sessions.get(id) },
      leads: () => true,
      metrics,
      log: { info: () => undefined, debug: () => undefined, error: console.error },
      now: () => clock.now,
    });
  }
  onTestFinished(async () => {
    await central.tasks.stop();
    await store.stop();
    rmSync(folder, { recursive: true });
  });
  await central.tasks.start();

  /** Brings an agent online, which reports these handlers with their concurrency. */
  async function connect(id: string, queues: string[], handlers: Record<string, number> = { print: 1 }) {
    const isKnown = (await store.agents.labelsOf([id])).length > 0;
    const epoch = isKnown ? (await store.agents.claimSession(claimOf(id))).epoch : await online(store, id);
    const facts = { agentId: id, agentName: id, epoch, capabilities: ['tasks.1'] };
    const session = { facts, isOpen: true, sendControl: () => undefined } as unknown as Session;
    sessions.set(id, session);
    report(id, queues, handlers);
    await vi.waitFor(async () => expect((await store.tasks.handlersOf(id))?.queues).toEqual(queues));
  }
  function sessionOf(id: string): Session {
    const session = sessions.get(id);
    if (session === undefined) throw new Error(`${id} has no session`);
    return session;
  }
  /** A close is on its way, and the session is still there. */
  function drain(id: string): void {
    Object.assign(sessionOf(id), { isOpen: false });
  }
  /** Lines of the metrics with these names. */
  async function lines(...names: string[]): Promise<string[]> {
    const text = await metrics.registry.metrics();
    return text.split('\n').filter((line) => names.some((name) => line.startsWith(`${name}{`)));
  }
  function report(id: string, queues: string[], handlers: Record<string, number>): void {
    central.tasks.onFrame(sessionOf(id), {
      type: 'task-handlers',
      accounts: 'one',
      containment: 'cgroup',
      queues,
      handlers: Object.entries(handlers).map(([name, concurrencyCount]) => ({
        ...HANDLER,
        name,
        concurrencyCount,
      })),
    });
  }
  function disconnect(id: string): void {
    const { facts } = sessionOf(id);
    sessions.delete(id);
    central.tasks.onClosed(facts);
  }
  function reportState(task: TaskRecord, id: string, state: TaskReport['state'], change: Partial<TaskReport> = {}) {
    const item = taskReport(state, { key: task.key, changedAt: new Date(clock.now).toISOString(), ...change });
    central.tasks.onFrame(sessionOf(id), { type: 'task-states', through: 1, items: [item] });
  }
  async function restart(): Promise<void> {
    await central.tasks.stop();
    central.tasks = create();
    await central.tasks.start();
  }
  const run = (queue = 'printing', scope: string | null = null, handler = 'print'): Promise<TaskRecord> => {
    const order = { queue, handler, arguments: [], deadlineAt: undefined };
    return central.tasks.runInQueue({ ...order, scope: scope === null ? null : parseScope(scope) }, ACTOR);
  };
  const find = (task: TaskRecord): Promise<TaskRecord> => central.tasks.find(taskId(task));
  const agentOf = async (task: TaskRecord): Promise<string | null> => (await find(task)).agent?.id ?? null;
  const assigned = (task: TaskRecord, id: string): Promise<void> =>
    vi.waitFor(async () => expect([await agentOf(task), (await find(task)).state]).toEqual([id, 'sent']));
  /** Starts of this task in the logs of these agents. */
  async function starts(task: TaskRecord, ...ids: string[]): Promise<number> {
    const logs = await Promise.all(ids.map((id) => store.outbox.read(id, 0, 100, 1_000_000)));
    const found = logs.flat().map(({ json }) => readTaskStart(json));
    return found.filter((start) => typeof start !== 'string' && start.key === task.key).length;
  }
  return {
    store,
    clock,
    central,
    connect,
    disconnect,
    drain,
    lines,
    report,
    reportState,
    restart,
    run,
    find,
    agentOf,
    assigned,
    starts,
  };
}

it('a task goes to an agent of its queue that has its handler, with its command, in one step', async () => {
  const { central, connect, run, find, assigned, starts } = await scene();
  await connect('a1', ['backup'], { print: 1, save: 1 });
  await connect('a2', ['printing'], { save: 1 });
  await connect('a3', ['printing', 'backup']);
  const task = await run();
  expect(task).toMatchObject({ state: 'queued', agent: null, queue: 'printing', createdBy: 'operator' });
  await assigned(task, 'a3');
  expect((await find(task)).stateDeadlineAt).toBe(task.deadlineAt + 60_000);
  expect(await starts(task, 'a1', 'a2', 'a3')).toBe(1);
  expect(await central.tasks.list({ limit: 10, queue: 'printing' })).toHaveLength(1);
  expect(await central.tasks.list({ limit: 10, queue: 'backup' })).toEqual([]);
});

it('the oldest waits the shortest, and each agent gets as many as its handler runs at a time', async () => {
  const { connect, run, agentOf, assigned, reportState } = await scene();
  await connect('a1', ['printing']);
  const [first, second, third] = [await run(), await run(), await run()];
  await assigned(first, 'a1');
  await connect('a2', ['printing']);
  await assigned(second, 'a2');
  reportState(second, 'a2', 'running', { startedAt: '2026-11-29T00:00:00.000Z', endsWithinSeconds: 70 });
  expect(await agentOf(third)).toBeNull();
  const fourth = await run();
  reportState(first, 'a1', 'succeeded', { exitCode: 0 });
  await assigned(third, 'a1');
  expect(await agentOf(fourth)).toBeNull();
  reportState(second, 'a2', 'failed', { exitCode: 1 });
  await assigned(fourth, 'a2');
});

it('tasks that were requested for the agent take room, and give it when they end', async () => {
  const { central, connect, run, agentOf, assigned, reportState } = await scene();
  await connect('a1', ['printing']);
  const order = { agent: { id: 'a1', name: 'a1' }, handler: 'print', arguments: [], deadlineAt: undefined };
  const direct = await central.tasks.run(order, ACTOR);
  const task = await run();
  await run('printing');
  expect(await agentOf(task)).toBeNull();
  reportState(direct, 'a1', 'expired');
  await assigned(task, 'a1');
});

it('an agent that reports other queues, or more room, gets what waits for that', async () => {
  const { connect, report, run, agentOf, assigned, disconnect } = await scene();
  await connect('a1', ['printing']);
  const [first, second] = [await run(), await run()];
  await assigned(first, 'a1');
  report('a1', ['printing'], { print: 2 });
  await assigned(second, 'a1');
  report('a1', [], { print: 9 });
  await connect('a2', ['printing']);
  disconnect('a2');
  const third = await run();
  expect(await agentOf(third)).toBeNull();
  await connect('a2', ['printing']);
  await assigned(third, 'a2');
});

it('what waits is assigned after a restart of Central', async () => {
  const { connect, disconnect, restart, run, agentOf, assigned, starts } = await scene();
  await connect('a1', ['printing'], { print: 2 });
  disconnect('a1');
  const [first, second] = [await run(), await run()];
  await restart();
  expect(await agentOf(first)).toBeNull();
  await connect('a1', ['printing'], { print: 2 });
  await assigned(first, 'a1');
  await assigned(second, 'a1');
  expect([await starts(first, 'a1'), await starts(second, 'a1')]).toEqual([1, 1]);
});

it('a task that was sent stays with its agent, whatever becomes of its session', async () => {
  const { central, clock, connect, disconnect, restart, run, find, assigned, starts } = await scene();
  await connect('a1', ['printing']);
  const task = await run();
  await assigned(task, 'a1');
  disconnect('a1');
  await connect('a2', ['printing'], { print: 9 });
  await restart();
  await connect('a2', ['printing'], { print: 9 });
  await connect('a1', ['printing']);
  const later = await run();
  await assigned(later, 'a2');
  expect([await starts(task, 'a1'), await starts(task, 'a2')]).toEqual([1, 0]);
  clock.now = task.deadlineAt + 61_000;
  await central.tasks.cancel('t-99', ACTOR).catch(() => undefined);
  expect(await find(task)).toMatchObject({ agent: { id: 'a1' }, state: 'sent' });
});

it('a task that its agent refuses goes to another agent, and to none that refused it', async () => {
  const { connect, run, find, agentOf, assigned, reportState, starts } = await scene();
  await connect('a1', ['printing'], { print: 3 });
  const task = await run();
  await assigned(task, 'a1');
  const refusal = { code: 'task_program_missing', detail: 'no such file', hint: 'Install it.' };
  reportState(task, 'a1', 'failed', refusal);
  await vi.waitFor(async () => expect((await find(task)).state).toBe('queued'));
  expect(await find(task)).toMatchObject({
    agent: null,
    stateReason: { code: 'task_program_missing', detail: 'a1 refused it: no such file' },
  });
  // Another one goes to it still.
  const other = await run();
  await assigned(other, 'a1');
  expect(await agentOf(task)).toBeNull();
  await connect('a2', ['printing']);
  await assigned(task, 'a2');
  // What the first one repeats changes nothing.
  reportState(task, 'a1', 'failed', refusal);
  reportState(task, 'a2', 'failed', refusal);
  await connect('a3', ['printing']);
  await assigned(task, 'a3');
  reportState(task, 'a3', 'failed', refusal);
  await vi.waitFor(async () => expect(await find(task)).toMatchObject({ state: 'failed', agent: { id: 'a3' } }));
  expect(await starts(task, 'a1', 'a2', 'a3')).toBe(3);
});

it('a task that its agent started, or ended otherwise, never goes back', async () => {
  const { connect, run, find, assigned, reportState } = await scene();
  await connect('a1', ['printing'], { print: 9 });
  await connect('a2', ['printing'], { print: 1 });
  const startedAt = '2026-11-29T00:00:00.000Z';
  const ends: [TaskReport['state'], Partial<TaskReport>][] = [
    ['failed', { startedAt, code: 'task_not_started' }],
    ['failed', { exitCode: 1, startedAt }],
    ['lost', { code: 'task_result_unknown' }],
  ];
  for (const [state, change] of ends) {
    const task = await run();
    await assigned(task, 'a1');
    reportState(task, 'a1', state, change);
    await vi.waitFor(async () => expect(await find(task)).toMatchObject({ state, agent: { id: 'a1' } }));
  }
});

it('only agents in the scope of the requester get a task', async () => {
  const { store, central, connect, run, find, agentOf, assigned, reportState } = await scene();
  await connect('a1', ['printing'], { print: 5 });
  await connect('a2', ['printing']);
  const change = { labels: { region: 'north' } };
  await store.agents.change('a2', change, { version: null, by: 'admin', now: 1 }, ACT);
  await expect(run('printing', 'label:region=south')).rejects.toMatchObject({ code: 'queue_unserved', status: 422 });
  const [first, second, third] = [
    await run('printing', 'label:region=north'),
    await run('printing', 'label:region=north'),
    await run(),
  ];
  await assigned(first, 'a2');
  await assigned(third, 'a1');
  expect(await agentOf(second)).toBeNull();
  expect(await find(second)).toMatchObject({ scope: 'label:region=north' });
  reportState(first, 'a2', 'succeeded', { exitCode: 0 });
  await assigned(second, 'a2');
  expect(await central.tasks.list({ limit: 10, states: ['queued'] })).toEqual([]);
});

it('so many tasks wait in a queue, and in all', async () => {
  const { connect, disconnect, run } = await scene();
  await connect('a1', ['printing', 'backup']);
  disconnect('a1');
  await expect(run('other')).rejects.toMatchObject({ code: 'queue_unserved' });
  await expect(run('printing', null, 'other')).rejects.toMatchObject({ code: 'queue_unserved' });
  for (let count = 0; count < 4; count += 1) await run();
  await expect(run()).rejects.toMatchObject({ code: 'task_queue_full', status: 503 });
  for (let count = 0; count < 2; count += 1) await run('backup');
  await expect(run('backup')).rejects.toMatchObject({ code: 'task_queue_full' });
});

it('a task that waits is canceled at once, and expires at its deadline', async () => {
  const { store, central, clock, connect, disconnect, run, find, starts } = await scene();
  await connect('a1', ['printing']);
  disconnect('a1');
  const [canceled, late] = [await run(), await run()];
  expect(await central.tasks.cancel(taskId(canceled), ACTOR)).toMatchObject({ state: 'canceled', agent: null });
  clock.now = late.deadlineAt;
  // After its deadline, no agent gets it.
  await connect('a1', ['printing']);
  expect(await store.tasks.endOverdue(clock.now, 10)).toMatchObject([{ agentId: null, state: 'expired' }]);
  expect(await find(late)).toMatchObject({ state: 'expired', stateReason: { code: 'task_queue_late' } });
  expect(await starts(canceled, 'a1')).toBe(0);
  expect(await starts(late, 'a1')).toBe(0);
});

it('an agent that was removed does not serve, and what it ran goes with it', async () => {
  const { store, connect, disconnect, run } = await scene();
  await connect('a1', ['printing']);
  disconnect('a1');
  await store.agents.remove('a1', ACT);
  await expect(run()).rejects.toMatchObject({ code: 'queue_unserved' });
});

it('an agent that is drained gets nothing more, and what waits goes to another one, or to it when it is back', async () => {
  const { central, connect, disconnect, drain, run, agentOf, assigned, starts } = await scene();
  await connect('a1', ['printing'], { print: 9 });
  await connect('a2', ['printing'], { print: 1 });
  drain('a1');
  const [first, second] = [await run(), await run()];
  await assigned(first, 'a2');
  await central.tasks.measure();
  expect(await agentOf(second)).toBeNull();
  disconnect('a1');
  expect(await agentOf(second)).toBeNull();
  await connect('a1', ['printing'], { print: 9 });
  await assigned(second, 'a1');
  expect([await starts(first, 'a1', 'a2'), await starts(second, 'a1', 'a2')]).toEqual([1, 1]);
});

it('an agent that is disabled gets nothing, also while its session is still there, until it is enabled', async () => {
  const { store, connect, disconnect, run, agentOf, assigned, starts } = await scene();
  await connect('a1', ['printing'], { print: 9 });
  await connect('a2', ['printing'], { print: 1 });
  await store.agents.disable('a1', { now: 1, text: 'repair' }, ACT);
  const [first, second] = [await run(), await run()];
  await assigned(first, 'a2');
  expect([await agentOf(second), await starts(second, 'a1')]).toEqual([null, 0]);
  disconnect('a1');
  await store.agents.enable('a1', { now: 2, text: 'done' }, ACT);
  await connect('a1', ['printing'], { print: 9 });
  await assigned(second, 'a1');
});

it('the metrics have the queues in which most tasks wait, and what was refused by its code', async () => {
  const { central, clock, connect, disconnect, run, lines } = await scene();
  const names = Array.from({ length: 12 }, (_, index) => `q${index}`);
  await connect('a1', names);
  disconnect('a1');
  for (const name of ['q0', 'q0', 'q1']) await run(name);
  clock.now += 40_000;
  await central.tasks.measure();
  expect(await lines('queuegate_queue_tasks', 'queuegate_queue_age_seconds')).toEqual([
    'queuegate_queue_tasks{queue="q0"} 2',
    'queuegate_queue_tasks{queue="q1"} 1',
    'queuegate_queue_age_seconds{queue="q0"} 40',
    'queuegate_queue_age_seconds{queue="q1"} 40',
  ]);
  for (const name of ['nowhere', 'elsewhere'])
    await expect(run(name)).rejects.toMatchObject({ code: 'queue_unserved' });
  for (const name of names.slice(2, 5)) await run(name);
  await expect(run('q5')).rejects.toMatchObject({ code: 'task_queue_full' });
  expect(await lines('queuegate_task_refusals_total')).toEqual([
    'queuegate_task_refusals_total{code="queue_unserved"} 2',
    'queuegate_task_refusals_total{code="task_queue_full"} 1',
  ]);
});
