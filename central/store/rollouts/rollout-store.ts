// The part of the store's interface for rollouts: what is rolled out, how far each agent is, and which release each
// agent shall have and says it runs. The rules of store.ts apply.
import type { ReleaseKind } from '../../../shared/releases/manifest.ts';
import type { ReleasePart } from '../../../shared/releases/software.ts';
import type { AuditEntry } from '../audit-store.ts';

/** `running` to `rolling-back` go on; the others are final, until an administrator retries or rolls back. */
export const ROLLOUT_STATES = [
  'running',
  'paused',
  'halted',
  'rolling-back',
  'completed',
  'canceled',
  'rolled-back',
] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

export const ROLLOUT_AGENT_STATES = [
  'waiting',
  'offered',
  'synchronizing',
  'synchronized',
  'trying',
  'succeeded',
  'rolled-back',
  'failed',
  'skipped',
  'canceled',
  'timed-out',
] as const;
export type RolloutAgentState = (typeof ROLLOUT_AGENT_STATES)[number];

export const ROLLOUT_STAGES = ['synchronize', 'upgrade'] as const;
export type RolloutStage = (typeof ROLLOUT_STAGES)[number];

/** So many agents, or this share (0 to 1) of the eligible ones; each counts those of the waves before it. */
export type WaveSize = { readonly count: number } | { readonly share: number };

/** Why something is not further: all three are empty where nothing is wrong. */
export interface Cause {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
}

/** How a rollout proceeds. */
export interface RolloutPlan {
  readonly waves: readonly WaveSize[];
  /** Of the agents of a wave that took part: so many succeed before the next wave starts. */
  readonly successShare: number;
  /** More failures than this halt the rollout. */
  readonly errorShare: number;
  /** Between a wave that is complete and the next one. */
  readonly soakSeconds: number;
  readonly trialSeconds: number;
  /** Of each agent; 0: as fast as Central sends. */
  readonly bytesPerSecond: number;
}

export interface RolloutRecord extends RolloutPlan {
  /** The id is `r-` with this number. */
  readonly number: number;
  readonly kind: ReleaseKind;
  /** Digest. */
  readonly release: string;
  /** Of the profile or the software, for people. */
  readonly name: string;
  readonly stage: RolloutStage;
  /** The selectors, as they were written. */
  readonly selectors: readonly string[];
  /** Of the token that began it: its agents were within it. Null: all agents. */
  readonly scope: string | null;
  readonly state: RolloutState;
  readonly stateChangedAt: number;
  readonly stateReason: Cause;
  /** How many agents each wave and those before it may take; frozen at the start. */
  readonly waveTargets: readonly number[];
  /** Of `waveTargets`. */
  readonly wave: number;
  /** The wave is complete, and the next one starts then; null: it is not. */
  readonly soakUntil: number | null;
  /** Failures of this wave that an administrator accepted by resuming. */
  readonly acceptedErrors: number;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly comment: string | null;
  readonly ticket: string | null;
  readonly endedAt: number | null;
}

export type NewRollout = Omit<RolloutRecord, 'number'>;

