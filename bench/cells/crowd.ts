// Many agents that come back at once, beside some that were there all the time; and the memory of those that are idle.
import { Child } from '../child.ts';
import type { LoadDriver } from '../load/driver.ts';
import { memoryOf, pause, processorMsOf } from '../process.ts';
import type { Peer, StartOptions } from '../peers/peer.ts';
import type { Plan } from '../plan.ts';
import type { Outcome, Series } from '../result.ts';
import { Line } from './line.ts';

const SETTLE_MS = 2_000;
/** The watcher comes after the crowd: not among those that connect and leave. */
const WATCH_EXTRA_MS = 500;

interface Crowded {
  readonly line: Line;
  readonly watcher: Child<LoadDriver>;
}

export async function crowd(peers: readonly Peer[], plan: Plan, options: StartOptions = {}): Promise<Outcome> {
  const back: Record<string, number[]> = {};
  const again: Record<string, number[]> = {};
  const slowest: Record<string, number[]> = {};
  const lost: Record<string, number[]> = {};
  const processor: Record<string, number[]> = {};
  const agents: Record<string, number[]> = {};
  const own: Record<string, number[]> = {};
  const crowded: Crowded[] = [];
  try {
    for (const peer of peers) {
      const line = await Line.start(peer, plan.crowd, { ...options, collectable: true });
      const watcher = new Child<LoadDriver>('load/main.ts', { args: [peer.driver] });
      crowded.push({ line, watcher });
      const perAgent = await memoryPerAgent(line);
      if (perAgent !== undefined) own[peer.name] = [perAgent / 1024];
      await watcher.call('open', line.running.target, plan.crowd, 1);
    }
    for (let round = 0; round < plan.crowdRounds; round += 1) {
      for (let i = 0; i < crowded.length; i += 1) {
        const { line, watcher } = crowded[(i + round) % crowded.length] ?? fail();
        const { name } = line.peer;
        await line.close();
        await pause(SETTLE_MS);
        let watching = true;
        const watched = watchUntil(watcher, () => !watching);
        // Awaited below; should the dialling fail first, that error is the one to tell.
        watched.catch(() => undefined);
        const used = await processorMs(line);
        const { ms, retries } = await line.open();
        const usedThen = await processorMs(line);
        (processor[name] ??= []).push((usedThen.server - used.server) / plan.crowd);
        (agents[name] ??= []).push((usedThen.agents - used.agents) / plan.crowd);
        watching = false;
        const seen = await watched;
        (back[name] ??= []).push(ms);
        (again[name] ??= []).push(retries);
        (slowest[name] ??= []).push(Math.max(...seen.acksMs));
        (lost[name] ??= []).push(seen.lost);
      }
    }
  } finally {
    for (const { line, watcher } of crowded) {
      await watcher.stop();
      await line.stop();
    }
  }
  const size = `${plan.crowd} agents`;
  const series: Series[] = [
    { measure: 'reconnect, all at once', size, unit: 'ms', better: 'less', samples: back },
    {
      measure: 'reconnect: processor time of the server, per agent',
      size,
      unit: 'ms',
      better: 'less',
      samples: processor,
    },
    {
      measure: 'reconnect: processor time of the agents, per agent',
      size,
      unit: 'ms',
      better: 'less',
      samples: agents,
    },
    { measure: 'reconnect: dialled again', size, unit: 'times', better: 'less', samples: again },
    {
      measure: 'reconnect: slowest acknowledgement of one already there',
      size,
      unit: 'ms',
      better: 'less',
      samples: slowest,
    },
    {
      measure: 'reconnect: sessions lost of those already there',
      size,
      unit: 'sessions',
      better: 'less',
      samples: lost,
    },
  ];
  if (Object.keys(own).length > 0)
    series.push({ measure: 'memory per idle agent', size, unit: 'KiB', better: 'less', samples: own });
  return { series, checks: [] };
}

/** NaN where the system does not tell. */
async function processorMs(line: Line): Promise<{ readonly server: number; readonly agents: number }> {
  const agents = await Promise.all(line.loads.map(async ({ pid }) => (await processorMsOf(pid)) ?? Number.NaN));
  return { server: await line.serverMs(), agents: agents.reduce((sum, ms) => sum + ms, 0) };
}

async function watchUntil(
  watcher: Child<LoadDriver>,
  over: () => boolean,
): Promise<{ acksMs: number[]; lost: number }> {
  const all = { acksMs: [] as number[], lost: 0 };
  do {
    const { acksMs, lost } = await watcher.call('watch', WATCH_EXTRA_MS);
    all.acksMs.push(...acksMs);
    all.lost += lost;
  } while (!over());
  return all;
}

/**
 * What the crowd adds to a server that holds a few agents already, each time after garbage was collected: what all
 * agents share (code, caches, the heaps of the threads) does not count. Leaves the crowd connected.
 */
async function memoryPerAgent(line: Line): Promise<number | undefined> {
  const few = new Child<LoadDriver>('load/main.ts', { args: [line.peer.driver] });
  await few.call('open', line.running.target, line.agents + 1, fewOf(line.agents));
  const before = await ownMemory(line.running.pid);
  await line.open();
  const after = await ownMemory(line.running.pid);
  await few.call('close');
  await few.stop();
  return before === undefined || after === undefined ? undefined : (after - before) / line.agents;
}

function fewOf(agents: number): number {
  return Math.ceil(agents / 8);
}

/** How many agents have to be enrolled for this: the crowd, the watcher and the few. */
export function crowdAgents(plan: Plan): number {
  return plan.crowd + 1 + fewOf(plan.crowd);
}

async function ownMemory(pid: number): Promise<number | undefined> {
  for (let i = 0; i < 3; i += 1) {
    await pause(SETTLE_MS / 4);
    process.kill(pid, 'SIGUSR2');
  }
  await pause(SETTLE_MS);
  return (await memoryOf(pid))?.own;
}

function fail(): never {
  throw new Error('a line is missing');
}
