// The operations on tasks: programs that agents run on request.
import { ARGUMENT_MODES, TASK_STATES } from '../../../../shared/wire/tasks/frames.ts';
import {
  AGENT_REFERENCE,
  array,
  binary,
  count,
  countOrNull,
  json,
  listOf,
  named,
  object,
  orNull,
  text,
  textOrNull,
  time,
  timeOrNull,
  words,
  type Operations,
} from '../schema.ts';

const OUTPUT = orNull(
  object({
    keptBytes: { ...count, description: 'as kept at the agent, at most maxOutputBytes of the handler' },
    sha256: { ...text, description: 'of these bytes' },
    truncated: { type: 'boolean', description: 'the program wrote more' },
    tail: { ...text, description: 'the last 4,096 of these bytes, in base64' },
  } as const),
);
const TASK = named(
  'Task',
  object({
    id: { ...text, pattern: '^t-[0-9]+$' },
    agent: { ...orNull(AGENT_REFERENCE), description: 'null: it waits in its queue, or ended there' },
    queue: { ...textOrNull, description: 'that it was requested for; null: it was requested for the agent' },
    handler: text,
    arguments: array(text),
    state: words(TASK_STATES),
    stateChangedAt: time,
    stateReason: orNull(object({ code: text, detail: text, hint: text })),
    stateDeadlineAt: { ...timeOrNull, description: 'when the state ends by itself; null: it is final' },
    deadlineAt: { ...time, description: 'the agent starts it by then, or not at all' },
    createdAt: time,
    createdBy: text,
    comment: textOrNull,
    ticket: textOrNull,
    startedAt: { ...timeOrNull, description: "by the clock of the agent's host" },
    endedAt: timeOrNull,
    exitCode: { ...countOrNull, description: '128 and the number of the signal that ended it; null: there is none' },
    stdout: OUTPUT,
    stderr: OUTPUT,
    lateResult: orNull(object({ state: words(TASK_STATES), receivedAt: time, exitCode: countOrNull })),
  }),
);

export const TASK_OPERATIONS: Operations = {
  'GET /tasks': {
    id: 'listTasks',
    summary: 'Tasks, the newest first.',
    answers: { 200: json('A page.', listOf(TASK)) },
    errors: ['agent_ambiguous', 'agent_unknown'],
    example: { query: { agent: 'branch-0042', state: 'running' } },
  },
  'POST /tasks': {
    id: 'runTask',
    summary:
      'Runs a program that the configuration of an agent names, at most once: at this agent, or at one of a queue.',
    answers: { 202: json('The task; it is on disk.', TASK) },
    errors: [
      'agent_ambiguous',
      'agent_disabled',
      'agent_revoked',
      'agent_unknown',
      'agent_without_tasks',
      'handler_unknown',
      'outbox_full',
      'queue_unserved',
      'store_low',
      'task_deadline_invalid',
      'task_queue_full',
      'tasks_full',
    ],
  },
  'GET /tasks/{task}': {
    id: 'getTask',
    summary: 'One task, with the end of what it wrote.',
    answers: { 200: json('The task.', TASK) },
    errors: ['task_unknown'],
  },
  'GET /tasks/{task}/output/{channel}': {
    id: 'readTaskOutput',
    summary: 'What the program of a task wrote, byte for byte, and on request as it is written.',
    answers: {
      200: { description: 'Its bytes.', types: { 'application/octet-stream': binary } },
      206: { description: 'The part that Range asks for.', types: { 'application/octet-stream': binary } },
    },
    errors: [
      'agent_offline',
      'task_channel_unknown',
      'task_output_failed',
      'task_output_gone',
      'task_output_missing',
      'task_output_not_started',
      'task_output_offset_invalid',
      'task_output_unsupported',
      'task_outputs_full',
      'task_unknown',
    ],
  },
  'POST /tasks/{task}/cancel': {
    id: 'cancelTask',
    summary:
      'Cancels a task: one that runs gets SIGTERM, and SIGKILL after its grace. One that has ended stays as it is.',
    answers: { 202: json('The task.', TASK) },
    errors: ['task_unknown'],
  },
  'GET /agents/{agent}/task-handlers': {
    id: 'listTaskHandlers',
    summary: 'What an agent can run, as it reported last.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            name: text,
            arguments: words(ARGUMENT_MODES),
            argumentPattern: textOrNull,
            timeoutSeconds: count,
            graceSeconds: count,
            concurrencyCount: count,
            rerun: { type: 'boolean' },
            accounts: words(['one', 'two']),
            containment: words(['cgroup', 'process-group']),
            queues: { ...array(text), description: 'whose tasks the agent takes' },
            reportedAt: time,
          } as const),
        ),
      ),
    },
  },
};
