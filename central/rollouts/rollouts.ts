// What administrators do with rollouts: start, read, pause, resume, cancel, retry and roll back; and the release of one
// agent: what it shall run, what it says it runs, and its repair. Each act is written with its audit entry.
import type { ReleaseKind } from '../../shared/releases/manifest.ts';
import { SOFTWARE_PARTS, type ReleasePart } from '../../shared/releases/software.ts';
import { auditEntry, type Actor, type AuditAction } from '../audit.ts';
import type { AgentDirectory } from '../agents/directory.ts';
import type { Metrics } from '../metrics.ts';
import { hasSession, type SelectedAgent } from '../store/agent-store.ts';
import { storeFault } from '../store/errors.ts';
import type { ReleaseRecord, ReleaseStore } from '../store/releases/release-store.ts';
import {
  ROLLOUT_AGENT_STATES,
  type AgentRelease,
  type NewRollout,
  type NewRolloutAgent,
  type ReleaseAgents,
  type RolloutAgentRecord,
  type RolloutPlan,
  type RolloutRecord,
  type RolloutStage,
  type RolloutState,
  type RolloutStore,
} from '../store/rollouts/rollout-store.ts';
import type { RolloutEngine } from './engine.ts';
import { NO_CAUSE, rolloutFault } from './errors.ts';
import { viewOf, type LeaderActs, type RolloutView } from './leader-acts.ts';
import type { Measurements } from './nodes/measurements.ts';
import { NEW_ROLLOUT } from './machine.ts';
import type { Drift } from './reported-releases.ts';
import { waveTargets } from './waves.ts';

/** Agents that were not seen for longer do not count for the size of waves. */
const ELIGIBLE_MS = 7 * 86_400_000;

export const DEFAULT_PLAN: RolloutPlan = {
  waves: [{ share: 1 }],
  successShare: 0.95,
  errorShare: 0.05,
  soakSeconds: 0,
  trialSeconds: 300,
  bytesPerSecond: 0,
};

const ACTIONS = {
  profile: { synchronize: 'profiles.synchronize', upgrade: 'profiles.upgrade' },
  software: { synchronize: 'software.synchronize', upgrade: 'software.upgrade' },
} as const satisfies Record<ReleaseKind, Record<RolloutStage, AuditAction>>;

interface RolloutsNeeds {
  readonly engine: Pick<RolloutEngine, 'modelOf' | 'underWay'>;
  readonly acts: Pick<LeaderActs, 'perform' | 'viewOf'>;
  readonly measurements: Pick<Measurements, 'driftOf' | 'request'>;
  readonly store: {
    readonly rollouts: RolloutStore;
    readonly releases: Pick<ReleaseStore, 'listReleases' | 'release'>;
  };
  readonly now: () => number;
}

interface RolloutRequest extends RolloutPlan {
  readonly kind: ReleaseKind;
  /** NAME@PREFIX, or a digest. */
  readonly release: string;
  readonly stage: RolloutStage;
  /** Selectors. */
  readonly agents: readonly string[];
}

/** The agents that the token of a request is for, and its scope; null: all agents. */
export interface RolloutAgents {
  readonly agents: Pick<AgentDirectory, 'find' | 'select'>;
  readonly scope: string | null;
}

interface ActTerms {
  readonly actor: Actor;
  /** Shows what it would lead to at once, with the number `UNSTORED` for a rollout that would be created. */
  readonly dryRun?: boolean | undefined;
}

type RolloutTerms = ActTerms & RolloutAgents;

type RolloutVerb = 'pause' | 'resume' | 'cancel' | 'retry' | 'rollback';

/** One part of an agent: the release that it shall run, and the one that it says it runs. */
export interface AgentPart {
  readonly part: ReleasePart;
  /** Undefined: nothing is known of it. */
  readonly release: AgentRelease | undefined;
  readonly desiredName: string | null;
  readonly reportedName: string | null;
  readonly drift: Drift | undefined;
}

export interface AgentProfile {
  readonly agentId: string;
  readonly profile: AgentPart;
  readonly software: readonly AgentPart[];
  /** The rollout in which it takes part now. */
  readonly rollout: RolloutRecord | undefined;
}

const UNENDED_STATES = ['running', 'paused', 'halted', 'rolling-back'] as const satisfies readonly RolloutState[];

export class Rollouts {
  readonly #needs: RolloutsNeeds;

  constructor(needs: RolloutsNeeds) {
    this.#needs = needs;
  }

  /** Errors: rollout_release_unknown, those of selectors, rollout_plan_invalid, rollout_conflict, rollouts_full. */
  async begin(request: RolloutRequest, terms: RolloutTerms): Promise<RolloutView> {
    const release = await this.#release(request.kind, request.release);
    const selected = await terms.agents.select(request.agents);
    return await this.#begin(release, { ...request, selectors: request.agents }, selected, terms);
  }

