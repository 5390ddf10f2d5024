// A frozen peer costs only itself: one agent of twenty is stopped, and one whose programs take nothing. The others go
// on, nothing waits on a path that they share, and nothing that was accepted for the frozen one is lost.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from '../flow/processes.ts';
import {
  Consumer,
  enrolledFolders,
  metric,
  onlineAgent,
  Producer,
  setParameters,
  storedEvents,
  takenCommands,
  type OnlineAgent,
} from './traffic.ts';

const AGENTS = 20;
/** So many commands may wait for one agent at Central. */
const OUTBOX_MESSAGES = 400;
/** With data of this size a full outbox is more than the buffers of both kernels take: the socket itself is stuck. */
const STUCK_DATA = 'x'.repeat(50_000);
/** Each of the others has a request of its own in each direction under way, and a trim. */
const WAITING_OF_THE_OTHERS = 3 * AGENTS;

const cleanup = new Cleanup();
let central: CentralProcess;

interface Loaded extends OnlineAgent {
  readonly up: Producer;
  readonly down: Producer;
  readonly consumer: Consumer;
}

function load(online: OnlineAgent): Loaded {
  const { name, id, agent } = online;
  return {
    ...online,
    up: Producer.events(agent, `${name}-up`, { pauseMs: 150 }),
    down: Producer.commands(central, id, `${name}-down`, { pauseMs: 150 }),
    consumer: new Consumer(agent),
  };
}

async function stopLoad(loads: readonly Loaded[]): Promise<void> {
  await Promise.all(loads.flatMap(({ up, down }) => [up.stop(), down.stop()]));
}

/** What had been accepted is there, once and in order, in both directions. */
async function nothingLost({ id, up, down, consumer }: Loaded): Promise<void> {
  expect(await storedEvents(central, id, up.accepted.length)).toEqual(up.accepted);
  expect(await takenCommands(consumer, down.accepted.length)).toEqual(down.accepted);
}

async function waitingAtCentral(id: string): Promise<number> {
  const { body } = await central.rest('GET', `/agents/${id}`);
  return Number(body.logs.down.messageCount);
}

// For each attempt: what a first one left would change the second.
beforeEach(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  await setParameters(central, {
    'agents.outbox.maxMessages': OUTBOX_MESSAGES,
    'agents.outbox.maxBytes': 64 * 1024 * 1024,
    'agents.windowBytes': 64 * 1024 * 1024,
  });
});
afterEach(() => cleanup.run());

