// Bad lines between agents and Central, over wss: each is noticed within the heartbeat's bound, the agent comes back,
// both logs go on by number, and what producers had accepted is there once and in order.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent } from '../flow/raw-agent.ts';
import { CARRY, LineProxy, TRICKLE, type Direction } from './line-proxy.ts';
import {
  Consumer,
  onlineAgent,
  Producer,
  setParameters,
  storedEvents,
  takenCommands,
  type OnlineAgent,
} from './traffic.ts';

/** Two and a half periods of one second and a look, and then what a busy machine may add. */
const NOTICED_WITHIN_MS = 3_000 + 12_000;

const cleanup = new Cleanup();
let central: CentralProcess;

interface Loaded extends OnlineAgent {
  readonly line: LineProxy;
  readonly up: Producer;
  readonly down: Producer;
  readonly consumer: Consumer;
}

/** An agent behind a line of its own, loaded in both directions. */
async function loaded(name: string): Promise<Loaded> {
  const line = await LineProxy.to(central.ports.wss, cleanup);
  const online = await onlineAgent(cleanup, central, name, ['--central-hosts', `localhost:${line.port}`]);
  const under = {
    ...online,
    line,
    up: Producer.events(online.agent, `${name}-up`, { pauseMs: 15 }),
    down: Producer.commands(central, online.id, `${name}-down`, { pauseMs: 15 }),
    consumer: new Consumer(online.agent),
  };
  cleanup.add(async () => {
    for (const part of [under.up, under.down, under.consumer]) await part.stop().catch(() => undefined);
  });
  await Promise.all([under.up.further(50), under.down.further(50)]);
  return under;
}

/** Ends the load after some more of it; what had been accepted, and what arrived, both in their order. */
async function settled({
  id,
  name,
  up,
  down,
  consumer,
}: Loaded): Promise<{ readonly accepted: unknown; readonly arrived: unknown }> {
  await Promise.all([up.further(50), down.further(50)]);
  await Promise.all([up.stop(), down.stop()]);
  const arrived = {
    events: await storedEvents(central, id, up.accepted.length),
    commands: await takenCommands(consumer, down.accepted.length),
  };
  await central.online(name);
  return { accepted: { events: up.accepted, commands: down.accepted }, arrived };
}

/** Waits for the line of Central's log that ends a session of this agent; how long it took. */
async function centralEnded(id: string, reason: RegExp, since: number): Promise<number> {
  await until(
    () =>
      centralLog(since).some(
        (line) => line['agent'] === id && line['msg'] === 'agent offline' && reason.test(String(line['reason'])),
      ) || undefined,
    NOTICED_WITHIN_MS,
    () => `Central did not notice: ${String(reason)}\n${central.process.stdout.slice(-2000)}`,
  );
  return Date.now() - since;
}

function centralLog(since: number): Record<string, unknown>[] {
  return central.process.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => Number(line['time']) >= since);
}

/** Waits for the agent's own word on why its connection ended. */
async function agentEnded({ agent }: Loaded, code: string, from: number): Promise<void> {
  await until(
    () => agent.process.stdout.slice(from).includes(`"code":"${code}"`) || undefined,
    NOTICED_WITHIN_MS,
    () => `the agent did not notice:\n${agent.process.stdout.slice(-2000)}`,
  );
}

async function epochOf({ name }: OnlineAgent): Promise<unknown> {
  return (await central.online(name))['epoch'];
}

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  await setParameters(central, {
    'agents.heartbeatSeconds': 1,
    'agents.slowPeerSeconds': 5,
    'agents.windowBytes': 64 * 1024 * 1024,
    'agents.outbox.maxBytes': 128 * 1024 * 1024,
  });
});
afterAll(() => cleanup.run());

