// Gives tasks that wait in queues to agents that have room. Nothing is looked for without a reason: a task was queued, an
// agent connected or reported other queues or handlers, or a task ended. Agents of which it is known that they have no
// room are not asked again until something of theirs changed; the store decides, in the transaction that assigns.
import { textOf } from '../../shared/errors.ts';
import type { Session } from '../sessions/session.ts';
import type { QueuedKind, TaskCreation, TaskHandlersReport, TaskStore } from '../store/tasks/task-store.ts';
import { taskId } from '../store/tasks/task-steps.ts';

interface TaskQueuesNeeds {
  readonly store: Pick<TaskStore, 'assign' | 'queuedKinds'>;
  readonly sessions: { notify(agentId: string): void; of(agentId: string): Pick<Session, 'isOpen'> | undefined };
  /** What bounds the tasks and the log of one agent. */
  readonly terms: () => TaskCreation;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now: () => number;
}

/** An agent with a session, and what it reported in it. */
interface Serving {
  readonly queues: readonly string[];
  readonly handlers: ReadonlySet<string>;
  /** Counts what may have given it room. */
  changes: number;
}

/** A kind of which tasks wait. */
interface Waiting extends QueuedKind {
  /** Counts the tasks that came. */
  changes: number;
  /** Agents that were asked: without room, or with room and without a task that they may get. */
  readonly asked: Map<string, 'full' | 'idle'>;
}

/** Asked by one call of the store, which reads the reports of all. */
const ASKED_AT_ONCE = 20;
const ASSIGNED_AT_ONCE = 64;
/** Labels and logs that have room again change what agents may get, and are not events of this part. */
const ALL_AGAIN_MS = 30_000;

export class TaskQueues {
  readonly #needs: TaskQueuesNeeds;
  readonly #serving = new Map<string, Serving>();
  /** By queue, who was given a task last at the end. */
  readonly #agents = new Map<string, Set<string>>();
  readonly #waiting = new Map<string, Waiting>();
  #state: 'new' | 'open' | 'stopped' = 'new';
  #isHinted = false;
  #assigning: Promise<void> | undefined;
  #allAgainAt = 0;

  constructor(needs: TaskQueuesNeeds) {
    this.#needs = needs;
  }

