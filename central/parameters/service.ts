// Owns the parameters of this node: their values, each change as one act, commit-confirm, and who hears of it. Changes are
// serialized and judged as a whole before anything moves. What listens is the ParameterApplier's; what is kept, the store's.
//
// Order without confirm: apply, then commit (a crash in between: the old values are back at the next start).
// Order with confirm:    commit new values with `pending`, then apply (a crash: the next start undoes what is pending).
import { randomUUID } from 'node:crypto';
import { textOf } from '../../shared/errors.ts';
import { Mutex } from '../../shared/mutex.ts';
import { auditEntry, CENTRAL, type Actor } from '../audit.ts';
import { storeFault } from '../store/errors.ts';
import type { AuditEntry } from '../store/audit-store.ts';
import type { ParameterRow, ParameterSnapshot, ParameterStore, PendingChange } from '../store/parameter-store.ts';
import { assertConfirmable, readTerms, termsOf, type ConfirmTerms } from './confirm.ts';
import {
  defaultValues,
  definitionOf,
  isParameterName,
  PARAMETER_NAMES,
  type ParameterName,
  type ParameterValue,
  type ParameterValues,
} from './definitions.ts';
import { parameterFault } from './errors.ts';
import { validateChange } from './validate.ts';
import type {
  ChangeReport,
  ChangeRequest,
  ParameterApplier,
  ParameterDescription,
  ParameterOverride,
  PendingReport,
} from './types.ts';
import { agentsText, namesOf, preflight, type OnlineAgents } from './preflight.ts';
import { allowedOf, validateValue, sameValue } from './values.ts';

export interface ParameterServiceOptions {
  readonly store: ParameterStore;
  readonly applier: ParameterApplier;
  readonly agents: OnlineAgents;
  readonly overrides: readonly ParameterOverride[];
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

/** How soon listeners that could not be moved back are tried again. */
const REPAIR_MS = 5_000;

export class ParameterService {
  readonly #options: ParameterServiceOptions;
  readonly #overrides: ReadonlyMap<ParameterName, ParameterOverride>;
  readonly #subscribers = new Set<{
    readonly names: readonly ParameterName[];
    readonly listener: (values: ParameterValues) => void;
  }>();
  #snapshot: ParameterSnapshot;
  /** The installation's values. */
  #stored: ParameterValues;
  /** What the listeners stand at: the effective values, unless they could not be moved back. */
  #applied: ParameterValues;
  #appliedAt = 0;
  /** One change at a time. */
  readonly #changes = new Mutex();
  #cancelTimer = () => {};
  #cancelRepair = () => {};
  #trouble: string | null = null;
  #stopped = false;

  private constructor(options: ParameterServiceOptions, snapshot: ParameterSnapshot) {
    this.#options = options;
    this.#overrides = new Map(options.overrides.map((override) => [override.name, override]));
    this.#snapshot = snapshot;
    this.#stored = this.#read(snapshot);
    this.#applied = this.values();
  }

  /** Loads the values. What waits for a confirmation is undone: whoever could have given it lost the connection. */
  static async load(options: ParameterServiceOptions): Promise<ParameterService> {
    let snapshot = await options.store.load();
    if (snapshot.pending !== null) {
      options.log.info(
        { change: snapshot.pending.id, by: snapshot.pending.changedBy },
        'undoing a parameter change that was not confirmed before Central stopped',
      );
      snapshot = await saveUndone(
        options,
        snapshot,
        snapshot.pending,
        CENTRAL,
        'Central started again before it was confirmed',
      );
    }
    return new ParameterService(options, snapshot);
  }

  /** What holds on this node. */
  values(): ParameterValues {
    return this.#effective(this.#stored);
  }

  /** Grows with every change; the ETag. */
  get version(): number {
    return this.#snapshot.version;
  }

  /** What is wrong right now, for health; null when nothing is. */
  get trouble(): string | null {
    return this.#trouble;
  }

