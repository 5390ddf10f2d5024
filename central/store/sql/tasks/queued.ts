// Writes the tasks that wait in queues: new ones, and which agent gets which of them. An assignment and the command that
// starts the task are in one transaction, so that a task has one agent, and is waiting or sent, whatever happens.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { isCoded } from '../../../../shared/errors.ts';
import { integer, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { matchesAgent, type Labels, type LabelTerm } from '../../agents/labels.ts';
import { storeFault } from '../../errors.ts';
import { REPORT_MS } from '../../tasks/task-steps.ts';
import type {
  Assigned,
  AssignedTask,
  NewQueuedTask,
  QueueBacklog,
  QueueBounds,
  QueuedKind,
  TaskAssignment,
  TaskHandlersReport,
  TaskRecord,
} from '../../tasks/task-store.ts';
import { documentOf, startMessage, type TaskWritesNeeds } from './task-rows.ts';

interface QueueWritesNeeds extends Pick<TaskWritesNeeds, 'append'> {
  readonly find: (number: number) => TaskRecord;
  /** Makes room among the ended tasks of an agent, or of none. */
  readonly dropOld: (agentKey: number | null) => void;
}

interface Candidate {
  readonly id: string;
  readonly key: number;
  readonly labels: Labels;
  /** So many tasks of the kind it can get now. */
  room: number;
}

/** An agent runs so many tasks of all handlers at a time (agent/tasks/tasks.ts). */
const MAX_RUNNING = 64;
const PAGE = 100;

export function queueWrites(database: SqlDatabase, needs: QueueWritesNeeds) {
  return { ...queueing(database, needs), ...assigning(database, needs) };
}

function queueing(database: SqlDatabase, { find, dropOld }: QueueWritesNeeds) {
  const serving = database.prepare(`
    SELECT agent.labels, task_handlers.report FROM task_queue_agent JOIN agent ON agent.key = task_queue_agent.agent
      JOIN task_handlers ON task_handlers.agent = agent.key
    WHERE task_queue_agent.queue = ? AND agent.state <> 'revoked'`);
  const inQueue = database.prepare("SELECT count(*) AS tasks FROM task WHERE state = 'queued' AND queue = ?");
  const inAll = database.prepare("SELECT count(*) AS tasks FROM task WHERE state = 'queued'");
  const insert = database.prepare(`
    INSERT INTO task (key, queue, scope, handler, state, changed_at, deadline_at, document)
    VALUES (?, ?, ?, ?, 'queued', ?, ?, ?) RETURNING number`);

  function isServed({ queue, handler, scope }: NewQueuedTask): boolean {
    for (const row of serving.iterate(queue)) {
      const isInScope = scope === null || matches(scope.terms, labelsIn(text(row, 'labels')));
      if (isInScope && reportIn(text(row, 'report')).handlers.some(({ name }) => name === handler)) return true;
    }
    return false;
  }

  return {
    enqueueTask(task: NewQueuedTask, { maxPerQueue, maxQueued }: QueueBounds): TaskRecord {
      const { key, queue, handler, scope, createdAt, deadlineAt } = task;
      if (!isServed(task))
        throw storeFault('queue_unserved', {
          queue,
          handler,
          where: scope === null ? 'has reported that it' : `of the scope ${scope.text} has reported that it`,
        });
      const full = (most: number, where: string, parameter: string): Error =>
        storeFault('task_queue_full', { most, where, parameter });
      if (integer(inQueue.get(queue), 'tasks') >= maxPerQueue)
        throw full(maxPerQueue, `of the queue ${queue}`, 'tasks.maxPerQueue');
      if (integer(inAll.get(), 'tasks') >= maxQueued) throw full(maxQueued, 'of all queues', 'tasks.maxQueued');
      const limits = scope === null ? null : JSON.stringify(scope);
      const document = JSON.stringify(documentOf(task));
      const row = insert.get(key, queue, limits, handler, createdAt, deadlineAt, document);
      dropOld(null);
      return find(integer(row, 'number'));
    },
  };
}

function assigning(database: SqlDatabase, { append, find, dropOld }: QueueWritesNeeds) {
  const page = database.prepare(`
    SELECT number, scope, json_extract(document, '$.refusedBy') AS refused_by FROM task
    WHERE state = 'queued' AND queue = ? AND handler = ? AND number > ? AND deadline_at > ? ORDER BY number LIMIT ?`);
  const left = database.prepare("SELECT 1 FROM task WHERE state = 'queued' AND queue = ? AND handler = ? LIMIT 1");
  const give = database.prepare(`
    UPDATE task SET agent = ?, state = 'sent', changed_at = ?, deadline_at = ? WHERE number = ? AND state = 'queued'`);
  const candidateOf = candidates(database);

  /** Appends the command, too. Undefined: the log of the agent takes none. */
  function assignTo(agent: Candidate, number: number, { terms, now }: TaskAssignment): AssignedTask | undefined {
    const task = find(number);
    const message = startMessage(number, task);
    try {
      const [appended] = append(agent.id, [message], terms.bounds, now);
      if (appended === undefined) throw new Error('a command was not appended');
      give.run(agent.key, now, task.deadlineAt + REPORT_MS, number);
      dropOld(agent.key);
      return { number, agentId: agent.id, message, appended };
    } catch (error) {
      if (isCoded(error, 'outbox_full', 'agent_disabled', 'agent_revoked')) return undefined;
      throw error;
    }
  }

  /** To the fittest of these agents; one whose log is full has no room, and the next one gets it. */
  function assignOne(agents: readonly Candidate[], row: Row, assignment: TaskAssignment): AssignedTask[] {
    for (;;) {
      const agent = fittest(agents, textOrNull(row, 'scope'), textOrNull(row, 'refused_by'));
      if (agent === undefined) return [];
      const assigned = assignTo(agent, integer(row, 'number'), assignment);
      agent.room = assigned === undefined ? 0 : agent.room - 1;
      if (assigned !== undefined) return [assigned];
    }
  }

  return {
    assignTasks(assignment: TaskAssignment): Assigned {
      const { queue, handler, agentIds, limit, now } = assignment;
      const agents = agentIds.flatMap((id) => candidateOf(id, assignment) ?? []);
      const tasks: AssignedTask[] = [];
      const hasRoom = (): boolean => tasks.length < limit && agents.some(({ room }) => room > 0);
      let rows: Row[];
      let after = 0;
      do {
        rows = hasRoom() ? page.all(queue, handler, after, now, PAGE) : [];
        for (const row of rows) {
          if (!hasRoom()) break;
          after = integer(row, 'number');
          tasks.push(...assignOne(agents, row, assignment));
        }
      } while (rows.length === PAGE);
      const withRoom = new Set(agents.filter(({ room }) => room > 0).map(({ id }) => id));
      const full = agentIds.filter((id) => !withRoom.has(id));
      return { tasks, full, areLeft: left.get(queue, handler) !== undefined };
    },
  };
}

/** Reads what an agent has room for. */
function candidates(database: SqlDatabase) {
  const agentOf = database.prepare(`
    SELECT agent.key, agent.labels, task_handlers.report FROM agent JOIN task_handlers ON task_handlers.agent = agent.key
    WHERE agent.id = ? AND agent.state IN ('online', 'degraded')`);
  const unfinished = database.prepare(`
    SELECT count(*) AS tasks, coalesce(sum(iif(handler = ?2, 1, 0)), 0) AS of_handler FROM task
    WHERE agent = ?1 AND deadline_at IS NOT NULL`);
  return (id: string, { queue, handler, terms }: TaskAssignment): Candidate | undefined => {
    const row = agentOf.get(id);
    if (row === undefined) return undefined;
    const { queues = [], handlers } = reportIn(text(row, 'report'));
    const known = handlers.find(({ name }) => name === handler);
    if (known === undefined || !queues.includes(queue)) return undefined;
    const key = integer(row, 'key');
    const counts = unfinished.get(key, handler);
    const all = integer(counts, 'tasks');
    const room = Math.min(
      known.concurrencyCount - integer(counts, 'of_handler'),
      terms.maxUnfinished - all,
      MAX_RUNNING - all,
    );
    return { id, key, labels: labelsIn(text(row, 'labels')), room };
  };
}

/** The one with the most room, of those that may get a task; the first of several. */
function fittest(agents: readonly Candidate[], scope: string | null, refusedBy: string | null): Candidate | undefined {
  // Both were written by this file, and by `stepOf`.
  const terms = scope === null ? [] : (JSON.parse(scope) as { readonly terms: readonly LabelTerm[] }).terms;
  const refused = new Set(refusedBy === null ? [] : (JSON.parse(refusedBy) as readonly string[]));
  let best: Candidate | undefined;
  for (const agent of agents)
    if (agent.room > (best?.room ?? 0) && !refused.has(agent.id) && matches(terms, agent.labels)) best = agent;
  return best;
}

function matches(terms: readonly LabelTerm[], labels: Labels): boolean {
  return matchesAgent({ kind: 'labels', terms }, { name: '', labels });
}

/** Written by the store only. */
function reportIn(json: string): TaskHandlersReport {
  return JSON.parse(json) as TaskHandlersReport;
}

/** Written by the store only. */
function labelsIn(json: string): Labels {
  return JSON.parse(json) as Labels;
}

export function queueReads(database: SqlDatabase) {
  const kinds = database.prepare("SELECT DISTINCT queue, handler FROM task WHERE state = 'queued'");
  const longest = database.prepare(`
    SELECT queue, count(*) AS tasks, min(changed_at) AS oldest_at FROM task WHERE state = 'queued'
    GROUP BY queue ORDER BY tasks DESC, queue LIMIT ?`);
  return {
    queuedTaskKinds: (): QueuedKind[] =>
      kinds.all().map((row) => ({ queue: text(row, 'queue'), handler: text(row, 'handler') })),
    longestTaskQueues: (limit: number): QueueBacklog[] =>
      longest.all(limit).map((row) => ({
        queue: text(row, 'queue'),
        tasks: integer(row, 'tasks'),
        oldestAt: integer(row, 'oldest_at'),
      })),
  };
}
