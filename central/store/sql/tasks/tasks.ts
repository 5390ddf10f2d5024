// Writes and reads the rows of tasks (central/store/tasks/task-store.ts).
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { isCoded } from '../../../../shared/errors.ts';
import { fingerprint } from '../../../../shared/sqlite/logs/fingerprint.ts';
import { integer, text, textOrNull } from '../../../../shared/sqlite/row.ts';
import { TextPage } from '../../../../shared/text-page.ts';
import {
  isFinalTaskState,
  TASK_SOURCE,
  type TaskReport,
  type TaskState,
} from '../../../../shared/wire/tasks/frames.ts';
import { commandIdOf } from '../../agents/command-id.ts';
import { storeFault } from '../../errors.ts';
import { REPORT_MS, stepOf, taskId } from '../../tasks/task-steps.ts';
import {
  taskText,
  type ChangedTask,
  type NewTask,
  type TaskCreation,
  type TaskHandlersReport,
  type TaskRecord,
  type TaskTimes,
} from '../../tasks/task-store.ts';
import { isOtherReport, reportDocument } from '../document-reports.ts';
import { agentKeys } from '../rows/agents/agents.ts';
import { queueReads, queueWrites } from './queued.ts';
import {
  documentOf,
  recordOf,
  startMessage,
  TASK_COLUMNS,
  type TaskDocument,
  type TaskWritesNeeds,
} from './task-rows.ts';

/** Beyond this, an agent's ended tasks make room for newer ones, whatever their age. */
const MAX_ENDED_PER_AGENT = 10_000;

const PRUNE_STEP = 500;

export function taskWrites(database: SqlDatabase, { append, withdraw }: TaskWritesNeeds) {
  const keys = agentKeys(database);
  const byNumber = database.prepare(`${TASK_COLUMNS} WHERE number = ?`);
  const byKey = database.prepare(`${TASK_COLUMNS} WHERE task.key = ? AND task.agent = ?`);
  const overdue = database.prepare(`${TASK_COLUMNS} WHERE task.deadline_at <= ? ORDER BY task.deadline_at LIMIT ?`);
  const update = database.prepare(
    'UPDATE task SET state = ?, changed_at = ?, deadline_at = ?, document = ? WHERE number = ?',
  );
  const putBack = database.prepare('UPDATE task SET agent = NULL WHERE number = ?');
  const prune = database.prepare(
    'DELETE FROM task WHERE number IN (SELECT number FROM task WHERE deadline_at IS NULL AND changed_at < ? LIMIT ?)',
  );
  const save = (record: TaskRecord): ChangedTask => {
    const {
      number,
      key,
      agent,
      queue,
      scope: _,
      handler,
      state,
      stateChangedAt,
      stateDeadlineAt,
      ...document
    } = record;
    update.run(state, stateChangedAt, stateDeadlineAt, JSON.stringify(document satisfies TaskDocument), number);
    if (agent === null) putBack.run(number);
    return { number, key, agentId: agent?.id ?? null, queue, handler, state };
  };
  const find = (number: number): TaskRecord => {
    const row = byNumber.get(number);
    if (row === undefined) throw storeFault('task_unknown', { id: taskId({ number }) });
    return recordOf(row);
  };

  const dropOld = endedTasks(database);

  return {
    ...taskCreation(database, { append, find, dropOld }),
    ...handlerWrites(database),
    ...queueWrites(database, { append, find, dropOld }),

    cancelTask(number: number, { now, lostAfterMs }: TaskTimes): TaskRecord {
      const task = find(number);
      if (isFinalTaskState(task.state) || task.state === 'canceling') return task;
      const { agent } = task;
      const isWithdrawn =
        agent === null ||
        (task.state === 'sent' && isUnsent(() => withdraw(commandIdOfTask(keys.of(agent.id), task), now)));
      save(stepOf(task, isWithdrawn ? { kind: 'withdrawn' } : { kind: 'cancel' }, { now, lostAfterMs }) ?? task);
      return find(number);
    },

    recordTaskStates(agentId: string, epoch: number, items: readonly TaskReport[], times: TaskTimes): ChangedTask[] {
      const agent = keys.ofSession(agentId, epoch);
      const changed: ChangedTask[] = [];
      for (const report of items) {
        const row = byKey.get(report.key, agent);
        // Of a store that a backup replaced, or of a task that was deleted: there is nothing to record it in.
        const next = row === undefined ? undefined : stepOf(recordOf(row), { kind: 'report', report }, times);
        if (next !== undefined) changed.push(save(next));
      }
      return changed;
    },

    /** True: there may be more. */
    pruneTasks: (olderThan: number): boolean => prune.run(olderThan, PRUNE_STEP).changes === PRUNE_STEP,

    endOverdueTasks(now: number, limit: number): ChangedTask[] {
      return overdue.all(now, limit).flatMap((row) => {
        const next = stepOf(recordOf(row), { kind: 'overdue' }, { now, lostAfterMs: 0 });
        return next === undefined ? [] : [save(next)];
      });
    },
  };
}

function handlerWrites(database: SqlDatabase) {
  const keys = agentKeys(database);
  const record = database.prepare(
    `INSERT INTO task_handlers (agent, report) VALUES (?, ?) ON CONFLICT (agent) DO UPDATE SET report = excluded.report
      WHERE ${isOtherReport('task_handlers')}`,
  );
  const leaveQueues = database.prepare('DELETE FROM task_queue_agent WHERE agent = ?');
  const serveQueue = database.prepare('INSERT INTO task_queue_agent (queue, agent) VALUES (?, ?)');
  return {
    recordTaskHandlers(agentId: string, epoch: number, report: TaskHandlersReport): void {
      const agent = keys.ofSession(agentId, epoch);
      if (record.run(agent, reportDocument(report)).changes === 0) return;
      leaveQueues.run(agent);
      for (const queue of new Set(report.queues)) serveQueue.run(queue, agent);
    },
  };
}

