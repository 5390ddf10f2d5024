// What the pages Rollouts and Profiles use of the answers of REST, and the words and shapes of states.
import type { Reason } from '../../client/types.ts';
import type { IconName } from '../../parts/icon.tsx';
import type { Meaning } from '../../states.ts';

export type RolloutState = 'running' | 'paused' | 'halted' | 'rolling-back' | 'completed' | 'canceled' | 'rolled-back';

export interface Counts {
  readonly total: number;
  readonly eligible: number;
  readonly waiting: number;
  readonly offered: number;
  readonly synchronizing: number;
  readonly synchronized: number;
  readonly trying: number;
  readonly succeeded: number;
  readonly rolledBack: number;
  readonly failed: number;
  readonly skipped: number;
  readonly canceled: number;
  readonly timedOut: number;
}

export interface Wave {
  readonly count: number | null;
  readonly share: number | null;
  readonly agentCount: number | null;
  readonly state: string;
}

export interface Rollout {
  readonly id: string;
  readonly kind: 'profile' | 'software';
  readonly release: string;
  readonly name: string;
  readonly stage: 'synchronize' | 'upgrade';
  readonly state: RolloutState;
  readonly stateChangedAt: string;
  readonly stateReason: Reason | null;
  readonly agents: readonly string[];
  readonly scope: string | null;
  readonly waves: readonly Wave[];
  readonly soakUntilAt: string | null;
  readonly successShare: number;
  readonly errorShare: number;
  readonly soakSeconds: number;
  readonly trialSeconds: number;
  readonly bytesPerSecond: number;
  readonly counts: Counts;
  readonly comment: string | null;
  readonly ticket: string | null;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly endedAt: string | null;
}

export interface RolloutAgent {
  readonly agent: { readonly id: string; readonly name: string };
  readonly state: string;
  readonly stateChangedAt: string;
  readonly stateReason: Reason | null;
  readonly stateDeadlineAt: string | null;
  readonly wave: number | null;
  readonly eligible: boolean;
  readonly offlineAt: string | null;
  readonly release: string | null;
  readonly previousRelease: string | null;
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export interface Profile {
  readonly name: string;
  readonly fileCount: number;
  readonly bytes: number;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly changedAt: string;
  readonly changedBy: string;
  readonly desiredAgentCount: number;
  readonly reportedAgentCount: number;
}

export interface Release {
  readonly release: string;
  readonly digest: string;
  readonly fileCount: number;
  readonly bytes: number;
  readonly preparedAt: string;
  readonly preparedBy: string;
  readonly comment: string | null;
  readonly ticket: string | null;
}

export interface SoftwareRelease extends Release {
  readonly name: string;
  readonly part: string;
  readonly version: string;
  readonly target: string | null;
  readonly signers: readonly string[];
}

export interface Difference {
  readonly changed: readonly { readonly file: string; readonly text: string }[];
}

export interface Look {
  readonly meaning: Meaning;
  readonly icon: IconName;
}

const ROLLOUT_LOOKS: Readonly<Record<string, Look>> = {
  running: { meaning: 'info', icon: 'connecting' },
  paused: { meaning: 'warn', icon: 'throttled' },
  halted: { meaning: 'bad', icon: 'throttled' },
  'rolling-back': { meaning: 'warn', icon: 'undo' },
  completed: { meaning: 'ok', icon: 'good' },
  canceled: { meaning: 'quiet', icon: 'revoked' },
  'rolled-back': { meaning: 'quiet', icon: 'undo' },
};

const UNKNOWN: Look = { meaning: 'quiet', icon: 'todo' };

export function lookOfRollout(state: string): Look {
  return ROLLOUT_LOOKS[state] ?? UNKNOWN;
}

/** In the order of the chips: what went wrong first. */
const AGENT_LOOKS: Readonly<Record<string, Look>> = {
  'rolled-back': { meaning: 'bad', icon: 'undo' },
  failed: { meaning: 'bad', icon: 'bad' },
  'timed-out': { meaning: 'bad', icon: 'clock' },
  skipped: { meaning: 'warn', icon: 'disabled' },
  trying: { meaning: 'info', icon: 'connecting' },
  synchronizing: { meaning: 'info', icon: 'draining' },
  offered: { meaning: 'info', icon: 'arrow' },
  synchronized: { meaning: 'info', icon: 'degraded' },
  succeeded: { meaning: 'ok', icon: 'good' },
  waiting: { meaning: 'quiet', icon: 'clock' },
  canceled: { meaning: 'quiet', icon: 'revoked' },
};

export const AGENT_STATES: readonly string[] = Object.keys(AGENT_LOOKS);

export function lookOfAgent(state: string): Look {
  return AGENT_LOOKS[state] ?? UNKNOWN;
}

/** By the name of a state, as the list of agents has it. */
export function countsOf({ counts }: Pick<Rollout, 'counts'>): ReadonlyMap<string, number> {
  const { rolledBack, timedOut, ...same } = counts;
  const { total: _total, eligible: _eligible, ...byState } = same;
  return new Map<string, number>([...Object.entries(byState), ['rolled-back', rolledBack], ['timed-out', timedOut]]);
}

/** A success of a rollout that only brings files is that they are there. */
export function isSuccess(state: string, { stage }: Pick<Rollout, 'stage'>): boolean {
  return state === 'succeeded' || (stage === 'synchronize' && state === 'synchronized');
}

export function isFailure(state: string): boolean {
  return state === 'rolled-back' || state === 'failed' || state === 'timed-out';
}

export function isUnderWay(state: string): boolean {
  return ['offered', 'synchronizing', 'synchronized', 'trying'].includes(state);
}

export interface Totals {
  readonly done: number;
  readonly failed: number;
  readonly busy: number;
  readonly rest: number;
}

export function totalsOf(rollout: Rollout): Totals {
  const sum = (has: (state: string) => boolean): number =>
    [...countsOf(rollout)].reduce((all, [state, count]) => (has(state) ? all + count : all), 0);
  const done = sum((state) => isSuccess(state, rollout));
  const failed = sum((state) => isFailure(state) && rollout.state !== 'rolled-back');
  const busy = sum((state) => isUnderWay(state) && !isSuccess(state, rollout));
  return { done, failed, busy, rest: rollout.counts.total - done - failed - busy };
}

/** "branch@3f9c21ab". */
export function releaseText({ name, release }: Pick<Rollout, 'name' | 'release'>): string {
  return `${name}@${release.slice(0, 8)}`;
}

export function isEnded({ state }: Pick<Rollout, 'state'>): boolean {
  return state === 'completed' || state === 'canceled' || state === 'rolled-back';
}