  describe(): ParameterDescription[] {
    const effective = this.values();
    const rows = new Map(this.#snapshot.rows.map((row) => [row.name, row]));
    return PARAMETER_NAMES.map((name) => {
      const row = rows.get(name);
      return {
        name,
        definition: definitionOf(name),
        allowed: allowedOf(definitionOf(name)),
        value: this.#stored[name],
        isDefault: row === undefined || row.value === null,
        effective: effective[name],
        overriddenBy: this.#overrides.get(name)?.origin ?? null,
        changedBy: row?.changedBy ?? null,
        changedAt: row?.changedAt ?? null,
      };
    });
  }

  /** The change that waits for its confirmation. */
  pending(): PendingReport | null {
    const { pending } = this.#snapshot;
    if (pending === null) return null;
    const { share, agents, listener } = readTerms(pending.terms);
    return {
      id: pending.id,
      deadline: pending.deadline,
      changedBy: pending.changedBy,
      share,
      agents: agents.length,
      listener,
    };
  }

  /** Calls `listener` with all values when one of `names` has changed on this node. The answer unsubscribes. */
  onChange(names: readonly ParameterName[], listener: (values: ParameterValues) => void): () => void {
    const subscriber = { names, listener };
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /**
   * Makes a change, or with `dryRun` says what it would do. Errors: ParameterFaults (all of them in one), version_conflict,
   * change_pending, would_cut_off_agents, what the applier throws, what the store throws. After an error nothing has changed.
   */
  async change(request: ChangeRequest, actor: Actor): Promise<ChangeReport> {
    return await this.#changes.runExclusive(async () => await this.#change(request, actor));
  }

  /** Lets the pending change stay. Errors: nothing_pending, share_not_met, confirm_over_new_connection. */
  async confirm(request: { readonly force?: boolean | undefined }, actor: Actor): Promise<void> {
    await this.#changes.runExclusive(async () => {
      const { pending, version } = this.#snapshot;
      if (pending === null) throw parameterFault('nothing_pending', {});
      assertConfirmable(readTerms(pending.terms), this.#appliedAt, this.#options.agents, actor, request.force === true);
      const audit = auditEntry(
        actor,
        'parameters.confirm',
        { change: pending.id, forced: request.force === true },
        this.#options.now(),
      );
      this.#snapshot = await this.#options.store.save({ expectedVersion: version, rows: [], pending: null, audit });
      this.#cancelTimer();
    });
  }

  /** Takes the pending change back. Errors: nothing_pending. */
  async undo(actor: Actor, reason = 'undone by hand'): Promise<void> {
    await this.#changes.runExclusive(async () => {
      const { pending } = this.#snapshot;
      if (pending === null) throw parameterFault('nothing_pending', {});
      await this.#undo(pending, actor, reason);
    });
  }

  /** Runs an act between two changes, for what is moved together with parameters (the server certificate). */
  async exclusively<T>(act: () => Promise<T>): Promise<T> {
    return await this.#changes.runExclusive(act);
  }

  /** Clears the timers after the change under way. A pending change is undone by the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    this.#cancelRepair();
    await this.#changes.runExclusive(async () => {});
  }

  async #change(request: ChangeRequest, actor: Actor): Promise<ChangeReport> {
    const { version, pending } = this.#snapshot;
    if (request.ifMatch !== undefined && request.ifMatch !== version)
      throw storeFault('version_conflict', { expected: request.ifMatch, found: version });
    if (pending !== null)
      throw parameterFault('change_pending', {
        who: pending.changedBy,
        until: new Date(pending.deadline).toISOString(),
      });

    const now = this.values();
    const { rows, stored } = await validateChange(request.values, {
      stored: this.#stored,
      effective: (values) => this.#effective(values),
      check: async (next) => await this.#options.applier.check(next, now),
      snapshot: this.#snapshot,
      by: { who: actor.who, at: this.#options.now() },
    });
    const next = this.#effective(stored);
    const changed = rows.map(({ name }) => ({
      name,
      from: this.#stored[name],
      to: stored[name],
      overriddenBy: this.#overrides.get(name)?.origin ?? null,
    }));
    const overridden = changed.filter(({ overriddenBy }) => overriddenBy !== null);
    const found = preflight(next, now, this.#options.agents);
    const report = {
      cutOff: found.cutOff,
      notices: [
        ...overridden.map(({ name, overriddenBy }) => `${name} has no effect on this node: ${overriddenBy} sets it.`),
        ...found.notices,
      ],
      changed,
      listens: this.#options.applier.describe(next, now),
    };
    if (request.dryRun === true) return { ...report, version, dryRun: true, pending: null };
    if (found.cutOff.length > 0 && request.force !== true) {
      throw parameterFault('would_cut_off_agents', {
        count: agentsText(found.cutOff.length),
        names: namesOf(found.cutOff),
      });
    }
    if (rows.length === 0) return { ...report, version, dryRun: false, pending: null };

    const moved = PARAMETER_NAMES.filter((name) => !sameValue(next[name], now[name]));
    const detail = {
      changed: changed.map(({ name, from, to }) => ({ name, from, to })),
      forced: request.force === true,
      confirm: request.confirm ?? null,
    };
    const audit = auditEntry(actor, 'parameters.change', detail, this.#options.now(), request);
    if (request.confirm === undefined) {
      await this.#apply(next);
      try {
        this.#adopt(await this.#options.store.save({ expectedVersion: version, rows, pending: null, audit }));
      } catch (error) {
        // The store says it did not happen: the listeners go back before anybody is answered.
        await this.#apply(now).catch((again: unknown) => this.#repairLater(again));
        throw error;
      }
    } else {
      const terms = termsOf(request.confirm, moved, this.#options.agents);
      await this.#applyPending(rows, next, terms, request.confirm.withinSeconds, actor, audit);
    }
    this.#tell(now);
    return { ...report, version: this.version, dryRun: false, pending: this.pending() };
  }

  async #applyPending(
    rows: readonly ParameterRow[],
    next: ParameterValues,
    terms: ConfirmTerms,
    withinSeconds: number,
    actor: Actor,
    audit: AuditEntry,
  ): Promise<void> {
    const known = new Map(this.#snapshot.rows.map((row) => [row.name, row.value]));
    const pending: PendingChange = {
      id: randomUUID(),
      deadline: this.#options.now() + withinSeconds * 1000,
      before: rows.map(({ name }) => ({ name, value: known.get(name) ?? null })),
      terms: JSON.stringify(terms),
      changedBy: actor.who,
    };
    this.#adopt(await this.#options.store.save({ expectedVersion: this.version, rows, pending, audit }));
    try {
      await this.#apply(next);
    } catch (error) {
      // The listeners are the old ones already; the values follow. If the store fails too, the next start undoes it.
      this.#adopt(
        await saveUndone(this.#options, this.#snapshot, pending, CENTRAL, `it could not be applied: ${textOf(error)}`),
      );
      throw error;
    }
    this.#cancelTimer = this.#options.after(
      pending.deadline - this.#options.now(),
      () => void this.#expire(pending.id),
    );
  }

  async #expire(id: string): Promise<void> {
    try {
      await this.#changes.runExclusive(async () => {
        const { pending } = this.#snapshot;
        if (pending?.id === id && !this.#stopped) await this.#undo(pending, CENTRAL, 'it was not confirmed in time');
      });
    } catch (error) {
      // A store that cannot write ends Central (store.ts, onFailure), and its next start undoes the change.
      this.#options.log.error(
        { change: id, error: textOf(error) },
        'the unconfirmed parameter change could not be undone',
      );
    }
  }

  async #undo(pending: PendingChange, actor: Actor, reason: string): Promise<void> {
    const now = this.values();
    this.#cancelTimer();
    this.#adopt(await saveUndone(this.#options, this.#snapshot, pending, actor, reason));
    this.#options.log.info({ change: pending.id, reason }, 'parameter change undone');
    await this.#apply(this.values()).catch((error: unknown) => this.#repairLater(error));
    this.#tell(now);
  }

  async #apply(next: ParameterValues): Promise<void> {
    const now = this.#applied;
    if (!sameValue(next, now)) await this.#options.applier.apply(next, now);
    this.#applied = next;
    this.#appliedAt = this.#options.now();
    this.#trouble = null;
    this.#cancelRepair();
  }

  /** The values went back, the listeners could not (somebody took the old port meanwhile): tried until it holds, and told in health. */
  #repairLater(error: unknown): void {
    this.#trouble = `What listens is not what the parameters say: ${textOf(error)}`;
    this.#options.log.error({ error: textOf(error) }, 'listeners could not be moved back; trying again');
    if (this.#stopped) return;
    this.#cancelRepair();
    this.#cancelRepair = this.#options.after(REPAIR_MS, () => void this.#repair());
  }

  async #repair(): Promise<void> {
    try {
      await this.#changes.runExclusive(async () => await this.#apply(this.values()));
    } catch (error) {
      this.#repairLater(error);
    }
  }

  #adopt(snapshot: ParameterSnapshot): void {
    this.#snapshot = snapshot;
    this.#stored = this.#read(snapshot);
  }

  #tell(before: ParameterValues): void {
    const values = this.values();
    for (const { names, listener } of this.#subscribers) {
      if (names.some((name) => !sameValue(values[name], before[name]))) listener(values);
    }
  }

  #effective(stored: ParameterValues): ParameterValues {
    return { ...stored, ...Object.fromEntries([...this.#overrides.values()].map(({ name, value }) => [name, value])) };
  }

  /** Values of the rows. A row that another version of Central wrote and this one does not understand leaves the default. */
  #read(snapshot: ParameterSnapshot): ParameterValues {
    const values = new Map<ParameterName, ParameterValue>();
    for (const { name, value } of snapshot.rows) {
      if (value === null || !isParameterName(name)) continue;
      const judged = validateValue(name, JSON.parse(value));
      if ('value' in judged) values.set(name, judged.value);
      else
        this.#options.log.error(
          { parameter: name, found: judged.fault.found },
          `stored value is not allowed any more, the default holds: ${judged.fault.text}`,
        );
    }
    return { ...defaultValues(), ...Object.fromEntries(values) };
  }
}

/** Writes the values from before a pending change, and its end. */
async function saveUndone(
  options: ParameterServiceOptions,
  snapshot: ParameterSnapshot,
  pending: PendingChange,
  actor: Actor,
  reason: string,
): Promise<ParameterSnapshot> {
  const at = options.now();
  const rows = pending.before.map(({ name, value }) => ({ name, value, changedBy: actor.who, changedAt: at }));
  const audit = auditEntry(
    actor,
    'parameters.undo',
    { change: pending.id, by: pending.changedBy, reason, before: pending.before },
    at,
  );
  return await options.store.save({ expectedVersion: snapshot.version, rows, pending: null, audit });
}
