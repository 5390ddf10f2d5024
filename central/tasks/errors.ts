// The errors of tasks: why one is not run, and why its output cannot be read. What becomes of a task later is its state.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const TASK_ERRORS = {
  agent_without_tasks: {
    status: 409,
    text: 'The agent {agent} has not reported what it can run.',
    hint: 'It reports that when it connects with a version that runs tasks: see "queuegate agents show {agent}".',
  },
  handler_unknown: {
    status: 422,
    text: 'The agent {agent} has no handler {handler}; it has: {known}.',
    hint: 'Set task.{handler}.command in the configuration of the agent and let it read that again, or name one of its handlers.',
  },
  task_deadline_invalid: {
    status: 422,
    text: 'The deadline {found} is not allowed; allowed: from now to {seconds} s ahead.',
    hint: 'An agent remembers for a limited time which tasks it had, so that none runs twice. Choose an earlier deadline.',
  },
  task_channel_unknown: {
    status: 404,
    text: 'The task {task} has no channel {found}; allowed: {allowed}.',
    hint: 'Name one of them.',
  },
  task_output_not_started: {
    status: 409,
    text: 'The task {task} is {state}: it has not written anything.',
    hint: 'Read its output when it runs: "queuegate tasks show {task}" shows its state, "tasks output --follow" waits for it.',
  },
  task_output_missing: {
    status: 404,
    text: 'The task {task} has no {channel}: its program was not started.',
    hint: 'See "queuegate tasks show {task}" for the reason.',
  },
  task_output_gone: {
    status: 410,
    text: 'The agent {agent} does not have {channel} of the task {task} any more.',
    hint: 'Agents keep what their last 500 tasks wrote, for 8 days and up to 1 GiB. The last 4,096 bytes are in "queuegate tasks show {task}".',
  },
  task_output_offset_invalid: {
    status: 416,
    text: 'The output of the task {task} begins at byte 0 and has fewer than {offset} bytes.',
    hint: 'Continue at the number of bytes that you have.',
  },
  task_output_unsupported: {
    status: 409,
    text: 'The software of the agent {agent} is too old to send the output of tasks.',
    hint: 'Update the software of the agent. The last 4,096 bytes are in "queuegate tasks show {task}".',
  },
  task_outputs_full: {
    status: 503,
    text: 'Too many outputs of tasks are being read: at most {allowed} {of}.',
    hint: 'Retry after the time in Retry-After, or end a reader.',
  },
  task_output_failed: {
    status: 503,
    text: 'The agent {agent} did not send the output of the task {task}: {found}.',
    hint: 'Retry after the time in Retry-After. If it fails again, see the log of the agent (log.level=debug).',
  },
} as const satisfies ErrorTable;

export const taskFault = defineErrors(TASK_ERRORS);
