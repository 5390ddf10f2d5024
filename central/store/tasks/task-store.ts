// The part of the store's interface for tasks: programs that agents run on request, how far each is, and what agents
// can run. The rules of store.ts apply.
import type { Message } from '../../../shared/delivery/message.ts';
import type { Appended, OutboxBounds } from '../../../shared/delivery/log-interfaces.ts';
import type { TaskHandlers, TaskOutput, TaskReport, TaskState } from '../../../shared/wire/tasks/frames.ts';
import type { AuditEntry } from '../audit-store.ts';
import type { LabelTerm } from '../agents/labels.ts';
import type { Cause } from '../rollouts/rollout-store.ts';

/** What came from an agent after Central had given a task up. */
interface LateResult {
  readonly state: TaskState;
  readonly receivedAt: number;
  readonly exitCode: number | null;
}

interface TaskAgent {
  readonly id: string;
  readonly name: string;
}

export interface TaskRecord {
  /** The id is `t-` with this number. */
  readonly number: number;
  /** By which the agent knows it: random, since numbers of a restored store come again. */
  readonly key: string;
  /** Null: it waits in its queue, or ended there. */
  readonly agent: TaskAgent | null;
  /** That it was requested for; null: it was requested for the agent. */
  readonly queue: string | null;
  /** Of the requester, as it was written; agents outside of it never get the task. Null: all agents. */
  readonly scope: string | null;
  /** Of a queue: the ids of the agents that refused it, and do not get it again. */
  readonly refusedBy: readonly string[];
  readonly handler: string;
  readonly arguments: readonly string[];
  readonly state: TaskState;
  readonly stateChangedAt: number;
  readonly stateReason: Cause;
  /** When the present state ends by itself; null: it is final. */
  readonly stateDeadlineAt: number | null;
  /** The agent starts it by then, or not at all. */
  readonly deadlineAt: number;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly comment: string | null;
  readonly ticket: string | null;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly exitCode: number | null;
  readonly stdout: TaskOutput | null;
  readonly stderr: TaskOutput | null;
  readonly lateResult: LateResult | null;
}

interface TaskOrder {
  readonly key: string;
  readonly handler: string;
  readonly arguments: readonly string[];
  readonly deadlineAt: number;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly comment: string | null;
  readonly ticket: string | null;
}

export interface NewTask extends TaskOrder {
  readonly agentId: string;
}

/** One that waits until an agent of the queue has room for it. */
export interface NewQueuedTask extends TaskOrder {
  readonly queue: string;
  /** Null: all agents. */
  readonly scope: { readonly text: string; readonly terms: readonly LabelTerm[] } | null;
}

/** How many may wait. */
export interface QueueBounds {
  readonly maxPerQueue: number;
  readonly maxQueued: number;
}

export interface QueueBacklog {
  readonly queue: string;
  /** Those that wait. */
  readonly tasks: number;
  /** When the one came that waits for longest. */
  readonly oldestAt: number;
}

/** The tasks of one queue and handler. */
export interface QueuedKind {
  readonly queue: string;
  readonly handler: string;
}

/** Which agents may get waiting tasks of this kind. */
export interface TaskAssignment extends QueuedKind {
  readonly agentIds: readonly string[];
  readonly terms: TaskCreation;
  /** Assigned by one call. */
  readonly limit: number;
  readonly now: number;
}

export interface AssignedTask {
  readonly number: number;
  readonly agentId: string;
  readonly message: Message;
  readonly appended: Appended;
}

export interface Assigned {
  readonly tasks: readonly AssignedTask[];
  /** Those that have no room now, or no session, or do not serve the queue any more. */
  readonly full: readonly string[];
  /** Tasks of this kind wait still. */
  readonly areLeft: boolean;
}

/** What an agent reported last of what it can run. */
export type TaskHandlersReport = Omit<TaskHandlers, 'type'> & { readonly reportedAt: number };

/** How long Central waits. */
export interface TaskTimes {
  readonly now: number;
  readonly lostAfterMs: number;
}

export interface TaskCreation {
  readonly bounds: OutboxBounds;
  /** Tasks of the agent that have not ended. */
  readonly maxUnfinished: number;
}

/** A task that ended, or became another one otherwise. */
export interface ChangedTask {
  readonly number: number;
  readonly key: string;
  /** Null: it waits in a queue, or ended there. */
  readonly agentId: string | null;
  readonly queue: string | null;
  readonly handler: string;
  readonly state: TaskState;
}

/** What bounds a page of tasks. */
export function taskText({ arguments: words, stdout, stderr }: TaskRecord): string {
  return [...words, stdout?.tail ?? '', stderr?.tail ?? ''].join('');
}

export interface TaskStore {
  /**
   * The task, with the command that starts it in the log of the agent. Errors: agent_unknown, agent_revoked,
   * agent_disabled, outbox_full, tasks_full.
   */
  create(
    task: NewTask,
    terms: TaskCreation,
    audit: AuditEntry,
  ): Promise<{
    readonly task: TaskRecord;
    readonly message: Message;
    readonly appended: Appended;
  }>;
  /**
   * The task in its queue. Errors: queue_unserved (no agent in the scope has reported queue and handler),
   * task_queue_full.
   */
  enqueue(task: NewQueuedTask, bounds: QueueBounds, audit: AuditEntry): Promise<TaskRecord>;
  /**
   * Gives waiting tasks, the oldest first, to those of these agents that have room, with the commands that start them in
   * the logs of the agents.
   */
  assign(assignment: TaskAssignment): Promise<Assigned>;
  /** Of which kinds tasks wait. */
  queuedKinds(): Promise<readonly QueuedKind[]>;
  /** The queues in which most tasks wait. */
  longestQueues(limit: number): Promise<readonly QueueBacklog[]>;
  get(number: number): Promise<TaskRecord | undefined>;
  /** Newest first; `before`: a number. */
  list(page: {
    readonly before?: number;
    readonly limit: number;
    readonly states?: readonly TaskState[];
    readonly agentId?: string;
    readonly handler?: string;
    readonly queue?: string;
  }): Promise<TaskRecord[]>;
  /** Those that are being canceled. */
  canceling(): Promise<ChangedTask[]>;
  /**
   * Ends a task that was not sent, or makes it `canceling`; one that is final or canceled already stays as it is.
   * Errors: task_unknown.
   */
  cancel(number: number, times: TaskTimes, audit: AuditEntry): Promise<TaskRecord>;
  /** What an agent reports; what Central knows already changes nothing. */
  recordStates(
    agentId: string,
    epoch: number,
    items: readonly TaskReport[],
    times: TaskTimes,
  ): Promise<readonly ChangedTask[]>;
  recordHandlers(agentId: string, epoch: number, report: TaskHandlersReport): Promise<void>;
  handlersOf(agentId: string): Promise<TaskHandlersReport | undefined>;
  /** Ends what is overdue: `expired` where no agent took it, `lost` otherwise. */
  endOverdue(now: number, limit: number): Promise<readonly ChangedTask[]>;
  /** How many there are in each state that is not final. */
  countByState(): Promise<Readonly<Partial<Record<TaskState, number>>>>;
}
