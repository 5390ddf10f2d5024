// The waves of a rollout, as pure functions: how large they are, whom the present one takes, and when the next one
// starts, the rollout halts, or is complete.
import type { RolloutPlan, RolloutRecord, WaveSize } from '../store/rollouts/rollout-store.ts';
import { isFailure, isReady, isSuccess, isUnderWay, type Member, type World } from './agent-steps.ts';
import { causeOf, NO_CAUSE, rolloutFault, rolloutId } from './errors.ts';

/** How many agents each wave and those before it may take, of so many eligible ones. Errors: rollout_plan_invalid. */
export function waveTargets(waves: readonly WaveSize[], eligible: number): number[] {
  const last = waves.at(-1);
  if (last === undefined || !('share' in last) || last.share !== 1)
    throw rolloutFault('rollout_plan_invalid', { found: 'the last wave is not 100%' });
  let before = 0;
  return waves.map((size, index) => {
    const isLast = index === waves.length - 1;
    const wanted = 'count' in size ? size.count : Math.ceil(size.share * eligible);
    const target = isLast ? eligible : Math.min(Math.max(1, wanted), eligible);
    if (target < before || (!isLast && sameForm(waves[index - 1], size, (one, other) => other <= one)))
      throw rolloutFault('rollout_plan_invalid', { found: `wave ${index + 1} is not larger than the one before` });
    before = target;
    return target;
  });
}

function sameForm(
  one: WaveSize | undefined,
  other: WaveSize,
  isFault: (one: number, other: number) => boolean,
): boolean {
  if (one === undefined) return false;
  if ('count' in one && 'count' in other) return isFault(one.count, other.count);
  return 'share' in one && 'share' in other && isFault(one.share, other.share);
}

/** Of the present wave. Agents that were skipped or canceled do not take part. */
interface WaveFigures {
  readonly successes: number;
  readonly errors: number;
  /** Their outcome is awaited. */
  readonly pending: number;
  /** On trial without an outcome, and away: they hold no wave, and are not a success. */
  readonly unresolved: number;
}

export function waveFigures(members: Iterable<Member>, rollout: RolloutRecord, world: World): WaveFigures {
  const figures = { successes: 0, errors: 0, pending: 0, unresolved: 0 };
  for (const { record } of members) {
    if (record.wave !== rollout.wave) continue;
    if (isUnderWay(record)) {
      const isAway = record.isInconclusive && !world.isOnline(record.agentId);
      figures[isAway ? 'unresolved' : 'pending'] += 1;
    } else if (isSuccess(record, rollout)) figures.successes += 1;
    else if (isFailure(record)) figures.errors += 1;
  }
  return figures;
}

interface WaveOutcome {
  /** Unchanged when it is the same object. */
  readonly rollout: RolloutRecord;
  /** The wave takes these. */
  readonly takes: readonly Member[];
  /** The rollout halts: these have not begun their trial, and do not begin it. */
  readonly recalls: readonly Member[];
}

/** What follows from the states of the agents now. Call it until nothing changes. */
export function advance(rollout: RolloutRecord, members: readonly Member[], world: World): WaveOutcome {
  const nothing = { rollout, takes: [], recalls: [] };
  if (rollout.state === 'rolling-back') return rollingBack(rollout, members, world);
  if (rollout.state !== 'running') return nothing;
  const figures = waveFigures(members, rollout, world);
  const agents = figures.successes + figures.errors + figures.pending + figures.unresolved;
  const errors = Math.max(0, figures.errors - rollout.acceptedErrors);
  if (errors > 0 && errors > rollout.errorShare * agents)
    return halted(rollout, members, world, { errors: figures.errors, agents });
  const takes = takeable(rollout, members, world);
  if (takes.length > 0) return { rollout, takes, recalls: [] };
  if (figures.pending > 0) return nothing;
  const isLast = isLastWave(rollout);
  if (agents === 0) return { ...nothing, rollout: withoutAgents(rollout, members, world) };
  const counted = agents - Math.min(rollout.acceptedErrors, figures.errors);
  // Shares are decimals: 0.95 of 20 is 19.
  if (figures.successes < rollout.successShare * counted - 1e-9)
    return figures.unresolved > 0 ? nothing : tooFew(rollout, world, { successes: figures.successes, agents });
  if (isLast) return isIdle(members) ? { ...nothing, rollout: over(rollout, 'completed', world) } : nothing;
  return { ...nothing, rollout: soaked(rollout, world) };
}

