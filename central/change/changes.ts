// Makes changes that may cut agents off, one at a time: says in a dry run what each would do, refuses it when it would
// cut agents off, and rolls it back at its deadline unless it is confirmed. What is changed and how it is stored
// belongs to each target.
import { randomBytes } from 'node:crypto';
import { DetailedError, textOf } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import { setNewest } from '../../shared/recent-entries.ts';
import { CENTRAL, type Actor } from '../audit.ts';
import { agentsText, namesOf, type OnlineAgents } from './agents.ts';
import {
  assertConfirmable,
  confirmTerms,
  readTerms,
  returnedAgents,
  type AdminListener,
  type ConfirmRequest,
} from './confirm.ts';
import { changeFault } from './errors.ts';
import { cutOffJson, type CutOffAgent } from './report.ts';
import {
  factsOf,
  remainderOf,
  type ChangedValue,
  type ChangeFacts,
  type ChangeOwner,
  type ChangeSubject,
  type PendingChange,
} from './pending.ts';

/** The terms under which a change is requested. */
export interface ChangeTerms {
  /** Reports what the change would do, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also when agents would be cut off. */
  readonly force?: boolean | undefined;
  readonly confirm?: ConfirmRequest | undefined;
}

/** What a change would do, and how it is carried out. */
export interface ChangePlan<R> {
  /** What a dry run reports, and the change itself too. */
  readonly report: R;
  /** Agents that would lose Central; not empty: the change needs force. */
  readonly cutOff: readonly CutOffAgent[];
  /** The rule that would refuse the administrator who makes the change; absent: none. The change needs force. */
  readonly cutsOffCaller?: { readonly address: string; readonly rule: string } | undefined;
  /** What would be another value then. */
  readonly changed: readonly ChangedValue[];
  /** The listener of the administration that the change touches. */
  readonly listener: AdminListener | null;
  /**
   * Changes what is in effect and what is stored, with the audit entry. With `pending`, the mark is stored in the same
   * transaction, before anything takes effect: after a crash the next start rolls the change back. Absent: there is
   * nothing to change.
   */
  readonly carryOut?: (pending: PendingChange | undefined) => Promise<void>;
  /** A pending change has taken effect; it is rolled back after so many seconds. Must not throw. */
  readonly onPending?: (withinSeconds: number) => void;
  /** What is left to do once the change is confirmed, in words of the target (`finish`); stored with the mark. */
  readonly remainder?: string | undefined;
}

/** A subject of changes. Its store keeps the mark of a pending change beside the values. */
interface ChangeTarget {
  readonly subject: ChangeSubject;
  /** Subjects whose pending change is in the way of this one's. */
  readonly blockedBy: readonly ChangeSubject[];
  /** The agents that a confirmation counts. */
  readonly agents: OnlineAgents;
  /** Sessions from before the change prove nothing: an agent counts only with a newer one. */
  readonly countsNewSessionsOnly: boolean;
  /** Reads what other nodes have done to it. Absent: it is read soon enough. */
  refresh?(): Promise<void>;
  /** The mark that the store has. */
  pending(): PendingChange | null;
  /** Removes the mark; the change stays. Writes the audit entry. */
  keep(change: PendingChange, actor: Actor, forced: boolean): Promise<void>;
  /** Restores what was before, removes the mark, writes the audit entry. */
  rollBack(change: PendingChange, actor: Actor, reason: string): Promise<void>;
  /** The change was confirmed, at any node: does what waited for it. */
  finish?(remainder: string, actor: Actor): Promise<void>;
}

type ChangeState = 'pending' | 'confirmed' | 'rolled-back';

/** A change with a confirmation, as administrators see it. */
export interface Change extends ChangeFacts {
  readonly id: string;
  readonly subject: ChangeSubject;
  readonly state: ChangeState;
  readonly owner: ChangeOwner;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly requiredShare: number;
  /** Agents that were online just before, without those of this host. */
  readonly agentCount: number;
  /** How many of them are back; once the change has ended: were back then. */
  readonly returnedCount: number;
  /** The listener of the administration over which it must be confirmed; null: any. */
  readonly listener: AdminListener | null;
}

interface ChangesOptions {
  /** This Central process, as in the owner of a change. */
  readonly node: string;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** Of several nodes the one that leads rolls a change back at its deadline. */
  readonly leads?: () => boolean;
  /** The clock by which deadlines count. */
  readonly storeTime?: () => number;
  /** A change is pending, or has ended. */
  readonly onChanged?: ((id: string) => void) | undefined;
}

