// Events of as many agents as one node takes, over one, two and three nodes, beside one on the embedded store.
import type { NodesPeer } from '../../peers/nodes.ts';
import type { Plan } from '../../plan.ts';
import { pause } from '../../process.ts';
import type { Check, Outcome } from '../../result.ts';
import { agentsText } from '../throughput.ts';
import { DIALLED_AT_ONCE, LOADS, Loads } from './loads.ts';

type Samples = Record<string, number[]>;

export async function events(peers: readonly NodesPeer[], plan: Plan): Promise<Outcome> {
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
