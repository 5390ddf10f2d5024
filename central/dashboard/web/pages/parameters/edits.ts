// What an administrator has edited and not applied yet: kept while they go through the groups, and between pages.
import { store } from '../../client/store.ts';
import type { Parameter } from '../../client/types.ts';
import { visible } from '../../format.ts';
import { T } from '../../strings.ts';

export interface Edit {
  /** As it is sent: null restores the default. */
  readonly value: unknown;
  /** The text of its field, where it is one. */
  readonly text: string | null;
  /** What it was when the edit began: another value means that another administrator changed it. */
  readonly base: unknown;
}

export type Edits = Readonly<Record<string, Edit>>;

export const edits = store<Edits>({});

/** What Central said against edits, by name; an edit that changes is not refused any more. */
export const refusals = store<Readonly<Record<string, string>>>({});

export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The value that the parameter gets by the edit. */
export function targetOf(parameter: Parameter, { value }: Edit): unknown {
  return value === null ? parameter.default : value;
}

function without<V>(record: Readonly<Record<string, V>>, names: readonly string[]): Readonly<Record<string, V>> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)));
}

export function drop(names: readonly string[]): void {
  edits.set(without(edits.get(), names));
  refusals.set(without(refusals.get(), names));
}

export function edit(parameter: Parameter, value: unknown, text: string | null = null): void {
  const { name } = parameter;
  const before = edits.get()[name];
  const made: Edit = { value, text, base: before === undefined ? parameter.value : before.base };
  if (same(targetOf(parameter, made), parameter.value)) return drop([name]);
  refusals.set(without(refusals.get(), [name]));
  edits.set({ ...edits.get(), [name]: made });
}

/** Applies to the value that another administrator set meanwhile. */
export function rebase(parameter: Parameter): void {
  const before = edits.get()[parameter.name];
  if (before === undefined) return;
  edits.set({ ...edits.get(), [parameter.name]: { ...before, base: parameter.value } });
}

/** The value of a text field. What is not a number is sent as it is: Central says what is allowed. */
export function valueOf({ type }: Parameter, text: string): unknown {
  const trimmed = text.trim();
  if (type === 'integer') return /^-?\d{1,15}$/.test(trimmed) ? Number(trimmed) : trimmed;
  if (type === 'list') return trimmed.split(/[\s,]+/).filter((item) => item !== '');
  return trimmed;
}

export function textOf(value: unknown): string {
  return Array.isArray(value) ? value.join(', ') : String(value);
}

/** For people: words in place of JSON. */
export function shown(value: unknown): string {
  if (value === true) return T.on;
  if (value === false) return T.off;
  const text = textOf(value);
  return text === '' ? T.emptyValue : visible(text);
}

/** Whether Central will refuse it for its bounds: said beside the field, before the preflight does. */
export function isOutside({ type, bounds }: Parameter, { value }: Edit): boolean {
  if (value === null) return false;
  if (type === 'integer')
    return typeof value !== 'number' || value < (bounds.minimum ?? -Infinity) || value > (bounds.maximum ?? Infinity);
  return type === 'list' && Array.isArray(value) && value.length > (bounds.maxItems ?? Infinity);
}
