// The states of tasks in which a command waits, and the requests about one task.
import { shown } from '../../print.ts';

export type Row = Readonly<Record<string, unknown>>;

const PASSING = ['queued', 'sent', 'accepted', 'running', 'canceling'];
/** For the help of a command. */
export const STATES = `${PASSING.join(', ')}, succeeded, failed, canceled, timed-out, expired, lost`;

/** It has not ended. */
export function isPassingState(state: unknown): boolean {
  return PASSING.includes(shown(state));
}

export const pathOf = (id: unknown): string => `/tasks/${encodeURIComponent(shown(id))}`;

/** For `waitForEnd`. */
export function awaitedTask({ id }: Row) {
  return {
    path: pathOf(id),
    what: `The task ${shown(id)}`,
    command: `tasks show ${shown(id)}`,
    passing: PASSING,
    isAwaited: true,
  };
}
