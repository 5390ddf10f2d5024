// Runs the tasks of this agent: takes those that Central's log brought, in their order and within the concurrency of
// their handlers, finds those of an earlier process again, and cancels them on request.
import { access, constants, lstat, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { textOf } from '../../shared/errors.ts';
import { bootId } from '../../shared/platform/boot.ts';
import type { TaskCancel, TaskHandlers } from '../../shared/wire/tasks/frames.ts';
import type { Deadline, TaskRecords, TaskRow, WaitingTask } from '../store/tasks.ts';
import type { TaskHandler } from './settings.ts';
import { argumentsFor } from './arguments.ts';
import { taskCause, type TaskCause } from './causes.ts';
import { findCgroups } from '../../shared/platform/cgroup.ts';
import { TaskRun, tokenFileIn, type Program, type TaskTokenFiles } from './run.ts';

interface TasksNeeds {
  readonly dataFolder: string;
  /** Commands of handlers may be relative to it. */
  readonly profileFolder: string;
  readonly handlers: readonly TaskHandler[];
  /** Whose tasks this agent takes. */
  readonly queues: readonly string[];
  readonly agentName: () => string;
  readonly records: TaskRecords;
  readonly tokens: TaskTokenFiles;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  readonly log: {
    debug(facts: object, text: string): void;
    info(facts: object, text: string): void;
    error(facts: object, text: string): void;
  };
}

/** Of the configuration, as it was read again. */
interface TaskSettings {
  readonly taskHandlers: readonly TaskHandler[];
  readonly queues: readonly string[];
  readonly profile: { readonly folder: string };
}

interface TasksStatus {
  readonly containment: 'cgroup' | 'process-group';
  readonly handlers: readonly TaskHandler[];
  readonly runningCount: number;
  readonly waitingCount: number;
}

/** Of all handlers together: each has a process or more. */
const MAX_RUNNING = 64;
const LOOK_MS = 1_000;
/** Rows stay for longer than a start can come: the deadline of a task is at most six days ahead. */
const KEPT_MS = 8 * 86_400_000;
/** What tasks wrote stays on this host, the newest of it. */
const MAX_FOLDERS = 500;
const MAX_KEPT_BYTES = 1024 ** 3;
/** It is looked at again after so much of it. */
const PRUNE_FOLDERS = 100;
const PRUNE_BYTES = 256 * 1024 ** 2;
const PRUNE_MS = 3_600_000;
const PRUNE_STEP = 200;
const TAKEN_AT_ONCE = 500;
/** What programs get of the environment of the agent: nothing that could be a secret. */
const PASSED_ON = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'TZ'];
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export class Tasks {
  readonly #needs: TasksNeeds;
  readonly #folder: string;
  readonly #bootId = bootId();
  #handlers: ReadonlyMap<string, TaskHandler>;
  #profileFolder: string;
  #queues: readonly string[];
  #cgroups: string | undefined;
  /** By key: those that are started, or were when the agent ended. */
  readonly #runs = new Map<string, TaskRun>();
  /** Canceled before they were started. */
  readonly #canceled = new Set<string>();
  #state: 'new' | 'open' | 'stopped' = 'new';
  #isPumping = false;
  #isHinted = false;
  /** By key, in their order: accepted and not started. */
  readonly #waiting = new Map<string, WaitingTask>();
  /** The place of the last one that is there, or was. */
  #takenIn = 0;
  /** Since the last pruning. */
  #ended = { folders: 0, bytes: 0 };
  #isPruning = false;
  #timers: NodeJS.Timeout[] = [];

  constructor(needs: TasksNeeds) {
    this.#needs = needs;
    this.#folder = join(needs.dataFolder, 'tasks');
    this.#handlers = byName(needs.handlers);
    this.#profileFolder = needs.profileFolder;
    this.#queues = needs.queues;
  }

  /** Finds the tasks of an earlier process again, and starts those that wait. */
  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const started = await this.#needs.records.started();
    if (this.#handlers.size > 0 || started.length > 0) this.#cgroups = await findCgroups();
    for (const row of started) await this.#recover(row);
    if (this.#state === 'stopped') return;
    this.#state = 'open';
    this.#timers = [setInterval(() => this.hint(), LOOK_MS), setInterval(() => this.#prune(), PRUNE_MS)];
    this.hint();
    this.#prune();
  }

  /** Other handlers count from the next start on. */
  async configure({ taskHandlers, queues, profile }: TaskSettings): Promise<void> {
    this.#handlers = byName(taskHandlers);
    this.#queues = queues;
    this.#profileFolder = profile.folder;
    if (this.#cgroups === undefined && taskHandlers.length > 0) this.#cgroups = await findCgroups();
    this.hint();
  }

  /** Tasks may have come, or may be startable now. */
  hint(): void {
    if (this.#state !== 'open') return;
    this.#isHinted = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    const pump = async (): Promise<void> => {
      while (this.#isHinted && this.#state === 'open') {
        this.#isHinted = false;
        await this.#pump();
      }
    };
    pump()
      // A store that fails reports itself.
      .catch((error: unknown) => this.#needs.log.error({ error: textOf(error) }, 'tasks could not be started'))
      .finally(() => (this.#isPumping = false));
  }

  /** Central wants these to end; those that have not come yet are never started. Must not reject. */
  async cancel(tasks: TaskCancel['tasks']): Promise<void> {
    try {
      for (const key of await this.#needs.records.cancelUnknown(tasks, this.#needs.now())) {
        const run = this.#runs.get(key);
        if (run === undefined) this.#canceled.add(key);
        else await run.terminate('canceled');
      }
    } catch (error) {
      this.#needs.log.debug({ error: textOf(error) }, 'canceling tasks');
    }
    this.hint();
  }

  /** As it goes to Central. */
  report(): Omit<TaskHandlers, 'type'> {
    return {
      accounts: 'one',
      containment: this.#cgroups === undefined ? 'process-group' : 'cgroup',
      queues: [...this.#queues],
      handlers: Array.from(this.#handlers.values(), (handler) => {
        const { name, arguments: mode, argumentPattern, timeoutSeconds, graceSeconds, concurrency, rerun } = handler;
        const concurrencyCount = concurrency;
        return { name, arguments: mode, argumentPattern, timeoutSeconds, graceSeconds, concurrencyCount, rerun };
      }),
    };
  }

  status(): TasksStatus {
    return {
      containment: this.#cgroups === undefined ? 'process-group' : 'cgroup',
      handlers: [...this.#handlers.values()],
      runningCount: this.#runs.size,
      waitingCount: this.#waiting.size,
    };
  }

  /** Tasks go on, unless their handler says that they end with the agent. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    const runs = [...this.#runs.values()];
    await Promise.all(
      runs.filter(({ row }) => row.limits?.onRestart === 'kill').map((run) => run.terminate('canceled')),
    );
    for (const run of runs) run.leave();
  }

  async #pump(): Promise<void> {
    await this.#takeIn();
    const { records } = this.#needs;
    const full = new Set<string>();
    const deadlines = records.deadlines();
    for (const task of this.#waiting.values()) {
      if (this.#state !== 'open') return;
      if (!this.#isToBegin(task, deadlines(task.deadlineAt), full)) continue;
      const deadline = records.deadlines()(task.deadlineAt);
      if (deadline === 'unknown' && !this.#canceled.has(task.key)) continue;
      const row = await records.get(task.key);
      if (row?.state === 'accepted') await this.#begin(row, deadline);
      this.#waiting.delete(task.key);
    }
    // What is not waiting any more was never started.
    if (this.#waiting.size === 0) this.#canceled.clear();
  }

  /** Each is read once, not whenever another one ends: thousands may wait. */
  async #takeIn(): Promise<void> {
    let page: WaitingTask[];
    do {
      page = await this.#needs.records.waiting(this.#takenIn, TAKEN_AT_ONCE);
      for (const task of page) {
        if (!this.#runs.has(task.key)) this.#waiting.set(task.key, task);
        this.#takenIn = task.place;
      }
    } while (page.length === TAKEN_AT_ONCE);
  }

  /** It can start, or is refused. `full`: handlers that are at work as much as they may. */
  #isToBegin({ key, handler: name }: WaitingTask, deadline: Deadline, full: Set<string>): boolean {
    if (this.#canceled.has(key)) return true;
    if (deadline !== 'ahead') return deadline === 'passed';
    const handler = this.#handlers.get(name);
    if (handler === undefined) return true;
    if (this.#runs.size >= MAX_RUNNING || full.has(name)) return false;
    const running = [...this.#runs.values()].filter(({ row: other }) => other.handler === name).length;
    if (running >= handler.concurrency) full.add(name);
    return running < handler.concurrency;
  }

  async #begin(row: TaskRow, deadline: Deadline): Promise<void> {
    const { key, handler: name } = row;
    if (this.#canceled.delete(key)) return await this.#refuse(row, 'canceled');
    if (deadline === 'passed')
      return await this.#refuse(row, 'expired', taskCause('task_not_started_in_time', { handler: name }));
    const handler = this.#handlers.get(name);
    if (handler === undefined)
      return await this.#refuse(row, 'failed', taskCause('task_handler_unknown', { handler: name }));
    const program = await this.#programOf(handler, row);
    if (this.#canceled.delete(key)) return await this.#refuse(row, 'canceled');
    if ('code' in program) return await this.#refuse(row, 'failed', program);
    const run = this.#runOf(row);
    this.#runs.set(key, run);
    this.#needs.log.info({ task: row.task, handler: name }, 'task started');
    await run.start(program);
  }

  async #programOf(handler: TaskHandler, { key, task, arguments: given }: TaskRow): Promise<Program | TaskCause> {
    const { name } = handler;
    const words = argumentsFor(handler, given);
    if (typeof words === 'string') return taskCause('task_arguments_invalid', { handler: name, found: words });
    const command = resolve(this.#profileFolder, handler.command);
    try {
      if (!(await stat(command)).isFile()) throw new Error('it is not a file');
      await access(command, constants.X_OK);
    } catch (error) {
      return taskCause('task_program_missing', { handler: name, command, found: textOf(error) });
    }
    const { environment, agentName } = this.#needs;
    const passedOn = PASSED_ON.flatMap((key) => (environment[key] === undefined ? [] : [[key, environment[key]]]));
    const { timeoutSeconds, graceSeconds, maxOutputBytes, onRestart, rerun } = handler;
    return {
      command,
      arguments: words,
      environment: {
        PATH: DEFAULT_PATH,
        ...Object.fromEntries(passedOn),
        ...handler.environment,
        QUEUEGATE_TASK: task,
        QUEUEGATE_TASK_HANDLER: name,
        QUEUEGATE_AGENT: agentName(),
        QUEUEGATE_LOCAL_API_FILE: tokenFileIn(join(this.#folder, key)),
      },
      limits: { timeoutSeconds, graceSeconds, maxOutputBytes, onRestart, rerun },
    };
  }

  async #recover(row: TaskRow): Promise<void> {
    const run = this.#runOf(row);
    this.#runs.set(row.key, run);
    if (!(await run.recover())) return;
    this.#runs.delete(row.key);
    await this.#needs.records.save({ ...row, state: 'accepted', startedAt: null, bootId: null, cgroup: null });
  }

  #runOf(row: TaskRow): TaskRun {
    const { records, tokens, now, log } = this.#needs;
    return new TaskRun(row, {
      tokens,
      folder: join(this.#folder, row.key),
      cgroups: this.#cgroups,
      bootId: this.#bootId,
      save: (changed) => records.save(changed),
      now,
      log,
      onEnd: (ended) => {
        const { key, task, handler, state, exitCode, code } = ended;
        this.#runs.delete(key);
        this.#noteEnd(ended);
        log.info({ task, handler, state, exitCode, ...(code === '' ? {} : { code }) }, 'task ended');
        this.hint();
      },
    });
  }

  async #refuse(row: TaskRow, state: 'canceled' | 'expired' | 'failed', cause?: TaskCause): Promise<void> {
    const { records, now, log } = this.#needs;
    await records.save({ ...row, state, changedAt: now(), ...(cause ?? { code: '', detail: '', hint: '' }) });
    log.info(
      { task: row.task, handler: row.handler, state, ...(cause === undefined ? {} : { code: cause.code }) },
      'task not started',
    );
  }

  #prune(): void {
    if (this.#isPruning) return;
    this.#isPruning = true;
    const pruned = async (): Promise<void> => {
      const { records, now } = this.#needs;
      for (const key of await records.endedBefore(now() - KEPT_MS, PRUNE_STEP)) {
        await rm(join(this.#folder, key), { recursive: true, force: true });
        await records.remove(key);
        // Places may be given again.
        this.#takenIn = 0;
      }
      await this.#pruneFolders();
    };
    this.#ended = { folders: 0, bytes: 0 };
    pruned()
      .catch((error: unknown) => this.#needs.log.debug({ error: textOf(error) }, 'pruning tasks'))
      .finally(() => (this.#isPruning = false));
  }

  async #pruneFolders(): Promise<void> {
    const folders = [];
    for (const key of await readdir(this.#folder)) {
      const path = join(this.#folder, key);
      const sizeOf = async (channel: string): Promise<number> =>
        (await lstat(join(path, channel)).catch(() => undefined))?.size ?? 0;
      const at = (await lstat(path).catch(() => undefined))?.mtimeMs ?? 0;
      if (!this.#runs.has(key))
        folders.push({ key, path, at, bytes: (await sizeOf('stdout')) + (await sizeOf('stderr')) });
    }
    let [count, kept] = [0, 0];
    for (const { key, path, bytes } of folders.toSorted((one, other) => other.at - one.at)) {
      count += 1;
      kept += bytes;
      // The newest stays, whatever its size.
      const isSurplus = count > MAX_FOLDERS || (count > 1 && kept > MAX_KEPT_BYTES);
      if (isSurplus && !this.#runs.has(key)) await rm(path, { recursive: true, force: true });
    }
  }

  #noteEnd({ stdout, stderr }: TaskRow): void {
    const { folders, bytes } = this.#ended;
    this.#ended = { folders: folders + 1, bytes: bytes + (stdout?.keptBytes ?? 0) + (stderr?.keptBytes ?? 0) };
    if (this.#ended.folders >= PRUNE_FOLDERS || this.#ended.bytes >= PRUNE_BYTES) this.#prune();
  }
}

function byName(handlers: readonly TaskHandler[]): ReadonlyMap<string, TaskHandler> {
  return new Map(handlers.map((handler) => [handler.name, handler]));
}
