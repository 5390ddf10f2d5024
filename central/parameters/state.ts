// Holds the parameters as the store has them and as they apply on this node, where its own configuration may override
// some. Making a change is service.ts's.
import { auditEntry, CENTRAL, type Actor } from '../audit.ts';
import type { PendingChange } from '../change/pending.ts';
import type { ParameterRow, ParameterSnapshot, ParameterStore, PendingParameters } from '../store/parameter-store.ts';
import {
  defaultValues,
  definitionOf,
  isParameterName,
  PARAMETER_NAMES,
  type ParameterName,
  type ParameterValue,
  type ParameterValues,
} from './definitions.ts';
import type { ParameterDescription, ParameterOverride } from './types.ts';
import { allowedOf, validateValue } from './values.ts';

interface ParameterStateOptions {
  readonly store: ParameterStore;
  readonly overrides: readonly ParameterOverride[];
  /** A change that was not confirmed before this start was rolled back. */
  readonly onRolledBack?: (pending: PendingChange) => void;
  /** Several nodes share the store: a change that waits for its confirmation goes on without the node that made it. */
  readonly isShared?: boolean;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now: () => number;
}

type Save = Parameters<ParameterStore['save']>[0];

export class ParameterState {
  readonly #options: ParameterStateOptions;
  readonly #overrides: ReadonlyMap<ParameterName, ParameterOverride>;
  #snapshot: ParameterSnapshot;
  /** The installation's values. */
  #stored: ParameterValues;
  /** What applies on this node: made once for all who read it. */
  #values: ParameterValues;

  private constructor(options: ParameterStateOptions, snapshot: ParameterSnapshot) {
    this.#options = options;
    this.#overrides = new Map(options.overrides.map((override) => [override.name, override]));
    this.#snapshot = snapshot;
    this.#stored = this.#read(snapshot);
    this.#values = this.effective(this.#stored);
  }

  /**
   * Loads the values. A pending change is rolled back: the connections that could have confirmed it are gone. Of several
   * nodes the one that leads does it, at its deadline.
   */
  static async open(options: ParameterStateOptions): Promise<ParameterState> {
    const state = new ParameterState(options, await options.store.load());
    const { pending } = state.#snapshot;
    if (pending === null || options.isShared === true) return state;
    options.log.info(
      { change: pending.id, by: pending.owner.who },
      'rolling back a parameter change that was not confirmed before Central stopped',
    );
    await state.saveRollback(pending, CENTRAL, 'Central started again before it was confirmed');
    options.onRolledBack?.(pending);
    return state;
  }

  /** What applies on this node. */
  values(): ParameterValues {
    return this.#values;
  }

  /** What would apply on this node with these values of the installation. */
  effective(stored: ParameterValues): ParameterValues {
    return { ...stored, ...Object.fromEntries([...this.#overrides.values()].map(({ name, value }) => [name, value])) };
  }

  /** The installation's values. */
  stored(): ParameterValues {
    return this.#stored;
  }

  snapshot(): ParameterSnapshot {
    return this.#snapshot;
  }

  overrideOf(name: ParameterName): string | null {
    return this.#overrides.get(name)?.origin ?? null;
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
        overriddenBy: this.overrideOf(name),
        changedBy: row?.changedBy ?? null,
        changedAt: row?.changedAt ?? null,
      };
    });
  }

  /** Errors: version_conflict, those of the store; then the values are what they were. */
  async save(change: Omit<Save, 'expectedVersion'>): Promise<void> {
    this.#take(await this.#options.store.save({ ...change, expectedVersion: this.#snapshot.version }));
  }

  /** The installation's values with these rows in place of those that are stored. */
  storedWith(rows: readonly Pick<ParameterRow, 'name' | 'value'>[]): ParameterValues {
    const by = { changedBy: '', changedAt: 0 };
    const replaced = new Set(rows.map(({ name }) => name));
    const kept = this.#snapshot.rows.filter(({ name }) => !replaced.has(name));
    return this.#read({ ...this.#snapshot, rows: [...kept, ...rows.map((row) => ({ ...row, ...by }))] });
  }

  /** Reads the values again: another node may have changed them. */
  async load(): Promise<void> {
    this.#take(await this.#options.store.load());
  }

  #take(snapshot: ParameterSnapshot): void {
    this.#snapshot = snapshot;
    this.#stored = this.#read(snapshot);
    this.#values = this.effective(this.#stored);
  }

  /** The mark of a change of these rows, with the values from before it. */
  pendingOf(pending: PendingChange, rows: readonly Pick<ParameterRow, 'name'>[]): PendingParameters {
    const known = new Map(this.#snapshot.rows.map((row) => [row.name, row.value]));
    return { ...pending, before: rows.map(({ name }) => ({ name, value: known.get(name) ?? null })) };
  }

  /** Writes the values from before a pending change, and removes its mark. */
  async saveRollback(pending: PendingParameters, actor: Actor, reason: string): Promise<void> {
    const at = this.#options.now();
    await this.save({
      rows: pending.before.map(({ name, value }) => ({ name, value, changedBy: actor.who, changedAt: at })),
      pending: null,
      audit: auditEntry(
        actor,
        'changes.rollback',
        { change: pending.id, subject: 'parameters', by: pending.owner.who, reason, before: pending.before },
        at,
      ),
    });
  }

  /** A row of another version of Central with a value that this one does not allow leaves the default. */
  #read(snapshot: ParameterSnapshot): ParameterValues {
    const values = new Map<ParameterName, ParameterValue>();
    for (const { name, value } of snapshot.rows) {
      if (value === null || !isParameterName(name)) continue;
      const validated = validateValue(name, JSON.parse(value));
      if ('value' in validated) values.set(name, validated.value);
      else
        this.#options.log.error(
          { parameter: name, found: validated.fault.found },
          `the stored value is not allowed any more, the default applies: ${validated.fault.text}`,
        );
    }
    return { ...defaultValues(), ...Object.fromEntries(values) };
  }
}