/**
 * A wave that no agent takes part in: full before it began (10% of five are the one of the wave before), or all are
 * away.
 */
function withoutAgents(rollout: RolloutRecord, members: readonly Member[], world: World): RolloutRecord {
  if (isLastWave(rollout)) return isIdle(members) ? over(rollout, 'completed', world) : rollout;
  return room(rollout, members) > 0 ? rollout : { ...rollout, wave: rollout.wave + 1, soakUntil: null };
}

const isLastWave = ({ wave, waveTargets: targets }: RolloutRecord): boolean => wave === targets.length - 1;

/** The last wave has room for agents too that were not eligible at the start. */
function room(rollout: RolloutRecord, members: readonly Member[]): number {
  if (isLastWave(rollout)) return members.length;
  const taken = members.reduce((count, { record }) => count + (hasPlace(record) ? 1 : 0), 0);
  return Math.max(0, (rollout.waveTargets[rollout.wave] ?? 0) - taken);
}

/** Ready agents that are connected, as many as the wave has room for. */
function takeable(rollout: RolloutRecord, members: readonly Member[], world: World): Member[] {
  if (rollout.soakUntil !== null && !isLastWave(rollout)) return [];
  const free = room(rollout, members);
  if (free === 0) return [];
  return members.filter(({ record }) => isReady(record) && world.isOnline(record.agentId)).slice(0, free);
}

function hasPlace({ wave, state }: Member['record']): boolean {
  return wave !== null && state !== 'skipped' && state !== 'canceled';
}

const isIdle = (members: readonly Member[]): boolean => members.every(({ record }) => !record.isBusy);

function soaked(rollout: RolloutRecord, { now }: World): RolloutRecord {
  const soakUntil = rollout.soakUntil ?? now + rollout.soakSeconds * 1000;
  if (soakUntil > now) return rollout.soakUntil === soakUntil ? rollout : { ...rollout, soakUntil };
  return { ...rollout, wave: rollout.wave + 1, soakUntil: null, acceptedErrors: 0 };
}

/** What every cause of a halt names. */
function haltTerms(rollout: RolloutRecord): { readonly wave: number; readonly rollout: string } {
  return { wave: rollout.wave + 1, rollout: rolloutId(rollout) };
}

function halted(
  rollout: RolloutRecord,
  members: readonly Member[],
  world: World,
  { errors, agents }: { readonly errors: number; readonly agents: number },
): WaveOutcome {
  const terms = { ...haltTerms(rollout), errors, agents, allowed: percent(rollout.errorShare) };
  return {
    rollout: { ...changed(rollout, 'halted', world), stateReason: causeOf('rollout_errors', terms), soakUntil: null },
    takes: [],
    recalls: members.filter(({ record }) => isUnderWay(record) && record.state !== 'trying'),
  };
}

function tooFew(
  rollout: RolloutRecord,
  world: World,
  { successes, agents }: { readonly successes: number; readonly agents: number },
): WaveOutcome {
  const terms = { ...haltTerms(rollout), successes, agents, required: percent(rollout.successShare) };
  const stateReason = causeOf('rollout_few_successes', terms);
  return { rollout: { ...changed(rollout, 'halted', world), stateReason }, takes: [], recalls: [] };
}

/** All at once: what an administrator takes back is not tried in waves. */
function rollingBack(rollout: RolloutRecord, members: readonly Member[], world: World): WaveOutcome {
  const takes = members.filter(({ record }) => isReady(record) && world.isOnline(record.agentId));
  if (takes.length > 0) return { rollout, takes, recalls: [] };
  return { rollout: isIdle(members) ? over(rollout, 'rolled-back', world) : rollout, takes, recalls: [] };
}

export function changed(
  rollout: RolloutRecord,
  state: RolloutRecord['state'],
  { now }: Pick<World, 'now'>,
): RolloutRecord {
  return { ...rollout, state, stateChangedAt: now, stateReason: NO_CAUSE, endedAt: null };
}

export function over(rollout: RolloutRecord, state: RolloutRecord['state'], world: Pick<World, 'now'>): RolloutRecord {
  return { ...changed(rollout, state, world), soakUntil: null, endedAt: world.now };
}

const percent = (share: RolloutPlan['errorShare']): string => `${Math.round(share * 1000) / 10} %`;