  /**
   * A rollout that synchronized goes on with the same agents. Errors: as `act`, rollout_plan_invalid,
   * rollout_release_unknown.
   */
  async upgrade(id: string, release: string, plan: RolloutPlan, { actor, dryRun }: ActTerms): Promise<RolloutView> {
    const { rollout } = await this.find(id);
    const wanted = await this.#release(rollout.kind, release);
    if (wanted.digest !== rollout.release)
      throw rolloutFault('rollout_release_unknown', { release: `${release} in the rollout ${id}` });
    const meant = { verb: 'upgrade', plan } as const;
    const entry = this.#entry(actor, ACTIONS[rollout.kind].upgrade, { rollout: id, release: rollout.release, ...plan });
    return await this.#needs.acts.perform({
      kind: 'act',
      number: rollout.number,
      wanted: meant,
      audit: dryRun === true ? null : entry,
    });
  }

  /**
   * Errors: rollout_unknown, rollout_state_conflict, rollout_stage_conflict, rollout_nothing_to_do, rollout_conflict.
   */
  async act(id: string, verb: RolloutVerb, { actor, dryRun }: ActTerms): Promise<RolloutView> {
    const number = numberOf(id);
    const wanted = verb === 'rollback' ? verb : { verb };
    const audit = dryRun === true ? null : this.#entry(actor, `rollouts.${verb}`, { rollout: id });
    return await this.#needs.acts.perform({ kind: 'act', number, wanted, audit });
  }

  /** Errors: rollout_unknown. */
  async find(id: string): Promise<RolloutView> {
    const number = numberOf(id);
    const rollout = this.#needs.engine.modelOf(number)?.rollout ?? (await this.#needs.store.rollouts.get(number));
    if (rollout === undefined) throw storeFault('rollout_unknown', { id });
    return await this.#needs.acts.viewOf(rollout);
  }

  /** Newest first. */
  async list(page: Parameters<RolloutStore['list']>[0]): Promise<RolloutView[]> {
    const views: RolloutView[] = [];
    // One after the other: each counts its agents, and other reads of the store run in between.
    for (const rollout of await this.#needs.store.rollouts.list(page))
      views.push(await this.#needs.acts.viewOf(rollout));
    return views;
  }

  /** The newest figures of each. Errors: rollout_unknown. */
  async agentsOf(
    id: string,
    page: Omit<Parameters<RolloutStore['agents']>[0], 'number'>,
  ): Promise<RolloutAgentRecord[]> {
    const { rollout } = await this.find(id);
    const records = await this.#needs.store.rollouts.agents({ ...page, number: rollout.number });
    const members = this.#needs.engine.modelOf(rollout.number)?.members;
    return records.map((record) => {
      const newest = members?.get(record.agentId)?.record;
      return newest?.state === record.state ? { ...newest, offlineSince: record.offlineSince } : record;
    });
  }

  /** Errors: agent_unknown, agent_ambiguous. */
  async profileOf(reference: string, agents: RolloutAgents['agents']): Promise<AgentProfile> {
    const agent = await agents.find(reference);
    const { id } = agent;
    const { rollouts } = this.#needs.store;
    const releases = await rollouts.releasesOf(id);
    const drift = await this.#needs.measurements.driftOf(agent);
    const partOf = async (part: ReleasePart): Promise<AgentPart> => {
      const release = releases.find((one) => one.part === part);
      return {
        part,
        release,
        desiredName: await this.#nameOf(release?.desired ?? null),
        reportedName: await this.#nameOf(release?.reported ?? null),
        drift: drift[part],
      };
    };
    return {
      agentId: id,
      profile: await partOf('profile'),
      software: await Promise.all(SOFTWARE_PARTS.map(partOf)),
      rollout: await rollouts.ofAgent(id),
    };
  }

  /**
   * Of the releases of a profile, or of all profiles (null): how many agents shall have each, and say they run it.
   * `agentIds`: of these; null: of all.
   */
  agentsPerRelease(profile: string | null, agentIds: readonly string[] | null): Promise<ReleaseAgents[]> {
    return this.#needs.store.rollouts.agentsPerRelease(profile, agentIds);
  }

  /**
   * Makes the agent measure its releases; what it finds is in `profileOf` when it has answered. Errors: agent_unknown,
   * agent_ambiguous, profile_release_missing, agent_offline, agent_cannot_measure.
   */
  async requestMeasurement(
    reference: string,
    agents: RolloutAgents['agents'],
  ): Promise<{ readonly id: string; readonly name: string }> {
    const agent = await agents.find(reference);
    const releases = await this.#needs.store.rollouts.releasesOf(agent.id);
    if (releases.every(({ reported }) => reported === null))
      throw rolloutFault('profile_release_missing', { agent: agent.name });
    await this.#needs.measurements.request(agent);
    return { id: agent.id, name: agent.name };
  }

  /**
   * Sends the agent its release again: it restores what has changed. Errors: agent_unknown, profile_release_missing,
   * rollout_conflict.
   */
  async repair(reference: string, terms: RolloutTerms): Promise<RolloutView> {
    const agent = await terms.agents.find(reference);
    const releases = await this.#needs.store.rollouts.releasesOf(agent.id);
    const digest = releases.find(({ part }) => part === 'profile')?.desired ?? null;
    const release = digest === null ? undefined : await this.#needs.store.releases.release(digest);
    if (release === undefined) throw rolloutFault('profile_release_missing', { agent: agent.name });
    const selected = await terms.agents.select([agent.id]);
    const plan = { ...DEFAULT_PLAN, kind: 'profile', stage: 'upgrade', selectors: [agent.id] } as const;
    return await this.#begin(release, plan, selected, terms);
  }

  async #begin(
    release: ReleaseRecord,
    { selectors, ...request }: Omit<RolloutRequest, 'agents' | 'release'> & { readonly selectors: readonly string[] },
    selected: readonly SelectedAgent[],
    { actor, dryRun, scope }: RolloutTerms,
  ): Promise<RolloutView> {
    const now = this.#needs.now();
    const { kind, stage, waves, successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond } = request;
    const plan = { waves, successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond };
    const agents = selected.map((agent) => newAgent(agent, now));
    const takingPart = agents.filter(({ isBusy = true }) => isBusy).length;
    const eligible = agents.filter(({ isEligible }) => isEligible).length;
    const rollout: NewRollout = {
      ...NEW_ROLLOUT,
      ...plan,
      kind,
      stage,
      release: release.digest,
      name: release.name,
      selectors,
      scope,
      waveTargets: waveTargets(waves, eligible === 0 ? takingPart : eligible),
      stateChangedAt: now,
      createdAt: now,
      createdBy: actor.who,
      comment: actor.comment ?? null,
      ticket: actor.ticket ?? null,
    };
    const detail = { kind, stage, release: release.digest, name: release.name, agents: selectors, scope, ...plan };
    const entry = this.#entry(actor, ACTIONS[kind][stage], {
      ...detail,
      agentCount: agents.length,
    });
    return await this.#needs.acts.perform({ kind: 'begin', rollout, agents, audit: dryRun === true ? null : entry });
  }

  /** Counts the rollouts that have not ended, and their agents. */
  measure(metrics: Metrics): void {
    const { queuegate_rollouts: rollouts, queuegate_rollout_agents: agents } = metrics.instruments;
    const views = Array.from(this.#needs.engine.underWay(), viewOf);
    for (const state of UNENDED_STATES)
      rollouts.set({ state }, views.filter(({ rollout }) => rollout.state === state).length);
    for (const state of ROLLOUT_AGENT_STATES)
      agents.set(
        { state },
        views.reduce((sum, { counts }) => sum + counts.byState[state], 0),
      );
  }

  #entry(actor: Actor, action: AuditAction, detail: Readonly<Record<string, unknown>>) {
    return auditEntry(actor, action, detail, this.#needs.now());
  }

  /** Errors: rollout_release_unknown. */
  async #release(kind: ReleaseKind, reference: string): Promise<ReleaseRecord> {
    const [, name, prefix] = /^(?:([^@]{1,64})@)?([0-9a-f]{8,64})$/.exec(reference) ?? [];
    const unknown = rolloutFault('rollout_release_unknown', { release: reference.slice(0, 130) });
    if (prefix === undefined || (name === undefined && prefix.length < 64)) throw unknown;
    const page = { kind, prefix, limit: 2, ...(name === undefined ? {} : { name }) };
    const [found, another] = await this.#needs.store.releases.listReleases(page);
    if (found === undefined || another !== undefined) throw unknown;
    return found;
  }

  async #nameOf(digest: string | null): Promise<string | null> {
    if (digest === null) return null;
    const release = await this.#needs.store.releases.release(digest);
    return release === undefined ? null : `${release.name}@${digest.slice(0, 8)}`;
  }
}

function newAgent({ id, state, offlineSince }: SelectedAgent, now: number): NewRolloutAgent {
  if (state === 'disabled' || state === 'revoked') {
    const { code, message, hint } =
      state === 'disabled' ? storeFault('agent_disabled', { id }) : storeFault('agent_revoked', { id });
    return { agentId: id, isEligible: false, isBusy: false, state: 'skipped', code, detail: message, hint };
  }
  const isSeen = hasSession(state) || (offlineSince !== null && offlineSince >= now - ELIGIBLE_MS);
  return { agentId: id, isEligible: isSeen, ...NO_CAUSE };
}

/** Errors: rollout_unknown. */
function numberOf(id: string): number {
  const [, number] = /^r-([1-9]\d{0,14})$/.exec(id) ?? [];
  if (number === undefined) throw storeFault('rollout_unknown', { id: id.slice(0, 64) });
  return Number(number);
}
