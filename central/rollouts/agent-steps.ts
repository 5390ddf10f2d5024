// The states of one agent in a rollout, as pure functions: an event and the time lead to the next state, and to what
// Central sends.
//
//   waiting -> offered -> synchronizing -> synchronized -> trying -> succeeded | rolled-back | failed | skipped | canceled | timed-out
//
// Final states stay, except succeeded, which a later hello with another release turns into rolled-back.
import type { ReleaseState } from '../../shared/wire/release-frames.ts';
import type { Cause, RolloutAgentRecord, RolloutAgentState, RolloutRecord } from '../store/rollouts/rollout-store.ts';
import { causeOf, NO_CAUSE, rolloutId } from './errors.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** An offer without an answer is repeated; an agent that is connected answers within seconds. */
export const OFFER_MS = 15 * MINUTE_MS;
export const MAX_OFFERS = 3;
/** Without another byte for so long the offer is repeated, for its ticket; then after twice, four times ... as long. */
export const IDLE_MS = 10 * MINUTE_MS;
const MAX_DOUBLINGS = 4;
/** An agent that is away for so long gives its place in the wave to another one. */
export const AWAY_MS = 10 * MINUTE_MS;
/** Of a whole download, and of a trial with all its repetitions. */
export const LIMIT_MS = 24 * HOUR_MS;
/** Of the limit, an agent that returns has at least this. */
const RETURNED_MS = HOUR_MS;
/** Beyond `trialSeconds`: the agent has returned to the old release by then, and says so. */
export const TRIAL_GRACE_MS = 60_000;
/** Software is committed so long after its welcome. */
const PROOF_MS = 60_000;

/** What is known beside the rollout. */
export interface World {
  readonly now: number;
  isOnline(agentId: string): boolean;
  /** It has the capability; undefined: it does. */
  tooOld(agentId: string): { readonly version: string } | undefined;
  /** Digest of its hello; null: not from a release. */
  reported(agentId: string): string | null;
}

/** An agent of a rollout that is under way. */
export interface Member {
  readonly record: RolloutAgentRecord;
  /** The largest of this agent, over all kinds. */
  readonly lastGeneration: number;
}

/** What Central sends: the offer of the member's instruction, or its cancellation. */
export type Act = 'offer' | 'cancel';

export interface Step {
  readonly member: Member;
  readonly act: Act | null;
  /** False: only figures changed, which are kept in memory. */
  readonly isSaved: boolean;
}

type State = RolloutAgentRecord['state'];
const ORDER: Partial<Record<State, number>> = { offered: 0, synchronizing: 1, synchronized: 2, trying: 3 };

/** It has an instruction that has not ended. */
export function isUnderWay({ isBusy, state, wave }: RolloutAgentRecord): boolean {
  return isBusy && wave !== null && ORDER[state] !== undefined;
}

/** A wave may take it. */
export function isReady({ isBusy, wave }: RolloutAgentRecord): boolean {
  return isBusy && wave === null;
}

/** A wave takes the agent: it gets an instruction for `target`. */
export function take(
  member: Member,
  rollout: RolloutRecord,
  { target, wave }: { readonly target: string | null; readonly wave: number },
  world: World,
): Step {
  const { record } = member;
  const { agentId } = record;
  const old = world.tooOld(agentId);
  if (old !== undefined)
    return ended(member, 'skipped', causeOf('agent_without_releases', { ...old, rollout: rolloutId(rollout) }), world);
  if (target === null) return ended(member, 'failed', causeOf('release_previous_unknown', {}), world);
  const reported = world.reported(agentId);
  const generation = member.lastGeneration + 1;
  return {
    member: {
      lastGeneration: generation,
      record: {
        ...at(record, 'offered', world.now),
        wave,
        generation,
        target,
        previous: target !== rollout.release || reported === target ? record.previous : reported,
        deadlineAt: world.now + OFFER_MS,
        startedAt: null,
        attempts: 1,
        isInconclusive: false,
        receivedBytes: 0,
        totalBytes: 0,
      },
    },
    act: 'offer',
    isSaved: true,
  };
}

