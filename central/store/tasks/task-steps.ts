// How a task becomes another one, as pure functions: what agents report, what administrators cancel, and what time ends.
// The store applies them inside its transactions, so that a report that comes twice, or after the end, changes nothing.
import { isFinalTaskState, timeOfReport, type TaskReport } from '../../../shared/wire/tasks/frames.ts';
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';
import type { Cause } from '../rollouts/rollout-store.ts';
import type { TaskRecord, TaskTimes } from './task-store.ts';

/** Codes of `stateReason` that Central itself gives. */
export const CENTRAL_TASK_CAUSES = {
  task_not_accepted: {
    text: 'The agent {agent} did not report before the deadline that it has the task.',
    hint: 'See "queuegate agents show {agent}", then run the task again, with a later deadline if the agent is often offline. If the agent had it nevertheless, its result will be shown as lateResult.',
  },
  task_queue_late: {
    text: 'No agent of the queue {queue} had room for the task before its deadline.{refusal}',
    hint: 'See "queuegate tasks list --queue {queue}" for what was before it. Let more agents serve the queue (agent.queues), raise task.NAME.concurrency there, or run the task again with a later deadline.',
  },
  task_agent_silent: {
    text: 'The agent {agent} reported no end of the task in time (tasks.lostAfterSeconds): it is unknown how it ended.',
    hint: 'See "queuegate agents show {agent}". When the agent reports the result after all, it is shown as lateResult.',
  },
} as const satisfies ErrorTable;
const cause = defineErrors(CENTRAL_TASK_CAUSES);
const GIVEN_UP: ReadonlySet<string> = new Set(['task_not_accepted', 'task_agent_silent']);
/** Why an agent refuses a task (agent/tasks/causes.ts): with these and without a start, it will never start it. */
const REFUSALS: ReadonlySet<string> = new Set([
  'task_handler_unknown',
  'task_arguments_invalid',
  'task_program_missing',
  'task_not_started',
]);
/** So many agents may refuse a task of a queue: more would most likely refuse it, too. */
const MAX_REFUSALS = 3;

export const NO_CAUSE: Cause = { code: '', detail: '', hint: '' };
/** A task may be accepted just before its deadline: the report needs some time. */
export const REPORT_MS = 60_000;

type TaskEvent =
  | { readonly kind: 'report'; readonly report: TaskReport }
  | { readonly kind: 'cancel' }
  /** The command that starts it was taken back before it was sent. */
  | { readonly kind: 'withdrawn' }
  /** Its state has lasted until its deadline. */
  | { readonly kind: 'overdue' };

/** As users see it. */
export function taskId({ number }: Pick<TaskRecord, 'number'>): string {
  return `t-${number}`;
}

/** The task after what happened; undefined: it is the same. */
export function stepOf(task: TaskRecord, event: TaskEvent, { now, lostAfterMs }: TaskTimes): TaskRecord | undefined {
  if (event.kind === 'report') return reported(task, event.report, { now, lostAfterMs });
  if (isFinalTaskState(task.state)) return undefined;
  const ended = { ...task, stateChangedAt: now, stateDeadlineAt: null, endedAt: now };
  switch (event.kind) {
    case 'cancel':
      if (task.state === 'canceling') return undefined;
      return { ...task, state: 'canceling', stateChangedAt: now, stateDeadlineAt: now + lostAfterMs };
    case 'withdrawn':
      return { ...ended, state: 'canceled' };
    case 'overdue': {
      if (task.state === 'queued') return { ...ended, state: 'expired', stateReason: queueCauseOf(task) };
      const code = task.state === 'sent' ? 'task_not_accepted' : 'task_agent_silent';
      return { ...ended, state: task.state === 'sent' ? 'expired' : 'lost', stateReason: causeOf(code, task) };
    }
  }
}

function reported(task: TaskRecord, report: TaskReport, { now, lostAfterMs }: TaskTimes): TaskRecord | undefined {
  const { state, exitCode, code, detail, hint, stdout, stderr } = report;
  const startedAt = report.startedAt === null ? null : (timeOfReport(report.startedAt) ?? now);
  if (isFinalTaskState(task.state)) {
    const isLate = GIVEN_UP.has(task.stateReason.code) && task.lateResult === null && isFinalTaskState(state);
    if (!isLate) return undefined;
    return { ...task, stdout, stderr, startedAt, lateResult: { state, receivedAt: now, exitCode } };
  }
  if (isRefused(task, report)) return refused(task, report, now);
  const changed = { ...task, startedAt: startedAt ?? task.startedAt, stateChangedAt: now };
  const stateReason = { code, detail, hint };
  if (isFinalTaskState(state)) {
    const result = { exitCode, stdout, stderr, endedAt: timeOfReport(report.changedAt) ?? now, stateReason };
    return { ...changed, ...result, state, stateDeadlineAt: null };
  }
  if (task.state === 'canceling') {
    if (changed.startedAt === task.startedAt) return undefined;
    return { ...changed, stateChangedAt: task.stateChangedAt };
  }
  if (state === 'running' && task.state !== 'running')
    return {
      ...changed,
      state,
      stateReason,
      stateDeadlineAt: now + (report.endsWithinSeconds ?? 0) * 1000 + lostAfterMs,
    };
  if (state === 'accepted' && task.state === 'sent')
    return { ...changed, state, stateReason, stateDeadlineAt: Math.max(now, task.deadlineAt) + lostAfterMs };
  // What keeps it from being started.
  if (state === 'accepted' && task.state === 'accepted' && code !== task.stateReason.code)
    return { ...task, stateReason };
  return undefined;
}

/** Its agent has not started it, and never will: another one of its queue may get it. */
function isRefused({ queue, state, startedAt, refusedBy }: TaskRecord, report: TaskReport): boolean {
  const isUnstarted = (state === 'sent' || state === 'accepted') && startedAt === null && report.startedAt === null;
  const mayWait = queue !== null && refusedBy.length + 1 < MAX_REFUSALS;
  return isUnstarted && mayWait && report.state === 'failed' && REFUSALS.has(report.code);
}

function refused(task: TaskRecord, { code, detail, hint }: TaskReport, now: number): TaskRecord {
  const stateReason = { code, detail: `${task.agent?.name ?? ''} refused it: ${detail}`, hint };
  const refusedBy = [...task.refusedBy, ...(task.agent === null ? [] : [task.agent.id])];
  const waiting = { agent: null, stateChangedAt: now, stateDeadlineAt: task.deadlineAt };
  return { ...task, ...waiting, state: 'queued', stateReason, refusedBy };
}

function causeOf(code: 'task_agent_silent' | 'task_not_accepted', { agent }: TaskRecord): Cause {
  const { message, hint } = cause(code, { agent: agent?.name ?? '' });
  return { code, detail: message, hint };
}

function queueCauseOf({ queue, stateReason: { detail } }: TaskRecord): Cause {
  const refusal = detail === '' ? '' : ` The last one that got it, ${detail}`;
  const { message, hint } = cause('task_queue_late', { queue: queue ?? '', refusal });
  return { code: 'task_queue_late', detail: message, hint };
}
