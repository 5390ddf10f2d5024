// Why a task is not further than it is, where its state does not say it: what the agent reports to Central.
import { defineErrors, type ErrorTable, type ParametersOf } from '../../shared/errors.ts';

export const TASK_CAUSES = {
  task_handler_unknown: {
    text: 'The agent has no handler {handler}.',
    hint: 'Set task.{handler}.command in the configuration of the agent, or run a task of another handler ("queuegate agents handlers").',
  },
  task_arguments_invalid: {
    text: 'The handler {handler} does not allow these arguments: {found}.',
    hint: 'See task.{handler}.arguments and task.{handler}.argumentPattern in the configuration of the agent.',
  },
  task_program_missing: {
    text: 'The program {command} of the handler {handler} cannot be run: {found}.',
    hint: 'Install it on the host of the agent, or correct task.{handler}.command.',
  },
  task_runner_away: {
    text: 'Tasks wait: the runner does not answer at {socket}: {found}.',
    hint: 'Start it ("systemctl start queue-agent-runner"), and check that runner.socket is the same for both and that the account of the agent is in the group of that folder. The task starts when it answers.',
  },
  task_not_started: {
    text: 'The task could not be started: {found}.',
    hint: 'Check memory, disk space and the number of processes on the host of the agent, then run it again.',
  },
  task_not_started_in_time: {
    text: 'The task was not started before its deadline.',
    hint: 'Run it again with a later deadline, or raise task.{handler}.concurrency: tasks of one handler wait for each other.',
  },
  task_result_unknown: {
    text: 'The host restarted, or the processes of the task were ended, before its result was written: it may have run completely, in part, or not at all.',
    hint: 'Check what it did, then run it again if needed. A handler with rerun=true is run again automatically.',
  },
} as const satisfies ErrorTable;

const fault = defineErrors(TASK_CAUSES);

export interface TaskCause {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
}

/** As it goes into a report. */
export function taskCause<C extends keyof typeof TASK_CAUSES>(
  code: C,
  parameters: ParametersOf<(typeof TASK_CAUSES)[C]>,
): TaskCause {
  const { message, hint } = fault(code, parameters);
  return { code, detail: message.slice(0, 1024), hint: hint.slice(0, 1024) };
}
