// All agents come back at once, over one node and over two. They report behind their welcome what agents report.
import type { NodesPeer } from '../../peers/nodes.ts';
import type { Plan } from '../../plan.ts';
import { pause } from '../../process.ts';
import type { Outcome } from '../../result.ts';
import { agentsText } from '../throughput.ts';
import { DIALLED_AT_ONCE, LOADS, Loads, SETTLE_MS } from './loads.ts';

type Samples = Record<string, number[]>;

export async function reconnect(peers: readonly NodesPeer[], plan: Plan): Promise<Outcome> {
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
