// Changes the parameters of this node as one act: validates the whole change, moves the listeners, and stores it. With
// several nodes, all of them must be able to apply it first (nodes/agreement.ts).
//
// Order without confirmation: apply, then store (after a crash in between, the next start has the old values).
// Order with confirmation:    store the new values with the pending mark, then apply (after a crash, the next start
// rolls back).
import { textOf } from '../../shared/errors.ts';
import { auditEntry, CENTRAL, type Actor } from '../audit.ts';
import type { OnlineAgents } from '../change/agents.ts';
import type { ChangePlan, Changes } from '../change/changes.ts';
import type { AdminListener } from '../change/confirm.ts';
import type { PendingChange } from '../change/pending.ts';
import { notice, type Notice } from '../change/report.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import { storeFault } from '../store/errors.ts';
import type { ParameterRow, PendingParameters } from '../store/parameter-store.ts';
import { isParameterName, PARAMETER_NAMES, type ParameterName, type ParameterValues } from './definitions.ts';
import { parameterFault, ParameterFaults, type ParameterFault } from './errors.ts';
import { callerCutOff, preflight } from './preflight.ts';
import type { ParameterState } from './state.ts';
import { ANSWER_MS, type Agreed, type Agreement } from './nodes/agreement.ts';
import type { NodeAnswer, Proposal } from './nodes/notes.ts';
import type { ChangedParameter, ChangeReport, ChangeRequest, ParameterApplier, ParameterDescription } from './types.ts';
import { validateChange } from './validate.ts';
import { crossFaults, sameValue } from './values.ts';

interface ParameterServiceOptions {
  readonly state: ParameterState;
  readonly applier: ParameterApplier;
  readonly changes: Pick<Changes, 'follow' | 'make' | 'pending' | 'register' | 'runExclusive'>;
  readonly agents: OnlineAgents;
  readonly agreement: Agreement;
  /** The name of this node. */
  readonly node: string;
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

type Report = Omit<ChangeReport, 'change' | 'dryRun' | 'version'> & { readonly nodes: NodeAnswer[] };

export class ParameterService {
  readonly #options: ParameterServiceOptions;
  /** What the listeners were moved to: the effective values, unless they could not be moved back. */
  #applied: ParameterValues;
  #appliedVersion: number;
  #isListening = false;
  #cancelRepair = () => {};
  #problem: Problem | undefined;
  #stopped = false;

