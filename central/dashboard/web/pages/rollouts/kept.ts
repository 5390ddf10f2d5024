// All rollouts, kept by the stream of changes: read once, then each is replaced when it changes. The side bar counts those
// that halted.
import { useEffect } from 'preact/hooks';
import { all, problemOf } from '../../client/api.ts';
import { store, useStore } from '../../client/store.ts';
import type { ProblemDocument } from '../../client/types.ts';
import { onChange, onReset } from '../../client/watch.ts';
import { setBadge } from '../../shell/badges.ts';
import { T } from '../../strings.ts';
import type { Rollout } from './shapes.ts';

interface Kept {
  /** The newest first. */
  readonly rollouts: readonly Rollout[];
  readonly isWhole: boolean;
  readonly problem: ProblemDocument | null;
}

const AGAIN_MS = 10_000;
const state = store<Kept>({ rollouts: [], isWhole: false, problem: null });
let isStarted = false;
let turn = 0;

const numberOf = ({ id }: Rollout): number => Number(id.slice('r-'.length));

function take(rollouts: Iterable<Rollout>): void {
  const sorted = [...rollouts].toSorted((one, other) => numberOf(other) - numberOf(one));
  state.set({ rollouts: sorted, isWhole: true, problem: null });
  const count = sorted.filter((rollout) => rollout.state === 'halted').length;
  setBadge('rollouts', { count, level: 'warn', word: T.rollouts.halted });
}

function read(): void {
  turn += 1;
  const own = turn;
  all<Rollout>('/rollouts').then(
    (rollouts) => {
      if (own === turn) take(rollouts);
    },
    (error: unknown) => {
      if (own !== turn) return;
      state.set({ ...state.get(), problem: problemOf(error) });
      setTimeout(() => {
        if (own === turn) read();
      }, AGAIN_MS);
    },
  );
}

export const kept = { read };

export function startRollouts(): void {
  if (isStarted) return;
  isStarted = true;
  onReset(read);
  onChange(({ noun, id, state: changed }) => {
    const { rollouts, isWhole } = state.get();
    if (noun !== 'rollout' || !isWhole) return;
    const others = rollouts.filter((rollout) => rollout.id !== id);
    take(changed === undefined ? others : [changed as Rollout, ...others]);
  });
  read();
}

export function useRollouts(): Kept {
  useEffect(startRollouts, []);
  return useStore(state);
}
