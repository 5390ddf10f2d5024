// The tasks of this agent on its disk: one row for each, from the transaction that takes its start out of Central's log
// until some days after Central has recorded its end. The row remains so that no task is ever started a second time.
import type { DatabaseSync } from 'node:sqlite';
import { integer, text, type Row } from '../../shared/sqlite/row.ts';
import {
  isFinalTaskState,
  MAX_TASK_REPORTS_BYTES,
  TASK_REPORTS,
  type AgentTaskState,
  type TaskOutput,
  type TaskReport,
  type TaskReports,
  type TaskStart,
} from '../../shared/wire/tasks/frames.ts';
import type { CentralTime } from './central-time.ts';
import type { Disk } from './outbox.ts';

/** `starting`: it is unknown whether its program runs already. Central hears nothing of that state. */
type TaskRowState = AgentTaskState | 'starting';

export interface TaskRow {
  /** Random, of Central. */
  readonly key: string;
  /** Of REST, such as t-981. */
  readonly task: string;
  readonly handler: string;
  readonly arguments: readonly string[];
  /** By Central's clock; it is not started later. */
  readonly deadlineAt: number;
  readonly state: TaskRowState;
  readonly changedAt: number;
  readonly startedAt: number | null;
  /** The boot of the host in which it was started. */
  readonly bootId: string | null;
  /** How its handler was set when it was started. */
  readonly limits: TaskLimits | null;
  /** The cgroup of its processes; null: it has none. */
  readonly cgroup: string | null;
  /** It is being ended, since then and to become this. */
  readonly ending: { readonly at: number; readonly as: 'canceled' | 'timed-out' } | null;
  readonly exitCode: number | null;
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  readonly stdout: TaskOutput | null;
  readonly stderr: TaskOutput | null;
}

/** `unknown`: it has probably passed; Central's time decides, which comes with the next welcome. */
export type Deadline = 'ahead' | 'passed' | 'unknown';

/** As much of a task as says when it can start: there may be thousands, with many arguments. */
export interface WaitingTask {
  readonly place: number;
  readonly key: string;
  readonly handler: string;
  readonly deadlineAt: number;
}

export interface TaskLimits {
  readonly timeoutSeconds: number;
  readonly graceSeconds: number;
  readonly maxOutputBytes: number;
  readonly onRestart: 'continue' | 'kill';
  readonly rerun: boolean;
}

const MAX_ITEMS = TASK_REPORTS.properties.items.maxItems;
/** Room for the frame around the items. */
const MAX_ITEM_BYTES = MAX_TASK_REPORTS_BYTES - 256;

/** Synchronous: changes run inside a transaction of the caller. */
export class TaskLog {
  readonly #statements: ReturnType<typeof prepare>;
  #acceptedCount = 0;
  /** The number of the last change: an answer of Central to an earlier one covers no later one. */
  #change: number;

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
    this.#change = integer(this.#statements.last.get(), 'last');
  }

  /** Grows when tasks come; a hint. */
  get acceptedCount(): number {
    return this.#acceptedCount;
  }

  /** One that is known already, canceled before it came for example, stays as it is. */
  accept(start: TaskStart, at: number): void {
    this.#acceptedCount += 1;
    this.#add({ ...start, state: 'accepted' }, at);
  }

  /** True: it had not come yet, and will not be started. */
  cancelUnknown({ task, key }: Pick<TaskStart, 'key' | 'task'>, at: number): boolean {
    return this.#add({ task, key, handler: '', arguments: [], deadlineAt: 0, state: 'canceled' }, at);
  }

  get(key: string): TaskRow | undefined {
    const row = this.#statements.get.get(key);
    return row === undefined ? undefined : taskRow(row);
  }

  /** Those whose program runs, or may run. */
  started(): TaskRow[] {
    return this.#statements.started.all().map(taskRow);
  }

  /** Those behind a place that were not started, the oldest first. */
  waiting(after: number, limit: number): WaitingTask[] {
    return this.#statements.waiting.all(after, limit).map((row) => ({
      place: integer(row, 'place'),
      key: text(row, 'key'),
      handler: text(row, 'handler'),
      deadlineAt: integer(row, 'deadline_at'),
    }));
  }

  /** Central hears of it, unless it is `starting`. */
  save({ key, state, changedAt, ...document }: TaskRow): void {
    const { update } = this.#statements;
    // One that starts goes on to say that it was accepted, until Central knows.
    const change = state === 'starting' ? null : (this.#change += 1);
    update.run(state, changedAt, change, JSON.stringify(document), key);
  }

  /** What Central does not know yet, as much as fits into a frame; undefined: nothing. */
  batch(): Omit<TaskReports, 'type'> | undefined {
    const items: TaskReport[] = [];
    let [through, bytes] = [0, 0];
    for (const row of this.#statements.changed.iterate(MAX_ITEMS)) {
      const item = reportOf(taskRow(row));
      bytes += Buffer.byteLength(JSON.stringify(item)) + 1;
      if (items.length > 0 && bytes > MAX_ITEM_BYTES) break;
      items.push(item);
      through = integer(row, 'change');
    }
    return items.length === 0 ? undefined : { through, items };
  }

  recorded(through: number): void {
    this.#statements.recorded.run(through);
  }

  /** Final ones that Central knows, and that changed before; the oldest first. */
  endedBefore(at: number, limit: number): string[] {
    return this.#statements.ended.all(at, limit).map((row) => text(row, 'key'));
  }

  remove(key: string): void {
    this.#statements.remove.run(key);
  }

  #add({ key, state, ...start }: TaskStart & { readonly state: TaskRowState }, at: number): boolean {
    const document: Omit<TaskRow, 'changedAt' | 'key' | 'state'> = {
      ...start,
      startedAt: null,
      bootId: null,
      limits: null,
      cgroup: null,
      ending: null,
      exitCode: null,
      code: '',
      detail: '',
      hint: '',
      stdout: null,
      stderr: null,
    };
    this.#change += 1;
    return this.#statements.add.run(key, state, at, this.#change, JSON.stringify(document)).changes > 0;
  }
}

