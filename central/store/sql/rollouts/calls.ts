// The interface of rollouts as calls to the two database threads.
import type { Reader, Writer } from '../threads.ts';
import type { RolloutStore } from '../../rollouts/rollout-store.ts';

export function rolloutCalls(writer: Writer, reader: Reader): RolloutStore {
  return {
    create: (rollout, agents, audit) => writer.call('createRollout', [audit, rollout, agents]),
    get: (number) => reader.call('getRollout', [number]),
    list: ({ before, limit, states }) =>
      reader.call('listRollouts', [before ?? Number.MAX_SAFE_INTEGER, limit, states ?? null]),
    active: () => reader.call('activeRollouts', []),
    agents: ({ number, after, limit, states }) =>
      reader.call('agentsOfRollout', [number, after ?? '', limit, states ?? null]),
    ofAgent: (agentId) => reader.call('rolloutOfAgent', [agentId]),
    counts: (number) => reader.call('rolloutCounts', [number]),
    releasesOf: (agentId) => reader.call('releasesOfAgent', [agentId]),
    agentsPerRelease: (profile, agentIds) => reader.call('agentsPerRelease', [profile, agentIds]),
    facts: (part, agentIds) => reader.call('releaseFacts', [part, agentIds]),
    save: (change) => writer.call('saveRollout', [change]),
    recordReported: (agentId, releases, causes, now) => writer.call('recordReported', [agentId, releases, causes, now]),
  };
}
