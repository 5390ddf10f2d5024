// One step of a rollout as a pure function: events of its agents, the time and acts of administrators lead to what is
// stored and what is sent. Nothing here waits, writes or sends; engine.ts does.
import type { ReleaseState } from '../../shared/wire/release-frames.ts';
import type { Cause, RolloutAgentRecord, RolloutPlan, RolloutRecord } from '../store/rollouts/rollout-store.ts';
import {
  isFailure,
  isReady,
  isUnderWay,
  onCancel,
  onHello,
  onOffline,
  onReverted,
  onState,
  onTick,
  take,
  takenBack,
  type Act,
  type Member,
  type Step,
  type World,
} from './agent-steps.ts';
import { NO_CAUSE, rolloutFault, rolloutId } from './errors.ts';
import { advance, changed, over, waveFigures, waveTargets } from './waves.ts';

/** A rollout with its agents. */
export interface Model {
  readonly rollout: RolloutRecord;
  readonly members: ReadonlyMap<string, Member>;
}

export type RolloutEvent =
  | { readonly kind: 'hello'; readonly agentId: string }
  | { readonly kind: 'offline'; readonly agentId: string }
  | { readonly kind: 'state'; readonly agentId: string; readonly frame: Omit<ReleaseState, 'type'> }
  | { readonly kind: 'reverted'; readonly agentId: string; readonly cause: Cause }
  | { readonly kind: 'tick' };

export type RolloutAct =
  | { readonly verb: 'pause' | 'resume' | 'cancel' | 'retry' }
  /** `isNewest`: no later rollout has brought the agent to another release. */
  | { readonly verb: 'rollback'; readonly isNewest: (agentId: string) => boolean }
  | { readonly verb: 'upgrade'; readonly plan: RolloutPlan };

/** What a step leads to. */
export interface Change {
  readonly model: Model;
  /** Agents whose rows are to be written. */
  readonly saved: ReadonlySet<string>;
  readonly isRolloutSaved: boolean;
  /** What is sent, after it was written. */
  readonly acts: ReadonlyMap<string, Act>;
  /** Agents with a new or another known generation. */
  readonly generations: ReadonlySet<string>;
  /** Agents that committed the release that their instruction named. */
  readonly committed: ReadonlySet<string>;
}

/** Applies events, then starts, halts or ends what follows from them. */
export function step(model: Model, events: readonly RolloutEvent[], world: World): Change {
  const draft = new Draft(model);
  for (const event of events) apply(draft, event, world);
  proceed(draft, world);
  return draft.change();
}

/**
 * An act of an administrator. Errors: rollout_state_conflict, rollout_stage_conflict, rollout_nothing_to_do,
 * rollout_plan_invalid.
 */
export function act(model: Model, wanted: RolloutAct, world: World): Change {
  const draft = new Draft(model);
  switch (wanted.verb) {
    case 'pause':
      assertState(draft.rollout, ['running']);
      draft.setRollout(changed(draft.rollout, 'paused', world));
      break;
    case 'resume':
      assertState(draft.rollout, ['paused', 'halted']);
      resume(draft, world);
      break;
    case 'cancel':
      assertState(draft.rollout, ['running', 'paused', 'halted', 'rolling-back']);
      draft.setRollout(over(draft.rollout, 'canceled', world));
      draft.each((member) => onCancel(member, world));
      break;
    case 'retry':
      assertState(draft.rollout, ['running', 'paused', 'halted', 'completed']);
      retry(draft, world);
      break;
    case 'rollback':
      assertState(draft.rollout, ['running', 'paused', 'halted', 'completed', 'canceled']);
      rollBack(draft, wanted.isNewest, world);
      break;
    case 'upgrade':
      assertState(draft.rollout, ['running', 'paused', 'halted', 'completed']);
      upgrade(draft, wanted.plan, world);
      break;
  }
  proceed(draft, world);
  return draft.change();
}

/** The changes of one step. */
class Draft {
  readonly #model: Model;
  readonly #members = new Map<string, Member>();
  readonly #saved = new Set<string>();
  readonly #acts = new Map<string, Act>();
  rollout: RolloutRecord;

  constructor(model: Model) {
    this.#model = model;
    this.rollout = model.rollout;
  }

  setRollout(rollout: RolloutRecord): void {
    this.rollout = rollout;
  }

  get(agentId: string): Member | undefined {
    return this.#members.get(agentId) ?? this.#model.members.get(agentId);
  }

