// The tasks that the list shows: read page by page, the newest first; the stream changes those in place, and counts the
// others that would be there.
import { useEffect, useRef, useState } from 'preact/hooks';
import { get, problemOf } from '../../client/api.ts';
import { onChange, onReset } from '../../client/watch.ts';
import type { Page, ProblemDocument } from '../../client/types.ts';
import { fits, numberOf, type Task, type TaskFilter } from './shapes.ts';

export interface Tasks {
  /** Undefined: not read yet. */
  readonly items: readonly Task[] | undefined;
  /** Those of `items` that were there when the list was read, and do not fit its filters any more. */
  readonly gone: ReadonlySet<string>;
  /** How many fit the filters and are not among `items`. */
  readonly newCount: number;
  readonly problem: ProblemDocument | null;
  readonly isBusy: boolean;
  /** Reads those that follow; null: that is all. */
  readonly older: (() => void) | null;
  /** Takes the list as it is now. */
  readonly update: () => void;
}

const PAGE = 50;
const MOST = 1_000;
const PAINT_MS = 250;
const AGAIN_MS = 10_000;

interface State {
  readonly key: string;
  readonly items?: readonly Task[];
  readonly next: string | null;
  readonly fresh: ReadonlySet<string>;
  readonly gone: ReadonlySet<string>;
  readonly problem: ProblemDocument | null;
  readonly isBusy: boolean;
}

const nothing = (key: string): State => ({
  key,
  next: null,
  fresh: new Set(),
  gone: new Set(),
  problem: null,
  isBusy: true,
});

export function useTasks(filter: TaskFilter): Tasks {
  const key = JSON.stringify(filter);
  const [state, set] = useState<State>(nothing(key));
  const [turn, next] = useState(0);
  const shown = state.key === key ? state : nothing(key);
  const reader = useRef<AbortController | undefined>(undefined);
  const again = (): void => next((count) => count + 1);
  const read = async (after: string | null, limit: number, before: readonly Task[]): Promise<void> => {
    reader.current?.abort();
    const end = new AbortController();
    reader.current = end;
    try {
      const { states, agent, queue, handler } = filter;
      const { data } = await get<Page<Task>>(
        '/tasks',
        { state: states, agent, queue, handler, after, limit },
        end.signal,
      );
      const isFirst = after === null;
      set((kept) => ({
        ...(isFirst ? nothing(key) : kept),
        key,
        items: [...before, ...data.items],
        next: data.next,
        problem: null,
        isBusy: false,
      }));
    } catch (error) {
      if (end.signal.aborted) return;
      set((kept) => ({ ...(kept.key === key ? kept : nothing(key)), problem: problemOf(error), isBusy: false }));
    }
  };
  useEffect(() => {
    const count = Math.min(MOST, Math.max(PAGE, shown.items?.length ?? 0));
    set((kept) => (kept.key === key ? { ...kept, isBusy: true } : nothing(key)));
    void read(null, count, []);
    return () => reader.current?.abort();
  }, [key, turn]);
  useEffect(() => onReset(again), []);
  const hasFailed = shown.problem !== null && shown.problem.status >= 500;
  useEffect(() => {
    if (!hasFailed && shown.problem?.status !== 0) return undefined;
    const timer = setTimeout(again, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [shown.problem]);
  useEffect(
    () => followed((changed) => set((kept) => (kept.key === key ? merged(kept, changed, filter) : kept))),
    [key],
  );
  const { items, gone, fresh, problem, isBusy, next: place } = shown;
  const older = (): void => {
    set({ ...shown, isBusy: true });
    void read(place, PAGE, items ?? []);
  };
  return { items, gone, newCount: fresh.size, problem, isBusy, older: place === null ? null : older, update: again };
}

/** What the stream brings, at most four times a second, and later where the page is hidden. */
function followed(take: (changed: ReadonlyMap<string, Task>) => void): () => void {
  const changed = new Map<string, Task>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const paint = (): void => {
    timer = undefined;
    if (document.hidden || changed.size === 0) return;
    take(new Map(changed));
    changed.clear();
  };
  const later = (): void => {
    timer ??= setTimeout(paint, PAINT_MS);
  };
  document.addEventListener('visibilitychange', later);
  const end = onChange(({ noun, id, state }) => {
    if (noun !== 'task' || state === undefined) return;
    changed.set(id, state as Task);
    if (!document.hidden) later();
  });
  return () => {
    end();
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', later);
  };
}

function merged(state: State, changed: ReadonlyMap<string, Task>, filter: TaskFilter): State {
  if (state.items === undefined) return state;
  const known = new Set(state.items.map(({ id }) => id));
  const last = state.items.at(-1);
  const [fresh, gone] = [new Set(state.fresh), new Set(state.gone)];
  for (const [id, task] of changed) {
    const isFitting = fits(task, filter);
    if (known.has(id) && isFitting) gone.delete(id);
    else if (known.has(id)) gone.add(id);
    // One that is older than those that were read comes with its page.
    else if (isFitting && (state.next === null || last === undefined || numberOf(task) > numberOf(last))) fresh.add(id);
    else fresh.delete(id);
  }
  return { ...state, items: state.items.map((task) => changed.get(task.id) ?? task), fresh, gone };
}
