// Validates a change as a whole: every name, type, bound and combination, then what the listeners object to, in one
// answer. Changes nothing.
import type { ParameterRow, ParameterSnapshot } from '../store/parameter-store.ts';
import {
  defaultValues,
  isParameterName,
  type ParameterName,
  type ParameterValue,
  type ParameterValues,
} from './definitions.ts';
import { ParameterFaults, type ParameterFault } from './errors.ts';
import { crossFaults, validateValue, nearestName, sameValue } from './values.ts';

interface CheckContext {
  /** The installation's values before the change. */
  readonly stored: ParameterValues;
  /** What would apply on this node. */
  readonly effective: (stored: ParameterValues) => ParameterValues;
  /** What the listeners object to. */
  readonly check: (next: ParameterValues) => Promise<ParameterFault[]>;
  readonly snapshot: ParameterSnapshot;
  readonly by: { readonly who: string; readonly at: number };
}

interface ValidatedChange {
  /** Rows that differ from what is stored. */
  readonly rows: readonly (ParameterRow & { readonly name: ParameterName })[];
  /** The installation's values after the change. */
  readonly stored: ParameterValues;
}

/** Errors: ParameterFaults with all that is wrong. */
export async function validateChange(
  values: Readonly<Record<string, unknown>>,
  context: CheckContext,
): Promise<ValidatedChange> {
  const faults: ParameterFault[] = [];
  const changed = new Map<ParameterName, ParameterValue>();
  const defaults = defaultValues();
  for (const [name, value] of Object.entries(values)) {
    if (!isParameterName(name)) {
      faults.push({
        parameter: name,
        found: 'an unknown name',
        allowed: 'a name of the list',
        text: unknownText(name),
      });
      continue;
    }
    const validated = value === null ? { value: defaults[name] } : validateValue(name, value);
    if ('fault' in validated) faults.push(validated.fault);
    else changed.set(name, validated.value);
  }

  const stored = { ...context.stored, ...Object.fromEntries(changed) };
  const names = new Set(changed.keys());
  for (const fault of [...crossFaults(stored, names), ...crossFaults(context.effective(stored), names)]) {
    if (!faults.some(({ text }) => text === fault.text)) faults.push(fault);
  }
  // What was objected to does not go on to the listeners; the rest does, so that one answer names all.
  const sound = [...changed].filter(([name]) => !faults.some(({ parameter }) => parameter === name));
  const next = context.effective({ ...context.stored, ...Object.fromEntries(sound) });
  if (!sameValue(next, context.effective(context.stored))) faults.push(...(await context.check(next)));
  if (faults.length > 0) throw new ParameterFaults(faults);

  const known = new Map(context.snapshot.rows.map((row) => [row.name, row.value]));
  const rows: (ParameterRow & { readonly name: ParameterName })[] = [];
  for (const [name, value] of changed) {
    const text = values[name] === null ? null : JSON.stringify(value);
    if ((known.get(name) ?? null) !== text)
      rows.push({ name, value: text, changedBy: context.by.who, changedAt: context.by.at });
  }
  return { rows, stored };
}

function unknownText(name: string): string {
  const nearest = nearestName(name);
  return nearest === undefined
    ? `There is no parameter "${name}".`
    : `There is no parameter "${name}"; did you mean ${nearest}?`;
}
