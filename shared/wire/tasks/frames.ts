// What Central and agents say about tasks: the start of one, which is a command in the durable log of the agent, and the
// frames beside the messages (what the agent can run, how far its tasks are, cancel). messages.ts draws the conversation.
import { validate, type JsonSchema, type Static } from '../json-schema.ts';

/** What an agent names that runs tasks. */
export const TASKS_CAPABILITY = 'tasks.1';

/** Source and type of the command that starts a task. No producer may use them (central/admin/messages). */
export const TASK_SOURCE = '/central/tasks';
export const TASK_START = 'queuegate.task.start';

/** The states of a task, at Central; the last ones are final. */
export const TASK_STATES = [
  'queued',
  'sent',
  'accepted',
  'running',
  'canceling',
  'succeeded',
  'failed',
  'canceled',
  'timed-out',
  'expired',
  'lost',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** Those that an agent reports; it keeps `starting` to itself. */
const AGENT_TASK_STATES = [
  'accepted',
  'running',
  'succeeded',
  'failed',
  'canceled',
  'timed-out',
  'expired',
  'lost',
] as const;
export type AgentTaskState = (typeof AGENT_TASK_STATES)[number];

export const FINAL_TASK_STATES = ['succeeded', 'failed', 'canceled', 'timed-out', 'expired', 'lost'] as const;
export type FinalTaskState = (typeof FINAL_TASK_STATES)[number];
const FINAL: ReadonlySet<string> = new Set(FINAL_TASK_STATES);

export function isFinalTaskState(state: string): boolean {
  return FINAL.has(state);
}

/** A command has 256 KiB; the arguments of a program are short. */
export const MAX_ARGUMENTS = 64;
export const MAX_ARGUMENT_LENGTH = 4096;
/** Of all arguments together, in UTF-8. */
export const MAX_ARGUMENTS_BYTES = 16 * 1024;
/** An agent remembers for a week which commands it had: one that comes later than that could run again. */
export const MAX_TASK_DEADLINE_SECONDS = 6 * 86_400;

const MAX_TIME = 8_640_000_000_000_000;
const time = { type: 'integer', minimum: 0, maximum: MAX_TIME } as const;
const count = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;
const code = { type: 'string', maxLength: 64 } as const;
const line = { type: 'string', maxLength: 1024 } as const;
/** Random: after a restore, Central may give the same number again. */
const key = { type: 'string', minLength: 32, maxLength: 32, pattern: '^[0-9a-f]{32}$' } as const;
const name = { type: 'string', minLength: 1, maxLength: 64, pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' } as const;

/** The data of the command that starts a task. */
const TASK_START_DATA = {
  type: 'object',
  required: ['task', 'key', 'handler', 'arguments', 'deadlineAt'],
  properties: {
    /** The id of REST, such as t-981. */
    task: { type: 'string', minLength: 3, maxLength: 24, pattern: '^t-[0-9]+$' },
    key,
    handler: name,
    arguments: {
      type: 'array',
      maxItems: MAX_ARGUMENTS,
      items: { type: 'string', maxLength: MAX_ARGUMENT_LENGTH },
    },
    /** By Central's clock: it is not started later. */
    deadlineAt: time,
  },
} as const satisfies JsonSchema;
export type TaskStart = Static<typeof TASK_START_DATA>;

/** The start of a task in the text of a command; a sentence: it is none. */
export function readTaskStart(json: string): TaskStart | string {
  const { data } = JSON.parse(json) as { readonly data?: unknown };
  const fault = validate(TASK_START_DATA, data);
  if (fault !== undefined) return fault;
  const start = data as TaskStart;
  const isWhole = start.arguments.every((one) => !one.includes('\0'));
  return isWhole ? start : 'an argument has a null character';
}

/** The end of what a program wrote, in a report: so many bytes of each channel. */
export const TAIL_BYTES = 4096;

const output = {
  type: 'object',
  required: ['keptBytes', 'sha256', 'truncated', 'tail'],
  properties: {
    /** As kept at the agent. */
    keptBytes: count,
    sha256: { type: 'string', minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$' },
    /** The program wrote more than was kept. */
    truncated: { type: 'boolean' },
    /** The last bytes, in base64. */
    tail: { type: 'string', maxLength: 4 * Math.ceil(TAIL_BYTES / 3) },
  },
} as const;
const outputOrNull = { anyOf: [{ type: 'null' }, output] } as const;
/** RFC 3339 in UTC. */
const instant = {
  type: 'string',
  minLength: 24,
  maxLength: 24,
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$',
} as const;
const instantOrNull = { anyOf: [{ type: 'null' }, instant] } as const;

/**
 * How far tasks are at the agent: the newest state of each that changed. The agent repeats them in later sessions until
 * Central has recorded them.
 */
export const TASK_REPORTS = {
  type: 'object',
  required: ['type', 'through', 'items'],
  properties: {
    type: { const: 'task-states' },
    /** The agent's own count of changes; Central repeats it in its answer. */
    through: count,
    items: {
      type: 'array',
      maxItems: 100,
      items: {
        type: 'object',
        required: [
          'key',
          'state',
          'changedAt',
          'startedAt',
          'endsWithinSeconds',
          'exitCode',
          'code',
          'detail',
          'hint',
          'stdout',
          'stderr',
        ],
        properties: {
          key,
          state: { enum: AGENT_TASK_STATES },
          /** By the clock of the agent's host. */
          changedAt: instant,
          startedAt: instantOrNull,
          /** Of a running task: the agent ends it after so many seconds at most, with its grace. */
          endsWithinSeconds: { anyOf: [{ type: 'null' }, { type: 'integer', minimum: 0, maximum: 366 * 86_400 }] },
          /** As a shell has it: 128 and the number of the signal that ended the program. Null: there is none. */
          exitCode: { anyOf: [{ type: 'null' }, { type: 'integer', minimum: 0, maximum: 255 }] },
          /** Why, where the state does not say it; empty else. */
          code,
          detail: line,
          hint: line,
          stdout: outputOrNull,
          stderr: outputOrNull,
        },
      },
    },
  },
} as const;
/** The largest such frame. One result with both tails fits. */
export const MAX_TASK_REPORTS_BYTES = 20 * 1024;

/** What was reported through this count is on Central's disk. */
export const TASK_REPORTS_RECORDED = {
  type: 'object',
  required: ['type', 'through'],
  properties: { type: { const: 'task-states-recorded' }, through: count },
} as const;

export const MAX_HANDLERS = 64;
/** Of one agent. */
export const MAX_QUEUES = 16;
export const ARGUMENT_MODES = ['none', 'list', 'fixed'] as const;
const seconds = { type: 'integer', minimum: 0, maximum: 366 * 86_400 } as const;

/** What the agent can run, once after each welcome and when its configuration changes. */
export const TASK_HANDLERS = {
  type: 'object',
  required: ['type', 'accounts', 'containment', 'handlers'],
  properties: {
    type: { const: 'task-handlers' },
    /** `one`: tasks run under the account of the agent, and can read its key. */
    accounts: { enum: ['one', 'two'] },
    /** How what a task started is found when it ends: cgroup v2, or the process group, which a program can leave. */
    containment: { enum: ['cgroup', 'process-group'] },
    /** Whose tasks it takes, of its handlers; absent: of older software, none. */
    queues: { type: 'array', maxItems: MAX_QUEUES, items: name },
    handlers: {
      type: 'array',
      maxItems: MAX_HANDLERS,
      items: {
        type: 'object',
        required: [
          'name',
          'arguments',
          'argumentPattern',
          'timeoutSeconds',
          'graceSeconds',
          'concurrencyCount',
          'rerun',
        ],
        properties: {
          name,
          arguments: { enum: ARGUMENT_MODES },
          argumentPattern: { anyOf: [{ type: 'null' }, { type: 'string', maxLength: 256 }] },
          timeoutSeconds: seconds,
          graceSeconds: seconds,
          concurrencyCount: { type: 'integer', minimum: 1, maximum: 64 },
          rerun: { type: 'boolean' },
        },
      },
    },
  },
} as const;
/** The largest such frame. */
export const MAX_TASK_HANDLERS_BYTES = 64 * 1024;

/** End these tasks; Central repeats it until they have ended. One that has not come yet is never started. */
export const TASK_CANCEL = {
  type: 'object',
  required: ['type', 'tasks'],
  properties: {
    type: { const: 'task-cancel' },
    tasks: {
      type: 'array',
      maxItems: 100,
      items: { type: 'object', required: ['task', 'key'], properties: { task: TASK_START_DATA.properties.task, key } },
    },
  },
} as const;

export type TaskReports = Static<typeof TASK_REPORTS>;
export type TaskReport = TaskReports['items'][number];
export type TaskOutput = Static<typeof output>;
export type TaskReportsRecorded = Static<typeof TASK_REPORTS_RECORDED>;
export type TaskHandlers = Static<typeof TASK_HANDLERS>;
export type TaskCancel = Static<typeof TASK_CANCEL>;

/** The time of a report, in milliseconds; undefined: there is no such day. */
export function timeOfReport(text: string): number | undefined {
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}
