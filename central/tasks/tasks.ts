// Tasks at Central: runs programs at agents by a command in the durable log of the agent, records what agents report of
// them, cancels them, and gives up what no agent reports any more.
import { randomBytes } from 'node:crypto';
import { isCoded, textOf } from '../../shared/errors.ts';
import {
  isFinalTaskState,
  MAX_TASK_DEADLINE_SECONDS,
  TASKS_CAPABILITY,
  TASK_CANCEL,
  TASK_STATES,
  type TaskHandlers,
  type TaskReports,
} from '../../shared/wire/tasks/frames.ts';
import { auditEntry, type Actor } from '../audit.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterState } from '../parameters/state.ts';
import { NewestReports } from '../sessions/limits/newest-reports.ts';
import type { Session } from '../sessions/session.ts';
import { storeFault } from '../store/errors.ts';
import type {
  ChangedTask,
  TaskCreation,
  TaskHandlersReport,
  TaskRecord,
  TaskStore,
  TaskTimes,
} from '../store/tasks/task-store.ts';
import { taskId } from '../store/tasks/task-steps.ts';
import type { Scope } from '../agents/scope.ts';
import { taskFault } from './errors.ts';
import { TaskQueues } from './queues.ts';

interface TasksNeeds {
  readonly store: TaskStore;
  readonly parameters: Pick<ParameterState, 'values'>;
  readonly sessions: { notify(agentId: string): void; of(agentId: string): Session | undefined };
  readonly metrics: Metrics;
  /** This node does what one node does for all. */
  readonly leads: () => boolean;
  readonly log: {
    info(facts: object, text: string): void;
    debug(facts: object, text: string): void;
    error(facts: object, text: string): void;
  };
  readonly now: () => number;
}

interface TaskOrder {
  readonly handler: string;
  readonly arguments: readonly string[];
  /** Undefined: in `DEFAULT_DEADLINE_MS`. */
  readonly deadlineAt: number | undefined;
}

interface AgentTaskOrder extends TaskOrder {
  readonly agent: { readonly id: string; readonly name: string };
}

interface QueueTaskOrder extends TaskOrder {
  readonly queue: string;
  /** Of the requester: which agents may get it. */
  readonly scope: Scope | null;
}

const DAY_MS = 86_400_000;
/** An agent that was off over night starts it in the morning. */
const DEFAULT_DEADLINE_MS = DAY_MS;
/** Cancel frames are lost with a session; an agent that has one twice does the same. */
const CANCEL_AGAIN_MS = 30_000;
const LOOK_MS = 5_000;
const OVERDUE_STEP = 200;
/** Each is a time series. */
const LONGEST_QUEUES = 10;
const ID = /^t-([1-9]\d{0,14})$/;

export class Tasks {
  readonly #needs: TasksNeeds;
  /** By agent: the tasks that are being canceled, by key. */
  readonly #canceling = new Map<string, Map<string, string>>();
  #canceledAgainAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  readonly #handlers: NewestReports<TaskHandlersReport & { readonly epoch: number }>;
  readonly #queues: TaskQueues;

