// A task as a row and its document, and the command that starts it.
import { readMessage, type Message } from '../../../../shared/delivery/message.ts';
import type { Appended, OutboxBounds } from '../../../../shared/delivery/log-interfaces.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { scanBatch } from '../../../../shared/wire/json-text.ts';
import { LIMITS } from '../../../../shared/wire/messages.ts';
import { TASK_SOURCE, TASK_START, type TaskStart, type TaskState } from '../../../../shared/wire/tasks/frames.ts';
import { NO_CAUSE, taskId } from '../../tasks/task-steps.ts';
import type { NewTask, TaskRecord } from '../../tasks/task-store.ts';

export interface TaskWritesNeeds {
  /** Errors: agent_unknown, agent_revoked, agent_disabled, outbox_full. */
  readonly append: (agentId: string, messages: readonly Message[], bounds: OutboxBounds, now: number) => Appended[];
  /** Errors: command_delivered, command_id_unknown. */
  readonly withdraw: (commandId: string, now: number) => void;
}

/** Of a task that is requested for an agent, and of one that waits in a queue. */
export const TASK_COLUMNS = `
  SELECT task.*, agent.id AS agent_id, agent.name AS agent_name FROM task LEFT JOIN agent ON agent.key = task.agent`;

/** What does not select tasks. `refusedBy` is missing in those of older versions. */
export type TaskDocument = Omit<
  TaskRecord,
  | 'agent'
  | 'handler'
  | 'key'
  | 'number'
  | 'queue'
  | 'refusedBy'
  | 'scope'
  | 'state'
  | 'stateChangedAt'
  | 'stateDeadlineAt'
> & { readonly refusedBy?: readonly string[] };

/** Of a new task. */
export function documentOf(task: Omit<NewTask, 'agentId'>): TaskDocument {
  return {
    arguments: task.arguments,
    stateReason: NO_CAUSE,
    deadlineAt: task.deadlineAt,
    createdAt: task.createdAt,
    createdBy: task.createdBy,
    comment: task.comment,
    ticket: task.ticket,
    startedAt: null,
    endedAt: null,
    exitCode: null,
    stdout: null,
    stderr: null,
    lateResult: null,
  };
}

export function recordOf(row: Row): TaskRecord {
  const [id, name, scope] = [textOrNull(row, 'agent_id'), textOrNull(row, 'agent_name'), textOrNull(row, 'scope')];
  // Written by `taskWrites` and `queueWrites` only.
  const document = JSON.parse(text(row, 'document')) as TaskDocument;
  return {
    ...document,
    refusedBy: document.refusedBy ?? [],
    number: integer(row, 'number'),
    key: text(row, 'key'),
    agent: id === null || name === null ? null : { id, name },
    queue: textOrNull(row, 'queue'),
    scope: scope === null ? null : (JSON.parse(scope) as { readonly text: string }).text,
    handler: text(row, 'handler'),
    state: text(row, 'state') as TaskState,
    stateChangedAt: integer(row, 'changed_at'),
    stateDeadlineAt: integerOrNull(row, 'deadline_at'),
  };
}

type StartedTask = Pick<NewTask, 'arguments' | 'createdAt' | 'deadlineAt' | 'handler' | 'key'>;

/** The command that starts a task. It expires at the deadline, wherever it is. */
export function startMessage(
  number: number,
  { key, handler, arguments: words, createdAt, deadlineAt }: StartedTask,
): Message {
  const data: TaskStart = { task: taskId({ number }), key, handler, arguments: [...words], deadlineAt };
  const event = {
    specversion: '1.0',
    id: key,
    source: TASK_SOURCE,
    type: TASK_START,
    time: new Date(createdAt).toISOString(),
    expirytime: new Date(deadlineAt).toISOString(),
    datacontenttype: 'application/json',
    data,
  };
  const [node] = scanBatch(JSON.stringify(event), 1).items;
  const message = node === undefined ? undefined : readMessage(node, LIMITS.maxMessageBytes);
  if (message === undefined || 'pointer' in message) throw new Error('the start of a task is not a message');
  return message;
}
