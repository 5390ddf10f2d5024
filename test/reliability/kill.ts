// The scenario of kill -9: a Central and several agents as processes, both directions loaded, one process after the
// other killed at instants that a seed decides. Afterwards everything comes to rest, and the checker checks what all
// programs recorded.
import { setTimeout as delay } from 'node:timers/promises';
import { until, type Cleanup } from '../flow/processes.ts';
import { check, type Fault } from './history-checker.ts';
import { History, storyOf } from './history.ts';
import { killSchedule, randomOf } from './schedule.ts';
import { allOnline, QUIET_MS, startVictims, Waker, type Branch } from './victims.ts';
import { CommandTaker, EventReader, Producer, request, type Door } from './witnesses.ts';
import { positionIn } from '../event-cursors.ts';

export interface KillOptions {
  readonly seed: number;
  readonly kills: number;
  readonly agents: number;
  /**
   * The longest pause of a producer between two batches. All that was done is kept in memory: a long run has a slower
   * pace.
   */
  readonly pauseMs: number;
}

export interface KillOutcome {
  readonly faults: readonly Fault[];
  /** How many of each kind, and the first with its story; for people. */
  readonly story: string;
  /** What Central and agents recorded: nothing but kills happened, so there must be nothing. */
  readonly recorded: readonly unknown[];
  readonly figures: {
    readonly seed: number;
    readonly killsOfCentral: number;
    readonly killsOfAgents: number;
    readonly messagesUp: number;
    readonly messagesDown: number;
    /** Requests of producers that a kill left without an answer. */
    readonly unanswered: number;
    readonly sessions: number;
    readonly seconds: number;
  };
}

/** The seed and the number of kills as the environment has them, or those of the test. */
export function killOptions(standard: Omit<KillOptions, 'seed'>): KillOptions {
  const number = (name: string, fallback: number): number => {
    const text = process.env[name];
    // Central takes every QUEUEGATE_ variable for a setting of its own, and refuses those that it does not know.
    delete process.env[name];
    if (text === undefined || text === '') return fallback;
    if (!/^\d{1,10}$/.test(text)) throw new Error(`${name} is "${text}", which is not a number`);
    return Number(text);
  };
  return {
    ...standard,
    seed: number('QUEUEGATE_SEED', Math.floor(Math.random() * 2 ** 31)),
    kills: number('QUEUEGATE_KILLS', standard.kills),
  };
}

export async function killScenario(cleanup: Cleanup, options: KillOptions): Promise<KillOutcome> {
  const { seed, kills, agents, pauseMs } = options;
  const history = new History();
  const random = randomOf(seed + 1);
  const { central, door, branches } = await startVictims(cleanup, agents);
  const logs = new Map(branches.map(({ id, name }) => [id, `up ${name}`]));

  const producers = branches.flatMap(({ name, id, door: local }) => [
    ...[1, 2].map(
      (n) =>
        new Producer({
          history,
          log: `up ${name}`,
          name: `till-${n}.${name}`,
          door: local,
          path: '/api/v1/events',
          pauseMs,
          random,
        }),
    ),
    new Producer({
      history,
      log: `down ${name}`,
      name: `office.${name}`,
      door,
      path: `/api/v1/agents/${id}/commands`,
      pauseMs,
      random,
    }),
  ]);
  const readers = ['reader-1', 'reader-2'].map(
    (name) => new EventReader({ history, name, door, logs, waitSeconds: 2 }),
  );
  const takers = branches.map(
    ({ name, door: local }) =>
      new CommandTaker({ history, name: `worker.${name}`, door: local, log: `down ${name}`, random }),
  );
  const waker = new Waker(door, branches);

  const startedAt = performance.now();
  const victims = new Map(
    [central, ...branches.map(({ process: victim }) => victim)].map((victim) => [victim.name, victim]),
  );
  const schedule = killSchedule(
    seed,
    kills,
    branches.map(({ name }) => name),
  );
  for (const { from, afterMs, victim, downMs } of schedule) {
    if (from === 'online') await allOnline(door, branches);
    await delay(afterMs);
    history.write({ deed: 'killed', process: victim });
    await victims.get(victim)?.kill(downMs);
  }
  for (const producer of producers) await producer.stop();
  const reader = readers[0];
  if (reader === undefined) throw new Error('no reader');
  await quiet(door, branches, reader);
  for (const witness of [...readers, ...takers, waker]) await witness.stop();
  for (const victim of victims.values()) victim.assertRunning();

  // One more reader, from the start: what the log holds now is what the others were given.
  const auditor = new EventReader({ history, name: 'auditor', door, logs, waitSeconds: 0 });
  await until(() => auditor.cursor >= reader.cursor || undefined, QUIET_MS);
  await auditor.stop();

  const faults = check(history.deeds);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const { body } = (await request(door, 'GET', '/api/v1/agents')) ?? {};
  return {
    faults,
    story: tell(faults, history),
    recorded: await recorded(door, branches),
    figures: {
      seed,
      killsOfCentral: schedule.filter(({ victim }) => victim === 'central').length,
      killsOfAgents: schedule.filter(({ victim }) => victim !== 'central').length,
      messagesUp: reader.received,
      messagesDown: sum(producers.filter((_, i) => i % 3 === 2).map(({ accepted }) => accepted)),
      unanswered: sum(producers.map(({ unanswered }) => unanswered)),
      sessions: sum((body?.items ?? []).map(({ epoch }: { epoch: number }) => epoch)),
      seconds: Math.round((performance.now() - startedAt) / 1000),
    },
  };
}

function tell(faults: readonly Fault[], history: History): string {
  return [...Map.groupBy(faults, ({ kind }) => kind)]
    .map(([kind, [first, ...more]]) =>
      first === undefined
        ? ''
        : `${kind} in "${first.log}", and ${more.length} more: ${first.message} ${first.text}\n${storyOf(history.deeds, first.message)}`,
    )
    .join('\n');
}

/** Waits until all logs say of themselves that they are empty, and the reader of events is at their end. */
async function quiet(door: Door, branches: readonly Branch[], reader: EventReader): Promise<void> {
  let seen: unknown = 'nothing';
  await until(
    async () => {
      const agents = (await request(door, 'GET', '/api/v1/agents'))?.body.items as
        { logs: { down: { messageCount: number } } }[] | undefined;
      const next = (await request(door, 'GET', '/api/v1/events?after=newest'))?.body.next as string | undefined;
      const newest = next === undefined ? undefined : positionIn(next);
      const local = await Promise.all(
        branches.map(
          async (branch) =>
            (await request(branch.door, 'GET', '/api/v1/status'))?.body as
              { outbox: { messageCount: number }; inbox: { messageCount: number } } | undefined,
        ),
      );
      const waiting = [
        ...(agents ?? [undefined]).map((agent) => agent?.logs.down.messageCount),
        ...local.flatMap((status) => [status?.outbox.messageCount, status?.inbox.messageCount]),
      ];
      seen = { waiting, newest, cursor: reader.cursor };
      return (waiting.every((messages) => messages === 0) && newest === reader.cursor) || undefined;
    },
    QUIET_MS,
    () => `not at rest: ${JSON.stringify(seen)}`,
  );
}

async function recorded(door: Door, branches: readonly Branch[]): Promise<unknown[]> {
  const lists = [door, ...branches.map((branch) => branch.door)].flatMap((each) =>
    ['/api/v1/incidents', '/api/v1/dead-letters'].map((path) => request(each, 'GET', path)),
  );
  return (await Promise.all(lists)).flatMap((list) => list?.body.items ?? ['?']);
}