/** What is known of a pending change beside its mark, until it ends or Central does. */
interface Watch {
  readonly appliedAt: number;
  readonly cancelTimer: () => void;
}

/** How soon it is looked again for a change whose deadline has passed: another node leads, or it failed. */
const AGAIN_MS = 1_000;

/** Ended changes that are remembered, so that a client that polls one learns how it ended. */
const MAX_ENDED = 100;

export class Changes {
  readonly #options: ChangesOptions;
  readonly #mutex = new Mutex();
  readonly #targets = new Map<ChangeSubject, ChangeTarget>();
  readonly #watches = new Map<string, Watch>();
  /** Oldest first. */
  readonly #ended = new Map<string, Change>();
  #stopped = false;

  constructor(options: ChangesOptions) {
    this.#options = options;
  }

  /**
   * Another node changed the values of the subject, which are loaded: a change that is pending now is watched here as
   * well, and what became of `before`, the one that was pending, is remembered.
   */
  follow(subject: ChangeSubject, before: PendingChange | null, ended: 'confirmed' | 'rolled-back'): void {
    const target = this.#target(subject);
    const pending = target.pending();
    if (before !== null && before.id !== pending?.id) {
      this.#watches.get(before.id)?.cancelTimer();
      this.#watches.delete(before.id);
      this.#remember(viewOf(subject, before, ended, 0));
      this.#options.onChanged?.(before.id);
    }
    if (pending === null || this.#watches.has(pending.id)) return;
    this.#watch(target, pending);
    this.#options.onChanged?.(pending.id);
  }

  /**
   * Adds a subject. A pending change that its store has from before this start must have been rolled back
   * (`recordRollback`), unless it is one of another node.
   */
  register(target: ChangeTarget): void {
    this.#targets.set(target.subject, target);
    const pending = target.pending();
    if (pending !== null) this.#watch(target, pending);
  }

  /** Runs an act between two changes. It must not start a change itself and wait for it. */
  async runExclusive<T>(act: () => Promise<T>): Promise<T> {
    return await this.#mutex.runExclusive(act);
  }

  /** The mark of this subject's change that waits for its confirmation. */
  pending(subject: ChangeSubject): PendingChange | null {
    return this.#targets.get(subject)?.pending() ?? null;
  }

  /** Of all subjects. */
  pendingIds(): string[] {
    return [...this.#targets.values()].flatMap((target) => target.pending()?.id ?? []);
  }

  /** The same, as administrators see it. */
  async pendingChange(subject: ChangeSubject): Promise<Change | null> {
    const pending = this.pending(subject);
    return pending === null ? null : await this.get(pending.id);
  }

  /** Errors: change_pending. */
  assertNonePending(subjects: readonly ChangeSubject[]): void {
    for (const subject of subjects) {
      const pending = this.pending(subject);
      if (pending === null) continue;
      throw changeFault('change_pending', {
        subject: SUBJECT_TEXT[subject],
        who: pending.owner.who,
        until: new Date(pending.expiresAt).toISOString(),
      });
    }
  }

  /**
   * Makes a change in its turn, or reports in a dry run what it would do. Errors: change_pending, would_cut_off_agents,
   * those of `prepare` and of carrying it out. After an error nothing has changed.
   */
  async make<R>(
    subject: ChangeSubject,
    { dryRun = false, force = false, confirm }: ChangeTerms,
    actor: Actor,
    prepare: () => Promise<ChangePlan<R>>,
  ): Promise<R & { readonly dryRun: boolean; readonly change: Change | null }> {
    return await this.runExclusive(async () => {
      const target = this.#target(subject);
      for (const blocking of target.blockedBy) await this.#targets.get(blocking)?.refresh?.();
      this.assertNonePending(target.blockedBy);
      const plan = await prepare();
      if (dryRun) return { ...plan.report, dryRun, change: null };
      if (plan.cutsOffCaller !== undefined && !force)
        throw changeFault('would_cut_off_administrator', plan.cutsOffCaller);
      assertNoneCutOff(plan.cutOff, force);
      if (plan.carryOut === undefined) return { ...plan.report, dryRun, change: null };
      if (confirm === undefined) {
        await plan.carryOut(undefined);
        return { ...plan.report, dryRun, change: null };
      }
      const pending: PendingChange = {
        id: randomBytes(8).toString('hex'),
        owner: { who: actor.who, from: actor.from, node: this.#options.node },
        expiresAt: this.#storeTime() + confirm.withinSeconds * 1000,
        terms: JSON.stringify({
          ...(await confirmTerms(confirm, plan.listener, target.agents)),
          about: { changed: plan.changed, comment: actor.comment ?? null, ticket: actor.ticket ?? null },
          remainder: plan.remainder,
        }),
      };
      await this.#carryOutPending(target, plan.carryOut, pending);
      this.#watch(target, pending);
      plan.onPending?.(confirm.withinSeconds);
      this.#options.onChanged?.(pending.id);
      return { ...plan.report, dryRun, change: await this.#view(target, pending, 'pending') };
    });
  }

  /** The pending changes, then those that ended, newest first. */
  async list(): Promise<Change[]> {
    const pending: Change[] = [];
    for (const target of this.#targets.values()) {
      const change = target.pending();
      if (change !== null) pending.push(await this.#view(target, change, 'pending'));
    }
    return [...pending, ...[...this.#ended.values()].toReversed()];
  }

  /** Errors: change_unknown. */
  async get(id: string): Promise<Change> {
    const found = this.#find(id);
    if (found !== undefined) return await this.#view(found.target, found.pending, 'pending');
    const ended = this.#ended.get(id);
    if (ended === undefined) throw changeFault('change_unknown', { id, most: MAX_ENDED });
    return ended;
  }

  /** Keeps a pending change. Errors: change_unknown, change_ended, share_not_met, confirm_over_new_connection. */
  async confirm(id: string, { force = false }: Pick<ChangeTerms, 'force'>, actor: Actor): Promise<Change> {
    return await this.runExclusive(async () => {
      await this.#refresh(id);
      const { target, pending } = this.#expectPending(id);
      const watch = this.#watches.get(id);
      const terms = readTerms(pending.terms);
      await assertConfirmable(terms, watch?.appliedAt ?? Infinity, this.#counted(target, id), actor, force);
      await target.keep(pending, actor, force);
      const ended = await this.#end(target, pending, 'confirmed');
      const remainder = remainderOf(pending);
      if (remainder !== undefined) await target.finish?.(remainder, actor);
      return ended;
    });
  }

  /** Rolls a pending change back at once. Errors: change_unknown, change_ended. */
  async rollBack(id: string, actor: Actor, reason = 'rolled back by an administrator'): Promise<Change> {
    return await this.runExclusive(async () => {
      await this.#refresh(id);
      const { target, pending } = this.#expectPending(id);
      return await this.#rollBack(target, pending, actor, reason);
    });
  }

  /** Remembers a change that was rolled back at the start, because nothing could confirm it any more. */
  recordRollback(subject: ChangeSubject, pending: PendingChange): void {
    this.#remember(viewOf(subject, pending, 'rolled-back', 0));
  }

  /** Clears the timers after the change in progress. The next start rolls a pending change back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { cancelTimer } of this.#watches.values()) cancelTimer();
    await this.runExclusive(async () => {});
  }

  async #carryOutPending(
    target: ChangeTarget,
    carryOut: (pending: PendingChange) => Promise<void>,
    pending: PendingChange,
  ): Promise<void> {
    try {
      await carryOut(pending);
    } catch (error) {
      // The mark may be stored already. If rolling back fails too, the next start does it.
      if (target.pending()?.id === pending.id)
        await target.rollBack(pending, CENTRAL, `it could not be applied: ${textOf(error)}`);
      throw error;
    }
  }

  #watch(target: ChangeTarget, pending: PendingChange): void {
    const appliedAt = this.#options.now();
    const cancelTimer = this.#expireAfter(pending.expiresAt - this.#storeTime(), target, pending);
    this.#watches.set(pending.id, { appliedAt, cancelTimer });
  }

  #storeTime(): number {
    const { now, storeTime = now } = this.#options;
    return storeTime();
  }

  #expireAfter(ms: number, target: ChangeTarget, pending: PendingChange): () => void {
    return this.#options.after(ms, () => void this.#expire(target, pending));
  }

  /** Until another node has rolled it back, or this one leads. */
  #expireAgain(target: ChangeTarget, pending: PendingChange): void {
    const watch = this.#watches.get(pending.id);
    if (watch === undefined || this.#stopped) return;
    const cancelTimer = this.#expireAfter(AGAIN_MS, target, pending);
    this.#watches.set(pending.id, { ...watch, cancelTimer });
  }

  async #expire(target: ChangeTarget, pending: PendingChange): Promise<void> {
    if (this.#options.leads?.() === false) return this.#expireAgain(target, pending);
    try {
      await this.runExclusive(async () => {
        await target.refresh?.();
        if (target.pending()?.id === pending.id && !this.#stopped)
          await this.#rollBack(target, pending, CENTRAL, 'it was not confirmed in time');
      });
    } catch (error) {
      // A store that cannot write ends Central (store.ts, onFailure), and its next start rolls the change back.
      this.#options.log.error(
        { change: pending.id, subject: target.subject, error: textOf(error) },
        'the unconfirmed change could not be rolled back',
      );
      this.#expireAgain(target, pending);
    }
  }

  async #rollBack(target: ChangeTarget, pending: PendingChange, actor: Actor, reason: string): Promise<Change> {
    this.#watches.get(pending.id)?.cancelTimer();
    await target.rollBack(pending, actor, reason);
    this.#options.log.info({ change: pending.id, subject: target.subject, reason }, 'a change was rolled back');
    return await this.#end(target, pending, 'rolled-back');
  }

  async #end(target: ChangeTarget, pending: PendingChange, state: ChangeState): Promise<Change> {
    const change = await this.#view(target, pending, state);
    this.#watches.get(pending.id)?.cancelTimer();
    this.#watches.delete(pending.id);
    this.#remember(change);
    this.#options.onChanged?.(change.id);
    return change;
  }

  #remember(change: Change): void {
    setNewest(this.#ended, change.id, change, MAX_ENDED);
  }

  async #view(target: ChangeTarget, pending: PendingChange, state: ChangeState): Promise<Change> {
    const { returnedCount } = await returnedAgents(readTerms(pending.terms), this.#counted(target, pending.id));
    return viewOf(target.subject, pending, state, returnedCount);
  }

  /** The agents that count as back after this change. */
  #counted({ agents, countsNewSessionsOnly }: ChangeTarget, id: string): OnlineAgents {
    if (!countsNewSessionsOnly) return agents;
    const appliedAt = this.#watches.get(id)?.appliedAt ?? Infinity;
    return { online: async () => (await agents.online()).filter(({ since }) => since >= appliedAt) };
  }

  #find(id: string): { readonly target: ChangeTarget; readonly pending: PendingChange } | undefined {
    for (const target of this.#targets.values()) {
      const pending = target.pending();
      if (pending?.id === id) return { target, pending };
    }
    return undefined;
  }

  /** Another node may have made the change, or ended it, a moment ago. */
  async #refresh(id: string): Promise<void> {
    if (!this.#ended.has(id)) for (const target of this.#targets.values()) await target.refresh?.();
  }

  #expectPending(id: string): { readonly target: ChangeTarget; readonly pending: PendingChange } {
    const found = this.#find(id);
    if (found !== undefined) return found;
    const ended = this.#ended.get(id);
    if (ended !== undefined) throw changeFault('change_ended', { id, state: ended.state });
    throw changeFault('change_unknown', { id, most: MAX_ENDED });
  }

  #target(subject: ChangeSubject): ChangeTarget {
    const target = this.#targets.get(subject);
    if (target === undefined) throw new TypeError(`no target is registered for ${subject}`);
    return target;
  }
}

/** How error texts name each subject. */
const SUBJECT_TEXT: Readonly<Record<ChangeSubject, string>> = {
  parameters: 'parameters',
  'server-certificate': 'server certificate',
};

/** Errors: would_cut_off_agents, unless forced. */
export function assertNoneCutOff(cutOff: readonly CutOffAgent[], force: boolean): void {
  if (cutOff.length === 0 || force) return;
  const fault = changeFault('would_cut_off_agents', { count: agentsText(cutOff.length), names: namesOf(cutOff) });
  throw new DetailedError(fault, { members: { cutOff: cutOffJson(cutOff) } });
}

function viewOf(subject: ChangeSubject, pending: PendingChange, state: ChangeState, returnedCount: number): Change {
  const { id, owner, expiresAt } = pending;
  const { share, agents, listener } = readTerms(pending.terms);
  return {
    id,
    subject,
    state,
    owner,
    expiresAt,
    requiredShare: share,
    agentCount: agents.length,
    returnedCount,
    listener,
    ...factsOf(pending),
  };
}
