// The state of a task: its shape and always its word.
import type { JSX } from 'preact';
import { Mark } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { lookOfTask } from './shapes.ts';

export function TaskMark({ state }: { readonly state: string }): JSX.Element {
  const { meaning, icon } = lookOfTask(state);
  return (
    <Mark meaning={meaning} icon={icon}>
      {T.tasks.states[state] ?? state}
    </Mark>
  );
}
