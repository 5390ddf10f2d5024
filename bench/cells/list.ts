// The list of all agents of a large installation, page by page over REST. Only Queuegate has one.
import { Child } from '../child.ts';
import { RestClient } from '../load/rest.ts';
import type { QueuegatePeer } from '../peers/queuegate.ts';
import type { Plan } from '../plan.ts';
import { processorMsOf } from '../process.ts';
import type { Check, Outcome } from '../result.ts';
import type { StoreWork } from '../servers/store.ts';

export async function agentList(peers: readonly QueuegatePeer[], plan: Plan): Promise<Outcome> {
  const taken: Record<string, number[]> = {};
  const processor: Record<string, number[]> = {};
  const checks: Check[] = [];
  for (const peer of peers) {
    const store = new Child<StoreWork>('servers/store.ts', { args: [peer.dist] });
    const running = await peer.start({ beforeStart: (folder) => store.call('addAgents', folder, plan.listedAgents) });
    await store.stop();
    const rest = new RestClient(running.target, 1);
    for (let round = 0; round < plan.rounds; round += 1) {
      const used = (await processorMsOf(running.pid)) ?? Number.NaN;
      const startedAt = performance.now();
      const found = await rest.listedAgents('listed-');
      (taken[peer.name] ??= []).push(performance.now() - startedAt);
      (processor[peer.name] ??= []).push(((await processorMsOf(running.pid)) ?? Number.NaN) - used);
      if (round === 0) checks.push({ peer: peer.name, what: 'agents in the list', expected: plan.listedAgents, found });
    }
    rest.close();
    await running.stop();
  }
  const size = `${plan.listedAgents.toLocaleString('en-US')} agents`;
  return {
    series: [
      { measure: 'list of agents, page by page', size, unit: 'ms', better: 'less', samples: taken },
      { measure: 'list of agents: processor time of the server', size, unit: 'ms', better: 'less', samples: processor },
    ],
    checks,
  };
}