  constructor(needs: TasksNeeds) {
    this.#needs = needs;
    this.#queues = new TaskQueues({ ...needs, terms: () => this.#terms() });
    this.#handlers = new NewestReports(async (agentId, { epoch, ...report }) => {
      await needs.store.recordHandlers(agentId, epoch, report).then(
        () => this.#queues.onReported(agentId, report),
        (error: unknown) => this.#reportFailed(agentId, error),
      );
    });
  }

  async start(): Promise<void> {
    for (const { agentId, key, number } of await this.#needs.store.canceling())
      if (agentId !== null) this.#awaitEnd(agentId, key, number);
    await this.#queues.start();
    this.#timer ??= setInterval(() => {
      this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    }, LOOK_MS);
  }

  /** Another node changed tasks: agents here hear that theirs are canceled, and get those that wait in their queues. */
  async follow(): Promise<void> {
    const canceling = await this.#needs.store.canceling();
    const before = new Map(this.#canceling);
    this.#canceling.clear();
    for (const { agentId, key, number } of canceling) if (agentId !== null) this.#awaitEnd(agentId, key, number);
    for (const [agentId, tasks] of this.#canceling)
      if (tasks.size > (before.get(agentId)?.size ?? 0)) this.#sendCancel(agentId);
    await this.#queues.follow();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    await this.#queues.stop();
  }

  /**
   * On disk when it resolves. Errors: agent_without_tasks, handler_unknown, task_deadline_invalid, tasks_full,
   * outbox_full, agent_unknown, agent_revoked, agent_disabled.
   */
  async run(order: AgentTaskOrder, actor: Actor): Promise<TaskRecord> {
    return await this.#run(order, actor).catch(this.#countRefusal);
  }

  async #run({ agent, handler, arguments: words, deadlineAt }: AgentTaskOrder, actor: Actor): Promise<TaskRecord> {
    const { store, sessions, log } = this.#needs;
    const report = await store.handlersOf(agent.id);
    if (report === undefined) throw taskFault('agent_without_tasks', { agent: agent.name });
    const known = report.handlers.map(({ name }) => name);
    if (!known.includes(handler))
      throw taskFault('handler_unknown', { agent: agent.name, handler, known: known.join(', ') || 'none' });
    const order = this.#orderOf({ handler, arguments: words, deadlineAt }, actor);
    // The arguments are in the task that the entry names: the audit log is kept for ever.
    const detail = { agent: agent.id, handler, argumentCount: words.length };
    const entry = auditEntry(actor, 'tasks.run', detail, order.createdAt);
    const { task } = await store.create({ ...order, agentId: agent.id }, this.#terms(), entry);
    sessions.notify(agent.id);
    log.info({ task: taskId(task), agent: agent.id, handler }, 'task');
    return task;
  }

  /**
   * Waits in the queue until an agent that serves it has room. On disk when it resolves. Errors: queue_unserved,
   * task_deadline_invalid, task_queue_full.
   */
  async runInQueue(order: QueueTaskOrder, actor: Actor): Promise<TaskRecord> {
    return await this.#runInQueue(order, actor).catch(this.#countRefusal);
  }

  async #runInQueue({ queue, scope, ...ordered }: QueueTaskOrder, actor: Actor): Promise<TaskRecord> {
    const { store, parameters, log } = this.#needs;
    const { handler, arguments: words } = ordered;
    const order = this.#orderOf(ordered, actor);
    const entry = auditEntry(actor, 'tasks.run', { queue, handler, argumentCount: words.length }, order.createdAt);
    const values = parameters.values();
    const bounds = { maxPerQueue: values['tasks.maxPerQueue'], maxQueued: values['tasks.maxQueued'] };
    const limits = scope === null ? null : { text: scope.text, terms: scope.terms };
    const task = await store.enqueue({ ...order, queue, scope: limits }, bounds, entry);
    log.info({ task: taskId(task), queue, handler }, 'task');
    this.#queues.onQueued({ queue, handler });
    return task;
  }

  readonly #countRefusal = (error: unknown): never => {
    if (isCoded(error)) this.#needs.metrics.instruments.queuegate_task_refusals_total.inc({ code: error.code });
    throw error;
  };

  /** Errors: task_deadline_invalid. */
  #orderOf({ deadlineAt, ...ordered }: TaskOrder, actor: Actor) {
    const createdAt = this.#needs.now();
    const deadline = deadlineAt ?? createdAt + DEFAULT_DEADLINE_MS;
    if (deadline <= createdAt || deadline > createdAt + MAX_TASK_DEADLINE_SECONDS * 1000)
      throw taskFault('task_deadline_invalid', {
        found: new Date(deadline).toISOString(),
        seconds: MAX_TASK_DEADLINE_SECONDS,
      });
    const { who: createdBy, comment = null, ticket = null } = actor;
    const key = randomBytes(16).toString('hex');
    return { ...ordered, key, deadlineAt: deadline, createdAt, createdBy, comment, ticket };
  }

  #terms(): TaskCreation {
    const values = this.#needs.parameters.values();
    const bounds = {
      maxMessages: values['agents.outbox.maxMessages'],
      maxBytes: values['agents.outbox.maxBytes'],
      deduplicationMs: values['messages.deduplicationDays'] * DAY_MS,
    };
    return { bounds, maxUnfinished: values['tasks.maxPerAgent'] };
  }

  /** Errors: task_unknown. */
  async find(id: string): Promise<TaskRecord> {
    const task = await this.#needs.store.get(numberOf(id));
    if (task === undefined) throw storeFault('task_unknown', { id: id.slice(0, 64) });
    return task;
  }

  /** Newest first. */
  list(page: Parameters<TaskStore['list']>[0]): Promise<TaskRecord[]> {
    return this.#needs.store.list(page);
  }

  /** A task that has ended stays as it is. Errors: task_unknown. */
  async cancel(id: string, actor: Actor): Promise<TaskRecord> {
    const { store, now } = this.#needs;
    const times = this.#times();
    const task = await store.cancel(numberOf(id), times, auditEntry(actor, 'tasks.cancel', { task: id }, now()));
    const { agent, state } = task;
    if (state === 'canceling' && agent !== null) {
      this.#awaitEnd(agent.id, task.key, task.number);
      this.#sendCancel(agent.id);
    }
    if (state === 'canceled' && agent !== null) this.#queues.onRoom(agent.id);
    return task;
  }

  /** What an agent reported last of what it can run. */
  handlersOf(agentId: string): Promise<TaskHandlersReport | undefined> {
    return this.#needs.store.handlersOf(agentId);
  }

  /** A session opened: the agent may have missed that tasks are canceled. */
  onOpened(session: Session): void {
    if (session.facts.capabilities.includes(TASKS_CAPABILITY)) this.#sendCancel(session.facts.agentId);
  }

  /** A session ended. */
  onClosed({ agentId }: Pick<Session['facts'], 'agentId'>): void {
    this.#queues.onClosed(agentId);
  }

  /** Must not throw. Without an answer, the agent repeats its states in the next session. */
  onFrame(session: Pick<Session, 'facts' | 'sendControl'>, frame: TaskHandlers | TaskReports): void {
    const { store, now } = this.#needs;
    const { agentId, epoch } = session.facts;
    if (frame.type === 'task-handlers') {
      const { type: _, ...report } = frame;
      return this.#handlers.note(agentId, { ...report, epoch, reportedAt: now() });
    }
    store.recordStates(agentId, epoch, frame.items, this.#times()).then(
      (changed) => {
        this.#noteEnds(changed);
        this.#noteRoom(changed, agentId);
        session.sendControl({ type: 'task-states-recorded', through: frame.through });
      },
      (error: unknown) => this.#reportFailed(agentId, error),
    );
  }

  #reportFailed(agentId: string, error: unknown): void {
    this.#needs.log.debug({ agent: agentId, error: textOf(error) }, 'what an agent reported of its tasks');
  }

  /** Sets the metrics that are not counted as things happen. */
  async measure(): Promise<void> {
    const { store, metrics, now } = this.#needs;
    const counts = await store.countByState();
    const longest = await store.longestQueues(LONGEST_QUEUES);
    const { queuegate_queue_tasks: tasks, queuegate_queue_age_seconds: ages } = metrics.instruments;
    tasks.reset();
    ages.reset();
    for (const { queue, tasks: count, oldestAt } of longest) {
      tasks.set({ queue }, count);
      ages.set({ queue }, Math.max(0, now() - oldestAt) / 1000);
    }
    for (const state of TASK_STATES)
      if (!isFinalTaskState(state)) metrics.instruments.queuegate_tasks.set({ state }, counts[state] ?? 0);
  }

  #times(): TaskTimes {
    const { parameters, now } = this.#needs;
    return { now: now(), lostAfterMs: parameters.values()['tasks.lostAfterSeconds'] * 1000 };
  }

  #awaitEnd(agentId: string, key: string, number: number): void {
    const ofAgent = this.#canceling.get(agentId) ?? new Map<string, string>();
    this.#canceling.set(agentId, ofAgent.set(key, taskId({ number })));
  }

  #sendCancel(agentId: string): void {
    const [session, ofAgent] = [this.#needs.sessions.of(agentId), this.#canceling.get(agentId)];
    if (ofAgent === undefined || session?.facts.capabilities.includes(TASKS_CAPABILITY) !== true) return;
    const tasks = Array.from(ofAgent, ([key, task]) => ({ task, key }));
    const { maxItems } = TASK_CANCEL.properties.tasks;
    for (let at = 0; at < tasks.length; at += maxItems)
      session.sendControl({ type: 'task-cancel', tasks: tasks.slice(at, at + maxItems) });
  }

  #noteEnds(changed: readonly ChangedTask[]): void {
    const { metrics, log } = this.#needs;
    for (const { agentId, key, number, queue, state } of changed) {
      if (!isFinalTaskState(state)) continue;
      metrics.instruments.queuegate_tasks_ended_total.inc({ state });
      log.info({ task: taskId({ number }), agent: agentId, ...(queue === null ? {} : { queue }), state }, 'task');
      const ofAgent = agentId === null ? undefined : this.#canceling.get(agentId);
      if (agentId !== null && ofAgent?.delete(key) === true && ofAgent.size === 0) this.#canceling.delete(agentId);
    }
  }

  /** Tasks of an agent ended, or went back to their queues. */
  #noteRoom(changed: readonly ChangedTask[], agentId: string): void {
    for (const { queue, handler, state } of changed)
      if (state === 'queued' && queue !== null) this.#queues.onQueued({ queue, handler });
    if (changed.some(({ state }) => state === 'queued' || isFinalTaskState(state))) this.#queues.onRoom(agentId);
  }

  async #look(): Promise<void> {
    const { store, now, log, leads } = this.#needs;
    try {
      let ended: readonly ChangedTask[] = [];
      do {
        ended = leads() ? await store.endOverdue(now(), OVERDUE_STEP) : [];
        this.#noteEnds(ended);
        for (const { agentId } of ended) if (agentId !== null) this.#queues.onRoom(agentId);
      } while (ended.length === OVERDUE_STEP);
      await this.measure();
    } catch (error) {
      log.error({ error: textOf(error) }, 'tasks could not be looked after');
    }
    this.#queues.look();
    if (now() - this.#canceledAgainAt < CANCEL_AGAIN_MS) return;
    this.#canceledAgainAt = now();
    for (const agentId of this.#canceling.keys()) this.#sendCancel(agentId);
  }
}

/** 0: no task has it. */
function numberOf(id: string): number {
  return Number(ID.exec(id)?.[1] ?? 0);
}