describe('a frozen peer', () => {
  it('as one frozen agent of twenty under load: the nineteen go on, nothing waits on shared paths, its producer is refused, and after it thaws everything accepted arrives in order', async () => {
    const started: { name: string; agent: AgentProcess }[] = [];
    for (let i = 0; i < AGENTS; i += 1)
      started.push({
        name: `a${i}`,
        agent: AgentProcess.start(cleanup, await enrolledFolders(cleanup, central, `a${i}`), `a${i}`),
      });
    cleanup.add(() => Promise.all(started.map(({ agent }) => agent.stop())));
    const online: OnlineAgent[] = [];
    for (const one of started) online.push({ ...one, id: String((await central.online(one.name))['id']) });
    const [frozen, ...others] = online.map(load);
    if (frozen === undefined) throw new Error('no agent');
    cleanup.add(() => frozen.agent.process.child.kill('SIGCONT'));
    await Promise.all([frozen, ...others].flatMap(({ up, down }) => [up.further(20), down.further(20)]));

    frozen.agent.process.child.kill('SIGSTOP');
    const takenBefore = others.map(({ consumer }) => consumer.taken.length);
    const eventsBefore = new Map<string, number>();
    for (const { id } of others) eventsBefore.set(id, (await central.events(`&agent=${id}`)).length);
    const filling = Producer.commands(central, frozen.id, 'filling', { batch: 20, data: STUCK_DATA });
    await until(
      () => filling.refusals.length > 0 || undefined,
      30_000,
      () => `${filling.accepted.length} accepted and never refused`,
    );
    expect(filling.refusals[0]).toEqual({
      status: 503,
      type: 'urn:queuegate:error:outbox_full',
      retryAfter: expect.stringMatching(/^[1-9]\d*$/),
    });
    const waiting = await waitingAtCentral(frozen.id);
    expect(waiting).toBeGreaterThan(OUTBOX_MESSAGES - 20);
    expect(waiting).toBeLessThanOrEqual(OUTBOX_MESSAGES);

    // Progress of each of the others, from end to end, behind the moment at which the frozen one was full.
    await Promise.all(others.flatMap(({ up, down }) => [up.further(40), down.further(40)]));
    for (const [i, { id, consumer }] of others.entries()) {
      await takenCommands(consumer, (takenBefore[i] ?? 0) + 40);
      await storedEvents(central, id, (eventsBefore.get(id) ?? 0) + 40);
    }
    expect(await metric(central, 'queuegate_store_waiting')).toBeLessThanOrEqual(WAITING_OF_THE_OTHERS);
    expect(await metric(central, 'queuegate_sessions')).toBeGreaterThanOrEqual(AGENTS - 1);

    // The others are done in full while it is still frozen, and then nothing waits.
    await stopLoad(others);
    for (const other of others) await nothingLost(other);
    await until(
      async () => ((await metric(central, 'queuegate_store_waiting')) === 0 ? true : undefined),
      30_000,
      () => 'something waits for the store',
    );
    expect(await waitingAtCentral(frozen.id)).toBeGreaterThanOrEqual(waiting);

    frozen.agent.process.child.kill('SIGCONT');
    await Promise.all([filling.stop(), stopLoad([frozen])]);
    const { id, up, down, consumer } = frozen;
    expect(await storedEvents(central, id, up.accepted.length)).toEqual(up.accepted);
    const taken = await takenCommands(consumer, down.accepted.length + filling.accepted.length);
    expect(taken).toHaveLength(down.accepted.length + filling.accepted.length);
    expect(taken.filter((each) => each.startsWith('filling'))).toEqual(filling.accepted);
    expect(taken.filter((each) => !each.startsWith('filling'))).toEqual(down.accepted);
    for (const { consumer: each } of [frozen, ...others]) await each.stop();
  }, 150_000);

  it('as a program that takes no commands: inbox and outbox fill to their bounds, its producer is refused, the session lives on, and once it takes them all arrive in order', async () => {
    const { id, name, agent } = await onlineAgent(cleanup, central, 'idle', ['--inbox-max-messages', '50']);
    const epoch = (await central.agent(name))?.['epoch'];
    const down = Producer.commands(central, id, 'down', { batch: 10 });
    await until(
      () => down.refusals.length > 2 || undefined,
      30_000,
      () => `${down.accepted.length} accepted and never refused`,
    );
    expect(down.refusals[0]).toEqual({
      status: 503,
      type: 'urn:queuegate:error:outbox_full',
      retryAfter: expect.stringMatching(/^[1-9]\d*$/),
    });
    await down.stop();

    // What the agent has not acknowledged is at Central, and everything is in one of the two.
    const inbox = Number((await agent.local('GET', '/api/v1/status')).body.inbox.messageCount);
    expect(inbox).toBeGreaterThan(0);
    expect(inbox).toBeLessThanOrEqual(50);
    expect(await waitingAtCentral(id)).toBe(OUTBOX_MESSAGES);
    expect(inbox + OUTBOX_MESSAGES).toBe(down.accepted.length);
    expect(await central.agent(name)).toMatchObject({ state: 'online', epoch });

    const consumer = new Consumer(agent);
    expect(await takenCommands(consumer, down.accepted.length)).toEqual(down.accepted);
    await until(async () => ((await waitingAtCentral(id)) === 0 ? true : undefined));
    expect(await central.agent(name)).toMatchObject({ state: 'online', epoch });
    await consumer.stop();
  }, 60_000);
});
