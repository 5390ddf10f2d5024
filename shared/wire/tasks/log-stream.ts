// The stream by which Central reads what a program wrote (kind `task-log`): what it asks for, and what the agent says
// before the bytes. PROTOCOL.md#streams has the rest.
import { validate, type JsonSchema, type Static } from '../json-schema.ts';

export const TASK_LOG = 'task-log';
export const TASK_CHANNELS = ['stdout', 'stderr'] as const;
export type TaskChannel = (typeof TASK_CHANNELS)[number];

const count = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;

const OPEN = {
  type: 'object',
  required: ['kind', 'key', 'channel', 'offsetBytes', 'follow'],
  properties: {
    kind: { const: TASK_LOG },
    /** Of the task. */
    key: { type: 'string', minLength: 32, maxLength: 32, pattern: '^[0-9a-f]{32}$' },
    channel: { enum: TASK_CHANNELS },
    /** The first byte that is wanted; at most as many as are kept. */
    offsetBytes: count,
    /** Until the task has ended; otherwise what is kept now. */
    follow: { type: 'boolean' },
  },
} as const satisfies JsonSchema;
export type TaskLogOpen = Static<typeof OPEN>;

const HEAD = {
  type: 'object',
  required: ['keptBytes', 'hasEnded'],
  properties: {
    /** From the beginning of the channel, now. */
    keptBytes: count,
    /** The task has ended: there will be no more. */
    hasEnded: { type: 'boolean' },
  },
} as const satisfies JsonSchema;
export type TaskLogHead = Static<typeof HEAD>;

/** Undefined: it has another form. */
export function readTaskLogOpen(value: unknown): TaskLogOpen | undefined {
  return validate(OPEN, value) === undefined ? (value as TaskLogOpen) : undefined;
}

/** Undefined: it has another form. */
export function readTaskLogHead(value: unknown): TaskLogHead | undefined {
  return validate(HEAD, value) === undefined ? (value as TaskLogHead) : undefined;
}