  /** Goes on with those that wait since an earlier process. */
  async start(): Promise<void> {
    if (this.#state !== 'new') return;
    for (const kind of await this.#needs.store.queuedKinds()) this.#add(kind);
    this.#state = 'open';
    this.#hint();
  }

  async stop(): Promise<void> {
    this.#state = 'stopped';
    await this.#assigning;
  }

  /** A task waits. */
  onQueued(kind: QueuedKind): void {
    const waiting = this.#add(kind);
    waiting.changes += 1;
    for (const [agentId, answer] of waiting.asked) if (answer === 'idle') waiting.asked.delete(agentId);
    this.#hint();
  }

  /** Other nodes added tasks. Those that wait are few kinds; what is asked in vain is asked once. */
  async follow(): Promise<void> {
    if (this.#state !== 'open') return;
    for (const kind of await this.#needs.store.queuedKinds()) this.onQueued(kind);
  }

  /** The store has this report. */
  onReported(agentId: string, { queues = [], handlers }: Pick<TaskHandlersReport, 'handlers' | 'queues'>): void {
    this.#leave(agentId);
    if (queues.length === 0 || this.#needs.sessions.of(agentId)?.isOpen !== true) return;
    this.#serving.set(agentId, { queues, handlers: new Set(handlers.map(({ name }) => name)), changes: 0 });
    for (const queue of queues) this.#agents.set(queue, (this.#agents.get(queue) ?? new Set()).add(agentId));
    this.#askAgain(agentId);
  }

  /** A session ended; another one of the agent may be there already. */
  onClosed(agentId: string): void {
    if (this.#needs.sessions.of(agentId)?.isOpen !== true) this.#leave(agentId);
  }

  /** A task of this agent ended, or went back to its queue. */
  onRoom(agentId: string): void {
    this.#askAgain(agentId);
  }

  /** Called now and then. */
  look(): void {
    const now = this.#needs.now();
    if (this.#waiting.size === 0 || now - this.#allAgainAt < ALL_AGAIN_MS) return;
    this.#allAgainAt = now;
    for (const { asked } of this.#waiting.values()) asked.clear();
    this.#hint();
  }

  #add({ queue, handler }: QueuedKind): Waiting {
    const key = `${queue} ${handler}`;
    const waiting = this.#waiting.get(key) ?? { queue, handler, changes: 0, asked: new Map() };
    this.#waiting.set(key, waiting);
    return waiting;
  }

  #leave(agentId: string): void {
    for (const queue of this.#serving.get(agentId)?.queues ?? []) {
      const agents = this.#agents.get(queue);
      if (agents?.delete(agentId) === true && agents.size === 0) this.#agents.delete(queue);
    }
    this.#serving.delete(agentId);
    for (const { asked } of this.#waiting.values()) asked.delete(agentId);
  }

  #askAgain(agentId: string): void {
    const agent = this.#serving.get(agentId);
    if (agent === undefined) return;
    agent.changes += 1;
    for (const { asked } of this.#waiting.values()) asked.delete(agentId);
    this.#hint();
  }

  #hint(): void {
    this.#isHinted = true;
    if (this.#state !== 'open' || this.#assigning !== undefined) return;
    const assigned = async (): Promise<void> => {
      while (this.#isHinted && this.#state === 'open') {
        this.#isHinted = false;
        for (const waiting of this.#waiting.values()) await this.#assign(waiting);
      }
    };
    this.#assigning = assigned()
      // The next look tries it again.
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'tasks could not be assigned'))
      .finally(() => {
        this.#assigning = undefined;
        // It came behind the last round.
        if (this.#isHinted && this.#state === 'open') this.#hint();
      });
  }

  /** Until no agent with room is left, or no task. Each round asks agents that were not asked, or assigns tasks. */
  async #assign(waiting: Waiting): Promise<void> {
    const { queue, handler, asked } = waiting;
    const { store, sessions, terms, now, log } = this.#needs;
    while (this.#state === 'open') {
      const agentIds = this.#candidates(waiting);
      if (agentIds.length === 0) return;
      const changes = agentIds.map((id) => this.#serving.get(id)?.changes);
      const before = waiting.changes;
      const order = { queue, handler, agentIds, terms: terms(), limit: ASSIGNED_AT_ONCE, now: now() };
      const { tasks, full, areLeft } = await store.assign(order);
      for (const { number, agentId } of tasks) {
        sessions.notify(agentId);
        this.#toEnd(queue, agentId);
        log.info({ task: taskId({ number }), agent: agentId, queue, handler }, 'task assigned');
      }
      const isChanged = waiting.changes !== before;
      if (!areLeft && !isChanged) return void this.#waiting.delete(`${queue} ${handler}`);
      const fullIds = new Set(full);
      for (const [index, id] of agentIds.entries()) {
        // What gave it room came while it was asked.
        if (this.#serving.get(id)?.changes !== changes[index]) continue;
        if (fullIds.has(id)) asked.set(id, 'full');
        else if (tasks.length < ASSIGNED_AT_ONCE && !isChanged) asked.set(id, 'idle');
      }
    }
  }

  #candidates({ queue, handler, asked }: Waiting): string[] {
    const found: string[] = [];
    for (const id of this.#agents.get(queue) ?? []) {
      if (found.length === ASKED_AT_ONCE) break;
      // A session that is being drained, disabled or revoked has a close on its way, and gets nothing more.
      const isThere = this.#needs.sessions.of(id)?.isOpen === true;
      if (isThere && this.#serving.get(id)?.handlers.has(handler) === true && !asked.has(id)) found.push(id);
    }
    return found;
  }

  #toEnd(queue: string, agentId: string): void {
    const agents = this.#agents.get(queue);
    if (agents?.delete(agentId) === true) agents.add(agentId);
  }
}
