// Writes and reads the rows of tasks (central/store/tasks/task-store.ts).
import type { DatabaseSync } from 'node:sqlite';
import { readMessage, type Message } from '../../../../shared/delivery/message.ts';
import type { Appended, OutboxBounds } from '../../../../shared/delivery/log-interfaces.ts';
import { isCoded } from '../../../../shared/errors.ts';
import { fingerprint } from '../../../../shared/sqlite/logs/fingerprint.ts';
import { integer, integerOrNull, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import { TextPage } from '../../../../shared/text-page.ts';
import { scanBatch } from '../../../../shared/wire/json-text.ts';
import { LIMITS } from '../../../../shared/wire/messages.ts';
import {
  isFinalTaskState,
  TASK_SOURCE,
  TASK_START,
  type TaskReport,
  type TaskStart,
  type TaskState,
} from '../../../../shared/wire/tasks/frames.ts';
import { commandIdOf } from '../../agents/command-id.ts';
import { storeFault } from '../../errors.ts';
import { NO_CAUSE, REPORT_MS, stepOf, taskId } from '../../tasks/task-steps.ts';
import {
  taskText,
  type ChangedTask,
  type NewTask,
  type TaskCreation,
  type TaskHandlersReport,
  type TaskRecord,
  type TaskTimes,
} from '../../tasks/task-store.ts';
import { agentKeys } from '../rows/agents/agents.ts';

interface TaskWritesNeeds {
  /** Errors: agent_unknown, agent_revoked, agent_disabled, outbox_full. */
  readonly append: (agentId: string, messages: readonly Message[], bounds: OutboxBounds, now: number) => Appended[];
  /** Errors: command_delivered, command_id_unknown. */
  readonly withdraw: (commandId: string, now: number) => void;
}

/** Beyond this, an agent's ended tasks make room for newer ones, whatever their age. */
const MAX_ENDED_PER_AGENT = 10_000;

const PRUNE_STEP = 500;

const COLUMNS = `
  SELECT task.*, agent.id AS agent_id, agent.name AS agent_name FROM task JOIN agent ON agent.key = task.agent`;

type Document = Omit<
  TaskRecord,
  'agent' | 'handler' | 'key' | 'number' | 'state' | 'stateChangedAt' | 'stateDeadlineAt'
>;

export function taskWrites(database: DatabaseSync, { append, withdraw }: TaskWritesNeeds) {
  const keys = agentKeys(database);
  const byNumber = database.prepare(`${COLUMNS} WHERE number = ?`);
  const byKey = database.prepare(`${COLUMNS} WHERE task.key = ? AND task.agent = ?`);
  const overdue = database.prepare(`${COLUMNS} WHERE task.deadline_at <= ? ORDER BY task.deadline_at LIMIT ?`);
  const update = database.prepare(
    'UPDATE task SET state = ?, changed_at = ?, deadline_at = ?, document = ? WHERE number = ?',
  );
  const handlers = database.prepare('INSERT OR REPLACE INTO task_handlers (agent, report) VALUES (?, ?)');
  const prune = database.prepare(
    'DELETE FROM task WHERE number IN (SELECT number FROM task WHERE deadline_at IS NULL AND changed_at < ? LIMIT ?)',
  );
  const save = (record: TaskRecord): ChangedTask => {
    const { number, key, agent, handler: _, state, stateChangedAt, stateDeadlineAt, ...document } = record;
    update.run(state, stateChangedAt, stateDeadlineAt, JSON.stringify(document), number);
    return { number, key, agentId: agent.id, state };
  };
  const find = (number: number): TaskRecord => {
    const row = byNumber.get(number);
    if (row === undefined) throw storeFault('task_unknown', { id: taskId({ number }) });
    return recordOf(row);
  };

  return {
    ...taskCreation(database, append, find),

    cancelTask(number: number, { now, lostAfterMs }: TaskTimes): TaskRecord {
      const task = find(number);
      if (isFinalTaskState(task.state) || task.state === 'canceling') return task;
      const isWithdrawn =
        task.state === 'sent' && isUnsent(() => withdraw(commandIdOfTask(keys.of(task.agent.id), task), now));
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

    recordTaskHandlers(agentId: string, epoch: number, report: TaskHandlersReport): void {
      handlers.run(keys.ofSession(agentId, epoch), JSON.stringify(report));
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

function taskCreation(database: DatabaseSync, append: TaskWritesNeeds['append'], find: (number: number) => TaskRecord) {
  const keys = agentKeys(database);
  const unfinished = database.prepare('SELECT count(*) AS tasks FROM task WHERE agent = ? AND deadline_at IS NOT NULL');
  const insert = database.prepare(
    'INSERT INTO task (key, agent, handler, state, changed_at, deadline_at, document) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const old = database.prepare('DELETE FROM task WHERE deadline_at IS NULL AND agent = ? AND number <= ?');
  const place = database.prepare(
    'SELECT number FROM task WHERE deadline_at IS NULL AND agent = ? ORDER BY number DESC LIMIT 1 OFFSET ?',
  );
  return {
    createTask(task: NewTask, { bounds, maxUnfinished }: TaskCreation) {
      const { key, agentId, handler, createdAt, deadlineAt } = task;
      const agent = keys.of(agentId);
      if (integer(unfinished.get(agent), 'tasks') >= maxUnfinished)
        throw storeFault('tasks_full', { agent: agentId, most: maxUnfinished });
      const document: Document = {
        arguments: task.arguments,
        stateReason: NO_CAUSE,
        deadlineAt,
        createdAt,
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
      const endsAt = deadlineAt + REPORT_MS;
      const { lastInsertRowid } = insert.run(key, agent, handler, 'sent', createdAt, endsAt, JSON.stringify(document));
      const number = Number(lastInsertRowid);
      const message = startMessage(number, task);
      const [appended] = append(agentId, [message], bounds, createdAt);
      if (appended === undefined) throw new Error('a command was not appended');
      const beyond = place.get(agent, MAX_ENDED_PER_AGENT);
      if (beyond !== undefined) old.run(agent, integer(beyond, 'number'));
      return { task: find(number), message, appended };
    },
  };
}

/** The command that starts a task. It expires at the deadline, wherever it is. */
function startMessage(number: number, { key, handler, arguments: words, createdAt, deadlineAt }: NewTask): Message {
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

export function taskReads(database: DatabaseSync) {
  const byNumber = database.prepare(`${COLUMNS} WHERE number = ?`);
  const page = database.prepare(`${COLUMNS}
    WHERE number < ?1 AND (?2 IS NULL OR task.state IN (SELECT value FROM json_each(?2)))
      AND (?3 IS NULL OR task.agent = (SELECT key FROM agent WHERE id = ?3)) AND (?4 IS NULL OR handler = ?4)
    ORDER BY number DESC LIMIT ?5`);
  const canceling = database.prepare(`${COLUMNS} WHERE task.state = 'canceling'`);
  const handlers = database.prepare(
    'SELECT report FROM task_handlers JOIN agent ON agent.key = task_handlers.agent WHERE agent.id = ?',
  );
  const counts = database.prepare(
    'SELECT state, count(*) AS tasks FROM task WHERE deadline_at IS NOT NULL GROUP BY state',
  );
  return {
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
    ): TaskRecord[] {
      const wanted = states === null ? null : JSON.stringify(states);
      const found = new TextPage<TaskRecord>(limit, taskText);
      for (const row of page.iterate(before, wanted, agentId, handler, limit)) {
        found.add(recordOf(row));
        if (found.isFull) break;
      }
      return found.entries;
    },
    cancelingTasks: (): ChangedTask[] =>
      canceling.all().map((row) => ({
        number: integer(row, 'number'),
        key: text(row, 'key'),
        agentId: text(row, 'agent_id'),
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

function recordOf(row: Row): TaskRecord {
  return {
    // Written by taskWrites only.
    ...(JSON.parse(text(row, 'document')) as Document),
    number: integer(row, 'number'),
    key: text(row, 'key'),
    agent: { id: text(row, 'agent_id'), name: text(row, 'agent_name') },
    handler: text(row, 'handler'),
    state: text(row, 'state') as TaskState,
    stateChangedAt: integer(row, 'changed_at'),
    stateDeadlineAt: integerOrNull(row, 'deadline_at'),
  };
}