describe.concurrent('a bad line', () => {
  it('that is cut in the middle of the traffic, three times, loses nothing, doubles nothing, keeps the order', async () => {
    const under = await loaded('cut');
    for (let round = 0; round < 3; round += 1) {
      const before = under.line.opened;
      under.line.cut();
      await until(() => under.line.opened > before || undefined);
      await central.online(under.name);
      await Promise.all([under.up.further(20), under.down.further(20)]);
    }
    const { accepted, arrived } = await settled(under);
    expect(arrived).toEqual(accepted);
  }, 90_000);

  it('that is half-open, so that both ends believe in it, is noticed by both within the heartbeat bound, and nothing is lost', async () => {
    const under = await loaded('half-open');
    const [since, from] = [Date.now(), under.agent.process.stdout.length];
    under.line.loseStanding();
    await Promise.all([centralEnded(under.id, /^heartbeat_lost$/, since), agentEnded(under, 'heartbeat_lost', from)]);
    const { accepted, arrived } = await settled(under);
    expect(arrived).toEqual(accepted);
  }, 90_000);

  it.each<Direction>(['up', 'down'])(
    'that is lost in one direction only (%s) is noticed by both ends, and nothing is lost',
    async (direction) => {
      const under = await loaded(`lost-${direction}`);
      const [since, from] = [Date.now(), under.agent.process.stdout.length];
      under.line.loseStanding([direction]);
      // The end that hears nothing says so; the other learns it from the close, or by its own heartbeat.
      if (direction === 'up') await centralEnded(under.id, /^heartbeat_lost$/, since);
      else await agentEnded(under, 'heartbeat_lost', from);
      await centralEnded(under.id, /./, since);
      const { accepted, arrived } = await settled(under);
      expect(arrived).toEqual(accepted);
    },
    90_000,
  );

  it.each<Direction>(['up', 'down'])(
    'that stalls in one direction only (%s), with everything on its way kept back, is noticed by both ends, and nothing is lost or doubled',
    async (direction) => {
      const under = await loaded(`stalled-${direction}`);
      const [since, from] = [Date.now(), under.agent.process.stdout.length];
      under.line.stallStanding([direction]);
      if (direction === 'up') await centralEnded(under.id, /^heartbeat_lost$/, since);
      else await agentEnded(under, 'heartbeat_lost', from);
      await centralEnded(under.id, /./, since);
      await central.online(under.name);
      // What was kept back comes after all, behind the new session: it must not count.
      under.line.behave(CARRY);
      const { accepted, arrived } = await settled(under);
      expect(arrived).toEqual(accepted);
    },
    90_000,
  );

  it('that trickles byte by byte, one message longer than the heartbeat bound in each direction, keeps its session', async () => {
    const { up, down, ...under } = await loaded('trickle');
    await Promise.all([up.stop(), down.stop()]);
    await storedEvents(central, under.id, up.accepted.length);
    await takenCommands(under.consumer, down.accepted.length);
    const epoch = await epochOf(under);
    under.line.behave(TRICKLE);
    // At less than a kilobyte a second this is one TLS record that takes longer than three periods.
    const long = { type: 'tick', data: 'x'.repeat(4000) };
    expect((await under.agent.local('POST', '/api/v1/events', { id: 'long-up', ...long })).status).toBe(202);
    expect((await central.rest('POST', `/agents/${under.id}/commands`, { id: 'long-down', ...long })).status).toBe(202);
    expect(await storedEvents(central, under.id, up.accepted.length + 1)).toEqual([...up.accepted, 'long-up']);
    expect(await takenCommands(under.consumer, down.accepted.length + 1)).toEqual([...down.accepted, 'long-down']);
    expect(await epochOf(under)).toEqual(epoch);
    expect(under.line.opened).toBe(1);
  }, 90_000);

  it('that only delays, by a quarter of a second each way, keeps its session and its order', async () => {
    const under = await loaded('delay');
    const epoch = await epochOf(under);
    under.line.behave({ ...CARRY, delayMs: 250 });
    await Promise.all([under.up.further(200), under.down.further(200)]);
    const { accepted, arrived } = await settled(under);
    expect(arrived).toEqual(accepted);
    expect(await epochOf(under)).toEqual(epoch);
  }, 90_000);

  it('behind which a peer sends pings and never reads is ended for that, and its commands wait', async () => {
    const key = newKey();
    const id = await enrollKey(central, key, 'deaf');
    const agent = await RawAgent.wss(cleanup, central);
    await agent.welcomed({ id, key, name: 'deaf' });
    agent.send({ type: 'begin', incarnation: 'A'.repeat(22), next: 1, missing: null });
    const since = Date.now();
    agent.webSocket.pause();
    const pings = setInterval(() => agent.webSocket.ping(), 500);
    cleanup.add(() => clearInterval(pings));
    // More than the buffers of both kernels take.
    for (let i = 0; i < 8; i += 1) {
      const batch = Array.from({ length: 24 }, (_, n) => ({
        id: `deaf-${i}-${n}`,
        type: 'tick',
        data: 'x'.repeat(250_000),
      }));
      expect((await central.rest('POST', `/agents/${id}/commands`, batch)).status).toBe(202);
    }
    expect(
      await until(
        () => centralLog(since).find((line) => line['agent'] === id && line['msg'] === 'agent offline'),
        30_000,
        () => 'the session is still open',
      ),
    ).toMatchObject({ reason: 'slow_peer' });
    clearInterval(pings);
  }, 90_000);
});
