// A slow disk: every commit takes 200 ms longer. It costs throughput where nothing else goes, and nothing else:
// heartbeats, other sessions and reads go on, and the commits grow instead of queueing. Compared are counts, not times.
import { afterEach, describe, expect, it } from 'vitest';
import { CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent } from '../flow/raw-agent.ts';
import { canTrace, missing, Tracer } from './tracer.ts';
import {
  Consumer,
  onlineAgent,
  Producer,
  setParameters,
  storedEvents,
  takenCommands,
  type OnlineAgent,
} from './traffic.ts';

/** `delay_enter` is in microseconds: the call sleeps before it does its work. */
const SLOW = ['-e', 'trace=fsync,fdatasync', '-e', 'inject=fsync,fdatasync:delay_enter=200000'];
const AS_IT_IS = ['-e', 'trace=fsync,fdatasync'];
const SYNC = /\b(?:fsync|fdatasync)\(/;
/** Slow commits that a test looks at: two seconds of the disk's time. */
const COMMITS = 10;
const WRITERS = 16;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Loaded extends OnlineAgent {
  readonly up: Producer;
  readonly down: Producer;
  readonly consumer: Consumer;
}

async function centralWithAgents(count: number): Promise<{ central: CentralProcess; loads: Loaded[] }> {
  const central = await CentralProcess.start(cleanup, await cleanup.folder());
  await setParameters(central, { 'agents.heartbeatSeconds': 1 });
  const loads: Loaded[] = [];
  for (let i = 0; i < count; i += 1) {
    const online = await onlineAgent(cleanup, central, `a${i}`);
    loads.push({
      ...online,
      up: Producer.events(online.agent, `a${i}-up`, { pauseMs: 20 }),
      down: Producer.commands(central, online.id, `a${i}-down`, { pauseMs: 20 }),
      consumer: new Consumer(online.agent),
    });
  }
  await Promise.all(loads.flatMap(({ up, down }) => [up.further(20), down.further(20)]));
  return { central, loads };
}

async function epochs(central: CentralProcess): Promise<unknown> {
  const { body } = await central.rest('GET', '/agents?limit=1000');
  return (body.items as Record<string, unknown>[]).map(({ name, epoch, state }) => ({ name, epoch, state }));
}

/** Ends the load; what had been accepted is there, once and in order. */
async function nothingLost(central: CentralProcess, { id, up, down, consumer }: Loaded): Promise<void> {
  await Promise.all([up.stop(), down.stop()]);
  expect(await storedEvents(central, id, up.accepted.length)).toEqual(up.accepted);
  expect(await takenCommands(consumer, down.accepted.length)).toEqual(down.accepted);
  await consumer.stop();
}

/** Does something again and again, one after the other, until `stop`; counts. */
function again(act: () => Promise<unknown>): { readonly done: () => number; stop(): Promise<void> } {
  let done = 0;
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await act();
      done += 1;
    }
  })();
  running.catch(() => undefined);
  return {
    done: () => done,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function ping(agent: RawAgent): Promise<void> {
  return new Promise((resolve, reject) => {
    agent.webSocket.once('pong', () => resolve());
    agent.webSocket.once('close', () => reject(new Error('the session ended')));
    agent.webSocket.ping();
  });
}

describe.skipIf(missing('strace and the right to trace', canTrace()))('a slow disk', () => {
  it('of Central stops no heartbeat, no read and no session, and each commit answers more requests', async () => {
    const { central, loads } = await centralWithAgents(4);
    const { pid } = central.process.child;
    const key = newKey();
    const id = await enrollKey(central, key, 'raw');
    const raw = await RawAgent.wss(cleanup, central);
    await raw.welcomed({ id, key, name: 'raw' });
    raw.webSocket.setMaxListeners(0);
    // Each has one request under way, and each request waits for its commit.
    const writers = Array.from({ length: WRITERS }, (_, i) =>
      Producer.commands(central, id, `writer-${i}`, { batch: 1 }),
    );
    const answered = (): number => writers.reduce((sum, { accepted }) => sum + accepted.length, 0);
    const before = await epochs(central);

    const fast = await Tracer.attach(cleanup, pid, AS_IT_IS);
    let first = answered();
    await until(async () => ((await fast.count(SYNC)) >= COMMITS * 3 ? true : undefined));
    const perFastCommit = (answered() - first) / (await fast.count(SYNC));
    await fast.detach();

    const slow = await Tracer.attach(cleanup, pid, SLOW);
    const [pings, reads] = [again(() => ping(raw)), again(() => central.rest('GET', '/agents?limit=10'))];
    first = answered();
    await until(async () => ((await slow.count(SYNC)) >= COMMITS ? true : undefined));
    const commits = await slow.count(SYNC);
    const perSlowCommit = (answered() - first) / commits;
    const [pongs, answers] = [pings.done(), reads.done()];
    await Promise.all([pings.stop(), reads.stop()]);
    // A store on the event loop would answer about one of each per commit.
    expect(pongs).toBeGreaterThan(commits * 5);
    expect(answers).toBeGreaterThan(commits * 3);
    // A commit for each request would answer one at most.
    expect(perSlowCommit).toBeGreaterThan(WRITERS / 4);
    expect(perSlowCommit).toBeGreaterThan(perFastCommit);
    // Longer than the bound of the heartbeat, on the disk's slow time.
    const held = commits + 2 * COMMITS;
    await until(async () => ((await slow.count(SYNC)) >= held ? true : undefined));
    expect(await epochs(central)).toEqual(before);
    await slow.detach();
    for (const writer of writers) await writer.stop();
    for (const load of loads) await nothingLost(central, load);
    expect(await epochs(central)).toEqual(before);
  }, 120_000);

  it('of one agent costs that agent only, and not its session', async () => {
    const { central, loads } = await centralWithAgents(3);
    const [slow, ...others] = loads;
    if (slow === undefined) throw new Error('no agent');
    const before = await epochs(central);
    const tracer = await Tracer.attach(cleanup, slow.agent.process.child.pid, SLOW);
    const [othersBefore, slowBefore] = [others.map(({ up }) => up.accepted.length), slow.up.accepted.length];
    await until(async () => ((await tracer.count(SYNC)) >= COMMITS * 2 ? true : undefined));
    const slowDone = slow.up.accepted.length - slowBefore;
    expect(slowDone).toBeGreaterThan(0);
    for (const [i, { up }] of others.entries())
      expect(up.accepted.length - (othersBefore[i] ?? 0)).toBeGreaterThan(slowDone);
    expect(await epochs(central)).toEqual(before);
    await tracer.detach();
    for (const load of loads) await nothingLost(central, load);
    expect(await epochs(central)).toEqual(before);
  }, 120_000);
});