  members(): Member[] {
    return Array.from(this.#model.members, ([agentId, member]) => this.#members.get(agentId) ?? member);
  }

  put(next: Step | undefined): void {
    if (next === undefined) return;
    const { agentId } = next.member.record;
    this.#members.set(agentId, next.member);
    if (next.isSaved) this.#saved.add(agentId);
    // The last one counts: an offer replaces what it follows.
    if (next.act !== null) this.#acts.set(agentId, next.act);
  }

  each(next: (member: Member) => Step | undefined): void {
    for (const member of this.members()) this.put(next(member));
  }

  change(): Change {
    const before = this.#model;
    const changedOnes = [...this.#members];
    const members = changedOnes.length === 0 ? before.members : new Map([...before.members, ...changedOnes]);
    const where = (holds: (was: Member | undefined, is: Member) => boolean): Set<string> =>
      new Set(changedOnes.filter(([id, is]) => holds(before.members.get(id), is)).map(([id]) => id));
    return {
      model: { rollout: this.rollout, members },
      saved: this.#saved,
      isRolloutSaved: this.rollout !== before.rollout,
      acts: this.#acts,
      generations: where((was, is) => was?.lastGeneration !== is.lastGeneration),
      committed: where((was, is) => hasCommitted(is.record) && was?.record.state !== is.record.state),
    };
  }
}

function hasCommitted({ state, code }: RolloutAgentRecord): boolean {
  return state === 'succeeded' || (state === 'rolled-back' && code === 'rollback_requested');
}

function apply(draft: Draft, event: RolloutEvent, world: World): void {
  const { rollout } = draft;
  if (event.kind === 'tick') return draft.each((member) => onTick(member, rollout, world));
  const member = draft.get(event.agentId);
  if (member === undefined) return;
  switch (event.kind) {
    case 'hello':
      return draft.put(onHello(member, rollout, world));
    case 'offline':
      return draft.put(onOffline(member, world));
    case 'state':
      return draft.put(onState(member, rollout, event.frame, world));
    case 'reverted':
      return draft.put(onReverted(member, event.cause, world));
  }
}

/** Until nothing follows any more: a wave that is complete may start the next one at once. */
function proceed(draft: Draft, world: World): void {
  for (;;) {
    const { rollout } = draft;
    const { rollout: next, takes, recalls } = advance(rollout, draft.members(), world);
    if (next === rollout && takes.length === 0 && recalls.length === 0) return;
    draft.setRollout(next);
    for (const member of recalls) draft.put(takenBack(member, world, 'cancel'));
    for (const member of takes)
      draft.put(take(member, next, { target: targetOf(member, next), wave: next.wave }, world));
  }
}

function targetOf({ record }: Member, { state, release }: RolloutRecord): string | null {
  return state === 'rolling-back' ? record.previous : release;
}

/** What has failed so far is accepted: further failures count. */
function resume(draft: Draft, world: World): void {
  const { rollout } = draft;
  const { errors } = waveFigures(draft.members(), rollout, world);
  const acceptedErrors = rollout.state === 'halted' ? errors : rollout.acceptedErrors;
  draft.setRollout({ ...changed(rollout, 'running', world), acceptedErrors });
}

function retry(draft: Draft, world: World): void {
  const { rollout } = draft;
  const again = draft.members().filter(({ record }) => isFailure(record) || record.state === 'skipped');
  assertSome(rollout, again, 'retry');
  for (const member of again) draft.put(takenBack(member, world, null));
  const state = rollout.state === 'paused' ? 'paused' : 'running';
  draft.setRollout({ ...changed(rollout, state, world), acceptedErrors: 0, soakUntil: null });
}

/** Agents on trial and those that succeeded return; all others have not left their release. */
function rollBack(draft: Draft, isNewest: (agentId: string) => boolean, world: World): void {
  const { rollout } = draft;
  assertStage(rollout, 'upgrade');
  const back = draft
    .members()
    .filter(
      ({ record }) =>
        (record.state === 'succeeded' && isNewest(record.agentId)) || (record.state === 'trying' && record.isBusy),
    );
  assertSome(rollout, back, 'roll back');
  draft.setRollout({ ...changed(rollout, 'rolling-back', world), soakUntil: null });
  draft.each((member) => (member.record.state === 'trying' ? undefined : onCancel(member, world)));
  for (const member of back) draft.put(takenBack(member, world, null));
}

/** A rollout that synchronized goes on: agents that have the files are first in line. */
function upgrade(draft: Draft, plan: RolloutPlan, world: World): void {
  const { rollout } = draft;
  assertStage(rollout, 'synchronize');
  const members = draft.members();
  const eligible = members.filter(({ record }) => record.isEligible).length;
  draft.setRollout({
    ...changed(rollout, 'running', world),
    ...plan,
    stage: 'upgrade',
    waveTargets: waveTargets(plan.waves, eligible === 0 ? members.length : eligible),
    wave: 0,
    soakUntil: null,
    acceptedErrors: 0,
  });
  for (const member of members) {
    const { record } = member;
    if (isUnderWay(record)) draft.put(takenBack(member, world, 'cancel'));
    else if (record.state === 'synchronized')
      draft.put({ member: { ...member, record: { ...record, isBusy: true, wave: null } }, act: null, isSaved: true });
    else if (!isReady(record))
      draft.put({ member: { ...member, record: { ...record, wave: null } }, act: null, isSaved: true });
  }
}

function assertState(rollout: RolloutRecord, allowed: readonly RolloutRecord['state'][]): void {
  const { state } = rollout;
  if (allowed.includes(state)) return;
  throw rolloutFault('rollout_state_conflict', { rollout: rolloutId(rollout), state, allowed: allowed.join(', ') });
}

function assertStage(rollout: RolloutRecord, allowed: RolloutRecord['stage']): void {
  const { stage } = rollout;
  if (stage !== allowed) throw rolloutFault('rollout_stage_conflict', { rollout: rolloutId(rollout), stage, allowed });
}

function assertSome(rollout: RolloutRecord, members: readonly Member[], verb: string): void {
  if (members.length === 0) throw rolloutFault('rollout_nothing_to_do', { rollout: rolloutId(rollout), act: verb });
}

/** As a rollout begins. */
export const NEW_ROLLOUT = {
  state: 'running',
  stateReason: NO_CAUSE,
  wave: 0,
  soakUntil: null,
  acceptedErrors: 0,
  endedAt: null,
} as const;
