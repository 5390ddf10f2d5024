// Tasks while Central and daemons are killed (kill -9): each is started at most once, ends, and its output is whole.
// With QUEUEGATE_SEED=N the schedule of a run that printed it.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { killOptions } from '../reliability/kill.ts';
import { killSchedule, randomOf } from '../reliability/schedule.ts';
import { allOnline, QUIET_MS, startVictims, Waker } from '../reliability/victims.ts';
import { request, type Door } from '../reliability/witnesses.ts';
import { Cleanup, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const TASKS = 60;
const FINAL = new Set(['succeeded', 'failed', 'canceled', 'timed-out', 'expired', 'lost']);
const options = killOptions({ kills: 7, agents: 3, pauseMs: 300 });

interface Task {
  readonly id: string;
  readonly state: string;
  readonly stateReason: { readonly code: string } | null;
}

/** Notes its start, works for `$2` seconds, and writes `$3` bytes, of which it keeps a copy. */
const PROGRAM =
  'echo $QUEUEGATE_TASK >>$1/starts; sleep $2; head -c $3 /dev/urandom | tee $1/$QUEUEGATE_TASK; sleep $2';
const HANDLER = `
task.work.command=/bin/sh
task.work.arguments=list
task.work.fixedArguments=${JSON.stringify(['-c', PROGRAM, 'work'])}
task.work.concurrency=4
`;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Requests tasks until so many were acknowledged; returns their ids. */
async function requested(door: Door, agents: readonly string[], folder: string, random: () => number) {
  const ids: string[] = [];
  while (ids.length < TASKS) {
    const words = [folder, (random() * 0.5).toFixed(2), String(Math.floor(random() * 50_000))];
    const order = { agent: agents[Math.floor(random() * agents.length)], handler: 'work', arguments: words };
    const answer = await request(door, 'POST', '/api/v1/tasks', order);
    if (answer?.status === 202) ids.push(answer.body.id);
    else if (answer !== undefined && answer.status !== 503) throw new Error(JSON.stringify(answer.body));
    await delay(random() * options.pauseMs);
  }
  return ids;
}

async function allEnded(door: Door): Promise<Task[]> {
  let open: readonly Task[] = [];
  return await until(
    async () => {
      const tasks = (await request(door, 'GET', '/api/v1/tasks?limit=1000'))?.body.items as Task[] | undefined;
      open = tasks?.filter(({ state }) => !FINAL.has(state)) ?? open;
      return tasks?.every(({ state }) => FINAL.has(state)) === true ? tasks : undefined;
    },
    QUIET_MS,
    () => `not at an end: ${JSON.stringify(open)}`,
  );
}

it('start at most once, end, and leave their whole output, through kills of Central and of daemons', async () => {
  const { seed, kills, agents } = options;
  console.info(`QUEUEGATE_SEED=${seed} QUEUEGATE_KILLS=${kills}`);
  const folder = await cleanup.folder();
  const { central, door, branches } = await startVictims(cleanup, agents, HANDLER);
  const names = branches.map(({ name }) => name);
  for (const name of names)
    await until(async () => {
      const answer = await request(door, 'GET', `/api/v1/agents/${name}/task-handlers`);
      return answer?.body.items?.length > 0;
    });
  const waker = new Waker(door, branches);
  const requests = requested(door, names, folder, randomOf(seed + 1));
  requests.catch(() => undefined);
  const victims = new Map(
    [central, ...branches.map((branch) => branch.process)].map((victim) => [victim.name, victim]),
  );
  for (const [index, { from, afterMs, victim, downMs }] of killSchedule(seed, kills, names).entries()) {
    if (from === 'online') await allOnline(door, branches);
    await delay(afterMs);
    // Whatever the seed: Central is killed at least once.
    await victims.get(index === 0 ? central.name : victim)?.kill(downMs);
  }
  const ids = await requests;
  await allOnline(door, branches);
  const tasks = await allEnded(door);
  await waker.stop();

  // What was acknowledged is there; of a request without an answer a task may be there, too.
  expect(new Set(ids).size).toBe(TASKS);
  expect(ids.filter((id) => !tasks.some((task) => task.id === id))).toEqual([]);
  const starts = (await readFile(join(folder, 'starts'), 'utf8')).trim().split('\n');
  expect(starts.toSorted()).toEqual([...new Set(starts)].toSorted());
  const succeeded = tasks.filter(({ state }) => state === 'succeeded');
  expect(succeeded.filter(({ id }) => !starts.includes(id))).toEqual([]);
  // No program was killed: it ends well, or it is unknown whether it did.
  expect(tasks.filter(({ state }) => state !== 'succeeded' && state !== 'lost')).toEqual([]);
  expect(succeeded.length).toBeGreaterThan(TASKS / 2);
  for (const { id } of succeeded) {
    const answer = await fetch(`${door.url}/api/v1/tasks/${id}/output/stdout`, {
      headers: { authorization: `Bearer ${door.token}` },
    });
    const found = sha256(new Uint8Array(await answer.arrayBuffer()));
    expect([id, answer.status, found]).toEqual([id, 200, sha256(await readFile(join(folder, id)))]);
  }
  console.info(JSON.stringify({ tasks: tasks.length, succeeded: succeeded.length, starts: starts.length }));
}, 240_000);
