// Changes the parameters of this node as one act: validates the whole change, moves the listeners, and stores it.
//
// Order without confirmation: apply, then store (after a crash in between, the next start has the old values).
// Order with confirmation:    store the new values with the pending mark, then apply (after a crash, the next start
// rolls back).
import { textOf } from '../../shared/errors.ts';
import { auditEntry, type Actor } from '../audit.ts';
import type { OnlineAgents } from '../change/agents.ts';
import type { ChangePlan, Changes } from '../change/changes.ts';
import type { AdminListener } from '../change/confirm.ts';
import type { PendingChange } from '../change/pending.ts';
import { notice, type Notice } from '../change/report.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import { storeFault } from '../store/errors.ts';
import type { ParameterRow } from '../store/parameter-store.ts';
import { PARAMETER_NAMES, type ParameterName, type ParameterValues } from './definitions.ts';
import { callerCutOff, preflight } from './preflight.ts';
import type { ParameterState } from './state.ts';
import type { ChangedParameter, ChangeReport, ChangeRequest, ParameterApplier, ParameterDescription } from './types.ts';
import { validateChange } from './validate.ts';
import { sameValue } from './values.ts';

interface ParameterServiceOptions {
  readonly state: ParameterState;
  readonly applier: ParameterApplier;
  readonly changes: Pick<Changes, 'follow' | 'make' | 'pending' | 'register' | 'runExclusive'>;
  readonly agents: OnlineAgents;
  /** Other values apply on this node; must not throw. */
  readonly onChanged: (values: ParameterValues, before: ParameterValues) => void;
  readonly log: { error(facts: object, text: string): void };
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

/** How soon listeners that could not be moved back are tried again. */
const REPAIR_MS = 5_000;

/**
 * Parameters that change what the HTTPS listener of the administration is: its port, the certificate it shows, and who
 * may use it.
 */
const TOUCHES_HTTPS: ReadonlySet<ParameterName> = new Set([
  'https.port',
  'certificate.distinguishedName',
  'certificate.subjectAlternativeNames',
  'access.https.allow',
  'access.https.deny',
  'access.administrator.allow',
  'access.administrator.deny',
]);

type Report = Omit<ChangeReport, 'change' | 'dryRun' | 'version'>;

export class ParameterService {
  readonly #options: ParameterServiceOptions;
  /** What the listeners were moved to: the effective values, unless they could not be moved back. */
  #applied: ParameterValues;
  #cancelRepair = () => {};
  #problem: Problem | undefined;
  #stopped = false;

  constructor(options: ParameterServiceOptions) {
    this.#options = options;
    this.#applied = options.state.values();
    options.changes.register({
      subject: 'parameters',
      blockedBy: ['parameters'],
      agents: options.agents,
      countsNewSessionsOnly: false,
      pending: () => options.state.snapshot().pending,
      keep: async (change, actor, forced) => await this.#keep(change, actor, forced),
      rollBack: async (_change, actor, reason) => await this.#rollBack(actor, reason),
    });
  }

  /** What applies on this node. */
  values(): ParameterValues {
    return this.#options.state.values();
  }

  /** Grows with every change; the ETag. */
  get version(): number {
    return this.#options.state.snapshot().version;
  }

  /** What is wrong now, for the status. */
  problems(): Problem[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  describe(): ParameterDescription[] {
    return this.#options.state.describe();
  }

  /**
   * Makes a change, or reports in a dry run what it would do. Errors: ParameterFaults (all of them in one),
   * version_conflict, change_pending, would_cut_off_agents, those of the applier and of the store. After an error
   * nothing has changed.
   */
  async change(request: ChangeRequest, actor: Actor): Promise<ChangeReport> {
    const made = await this.#options.changes.make(
      'parameters',
      request,
      actor,
      async () => await this.#prepare(request, actor),
    );
    return { ...made, version: this.version };
  }

  /** Another node changed the parameters: they apply here as well. What cannot be applied is shown, and tried again. */
  async follow(): Promise<void> {
    const { state, changes, onChanged } = this.#options;
    await changes.runExclusive(async () => {
      const [before, { pending, version }] = [this.values(), state.snapshot()];
      await state.load();
      if (state.snapshot().version === version) return;
      const known = new Map(state.snapshot().rows.map(({ name, value }) => [name, value]));
      const isRolledBack = pending?.before.every(({ name, value }) => (known.get(name) ?? null) === value) === true;
      changes.follow('parameters', pending, isRolledBack ? 'rolled-back' : 'confirmed');
      // The certificate that they name is made once, by the node that changed them.
      this.#applied = { ...this.#applied, ...certificateValues(this.values()) };
      await this.#apply(this.values()).catch((error: unknown) => this.#repairLater(error));
      onChanged(this.values(), before);
    });
  }

  /** Clears the timer. */
  stop(): void {
    this.#stopped = true;
    this.#cancelRepair();
  }

