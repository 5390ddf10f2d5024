// A rollout with agents whose connection, version and release the test sets, and a clock that it moves.
import type { Member, World } from '../../../central/rollouts/agent-steps.ts';
import {
  act,
  step,
  type Change,
  type Model,
  type RolloutAct,
  type RolloutEvent,
} from '../../../central/rollouts/machine.ts';
import type { RolloutAgentRecord, RolloutRecord } from '../../../central/store/rollouts/rollout-store.ts';
import type { ReleaseState } from '../../../shared/wire/release-frames.ts';

export const RELEASE = 'a'.repeat(64);
export const PREVIOUS = 'b'.repeat(64);
export const NOW = Date.UTC(2026, 0, 1);
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
const NO_CAUSE = { code: '', detail: '', hint: '' } as const;

export function rolloutOf(changes: Partial<RolloutRecord> = {}): RolloutRecord {
  return {
    number: 17,
    kind: 'profile',
    release: RELEASE,
    name: 'branch',
    stage: 'upgrade',
    selectors: ['all'],
    scope: null,
    state: 'running',
    stateChangedAt: NOW,
    stateReason: NO_CAUSE,
    waves: [{ share: 1 }],
    waveTargets: [1],
    wave: 0,
    soakUntil: null,
    acceptedErrors: 0,
    successShare: 0.95,
    errorShare: 0.05,
    soakSeconds: 0,
    trialSeconds: 300,
    bytesPerSecond: 0,
    createdAt: NOW,
    createdBy: 'admin',
    comment: null,
    ticket: null,
    endedAt: null,
    ...changes,
  };
}

export function memberOf(agentId: string, changes: Partial<RolloutAgentRecord> = {}, lastGeneration = 0): Member {
  const record: RolloutAgentRecord = {
    agentId,
    agentName: agentId,
    offlineSince: null,
    state: 'waiting',
    stateChangedAt: NOW,
    wave: null,
    isEligible: true,
    isBusy: true,
    deadlineAt: null,
    startedAt: null,
    attempts: 0,
    generation: null,
    target: null,
    previous: null,
    isInconclusive: false,
    receivedBytes: 0,
    totalBytes: 0,
    ...NO_CAUSE,
    ...changes,
  };
  return { record, lastGeneration };
}

export function frameOf(
  generation: number,
  state: ReleaseState['state'],
  changes: Partial<Omit<ReleaseState, 'type'>> = {},
): Omit<ReleaseState, 'type'> {
  return {
    kind: 'profile',
    generation,
    release: RELEASE,
    state,
    receivedBytes: 0,
    totalBytes: 0,
    ...NO_CAUSE,
    ...changes,
  };
}

/** What the test makes of a rollout: all changes are applied, and the acts of the last one are kept. */
export class Scene implements World {
  now = NOW;
  readonly online = new Set<string>();
  readonly old = new Set<string>();
  readonly running = new Map<string, string>();
  model: Model;
  last: Change | undefined;

  constructor(rollout: Partial<RolloutRecord>, agents: readonly string[] | readonly Member[]) {
    const members = agents.map((agent) => (typeof agent === 'string' ? memberOf(agent) : agent));
    this.model = {
      rollout: rolloutOf({ waveTargets: [members.length], ...rollout }),
      members: new Map(members.map((member) => [member.record.agentId, member])),
    };
  }

  isOnline(agentId: string): boolean {
    return this.online.has(agentId);
  }

  tooOld(agentId: string) {
    return this.old.has(agentId) ? { version: '0.1.0' } : undefined;
  }

  reported(agentId: string): string | null {
    return this.running.get(agentId) ?? PREVIOUS;
  }

  run(...events: readonly RolloutEvent[]): Change {
    return this.#applied(step(this.model, events, this));
  }

  act(wanted: RolloutAct): Change {
    return this.#applied(act(this.model, wanted, this));
  }

  /** The agents connect. */
  come(...agentIds: readonly string[]): Change {
    for (const agentId of agentIds) this.online.add(agentId);
    return this.run(...agentIds.map((agentId) => ({ kind: 'hello', agentId }) as const));
  }

  /** The agents lose their connection. */
  leave(...agentIds: readonly string[]): Change {
    for (const agentId of agentIds) this.online.delete(agentId);
    return this.run(...agentIds.map((agentId) => ({ kind: 'offline', agentId }) as const));
  }

  /** The agent reports a state of its present instruction. */
  say(agentId: string, state: ReleaseState['state'], changes: Partial<Omit<ReleaseState, 'type'>> = {}): Change {
    const { generation, target } = this.agent(agentId);
    const frame = frameOf(generation ?? 0, state, { release: target ?? RELEASE, ...changes });
    return this.run({ kind: 'state', agentId, frame });
  }

  /** The agent takes the release, up to its success. */
  succeed(...agentIds: readonly string[]): void {
    for (const agentId of agentIds) {
      this.say(agentId, 'synchronizing');
      this.say(agentId, 'synchronized');
      this.say(agentId, 'trying');
      this.running.set(agentId, this.agent(agentId).target ?? PREVIOUS);
      this.come(agentId);
      this.say(agentId, 'succeeded');
    }
  }

  wait(ms: number): Change {
    this.now += ms;
    return this.run({ kind: 'tick' });
  }

  agent(agentId: string): RolloutAgentRecord {
    const member = this.model.members.get(agentId);
    if (member === undefined) throw new Error(`${agentId} is not part of the scene`);
    return member.record;
  }

  get rollout(): RolloutRecord {
    return this.model.rollout;
  }

  states(): string[] {
    return Array.from(this.model.members.values(), ({ record }) => record.state);
  }

  #applied(change: Change): Change {
    this.model = change.model;
    this.last = change;
    return change;
  }
}
