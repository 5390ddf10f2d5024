// What a page shows of one request: loading, there, or failed; read again on demand, and when the stream was reset.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { problemOf } from './api.ts';
import { onReset } from './watch.ts';
import type { ProblemDocument } from './types.ts';

export interface Loaded<T> {
  /** The last that was read, also while it is read again. */
  readonly data: T | undefined;
  readonly problem: ProblemDocument | undefined;
  /** Central's time is not needed here: when it was read, by this clock. */
  readonly readAt: number;
  readonly again: () => void;
}

/**
 * Reads when `key` changes, and every `everySeconds` while the page is visible. `read` gets a signal that ends it.
 * A failure keeps what is shown, and is tried again after ten seconds.
 */
export function useLoaded<T>(key: string, read: (signal: AbortSignal) => Promise<T>, everySeconds = 0): Loaded<T> {
  const [state, set] = useState<{ key: string; data?: T; problem?: ProblemDocument; readAt: number }>({
    key,
    readAt: 0,
  });
  const [turn, next] = useState(0);
  const reader = useRef(read);
  reader.current = read;
  const again = useCallback(() => next((count) => count + 1), []);
  useEffect(() => onReset(again), [again]);
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const later = (seconds: number): void => {
      if (seconds > 0) timer = setTimeout(() => (document.hidden ? later(seconds) : again()), seconds * 1000);
    };
    reader.current(end.signal).then(
      (data) => {
        if (end.signal.aborted) return;
        set({ key, data, readAt: Date.now() });
        later(everySeconds);
      },
      (error: unknown) => {
        if (end.signal.aborted) return;
        set((before) => ({
          ...(before.key === key ? before : { key, readAt: 0 }),
          problem: problemOf(error),
        }));
        later(10);
      },
    );
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [key, turn, everySeconds, again]);
  const { data, problem, readAt } = state.key === key ? state : { data: undefined, problem: undefined, readAt: 0 };
  return { data, problem, readAt, again };
}
