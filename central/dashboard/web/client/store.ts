// State that several parts of the page show: a value, those who are notified when it changes, and the hook for them.
import { useLayoutEffect, useReducer } from 'preact/hooks';

export interface Store<T> {
  get(): T;
  set(value: T): void;
  /** Returns what ends it. */
  subscribe(act: () => void): () => void;
}

export function store<T>(first: T): Store<T> {
  let value = first;
  const acts = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const act of acts) act();
    },
    subscribe(act) {
      acts.add(act);
      return () => acts.delete(act);
    },
  };
}

/** The value, and a new rendering whenever it changes. */
export function useStore<T>(from: Store<T>): T {
  const [, again] = useReducer<number, void>((count) => count + 1, 0);
  const shown = from.get();
  // Not an effect after the paint: what changes before that would be shown by nothing.
  useLayoutEffect(() => {
    if (!Object.is(from.get(), shown)) again();
    return from.subscribe(() => again());
  }, [from]);
  return shown;
}
