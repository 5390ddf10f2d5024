// The scenario of tasks under kill -9: tasks for agents and for queues are requested while Central, daemons and, on
// request, the supervisors of programs are killed and lines are cut, at instants that a seed decides. Afterwards all tasks
// are at an end, each program was started at most once, and its output is whole.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { until, type Cleanup } from '../flow/processes.ts';
import type { KillOptions } from './kill.ts';
import { LineProxy } from './line-proxy.ts';
import { killSchedule, randomOf } from './schedule.ts';
import { allOnline, QUIET_MS, startVictims, Waker, type Branch } from './victims.ts';
import { request, type Door } from './witnesses.ts';

interface TaskKillOptions extends KillOptions {
  readonly tasks: number;
  /** Beside the kills: before each of them, a line is cut and the supervisor of a program is killed. */
  readonly harsh: boolean;
}

interface Task {
  readonly id: string;
  readonly state: string;
  readonly agent: object | null;
  readonly queue: string | null;
}

const FINAL = new Set(['succeeded', 'failed', 'canceled', 'timed-out', 'expired', 'lost']);
const QUEUES = ['north', 'south'];
const PAGE = 500;

/** Notes its start, works for `$2` seconds, and writes `$3` bytes, of which it keeps a copy. */
const PROGRAM =
  'echo $QUEUEGATE_TASK >>$1/starts; sleep $2; head -c $3 /dev/urandom | tee $1/$QUEUEGATE_TASK; sleep $2';
const SETTINGS = `
agent.queues=${QUEUES.join(',')}
task.work.command=/bin/sh
task.work.arguments=list
task.work.fixedArguments=${JSON.stringify(['-c', PROGRAM, 'work'])}
task.work.concurrency=4
`;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Every second one for a queue, until so many were acknowledged; returns their ids. */
async function requested(
  door: Door,
  agents: readonly string[],
  folder: string,
  { tasks, pauseMs, seed }: TaskKillOptions,
): Promise<string[]> {
  const random = randomOf(seed + 1);
  const ids: string[] = [];
  while (ids.length < tasks) {
    const words = [folder, (random() * 0.5).toFixed(2), String(Math.floor(random() * 50_000))];
    const one = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
    const to = ids.length % 2 === 0 ? { agent: one(agents) } : { queue: one(QUEUES) };
    const answer = await request(door, 'POST', '/api/v1/tasks', { ...to, handler: 'work', arguments: words });
    if (answer?.status === 202) ids.push(answer.body.id);
    else if (answer !== undefined && answer.status !== 503) throw new Error(JSON.stringify(answer.body));
    await delay(random() * pauseMs);
  }
  return ids;
}

/** All tasks, or undefined where Central does not answer. */
async function listed(door: Door): Promise<Task[] | undefined> {
  const tasks: Task[] = [];
  for (let after = ''; ;) {
    const answer = await request(door, 'GET', `/api/v1/tasks?limit=${PAGE}${after}`);
    if (answer?.status !== 200) return undefined;
    tasks.push(...(answer.body.items as Task[]));
    if (answer.body.next === null) return tasks;
    after = `&after=${encodeURIComponent(answer.body.next)}`;
  }
}

async function allEnded(door: Door): Promise<Task[]> {
  let open: readonly Task[] = [];
  return await until(
    async () => {
      const tasks = await listed(door);
      open = tasks?.filter(({ state }) => !FINAL.has(state)) ?? open;
      await delay(200);
      return tasks?.every(({ state }) => FINAL.has(state)) === true ? tasks : undefined;
    },
    QUIET_MS,
    () => `not at an end: ${JSON.stringify(open.slice(0, 5))}, and ${open.length} in all`,
  );
}

/** Kills the supervisor of one program of this agent; false: none runs. */
async function killSupervisor({ folders }: Branch): Promise<boolean> {
  const folder = join(folders.data, 'tasks');
  for (const key of await readdir(folder).catch(() => [])) {
    const began = await readFile(join(folder, key, 'supervisor'), 'utf8').catch(() => '');
    const pid = Number(/^\d+/.exec(began)?.[0] ?? 0);
    const now = pid === 0 ? '' : await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // Field 22 is when it began: another process may have the same number by now.
    const startOf = (line: string): string | undefined => line.slice(line.lastIndexOf(')')).split(' ')[20];
    if (now === '' || now.includes(') Z ') || startOf(now) !== startOf(began)) continue;
    process.kill(pid, 'SIGKILL');
    return true;
  }
  return false;
}

export async function tasksUnderKills(cleanup: Cleanup, options: TaskKillOptions): Promise<object> {
  const { seed, kills, agents, tasks: count, harsh } = options;
  console.info(`QUEUEGATE_SEED=${seed} QUEUEGATE_KILLS=${kills}`);
  const folder = await cleanup.folder();
  let line: LineProxy | undefined;
  const { central, door, branches } = await startVictims(cleanup, agents, SETTINGS, async (port) => {
    line = await LineProxy.to(port, cleanup);
    return line.port;
  });
  const names = branches.map(({ name }) => name);
  for (const name of names)
    await until(
      async () => (await request(door, 'GET', `/api/v1/agents/${name}/task-handlers`))?.body.items?.length > 0,
    );
  const waker = new Waker(door, branches);
  const requests = requested(door, names, folder, options);
  requests.catch(() => undefined);
  const victims = new Map(
    [central, ...branches.map((branch) => branch.process)].map((victim) => [victim.name, victim]),
  );
  let supervisors = 0;
  for (const [index, { from, afterMs, victim, downMs }] of killSchedule(seed, kills, names).entries()) {
    if (from === 'online') await allOnline(door, branches);
    await delay(afterMs);
    if (harsh) {
      const branch = branches[(index * 7) % branches.length];
      if (branch !== undefined && (await killSupervisor(branch))) supervisors += 1;
      if (index % 3 === 2) line?.cut();
    }
    // Whatever the seed: Central is killed at least once.
    await victims.get(index === 0 ? central.name : victim)?.kill(downMs);
  }
  const ids = await requests;
  await allOnline(door, branches);
  const tasks = await allEnded(door);
  await waker.stop();

  // What was acknowledged is there; of a request without an answer a task may be there, too.
  expect(new Set(ids).size).toBe(count);
  const known = new Set(tasks.map(({ id }) => id));
  expect(ids.filter((id) => !known.has(id))).toEqual([]);
  const starts = (await readFile(join(folder, 'starts'), 'utf8')).trim().split('\n');
  expect(starts.toSorted()).toEqual([...new Set(starts)].toSorted());
  const succeeded = tasks.filter(({ state }) => state === 'succeeded');
  const started = new Set(starts);
  expect(succeeded.filter(({ id }) => !started.has(id))).toEqual([]);
  // No program was killed: it ends well, or it is unknown whether it did.
  expect(tasks.filter(({ state }) => state !== 'succeeded' && state !== 'lost')).toEqual([]);
  expect(tasks.length - succeeded.length).toBeLessThanOrEqual(Math.max(count / 2, supervisors));
  expect(tasks.filter(({ queue }) => queue !== null).length).toBeGreaterThanOrEqual(Math.floor(count / 2));
  for (const { id } of succeeded) {
    const answer = await fetch(`${door.url}/api/v1/tasks/${id}/output/stdout`, {
      headers: { authorization: `Bearer ${door.token}` },
    });
    const found = sha256(new Uint8Array(await answer.arrayBuffer()));
    expect([id, answer.status, found]).toEqual([id, 200, sha256(await readFile(join(folder, id)))]);
  }
  return { tasks: tasks.length, succeeded: succeeded.length, starts: starts.length, supervisors };
}
