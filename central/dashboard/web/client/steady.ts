// A list whose rows keep their places while it is read again: those that are gone stay, marked, and new ones come behind
// the others when they are asked for.
import { useReducer, useRef } from 'preact/hooks';

export interface SteadyRow<T> {
  readonly id: string;
  readonly item: T;
  /** No longer in the list: as it was last. */
  readonly isGone: boolean;
}

export interface Steady<T> {
  readonly rows: readonly SteadyRow<T>[];
  /** How many are in the list and not among the rows. */
  readonly newCount: number;
  /** Takes the list as it is now. */
  readonly update: () => void;
}

/** Another `key` is another list: its rows are taken as they are. */
export function useSteady<T>(items: readonly T[], idOf: (item: T) => string, key: string): Steady<T> {
  const shown = useRef<{ key: string; rows: ReadonlyMap<string, T> }>({ key, rows: new Map() });
  const [, again] = useReducer<number, void>((count) => count + 1, 0);
  const now = new Map(items.map((item) => [idOf(item), item]));
  if (shown.current.key !== key || shown.current.rows.size === 0) shown.current = { key, rows: now };
  const { rows } = shown.current;
  return {
    rows: [...rows].map(([id, before]) => ({ id, item: now.get(id) ?? before, isGone: !now.has(id) })),
    newCount: [...now.keys()].filter((id) => !rows.has(id)).length,
    update: () => {
      shown.current = { key, rows: now };
      again();
    },
  };
}