/** The agent was welcomed. What it says of its instruction follows as a frame. */
export function onHello(member: Member, { state: rolloutState }: RolloutRecord, { now }: World): Step | undefined {
  const { record } = member;
  // Taken back while it was away: whatever it still does with that instruction ends.
  if (isReady(record) && record.generation !== null) return { member, act: 'cancel', isSaved: false };
  if (!isUnderWay(record)) return undefined;
  switch (record.state) {
    case 'offered':
      return figures(member, { deadlineAt: now + OFFER_MS }, 'offer');
    case 'trying':
      return rolloutState === 'canceled' ? { member, act: 'cancel', isSaved: false } : undefined;
    default:
      return figures(member, {
        deadlineAt: now + IDLE_MS,
        startedAt: Math.max(record.startedAt ?? now, now - LIMIT_MS + RETURNED_MS),
      });
  }
}

export function onOffline(member: Member, { now }: World): Step | undefined {
  const { record } = member;
  if (!isUnderWay(record) || record.state === 'trying') return undefined;
  return figures(member, { deadlineAt: now + AWAY_MS });
}

/** A `release-state` frame. */
export function onState(
  member: Member,
  rollout: RolloutRecord,
  frame: Omit<ReleaseState, 'type'>,
  world: World,
): Step | undefined {
  const { record } = member;
  if (frame.generation > member.lastGeneration) return knowsMore(member, frame.generation, world);
  if (record.generation === null || frame.generation > record.generation) return undefined;
  if (frame.generation < record.generation) {
    // It no longer knows the instruction that it had reported: its disk was replaced or restored.
    const isLost = isUnderWay(record) && record.state !== 'offered' && frame.state !== 'failed';
    return isLost ? offeredAgain(member, record.generation, world) : undefined;
  }
  // Of the release that it runs, not of the one in the instruction (its files have changed on the disk).
  if (frame.release !== record.target) return undefined;
  if (isUnderWay(record)) return progress(member, rollout, frame, world);
  const hasCommitted = frame.state === 'succeeded' && isCommitted(record, rollout, world);
  if (isReady(record) && hasCommitted) return finished(member, rollout, frame, world);
  // An instruction that was taken back, or has ended here: the agent is to end it too.
  return isReady(record) || ORDER[frame.state] === undefined || isFinalHere(record, rollout, frame)
    ? undefined
    : { member, act: 'cancel', isSaved: false };
}

/** Time has passed. */
export function onTick(member: Member, rollout: RolloutRecord, world: World): Step | undefined {
  const { record } = member;
  const { deadlineAt, startedAt, state, agentId } = record;
  if (!isUnderWay(record)) return undefined;
  const rolloutName = rolloutId(rollout);
  const isOnline = world.isOnline(agentId);
  const isOver = startedAt !== null && startedAt + LIMIT_MS <= world.now;
  if (state === 'trying') {
    if (isOver) return ended(member, 'timed-out', limitCause('trial_timed_out', rolloutName), world, 'cancel');
    if (record.isInconclusive || deadlineAt === null || world.now < deadlineAt) return undefined;
    return inconclusive(member, causeOf('trial_unreported', {}));
  }
  if (isOver && isOnline)
    return ended(member, 'timed-out', limitCause('download_timed_out', rolloutName), world, 'cancel');
  if (deadlineAt === null || world.now < deadlineAt) return undefined;
  // Nothing is sent to an agent that is away; when it returns, a wave takes it again.
  if (!isOnline) return takenBack(member, world, null);
  const attempts = record.attempts + 1;
  if (state === 'offered') {
    if (attempts <= MAX_OFFERS) return figures(member, { attempts, deadlineAt: world.now + OFFER_MS }, 'offer');
    const terms = { count: MAX_OFFERS, minutes: OFFER_MS / MINUTE_MS, rollout: rolloutName };
    return ended(member, 'failed', causeOf('no_answer', terms), world, 'cancel');
  }
  const idleMs = IDLE_MS * 2 ** Math.min(attempts, MAX_DOUBLINGS);
  return figures(member, { attempts, deadlineAt: world.now + idleMs }, 'offer');
}

