// Several Centrals on one PostgreSQL: events and what they cost beside one Central on SQLite, agents that reconnect over
// one node and over two, and a fleet over two nodes whose size grows, from which larger ones can be extrapolated.
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { Child } from '../child.ts';
import type { Installation } from '../installation.ts';
import type { LoadDriver, Target } from '../load/driver.ts';
import { RestClient } from '../load/rest.ts';
import { embeddedPeer, moveTemplate, nodesPeer, type NodesPeer, type RunningNodes } from '../peers/nodes.ts';
import type { Plan } from '../plan.ts';
import { pause } from '../process.ts';
import type { Check, Outcome, Series } from '../result.ts';
import { Postgres } from '../servers/postgres.ts';
import { agentsText } from './throughput.ts';

/** Two hold all agents where nodes are compared: as much load for each of them. Three nodes have one each. */
const LOADS = 2;
/** A process holds so many at most: it answers their heartbeats beside the others. */
const MOST_OF_PROCESS = 4_000;
const DIALLED_AT_ONCE = 100;
/** What follows a wave of logins is over. */
const SETTLE_MS = 3_000;

type Samples = Record<string, number[]>;

export async function nodes(installation: Installation, plan: Plan): Promise<Outcome> {
  // The account of PostgreSQL has to enter its folder in there; what is beside it is closed to others.
  await chmod(tmpdir(), 0o711);
  const postgres = await Postgres.start(tmpdir());
  if (postgres === undefined) throw new Error('PostgreSQL >= 14 is not installed (Debian: postgresql)');
  try {
    const template = await moveTemplate(installation, postgres);
    const peer = (count: number): NodesPeer => nodesPeer(installation, postgres, template.database, count);
    const outcomes = [
      await events([embeddedPeer(installation), peer(1), peer(2), peer(3)], plan),
      await reconnect([peer(1), peer(2)], plan),
      await fleet(peer(2), plan),
    ];
    const moved: Series = {
      measure: 'migrate-store',
      size: agentsText(plan.nodeFleet.at(-1) ?? 0),
      unit: 'ms',
      better: 'less',
      samples: { [postgres.version]: [template.ms] },
    };
    return {
      series: [...outcomes.flatMap(({ series }) => series), moved],
      checks: outcomes.flatMap(({ checks }) => checks),
    };
  } finally {
    await postgres.stop();
  }
}

/** Load processes with their agents, spread over the nodes. */
class Loads {
  readonly #nodes: RunningNodes;
  readonly #loads: { readonly child: Child<LoadDriver>; readonly from: number; readonly count: number }[] = [];

  constructor(running: RunningNodes, agents: number, processes: number, from = 0) {
    this.#nodes = running;
    const share = Math.ceil(agents / processes);
    for (let at = 0; at < agents; at += share) {
      const child = new Child<LoadDriver>('load/main.ts', { args: ['queuegate'] });
      this.#loads.push({ child, from: from + at, count: Math.min(share, agents - at) });
    }
  }

  /** Milliseconds until the last one is welcomed; all at once unless `atOnce` of each process. */
  async open(atOnce?: number): Promise<number> {
    const startedAt = performance.now();
    await this.#all((load, target, { from, count }) => load.call('open', target, from, count, atOnce ?? count));
    return performance.now() - startedAt;
  }

  async close(): Promise<void> {
    await this.#all((load) => load.call('close'));
  }

  /** All that was acknowledged so far, when all of it is. */
  async flowUp(on: boolean): Promise<number> {
    const counts = await this.#all((load) => load.call('flowUp', on));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async stop(): Promise<void> {
    for (const { child } of this.#loads) await child.stop();
  }

  #all<T>(
    run: (
      load: Child<LoadDriver>,
      target: RunningNodes['targets'][number],
      range: { readonly from: number; readonly count: number },
    ) => Promise<T>,
  ): Promise<T[]> {
    const { targets } = this.#nodes;
    return Promise.all(
      this.#loads.map((load, index) => {
        const target = targets[index % targets.length];
        if (target === undefined) throw new Error('there is a node');
        return run(load.child, target, load);
      }),
    );
  }
}

async function events(peers: readonly NodesPeer[], plan: Plan): Promise<Outcome> {
  const [rate, central, postgres]: [Samples, Samples, Samples] = [{}, {}, {}];
  const checks: Check[] = [];
  for (const { name, nodes: count, start } of peers.map((peer) => ({ ...peer, start: () => peer.start() }))) {
    const running = await start();
    const loads = new Loads(running, plan.nodeAgents, Math.max(LOADS, count));
    let total = 0;
    try {
      await loads.open(DIALLED_AT_ONCE);
      for (let round = 0; round < plan.rounds; round += 1) {
        const [startedAt, before] = [performance.now(), await running.used()];
        await loads.flowUp(true);
        await pause(plan.burstMs);
        const sent = (await loads.flowUp(false)) - total;
        const [ms, after] = [performance.now() - startedAt, await running.used()];
        total += sent;
        (rate[name] ??= []).push((sent * 1000) / ms);
        (central[name] ??= []).push(((after.centralMs - before.centralMs) * 1000) / sent);
        (postgres[name] ??= []).push(((after.postgresMs - before.postgresMs) * 1000) / sent);
      }
    } finally {
      await loads.stop();
      const found = await running.stop();
      checks.push({ peer: name, what: 'acknowledged events are in the store', expected: total, found });
    }
  }
  const size = agentsText(plan.nodeAgents);
  const cost = { size, unit: 'us/message', better: 'less' } as const;
  return {
    series: [
      { measure: 'nodes: events up', size, unit: 'messages/s', better: 'more', samples: rate },
      { measure: 'nodes: processor time of all Centrals', ...cost, samples: central },
      { measure: 'nodes: processor time of PostgreSQL', ...cost, samples: postgres },
    ],
    checks,
  };
}