/** Makes room among the ended tasks of an agent, or of none: those that ended in their queues. */
function endedTasks(database: SqlDatabase): (agentKey: number | null) => void {
  const old = database.prepare(
    'DELETE FROM task WHERE deadline_at IS NULL AND agent IS NOT DISTINCT FROM ? AND number <= ?',
  );
  const place = database.prepare(
    'SELECT number FROM task WHERE deadline_at IS NULL AND agent IS NOT DISTINCT FROM ? ORDER BY number DESC LIMIT 1 OFFSET ?',
  );
  return (agentKey) => {
    const beyond = place.get(agentKey, MAX_ENDED_PER_AGENT);
    if (beyond !== undefined) old.run(agentKey, integer(beyond, 'number'));
  };
}

interface TaskCreationNeeds extends Pick<TaskWritesNeeds, 'append'> {
  readonly find: (number: number) => TaskRecord;
  readonly dropOld: (agentKey: number | null) => void;
}

function taskCreation(database: SqlDatabase, { append, find, dropOld }: TaskCreationNeeds) {
  const keys = agentKeys(database);
  const unfinished = database.prepare('SELECT count(*) AS tasks FROM task WHERE agent = ? AND deadline_at IS NOT NULL');
  const insert = database.prepare(
    'INSERT INTO task (key, agent, handler, state, changed_at, deadline_at, document) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING number',
  );
  return {
    createTask(task: NewTask, { bounds, maxUnfinished }: TaskCreation) {
      const { key, agentId, handler, createdAt, deadlineAt } = task;
      const agent = keys.of(agentId);
      if (integer(unfinished.get(agent), 'tasks') >= maxUnfinished)
        throw storeFault('tasks_full', { agent: agentId, most: maxUnfinished });
      const document = JSON.stringify(documentOf(task));
      const row = insert.get(key, agent, handler, 'sent', createdAt, deadlineAt + REPORT_MS, document);
      const number = integer(row, 'number');
      const message = startMessage(number, task);
      const [appended] = append(agentId, [message], bounds, createdAt);
      if (appended === undefined) throw new Error('a command was not appended');
      dropOld(agent);
      return { task: find(number), message, appended };
    },
  };
}

/** False: it may have been sent. */
function isUnsent(withdraw: () => void): boolean {
  try {
    withdraw();
    return true;
  } catch (error) {
    if (isCoded(error, 'command_delivered', 'command_id_unknown')) return false;
    throw error;
  }
}

function commandIdOfTask(agentKey: number, { key }: Pick<TaskRecord, 'key'>): string {
  return commandIdOf(agentKey, fingerprint({ source: TASK_SOURCE, id: key }));
}

export function taskReads(database: SqlDatabase) {
  const byNumber = database.prepare(`${TASK_COLUMNS} WHERE number = ?`);
  const page = database.prepare(`${TASK_COLUMNS}
    WHERE number < ?1 AND (?2 IS NULL OR task.state IN (SELECT value FROM json_each(?2)))
      AND (?3 IS NULL OR task.agent = (SELECT key FROM agent WHERE id = ?3)) AND (?4 IS NULL OR handler = ?4)
      AND (?5 IS NULL OR queue = ?5)
    ORDER BY number DESC LIMIT ?6`);
  const canceling = database.prepare(`${TASK_COLUMNS} WHERE task.state = 'canceling'`);
  const handlers = database.prepare(
    'SELECT report FROM task_handlers JOIN agent ON agent.key = task_handlers.agent WHERE agent.id = ?',
  );
  const counts = database.prepare(
    'SELECT state, count(*) AS tasks FROM task WHERE deadline_at IS NOT NULL GROUP BY state',
  );
  return {
    ...queueReads(database),
    getTask(number: number): TaskRecord | undefined {
      const row = byNumber.get(number);
      return row === undefined ? undefined : recordOf(row);
    },
    listTasks(
      before: number,
      limit: number,
      states: readonly TaskState[] | null,
      agentId: string | null,
      handler: string | null,
      queue: string | null,
    ): TaskRecord[] {
      const wanted = states === null ? null : JSON.stringify(states);
      const found = new TextPage<TaskRecord>(limit, taskText);
      for (const row of page.iterate(before, wanted, agentId, handler, queue, limit)) {
        found.add(recordOf(row));
        if (found.isFull) break;
      }
      return found.entries;
    },
    cancelingTasks: (): ChangedTask[] =>
      canceling.all().map((row) => ({
        number: integer(row, 'number'),
        key: text(row, 'key'),
        agentId: textOrNull(row, 'agent_id'),
        queue: textOrNull(row, 'queue'),
        handler: text(row, 'handler'),
        state: 'canceling',
      })),
    taskHandlersOf(agentId: string): TaskHandlersReport | undefined {
      const report = textOrNull(handlers.get(agentId) ?? { report: null }, 'report');
      // Written by recordTaskHandlers only.
      return report === null ? undefined : (JSON.parse(report) as TaskHandlersReport);
    },
    countTasks: (): Partial<Record<TaskState, number>> =>
      Object.fromEntries(counts.all().map((row) => [text(row, 'state'), integer(row, 'tasks')])),
  };
}
