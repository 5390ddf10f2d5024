// A rollout that was not stored, with its agents as they begin: what a dry run looks at.
import type { NewRollout, NewRolloutAgent } from '../store/rollouts/rollout-store.ts';
import type { Member } from './agent-steps.ts';
import { NO_CAUSE } from './errors.ts';
import type { Model } from './machine.ts';

/** In place of the number that the store would choose; it begins with 1. */
export const UNSTORED = 0;

/** As the store would read it again. */
export function unstoredModel(rollout: NewRollout, agents: readonly NewRolloutAgent[]): Model {
  return {
    rollout: { ...rollout, number: UNSTORED },
    members: new Map(agents.map((agent) => [agent.agentId, newMember(agent, rollout.createdAt)])),
  };
}

function newMember(agent: NewRolloutAgent, now: number): Member {
  return {
    // The next instruction is not shown, and not sent.
    lastGeneration: 0,
    record: {
      ...NO_CAUSE,
      state: 'waiting',
      isBusy: true,
      ...agent,
      agentName: agent.agentId,
      offlineSince: null,
      stateChangedAt: now,
      wave: null,
      deadlineAt: null,
      startedAt: null,
      attempts: 0,
      generation: null,
      target: null,
      previous: null,
      isInconclusive: false,
      receivedBytes: 0,
      totalBytes: 0,
    },
  };
}