  async #prepare(request: ChangeRequest, actor: Actor): Promise<ChangePlan<Report>> {
    const { state, applier, agents, now } = this.#options;
    const { version } = this;
    if (request.ifMatch !== undefined && request.ifMatch !== version)
      throw storeFault('version_conflict', { subject: 'the parameters', expected: request.ifMatch, found: version });
    const before = state.values();
    const { rows, stored } = await validateChange(request.values, {
      stored: state.stored(),
      effective: (values) => state.effective(values),
      check: async (next) => await applier.check(next, before),
      snapshot: state.snapshot(),
      by: { who: actor.who, at: now() },
    });
    const next = state.effective(stored);
    const changed = rows.map(({ name }) => ({
      name,
      from: state.stored()[name],
      to: stored[name],
      overriddenBy: state.overrideOf(name),
    }));
    const found = preflight(next, before, await agents.online());
    const cutsOffCaller = callerCutOff(next, actor);
    const moved = PARAMETER_NAMES.filter((name) => !sameValue(next[name], before[name]));
    const report = {
      cutOff: found.cutOff,
      notices: [
        ...noEffect(changed),
        ...(cutsOffCaller === undefined ? [] : [notice('administrator_cut_off', cutsOffCaller)]),
        ...found.notices,
      ],
      needsForce: found.cutOff.length > 0 || cutsOffCaller !== undefined,
      changed,
      listens: applier.describe(next, before),
    };
    const plan = {
      report,
      cutOff: found.cutOff,
      cutsOffCaller,
      changed: changed.map(({ name, from, to }) => ({ name, from, to })),
      listener: touchedListener(moved),
    };
    if (rows.length === 0) return plan;
    return {
      ...plan,
      carryOut: async (pending) => await this.#carryOut({ rows, changed, before, next, request, actor }, pending),
    };
  }

  async #carryOut(
    { rows, changed, before, next, request, actor }: Validated,
    pending: PendingChange | undefined,
  ): Promise<void> {
    const { state, now, onChanged } = this.#options;
    const detail = {
      changed: changed.map(({ name, from, to }) => ({ name, from, to })),
      forced: request.force === true,
      confirm: request.confirm ?? null,
    };
    const action = rows.every(({ value }) => value === null) ? 'parameters.reset' : 'parameters.set';
    const audit = auditEntry(actor, action, detail, now());
    if (pending === undefined) {
      await this.#apply(next);
      try {
        await state.save({ rows, pending: null, audit });
      } catch (error) {
        // The store refused the change: the listeners go back before the error is answered.
        await this.#apply(before).catch((again: unknown) => this.#repairLater(again));
        throw error;
      }
    } else {
      await state.save({ rows, pending: state.pendingOf(pending, rows), audit });
      await this.#apply(next);
    }
    onChanged(this.values(), before);
  }

  async #keep(change: PendingChange, actor: Actor, forced: boolean): Promise<void> {
    const { state, now } = this.#options;
    const audit = auditEntry(actor, 'changes.confirm', { change: change.id, subject: 'parameters', forced }, now());
    await state.save({ rows: [], pending: null, audit });
  }

  async #rollBack(actor: Actor, reason: string): Promise<void> {
    const { state, onChanged } = this.#options;
    const { pending } = state.snapshot();
    if (pending === null) return;
    const before = this.values();
    await state.saveRollback(pending, actor, reason);
    await this.#apply(this.values()).catch((error: unknown) => this.#repairLater(error));
    onChanged(this.values(), before);
  }

  async #apply(next: ParameterValues): Promise<void> {
    const now = this.#applied;
    if (!sameValue(next, now)) await this.#options.applier.apply(next, now);
    this.#applied = next;
    this.#problem = undefined;
    this.#cancelRepair();
  }

  /**
   * The values went back, the listeners could not (another process took the old port): tried until they can, and shown
   * in the status.
   */
  #repairLater(error: unknown): void {
    const { log, after, now } = this.#options;
    this.#problem = problemOf(
      problemFault('listeners_not_applied', { found: textOf(error) }),
      this.#problem?.startedAt ?? now(),
    );
    log.error({ error: textOf(error) }, 'listeners could not be moved back; trying again');
    if (this.#stopped) return;
    this.#cancelRepair();
    this.#cancelRepair = after(REPAIR_MS, () => void this.#repair());
  }

  async #repair(): Promise<void> {
    try {
      await this.#options.changes.runExclusive(async () => await this.#apply(this.values()));
    } catch (error) {
      this.#repairLater(error);
    }
  }
}

/** A validated change that has an effect. */
interface Validated {
  readonly rows: readonly ParameterRow[];
  readonly changed: readonly ChangedParameter[];
  /** What applies on this node before and after. */
  readonly before: ParameterValues;
  readonly next: ParameterValues;
  readonly request: ChangeRequest;
  readonly actor: Actor;
}

function certificateValues(values: ParameterValues): Partial<ParameterValues> {
  return {
    'certificate.distinguishedName': values['certificate.distinguishedName'],
    'certificate.subjectAlternativeNames': values['certificate.subjectAlternativeNames'],
    'certificate.lifetimeDays': values['certificate.lifetimeDays'],
  };
}

function noEffect(changed: readonly ChangedParameter[]): Notice[] {
  return changed.flatMap(({ name, overriddenBy }) =>
    overriddenBy === null ? [] : [notice('parameter_overridden', { name, origin: overriddenBy })],
  );
}

function touchedListener(moved: readonly ParameterName[]): AdminListener | null {
  if (moved.some((name) => TOUCHES_HTTPS.has(name))) return 'https';
  return moved.includes('http.port') ? 'http' : null;
}