/** The rollout is canceled: a trial goes on until its outcome, everything else ends. */
export function onCancel(member: Member, world: World): Step | undefined {
  const { record } = member;
  if (!record.isBusy) return undefined;
  if (record.state === 'trying') return { member, act: 'cancel', isSaved: false };
  return ended(member, 'canceled', NO_CAUSE, world, isUnderWay(record) ? 'cancel' : null);
}

/** It waits for a wave again. `act`: what it is sent. */
export function takenBack(member: Member, { now }: World, act: Act | null): Step {
  const record = { ...at(member.record, 'waiting', now), isBusy: true, wave: null, ...NO_DEADLINE };
  return { member: { ...member, record: { ...record, isInconclusive: false } }, act, isSaved: true };
}

/** It runs another release than the one that it succeeded with. */
export function onReverted(member: Member, cause: Cause, world: World): Step | undefined {
  return member.record.state === 'succeeded' ? ended(member, 'rolled-back', cause, world) : undefined;
}

/** Has what it is to have in the stage of the rollout. */
export function isSuccess({ state }: RolloutAgentRecord, { stage }: Pick<RolloutRecord, 'stage'>): boolean {
  return state === (stage === 'upgrade' ? 'succeeded' : 'synchronized');
}

const NO_DEADLINE = { deadlineAt: null, startedAt: null, attempts: 0 } as const;
const FAILURES: ReadonlySet<RolloutAgentState> = new Set(['failed', 'rolled-back', 'timed-out']);

export function isFailure({ state, code }: RolloutAgentRecord): boolean {
  return FAILURES.has(state) && code !== 'rollback_requested';
}

function progress(
  member: Member,
  rollout: RolloutRecord,
  frame: Omit<ReleaseState, 'type'>,
  world: World,
): Step | undefined {
  const { record } = member;
  const { now } = world;
  switch (frame.state) {
    case 'offered':
    case 'synchronizing':
      return downloading(member, frame, now);
    case 'synchronized':
      if (rollout.stage === 'synchronize') return ended(member, 'synchronized', NO_CAUSE, world, null, frame);
      if ((ORDER[record.state] ?? 0) >= 2) return undefined;
      return moved(member, 'synchronized', frame, now, {
        startedAt: record.startedAt ?? now,
        deadlineAt: now + IDLE_MS,
        attempts: 0,
      });
    case 'trying':
      if (rollout.stage === 'synchronize') return undefined;
      return trying(member, rollout, frame, now);
    case 'succeeded':
      return isCommitted(record, rollout, world) ? finished(member, rollout, frame, world) : undefined;
    default:
      return ended(member, frame.state, causeIn(frame), world, null, frame);
  }
}

/** A committed session whose hello has the digest; nothing else is a success. */
function isCommitted({ agentId, target }: RolloutAgentRecord, { stage }: RolloutRecord, world: World): boolean {
  return stage === 'upgrade' && world.isOnline(agentId) && world.reported(agentId) === target;
}

function finished(member: Member, { release, wave }: RolloutRecord, frame: Figures, world: World): Step {
  const record = { ...member.record, wave: member.record.wave ?? wave };
  const isForward = record.target === release;
  return ended(
    { ...member, record },
    isForward ? 'succeeded' : 'rolled-back',
    isForward ? NO_CAUSE : causeOf('rollback_requested', {}),
    world,
    null,
    frame,
  );
}

function downloading(member: Member, frame: Omit<ReleaseState, 'type'>, now: number): Step | undefined {
  const { record } = member;
  if (record.state === 'offered')
    return moved(member, 'synchronizing', frame, now, { startedAt: now, deadlineAt: now + IDLE_MS, attempts: 0 });
  if (record.state !== 'synchronizing') return undefined;
  const hasGrown = frame.receivedBytes > record.receivedBytes;
  return figures(member, {
    ...bytesOf(frame),
    ...causeIn(frame),
    ...(hasGrown ? { deadlineAt: now + IDLE_MS, attempts: 0 } : {}),
  });
}