/** One agent in one rollout. */
export interface RolloutAgentRecord extends Cause {
  readonly agentId: string;
  readonly agentName: string;
  /** When its last session ended, as of the reading; null while one is open, and before the first. */
  readonly offlineSince: number | null;
  readonly state: RolloutAgentState;
  readonly stateChangedAt: number;
  /** The wave that took it; null: none yet. */
  readonly wave: number | null;
  /** Seen within the days before the start, and not disabled: it counts for the size of waves. */
  readonly isEligible: boolean;
  /** It takes part in this rollout now; in no other one at the same time. */
  readonly isBusy: boolean;
  /** When the present state ends by itself; null: never. */
  readonly deadlineAt: number | null;
  /** The limit of a whole download or trial counts from here. */
  readonly startedAt: number | null;
  /** How often the present state began or was offered again. */
  readonly attempts: number;
  /** Of the instruction; null: none yet. */
  readonly generation: number | null;
  /** Digest in the instruction: that of the rollout, or of a rollback. */
  readonly target: string | null;
  /** Digest that it ran before this rollout; null: not from a release. */
  readonly previous: string | null;
  /** On trial, but neither welcomed with the candidate nor back to stay. */
  readonly isInconclusive: boolean;
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export type NewRolloutAgent = Pick<RolloutAgentRecord, 'agentId' | 'isEligible'> &
  Partial<Pick<RolloutAgentRecord, 'state' | 'isBusy' | 'code' | 'detail' | 'hint'>>;

/** The release of one part that an agent shall have, and the one that it says it runs. */
export interface AgentRelease {
  readonly agentId: string;
  readonly part: ReleasePart;
  /** Digest to which a rollout has brought it; null: none yet. */
  readonly desired: string | null;
  /** What was desired before. */
  readonly previous: string | null;
  /** Of the newest instruction, or the largest that the agent knows. Only grows. */
  readonly generation: number;
  /** Number of the rollout that brought it to the desired release. */
  readonly rollout: number | null;
  /** Digest of its last hello; null: not from a release. */
  readonly reported: string | null;
  readonly reportedAt: number | null;
}

/** Of a hello; null: not from a release. */
export type ReportedDigests = Readonly<Record<ReleasePart, string | null>>;
export type RevertCauses = Readonly<Record<ReleasePart, Cause>>;
export interface RevertedPart {
  readonly part: ReleasePart;
  /** Number of the rollout. */
  readonly rollout: number;
}

/** How many agents shall have a release of a profile, and how many say that they run it. */
export interface ReleaseAgents {
  readonly profile: string;
  /** Digest. */
  readonly release: string;
  readonly desiredCount: number;
  readonly reportedCount: number;
}

export interface RolloutCounts {
  readonly total: number;
  readonly eligible: number;
  readonly byState: Readonly<Record<RolloutAgentState, number>>;
}

/** What changes together. */
export interface RolloutSave {
  readonly rollout?: RolloutRecord | undefined;
  readonly number: number;
  readonly agents: readonly RolloutAgentRecord[];
  /** Instructions that agents get, or know. */
  readonly generations: readonly Pick<AgentRelease, 'agentId' | 'part' | 'generation'>[];
  /** What these agents have committed: it is their desired release from now on. */
  readonly committed: readonly { readonly agentId: string; readonly part: ReleasePart; readonly release: string }[];
  /** Of an act of an administrator. */
  readonly audit?: AuditEntry | undefined;
}

/** What bounds a page of rollouts: an administrator may name a thousand selectors of 4,096 characters. */
export function rolloutText({ selectors }: Pick<RolloutRecord, 'selectors'>): string {
  return selectors.join('');
}

export interface RolloutStore {
  /** Errors: rollout_conflict (an agent is in another one), rollouts_full. */
  create(rollout: NewRollout, agents: readonly NewRolloutAgent[], audit: AuditEntry): Promise<RolloutRecord>;
  get(number: number): Promise<RolloutRecord | undefined>;
  /** Newest first; `before`: a number. */
  list(page: {
    readonly before?: number;
    readonly limit: number;
    readonly states?: readonly RolloutState[];
  }): Promise<RolloutRecord[]>;
  /** Those in which an agent takes part now, and those that go on. */
  active(): Promise<RolloutRecord[]>;
  /** In order of the agents' ids; `after` is the last one of the page before. */
  agents(page: {
    readonly number: number;
    readonly after?: string;
    readonly limit: number;
    readonly states?: readonly RolloutAgentState[];
  }): Promise<RolloutAgentRecord[]>;
  /** The rollout in which an agent takes part now. */
  ofAgent(agentId: string): Promise<RolloutRecord | undefined>;
  counts(number: number): Promise<RolloutCounts>;
  /** Of all parts. */
  releasesOf(agentId: string): Promise<AgentRelease[]>;
  /**
   * Of the releases of one profile, or of all: those that agents have or shall have, the newest first. `agentIds`: only
   * these agents count; null: all.
   */
  agentsPerRelease(profile: string | null, agentIds: readonly string[] | null): Promise<ReleaseAgents[]>;
  /** The largest generation of each of these agents over all parts, and the desired release of one part. */
  facts(
    part: ReleasePart,
    agentIds: readonly string[],
  ): Promise<Readonly<Record<string, { readonly generation: number; readonly desired: string | null }>>>;
  /** Agents that were deleted meanwhile are left out. Errors: rollout_conflict. */
  save(change: RolloutSave): Promise<void>;
  /**
   * An agent's hello. A rollout that succeeded on it with another digest, and is the newest one of this part of the
   * agent, becomes rolled-back there, with the cause of the part; but not where a later rollout is about to bring that
   * digest to it.
   */
  recordReported(
    agentId: string,
    releases: ReportedDigests,
    causes: RevertCauses,
    now: number,
  ): Promise<readonly RevertedPart[]>;
}