/** The same for the rest of the agent: each change is on disk when it resolves. */
export class TaskRecords {
  readonly #disk: Disk;
  readonly #log: TaskLog;
  readonly #centralTime: CentralTime;
  readonly #listeners = new Set<() => void>();

  constructor(disk: Disk, log: TaskLog, centralTime: CentralTime) {
    this.#disk = disk;
    this.#log = log;
    this.#centralTime = centralTime;
  }

  /** Calls `listener` after each change that Central has to hear of; a hint. */
  onChanged(listener: () => void): void {
    this.#listeners.add(listener);
  }

  get acceptedCount(): number {
    return this.#log.acceptedCount;
  }

  get(key: string): Promise<TaskRow | undefined> {
    return this.#disk.read(() => this.#log.get(key));
  }

  started(): Promise<TaskRow[]> {
    return this.#disk.read(() => this.#log.started());
  }

  /** See `TaskLog`. Places grow, until rows are removed. */
  waiting(after: number, limit: number): Promise<WaitingTask[]> {
    return this.#disk.read(() => this.#log.waiting(after, limit));
  }

  async save(row: TaskRow): Promise<void> {
    await this.#disk.write(() => this.#log.save(row));
    for (const listener of this.#listeners) listener();
  }

  /** Those of them that had not come yet will not be started; resolves with the others. */
  async cancelUnknown(tasks: readonly Pick<TaskStart, 'key' | 'task'>[], at: number): Promise<string[]> {
    const known = await this.#disk.write(() => tasks.filter((task) => !this.#log.cancelUnknown(task, at)));
    if (known.length < tasks.length) for (const listener of this.#listeners) listener();
    return known.map(({ key }) => key);
  }

  batch(): Promise<Omit<TaskReports, 'type'> | undefined> {
    return this.#disk.read(() => this.#log.batch());
  }

  async recorded(through: number): Promise<void> {
    await this.#disk.write(() => this.#log.recorded(through));
  }

  endedBefore(at: number, limit: number): Promise<string[]> {
    return this.#disk.read(() => this.#log.endedBefore(at, limit));
  }

  async remove(key: string): Promise<void> {
    await this.#disk.write(() => this.#log.remove(key));
  }

  /** What the deadlines of tasks are at this moment: the clock is read once for all of them. */
  deadlines(): (at: number) => Deadline {
    const [least, probable] = [this.#centralTime.atLeast(), this.#centralTime.probably()];
    return (at) => (least >= at ? 'passed' : probable >= at ? 'unknown' : 'ahead');
  }
}

function reportOf(row: TaskRow): TaskReport {
  const { key, state, changedAt, startedAt, limits, exitCode, code, detail, hint, stdout, stderr } = row;
  return {
    key,
    // `starting` has no change number.
    state: state === 'starting' ? 'accepted' : state,
    changedAt: new Date(changedAt).toISOString(),
    startedAt: startedAt === null ? null : new Date(startedAt).toISOString(),
    endsWithinSeconds: isFinalTaskState(state) || limits === null ? null : limits.timeoutSeconds + limits.graceSeconds,
    exitCode,
    code,
    detail,
    hint,
    stdout,
    stderr,
  };
}

function taskRow(row: Row): TaskRow {
  return {
    // Written by TaskLog only.
    ...(JSON.parse(text(row, 'document')) as Omit<TaskRow, 'changedAt' | 'key' | 'state'>),
    key: text(row, 'key'),
    state: text(row, 'state') as TaskRowState,
    changedAt: integer(row, 'changed_at'),
  };
}

function prepare(database: DatabaseSync) {
  return {
    add: database.prepare(
      'INSERT INTO task (key, state, changed_at, change, document) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
    ),
    get: database.prepare('SELECT * FROM task WHERE key = ?'),
    started: database.prepare("SELECT * FROM task WHERE state IN ('starting', 'running') ORDER BY rowid"),
    waiting: database.prepare(
      "SELECT rowid AS place, key, document ->> 'handler' AS handler, document ->> 'deadlineAt' AS deadline_at FROM task WHERE state = 'accepted' AND rowid > ? ORDER BY rowid LIMIT ?",
    ),
    last: database.prepare('SELECT coalesce(max(change), 0) AS last FROM task'),
    update: database.prepare(
      'UPDATE task SET state = ?, changed_at = ?, change = coalesce(?, change), document = ? WHERE key = ?',
    ),
    changed: database.prepare('SELECT * FROM task WHERE change IS NOT NULL ORDER BY change LIMIT ?'),
    recorded: database.prepare('UPDATE task SET change = NULL WHERE change <= ?'),
    ended: database.prepare(
      "SELECT key FROM task WHERE state NOT IN ('accepted', 'starting', 'running') AND change IS NULL AND changed_at < ? ORDER BY changed_at LIMIT ?",
    ),
    remove: database.prepare('DELETE FROM task WHERE key = ?'),
  };
}