function trying(
  member: Member,
  { kind, trialSeconds }: RolloutRecord,
  frame: Omit<ReleaseState, 'type'>,
  now: number,
): Step | undefined {
  const { record } = member;
  const isInconclusive = frame.code !== '';
  if (record.state === 'trying')
    return isInconclusive && !record.isInconclusive ? inconclusive(member, causeIn(frame)) : undefined;
  const step = moved(member, 'trying', frame, now, {
    startedAt: now,
    deadlineAt: now + trialSeconds * 1000 + TRIAL_GRACE_MS + (kind === 'software' ? PROOF_MS : 0),
    attempts: 0,
  });
  return isInconclusive ? inconclusive(step.member, causeIn(frame)) : step;
}

/** The outcome of a trial is open: until the limit the agent tries again by itself. */
function inconclusive(member: Member, cause: Cause): Step {
  const { record } = member;
  const deadlineAt = (record.startedAt ?? 0) + LIMIT_MS;
  return {
    member: { ...member, record: { ...record, ...cause, isInconclusive: true, deadlineAt } },
    act: null,
    isSaved: true,
  };
}

/**
 * The agent has an instruction that this Central does not know (its store was restored): ours would be refused as old.
 */
function knowsMore(member: Member, generation: number, world: World): Step {
  const known = { ...member, lastGeneration: generation };
  return isUnderWay(member.record)
    ? offeredAgain({ ...known, lastGeneration: generation + 1 }, generation + 1, world)
    : { member: known, act: null, isSaved: true };
}

function offeredAgain(member: Member, generation: number, { now }: World): Step {
  const record = { ...at(member.record, 'offered', now), generation, attempts: 1, startedAt: null };
  return {
    member: { ...member, record: { ...record, deadlineAt: now + OFFER_MS, isInconclusive: false } },
    act: 'offer',
    isSaved: true,
  };
}

function isFinalHere(
  record: RolloutAgentRecord,
  { stage }: RolloutRecord,
  frame: Pick<ReleaseState, 'state'>,
): boolean {
  return stage === 'synchronize' && frame.state === 'synchronized' && record.state === 'synchronized';
}

function ended(
  member: Member,
  state: RolloutAgentState,
  cause: Cause,
  { now }: World,
  act: Act | null = null,
  frame?: Figures,
): Step {
  const record = { ...at(member.record, state, now), ...NO_DEADLINE, ...cause, isBusy: false, isInconclusive: false };
  return {
    member: { ...member, record: frame === undefined ? record : { ...record, ...bytesOf(frame) } },
    act,
    isSaved: true,
  };
}

type Figures = Pick<ReleaseState, 'receivedBytes' | 'totalBytes'>;
const bytesOf = ({ receivedBytes, totalBytes }: Figures): Figures => ({ receivedBytes, totalBytes });
const causeIn = ({ code, detail, hint }: Cause): Cause => ({ code, detail, hint });

function at(record: RolloutAgentRecord, state: RolloutAgentState, now: number): RolloutAgentRecord {
  return { ...record, ...NO_CAUSE, state, stateChangedAt: now };
}

function moved(
  member: Member,
  state: RolloutAgentState,
  frame: Figures,
  now: number,
  times: Pick<RolloutAgentRecord, 'startedAt' | 'deadlineAt' | 'attempts'>,
): Step {
  const record = { ...at(member.record, state, now), ...bytesOf(frame), ...times };
  return { member: { ...member, record }, act: null, isSaved: true };
}

function figures(member: Member, changes: Partial<RolloutAgentRecord>, act: Act | null = null): Step {
  return { member: { ...member, record: { ...member.record, ...changes } }, act, isSaved: false };
}

function limitCause(code: 'download_timed_out' | 'trial_timed_out', rollout: string): Cause {
  return causeOf(code, { hours: LIMIT_MS / HOUR_MS, rollout });
}