async function reconnect(peers: readonly NodesPeer[], plan: Plan): Promise<Outcome> {
  const [taken, central, postgres]: [Samples, Samples, Samples] = [{}, {}, {}];
  for (const peer of peers) {
    const running = await peer.start();
    const loads = new Loads(running, plan.nodeCrowd, LOADS);
    try {
      await loads.open(DIALLED_AT_ONCE);
      for (let round = 0; round < plan.nodeCrowdRounds; round += 1) {
        await loads.close();
        await pause(SETTLE_MS);
        const before = await running.used();
        (taken[peer.name] ??= []).push(await loads.open());
        const after = await running.used();
        (central[peer.name] ??= []).push((after.centralMs - before.centralMs) / plan.nodeCrowd);
        (postgres[peer.name] ??= []).push((after.postgresMs - before.postgresMs) / plan.nodeCrowd);
      }
    } finally {
      await loads.stop();
      await running.stop();
    }
  }
  const size = agentsText(plan.nodeCrowd);
  const cost = { size, unit: 'ms', better: 'less' } as const;
  return {
    series: [
      { measure: 'nodes: reconnect, all at once', ...cost, samples: taken },
      { measure: 'nodes: reconnect, processor time of all Centrals, per agent', ...cost, samples: central },
      { measure: 'nodes: reconnect, processor time of PostgreSQL, per agent', ...cost, samples: postgres },
    ],
    checks: [],
  };
}

/** Grows step by step; at each size all are online and idle for a time, and at the last one a part of them reconnects. */
async function fleet(peer: NodesPeer, plan: Plan): Promise<Outcome> {
  const series: Series[] = [];
  const checks: Check[] = [];
  const running = await peer.start();
  const loads: Loads[] = [];
  const note = (measure: string, agents: number, unit: string, value: number): void =>
    void series.push({ measure, size: agentsText(agents), unit, better: 'less', samples: { [peer.name]: [value] } });
  try {
    const bare = await running.memoryBytes();
    let agents = 0;
    for (const size of plan.nodeFleet) {
      const [before, startedAt] = [await running.used(), performance.now()];
      for (let added: number; agents < size; agents += added) {
        added = Math.min(2 * MOST_OF_PROCESS, size - agents);
        const load = new Loads(running, added, LOADS, agents);
        loads.push(load);
        await load.open(DIALLED_AT_ONCE);
      }
      const connected = await running.used();
      note('nodes: fleet, the last ones connect', size, 'ms', performance.now() - startedAt);
      note('nodes: fleet, processor time of all Centrals so far', size, 'ms', connected.centralMs - before.centralMs);
      await pause(SETTLE_MS);
      const idle = await running.used();
      await pause(plan.nodeIdleMs);
      const after = await running.used();
      const perSecond = (ms: number): number => ms / (plan.nodeIdleMs / 1000);
      note(
        'nodes: fleet, idle: processor time of all Centrals',
        size,
        'ms/s',
        perSecond(after.centralMs - idle.centralMs),
      );
      note(
        'nodes: fleet, idle: processor time of PostgreSQL',
        size,
        'ms/s',
        perSecond(after.postgresMs - idle.postgresMs),
      );
      note(
        'nodes: fleet, memory of all Centrals, per agent',
        size,
        'KiB',
        ((await running.memoryBytes()) - bare) / size / 1024,
      );
      for (const [index, target] of running.targets.entries())
        checks.push({
          peer: peer.name,
          what: `${size} agents are online, as node ${index + 1} says`,
          expected: size,
          found: await onlineAt(target),
        });
    }
    const [wave] = loads;
    const waved = Math.min(2 * MOST_OF_PROCESS, plan.nodeFleet[0] ?? 0);
    const before = await running.used();
    await wave?.close();
    const startedAt = performance.now();
    await wave?.open();
    note('nodes: fleet, a wave reconnects at once', waved, 'ms', performance.now() - startedAt);
    const after = await running.used();
    note('nodes: fleet, the wave: processor time of PostgreSQL', waved, 'ms', after.postgresMs - before.postgresMs);
    await pause(SETTLE_MS);
    for (const target of running.targets) {
      const sessions = await sessionsAt(target);
      const online = sessions.filter(({ state }) => state === 'online').length;
      const kept = sessions.filter(({ state, epoch }) => state === 'online' && epoch === 1).length;
      checks.push(
        { peer: peer.name, what: 'all are online behind the wave', expected: agents, found: online },
        { peer: peer.name, what: 'sessions that the others kept', expected: agents - waved, found: kept },
      );
    }
  } finally {
    for (const load of loads) await load.stop();
    await running.stop();
  }
  return { series, checks };
}

/** All agents, as this node lists them. */
async function sessionsAt(target: Target): Promise<{ readonly state: string; readonly epoch: number }[]> {
  const rest = new RestClient(target, 1);
  try {
    return await rest.sessions();
  } finally {
    rest.close();
  }
}

async function onlineAt(target: Target): Promise<number> {
  return (await sessionsAt(target)).filter(({ state }) => state === 'online').length;
}
