// A large installation, all agents connected: what its lists take page by page and filter by filter, and what the
// others notice when some of the agents are cut off and come back at once. Only Queuegate has lists.
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from '../child.ts';
import { percentile } from '../figures.ts';
import type { LoadDriver } from '../load/driver.ts';
import { RestClient } from '../load/rest.ts';
import type { QueuegatePeer } from '../peers/queuegate.ts';
import type { Plan } from '../plan.ts';
import { memoryOf, pause } from '../process.ts';
import type { Check, Outcome, Series } from '../result.ts';

/** A process holds so many at most: it answers their heartbeats beside the others. */
const MOST_OF_PROCESS = 4_000;
/** Of the first connections, which are not what is measured; those that come back do so all at once. */
const DIALLED_AT_ONCE = 500;
const FILTERS = [
  'state=online&limit=100',
  'name=bench-0*&limit=100',
  'transport=wss&sort=-lastSeenAt&limit=100',
  'state=disconnected&limit=100',
  'version=0.0.0&limit=100',
  'label=region%3Dnorth&limit=100',
  'sort=-queuedCount&limit=100',
];

export async function fleet(peers: readonly QueuegatePeer[], plan: Plan, enrolled: number): Promise<Outcome> {
  const figures: Record<
    'connect' | 'lists' | 'listDelay' | 'back' | 'backDelay' | 'memory',
    Record<string, number[]>
  > = {
    connect: {},
    lists: {},
    listDelay: {},
    back: {},
    backDelay: {},
    memory: {},
  };
  const checks: Check[] = [];
  for (const peer of peers) {
    const delayFile = join(tmpdir(), `fleet-delay-${checks.length}`);
    const running = await peer.start({ loopDelayFile: delayFile });
    const loads: Child<LoadDriver>[] = [];
    const load = async (from: number, count: number): Promise<void> => {
      const child = new Child<LoadDriver>('load/main.ts', { args: [peer.driver] });
      loads.push(child);
      await child.call('open', running.target, from, count, DIALLED_AT_ONCE);
    };
    const rest = new RestClient(running.target, 1);
    try {
      const startedAt = performance.now();
      // Those that are cut off have a process of their own.
      await load(0, plan.fleetCut);
      for (let from = plan.fleetCut; from < plan.fleet; from += MOST_OF_PROCESS)
        await load(from, Math.min(MOST_OF_PROCESS, plan.fleet - from));
      figures.connect[peer.name] = [performance.now() - startedAt];
      const memory = await memoryOf(running.pid);
      if (memory !== undefined) figures.memory[peer.name] = [memory.own / 2 ** 20];

      const lists = await measured(running.pid, delayFile, () => listed(rest));
      figures.lists[peer.name] = [percentile(lists.found.taken, 0.95)];
      figures.listDelay[peer.name] = [lists.delayMs];
      checks.push({ peer: peer.name, what: 'agents in the pages', expected: enrolled, found: lists.found.names });

      const [cut] = loads;
      const back = await measured(running.pid, delayFile, async () => {
        await cut?.call('close');
        const { ms } = (await cut?.call('open', running.target, 0, plan.fleetCut)) ?? { ms: Number.NaN };
        await pause(plan.fleetWatchMs);
        return ms;
      });
      figures.back[peer.name] = [back.found];
      figures.backDelay[peer.name] = [back.delayMs];
      const sessions = await rest.sessions();
      const kept = sessions.filter(({ epoch }) => epoch === 1).length;
      const online = sessions.filter(({ state }) => state === 'online').length;
      checks.push(
        { peer: peer.name, what: 'agents online at the end', expected: plan.fleet, found: online },
        { peer: peer.name, what: 'sessions that the others kept', expected: plan.fleet - plan.fleetCut, found: kept },
      );
    } finally {
      rest.close();
      for (const child of loads) await child.stop();
      await running.stop();
    }
  }
  const size = `${plan.fleet.toLocaleString('en-US')} agents online`;
  const series = (measure: string, unit: string, samples: Record<string, number[]>): Series => ({
    measure,
    size,
    unit,
    better: 'less',
    samples,
  });
  const cut = `${plan.fleetCut.toLocaleString('en-US')} come back at once`;
  return {
    series: [
      series('fleet: all connect', 'ms', figures.connect),
      series('fleet: memory of the server', 'MiB', figures.memory),
      series('fleet: a page of agents, p95', 'ms', figures.lists),
      series('fleet: delay of the event loop while pages are read, p99', 'ms', figures.listDelay),
      series(`fleet: ${cut}`, 'ms', figures.back),
      series(`fleet: ${cut}, delay of the event loop, p99`, 'ms', figures.backDelay),
    ],
    checks,
  };
}

/** All pages in order, and the first page of each filter as often. */
async function listed(rest: RestClient): Promise<{ readonly taken: number[]; readonly names: number }> {
  const taken: number[] = [];
  const names = new Set<string>();
  let after = '';
  for (let page = 0; ; page += 1) {
    for (const query of [`limit=100${after}`, FILTERS[page % FILTERS.length] ?? '']) {
      const startedAt = performance.now();
      const found = await rest.agents(query);
      taken.push(performance.now() - startedAt);
      if (!query.startsWith('limit')) continue;
      for (const { name } of found.items) names.add(name);
      after = found.next === null ? '' : `&after=${encodeURIComponent(found.next)}`;
    }
    if (after === '') return { taken, names: names.size };
  }
}

/** What `run` finds, and the delay of the server's event loop meanwhile, 99th percentile in milliseconds. */
async function measured<T>(pid: number, file: string, run: () => Promise<T>): Promise<{ found: T; delayMs: number }> {
  process.kill(pid, 'SIGUSR2');
  const found = await run();
  process.kill(pid, 'SIGUSR2');
  await pause(200);
  return { found, delayMs: Number(await readFile(file, 'utf8')) };
}