  constructor(options: ParameterServiceOptions) {
    this.#options = options;
    this.#applied = options.state.values();
    this.#appliedVersion = options.state.snapshot().version;
    options.changes.register({
      subject: 'parameters',
      blockedBy: ['parameters'],
      agents: options.agents,
      countsNewSessionsOnly: false,
      refresh: async () => {
        if (options.agreement.isShared) await this.#follow();
      },
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

  /** The version to which the listeners of this node have been moved. */
  get appliedVersion(): number {
    return this.#appliedVersion;
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
    const { agreement, changes } = this.#options;
    return await agreement.inTurn(async () => {
      await this.follow();
      const made = await changes.make('parameters', request, actor, async () => await this.#prepare(request, actor));
      return { ...made, version: this.version };
    });
  }

  /** Opens the listeners for the first time; from then on other nodes are answered, and followed. */
  async start(listen: (values: ParameterValues) => Promise<void>): Promise<void> {
    const { agreement, changes } = this.#options;
    await changes.runExclusive(async () => {
      await listen(this.values());
      this.#applied = this.values();
      this.#appliedVersion = this.version;
      this.#isListening = true;
    });
    agreement.serve({
      prepare: async (proposal) => await changes.runExclusive(async () => await this.#prepareFor(proposal)),
      release: () => this.#options.applier.release(),
      look: async () =>
        await this.follow().catch((error: unknown) =>
          this.#options.log.error({ error: textOf(error) }, 'the parameters could not be read again'),
        ),
    });
  }

  /** Another node changed the parameters: they apply here as well. What cannot be applied is shown, and tried again. */
  async follow(): Promise<void> {
    if (!this.#options.agreement.isShared) return;
    await this.#options.changes.runExclusive(async () => await this.#follow());
  }

  async #follow(): Promise<void> {
    const { state, changes, agreement, onChanged } = this.#options;
    const [before, { pending, version }] = [this.values(), state.snapshot()];
    await state.load();
    if (state.snapshot().version === version) return;
    const known = new Map(state.snapshot().rows.map(({ name, value }) => [name, value]));
    const isRolledBack = pending?.before.every(({ name, value }) => (known.get(name) ?? null) === value) === true;
    changes.follow('parameters', pending, isRolledBack ? 'rolled-back' : 'confirmed');
    // The certificate that they name is made once, by the node that changed them.
    this.#applied = { ...this.#applied, ...certificateValues(this.values()) };
    if (this.#isListening)
      await this.#apply(this.values()).catch(async (error: unknown) => {
        this.#repairLater(error);
        await agreement.failed(this.version, textOf(error));
      });
    agreement.settled();
    onChanged(this.values(), before);
  }

  /** What is in the way of another node's change here; unless it is a dry run, the ports that it needs are held. */
  async #prepareFor({ version, rows, isDryRun }: Proposal): Promise<readonly ParameterFault[]> {
    const { state, applier } = this.#options;
    await this.#follow();
    if (this.version !== version) return [outdated(this.version, version)];
    const stored = state.storedWith(rows);
    const next = state.effective(stored);
    const faults = crossFaults(next, new Set(rows.map(({ name }) => name).filter(isParameterName)));
    if (faults.length > 0) return faults;
    const now = { ...this.#applied, ...certificateValues(next) };
    const found = await applier.hold(next, now);
    if (isDryRun) applier.release();
    return found;
  }

  /** Clears the timer. */
  stop(): void {
    this.#stopped = true;
    this.#options.agreement.stop();
    this.#cancelRepair();
  }

  async #prepare(request: ChangeRequest, actor: Actor): Promise<ChangePlan<Report>> {
    const { state, applier, agents, agreement, now } = this.#options;
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
      nodes: [{ name: this.#options.node, answer: 'ready', detail: null }] as NodeAnswer[],
    };
    const plan = {
      report,
      cutOff: found.cutOff,
      cutsOffCaller,
      changed: changed.map(({ name, from, to }) => ({ name, from, to })),
      listener: touchedListener(moved),
    };
    if (rows.length === 0) return plan;
    if (request.dryRun === true && agreement.isShared) {
      await this.#hold(next, before);
      applier.release();
      report.nodes.push(...(await agreement.ask({ version, rows, isDryRun: true })).answers);
    }
    const validated = { rows, changed, before, next, request, actor };
    return {
      ...plan,
      carryOut: async (pending) => {
        report.nodes.push(...(await this.#carryOutOnAll(validated, pending)));
      },
    };
  }

  /** Errors: ParameterFaults. */
  async #hold(next: ParameterValues, before: ParameterValues): Promise<void> {
    const faults = await this.#options.applier.hold(next, { ...before, ...certificateValues(next) });
    if (faults.length > 0) throw new ParameterFaults(faults);
  }

  /** All nodes are ready before anything moves, and all have moved before this ends. Or none has. */
  async #carryOutOnAll(change: Validated, pending: PendingChange | undefined): Promise<readonly NodeAnswer[]> {
    const { agreement, applier, state } = this.#options;
    const { rows, before, next, actor } = change;
    // The ports stay free while the others are asked.
    if (agreement.isShared) await this.#hold(next, before);
    let agreed: Agreed | undefined;
    let undo: PendingParameters | undefined;
    try {
      agreed = await agreement.ask({ version: this.version, rows, isDryRun: false });
      assertAllReady(agreed.answers);
      const owner = { who: actor.who, from: actor.from, node: this.#options.node };
      const mark = state.pendingOf(pending ?? { id: agreed.id, owner, expiresAt: 0, terms: '{}' }, rows);
      await this.#carryOut(change, pending);
      undo = mark;
      assertAllReady(await agreement.applied(this.version, agreed.asked));
      return agreed.answers;
    } catch (error) {
      applier.release();
      if (agreed !== undefined) await agreement.forget(agreed);
      // One that waits for a confirmation is rolled back by who made it pending.
      if (undo !== undefined && pending === undefined)
        await this.#undo(undo, `it could not be applied: ${textOf(error)}`);
      throw error;
    }
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
    this.#appliedVersion = this.version;
    onChanged(this.values(), before);
  }

  async #keep(change: PendingChange, actor: Actor, forced: boolean): Promise<void> {
    const { state, now } = this.#options;
    const audit = auditEntry(actor, 'changes.confirm', { change: change.id, subject: 'parameters', forced }, now());
    await state.save({ rows: [], pending: null, audit });
    if (this.#problem === undefined) this.#appliedVersion = this.version;
  }

  async #rollBack(actor: Actor, reason: string): Promise<void> {
    const { pending } = this.#options.state.snapshot();
    if (pending !== null) await this.#undo(pending, reason, actor);
  }

  async #undo(change: PendingParameters, reason: string, actor: Actor = CENTRAL): Promise<void> {
    const { agreement, state, onChanged } = this.#options;
    const before = this.values();
    await state.saveRollback(change, actor, reason);
    await this.#apply(this.values()).catch((error: unknown) => this.#repairLater(error));
    onChanged(this.values(), before);
    // What cannot go back somewhere is shown there.
    await agreement.applied(this.version);
  }

  async #apply(next: ParameterValues): Promise<void> {
    const now = this.#applied;
    if (!sameValue(next, now)) await this.#options.applier.apply(next, now);
    this.#applied = next;
    if (sameValue(next, this.values())) this.#appliedVersion = this.version;
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

function outdated(version: number, expected: number): ParameterFault {
  const found = String(version);
  const allowed = `version ${expected}`;
  return { parameter: '', found, allowed, text: `It has version ${found} of the parameters, and not ${expected}.` };
}

function sentence(text: string): string {
  return text.endsWith('.') ? text : `${text}.`;
}

/** Errors: node_cannot_apply, node_silent. */
function assertAllReady(answers: readonly NodeAnswer[]): void {
  const refused = answers.find(({ answer }) => answer === 'refused');
  if (refused !== undefined)
    throw parameterFault('node_cannot_apply', { node: refused.name, found: sentence(refused.detail ?? '') });
  const silent = answers.find(({ answer }) => answer === 'silent');
  if (silent !== undefined) throw parameterFault('node_silent', { node: silent.name, seconds: ANSWER_MS / 1000 });
}
