// Runs the tasks of this agent: takes those that Central's log brought, in their order and within the concurrency of
// their handlers, finds those of an earlier process again, and cancels them on request.
import { lstat, mkdir, opendir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { textOf } from '../../shared/errors.ts';
import { bootId } from '../../shared/platform/boot.ts';
import type { TaskCancel, TaskHandlers } from '../../shared/wire/tasks/frames.ts';
import type { Deadline, TaskRecords, TaskRow, WaitingTask } from '../store/tasks.ts';
import type { TaskHandler } from './settings.ts';
import { argumentsFor } from './arguments.ts';
import { taskCause, type TaskCause } from './causes.ts';
import { OwnPrograms, type Containment } from './programs.ts';
import { RunnerAway, RunnerClient } from './runner/client.ts';
import { runnerTasks } from './runner/requests.ts';
import { TaskRun, type Program, type TaskPlace, type TaskTokenFiles } from './run.ts';
import { FILES } from './supervisor.ts';

interface TasksNeeds {
  readonly dataFolder: string;
  /** The socket of the runner, which has an account of its own; undefined: programs run under that of the agent. */
  readonly runnerSocket: string | undefined;
  /** Commands of handlers may be relative to it. */
  readonly profileFolder: string;
  readonly handlers: readonly TaskHandler[];
  /** Whose tasks this agent takes. */
  readonly queues: readonly string[];
  readonly agentName: () => string;
  readonly records: TaskRecords;
  readonly tokens: TaskTokenFiles;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What Central knows of the accounts is different now. */
  readonly onReport?: () => void;
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
  readonly accounts: 'one' | 'two';
  readonly containment: Containment;
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
const PASSED_ON = ['PATH', 'LANG', 'LC_ALL', 'TZ'];
/** Of its account. */
const OF_ACCOUNT = ['HOME', 'USER', 'LOGNAME'];
/** A program of a task can make more folders there than tasks have. */
const MAX_LISTED = 10_000;
const KEY = /^[0-9a-f]{32}$/;
/** -1: nothing belongs to it. */
const NO_ACCOUNT = -1;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export class Tasks {
  readonly #needs: TasksNeeds;
  readonly #folder: string;
  readonly #runner: RunnerClient | undefined;
  readonly #own: OwnPrograms;
  /** Of an earlier process, or of a start whose answer did not come: what became of them only the runner knows. */
  readonly #unknown = new Map<string, TaskRun>();
  /** Accepted, and not started because the runner is away. */
  readonly #postponed = new Set<string>();
  readonly #bootId = bootId();
  #handlers: ReadonlyMap<string, TaskHandler>;
  #profileFolder: string;
  #queues: readonly string[];
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
    const { dataFolder, runnerSocket, now } = needs;
    this.#runner = runnerSocket === undefined ? undefined : new RunnerClient(runnerSocket, now);
    this.#folder = runnerSocket === undefined ? join(dataFolder, 'tasks') : runnerTasks(runnerSocket);
    this.#own = new OwnPrograms(this.#folder);
    this.#handlers = byName(needs.handlers);
    this.#profileFolder = needs.profileFolder;
    this.#queues = needs.queues;
  }

  /** Finds the tasks of an earlier process again, and starts those that wait. */
  async start(): Promise<void> {
    await mkdir(join(this.#needs.dataFolder, 'tasks'), { recursive: true, mode: 0o700 });
    const started = await this.#needs.records.started();
    await this.#look(this.#handlers.size > 0 || started.length > 0);
    for (const row of started) {
      const run = this.#runOf(row);
      this.#runs.set(row.key, run);
      await this.#recover(run);
    }
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
    await this.#look(taskHandlers.length > 0);
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
      accounts: this.#accounts(),
      containment: this.#programs.containment(),
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
      accounts: this.#accounts(),
      containment: this.#programs.containment(),
      handlers: [...this.#handlers.values()],
      runningCount: this.#runs.size,
      waitingCount: this.#waiting.size,
    };
  }

  /** What keeps tasks from being started. */
  problems(): readonly TaskProblem[] {
    const away = this.#runner?.away;
    if (away === undefined || this.#state !== 'open') return [];
    const { code, detail, hint } = this.#awayCause(away.found);
    return [{ code, detail, hint, startedAt: new Date(away.since).toISOString() }];
  }

  /** Where its files are. */
  place(key: string): TaskPlace {
    const runner = this.#runner;
    const folder = join(this.#folder, key);
    if (runner === undefined) return { folder, account: undefined, token: join(folder, FILES.localApi) };
    const token = join(this.#needs.dataFolder, 'tasks', `${key}.json`);
    // Before it answered once, no file counts.
    return { folder, account: runner.account ?? NO_ACCOUNT, token, onToken: (text) => runner.put(key, text) };
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

  get #programs(): OwnPrograms | RunnerClient {
    return this.#runner ?? this.#own;
  }

  /** Another account than that of the agent, and not one that may do anything. */
  #accounts(): 'one' | 'two' {
    const account = this.#runner?.account;
    return account === undefined || account === 0 || account === process.geteuid?.() ? 'one' : 'two';
  }

  /** `isNeeded`: programs run here, or may. */
  async #look(isNeeded: boolean): Promise<void> {
    const before = JSON.stringify([this.#accounts(), this.#programs.containment()]);
    if (this.#runner !== undefined) await this.#runner.look();
    else if (isNeeded) await this.#own.findCgroups();
    if (JSON.stringify([this.#accounts(), this.#programs.containment()]) !== before) this.#needs.onReport?.();
  }

  #awayCause(found: string): TaskCause {
    return taskCause('task_runner_away', { socket: this.#needs.runnerSocket ?? '', found });
  }

  async #pump(): Promise<void> {
    if (this.#runner !== undefined) await this.#look(false);
    if (this.#runner?.away === undefined) this.#postponed.clear();
    for (const run of this.#unknown.values()) await this.#recover(run);
    await this.#takeIn();
    const { records } = this.#needs;
    const full = new Set<string>();
    const deadlines = records.deadlines();
    for (const task of this.#waiting.values()) {
      if (this.#state !== 'open') return;
      if (!this.#isToBegin(task, deadlines(task.deadlineAt), full)) continue;
      const deadline = records.deadlines()(task.deadlineAt);
      // It was tried, and says why it waits.
      if (deadline === 'ahead' && this.#postponed.has(task.key) && !this.#canceled.has(task.key)) continue;
      if (deadline === 'unknown' && !this.#canceled.has(task.key)) continue;
      const row = await records.get(task.key);
      if (row?.state === 'accepted' && !(await this.#begin(row, deadline))) continue;
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

  /** False: the runner is away, and it goes on waiting. */
  async #begin(row: TaskRow, deadline: Deadline): Promise<boolean> {
    const { key, handler: name } = row;
    if (this.#canceled.delete(key)) return await this.#refuse(row, 'canceled');
    if (deadline === 'passed')
      return await this.#refuse(row, 'expired', taskCause('task_not_started_in_time', { handler: name }));
    const handler = this.#handlers.get(name);
    if (handler === undefined)
      return await this.#refuse(row, 'failed', taskCause('task_handler_unknown', { handler: name }));
    let run: TaskRun | undefined;
    try {
      const program = await this.#programOf(handler, row);
      if (this.#canceled.delete(key)) return await this.#refuse(row, 'canceled');
      if ('code' in program) return await this.#refuse(row, 'failed', program);
      run = this.#runOf(row);
      this.#runs.set(key, run);
      this.#needs.log.info({ task: row.task, handler: name }, 'task started');
      await run.start(program);
      return true;
    } catch (error) {
      if (!(error instanceof RunnerAway)) throw error;
      return await this.#postpone(row, run, error);
    }
  }

  /** The runner went away before it started this task, or while it did. */
  async #postpone(row: TaskRow, run: TaskRun | undefined, error: RunnerAway): Promise<boolean> {
    if (run !== undefined && run.row.state !== 'accepted') {
      this.#unknown.set(row.key, run);
      return true;
    }
    this.#runs.delete(row.key);
    this.#postponed.add(row.key);
    const cause = this.#awayCause(textOf(error));
    // Central shows why it waits.
    if (row.code !== cause.code) await this.#needs.records.save({ ...row, ...cause, changedAt: this.#needs.now() });
    return false;
  }

  async #programOf(handler: TaskHandler, { key, task, arguments: given }: TaskRow): Promise<Program | TaskCause> {
    const { name } = handler;
    const words = argumentsFor(handler, given);
    if (typeof words === 'string') return taskCause('task_arguments_invalid', { handler: name, found: words });
    const command = resolve(this.#profileFolder, handler.command);
    try {
      await this.#programs.check(command);
    } catch (error) {
      if (error instanceof RunnerAway) throw error;
      return taskCause('task_program_missing', { handler: name, command, found: textOf(error) });
    }
    const { environment, agentName } = this.#needs;
    const names = this.#runner === undefined ? [...PASSED_ON, ...OF_ACCOUNT] : PASSED_ON;
    const passedOn = names.flatMap((key) => (environment[key] === undefined ? [] : [[key, environment[key]]]));
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
        QUEUEGATE_LOCAL_API_FILE: join(this.#folder, key, FILES.localApi),
      },
      limits: { timeoutSeconds, graceSeconds, maxOutputBytes, onRestart, rerun },
    };
  }

  async #recover(run: TaskRun): Promise<void> {
    const { row } = run;
    try {
      const isToStart = await run.recover();
      this.#unknown.delete(row.key);
      if (!isToStart) return;
    } catch (error) {
      if (!(error instanceof RunnerAway)) throw error;
      this.#unknown.set(row.key, run);
      return;
    }
    this.#runs.delete(row.key);
    await this.#needs.records.save({ ...row, state: 'accepted', startedAt: null, bootId: null, cgroup: null });
    // Its place is behind: it is read again.
    this.#takenIn = 0;
  }

  #runOf(row: TaskRow): TaskRun {
    const { records, tokens, now, log } = this.#needs;
    return new TaskRun(row, {
      tokens,
      place: () => this.place(row.key),
      programs: this.#programs,
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

  async #refuse(row: TaskRow, state: 'canceled' | 'expired' | 'failed', cause?: TaskCause): Promise<true> {
    const { records, now, log } = this.#needs;
    await records.save({ ...row, state, changedAt: now(), ...(cause ?? { code: '', detail: '', hint: '' }) });
    log.info(
      { task: row.task, handler: row.handler, state, ...(cause === undefined ? {} : { code: cause.code }) },
      'task not started',
    );
    return true;
  }

  #prune(): void {
    if (this.#isPruning) return;
    this.#isPruning = true;
    const pruned = async (): Promise<void> => {
      const { records, now } = this.#needs;
      for (const key of await records.endedBefore(now() - KEPT_MS, PRUNE_STEP)) {
        await this.#remove(key);
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
    for (const key of await this.#listed()) {
      const path = join(this.#folder, key);
      const sizeOf = async (channel: string): Promise<number> =>
        (await lstat(join(path, channel)).catch(() => undefined))?.size ?? 0;
      const at = (await lstat(path).catch(() => undefined))?.mtimeMs ?? 0;
      if (!this.#runs.has(key)) folders.push({ key, at, bytes: (await sizeOf('stdout')) + (await sizeOf('stderr')) });
    }
    let [count, kept] = [0, 0];
    for (const { key, bytes } of folders.toSorted((one, other) => other.at - one.at)) {
      count += 1;
      kept += bytes;
      // The newest stays, whatever its size.
      const isSurplus = count > MAX_FOLDERS || (count > 1 && kept > MAX_KEPT_BYTES);
      if (isSurplus && !this.#runs.has(key)) await this.#remove(key);
    }
  }

  /** One that a program made unremovable must not keep the others. */
  async #remove(key: string): Promise<void> {
    await this.#programs.remove(key).catch((error: unknown) => {
      this.#needs.log.debug({ error: textOf(error), key }, 'removing the folder of a task');
    });
  }

  /** Folders of tasks: with a runner, the names there may come from programs. */
  async #listed(): Promise<string[]> {
    const keys: string[] = [];
    if (this.#runner !== undefined && this.#runner.account === undefined) return keys;
    for await (const { name } of await opendir(this.#folder)) {
      if (this.#runner === undefined || KEY.test(name)) keys.push(name);
      if (keys.length >= MAX_LISTED) break;
    }
    return keys;
  }

  #noteEnd({ stdout, stderr }: TaskRow): void {
    const { folders, bytes } = this.#ended;
    this.#ended = { folders: folders + 1, bytes: bytes + (stdout?.keptBytes ?? 0) + (stderr?.keptBytes ?? 0) };
    if (this.#ended.folders >= PRUNE_FOLDERS || this.#ended.bytes >= PRUNE_BYTES) this.#prune();
  }
}

interface TaskProblem extends TaskCause {
  readonly startedAt: string;
}

function byName(handlers: readonly TaskHandler[]): ReadonlyMap<string, TaskHandler> {
  return new Map(handlers.map((handler) => [handler.name, handler]));
}
