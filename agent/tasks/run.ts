// One task from its start to its end: starts the supervisor, or finds it again after a restart of the agent, ends the
// program when its time is over or it is canceled, and notes how it ended. Each state is on disk before what follows it.
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { textOf } from '../../shared/errors.ts';
import type { FinalTaskState } from '../../shared/wire/tasks/frames.ts';
import type { TaskLimits, TaskRow } from '../store/tasks.ts';
import { taskCause, type TaskCause } from './causes.ts';
import { isPopulated, killCgroup, removeCgroup } from '../../shared/platform/cgroup.ts';
import { outputIn } from './output.ts';
import { exitCodeIn, FILES, isSupervised, isUnclaimed, signalProgram, startSupervisor } from './supervisor.ts';

export interface Program {
  /** Absolute. */
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: TaskLimits;
}

/** Of the local API. */
export interface TaskTokenFiles {
  /** Makes the file of a task that starts, or goes on with the token in it. Errors: file faults. */
  open(path: string, task: string): Promise<void>;
  /** Its token is not accepted any more. */
  close(path: string): void;
}

interface RunNeeds {
  /** Of this task. */
  readonly folder: string;
  /** Under which its cgroup is made; undefined: it gets none. */
  readonly cgroups: string | undefined;
  readonly bootId: string | null;
  /** By which it posts events while it runs. */
  readonly tokens: TaskTokenFiles;
  save(row: TaskRow): Promise<void>;
  readonly now: () => number;
  readonly log: { error(facts: object, text: string): void };
  /** It has ended, and that is on disk. */
  readonly onEnd: (row: TaskRow) => void;
}

/** How soon the end of a program is noticed that another process of the agent started. */
const LOOK_MS = 500;
/** Again, where a process does not end by SIGKILL. */
const KILL_AGAIN_MS = 5_000;
/** setTimeout's largest delay. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export class TaskRun {
  readonly #needs: RunNeeds;
  #row: TaskRow;
  #state: 'new' | 'watched' | 'ended' | 'left' = 'new';
  /** It is to be ended as soon as it runs. */
  #wanted: 'canceled' | 'timed-out' | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;

  constructor(row: TaskRow, needs: RunNeeds) {
    this.#row = row;
    this.#needs = needs;
  }

  get row(): TaskRow {
    return this.#row;
  }

  /** Starts the program: `starting` is on disk before, so that no second start can follow. */
  async start({ command, arguments: words, environment, limits }: Program): Promise<void> {
    const { folder, cgroups, bootId, now } = this.#needs;
    const { key } = this.#row;
    const cgroup = cgroups === undefined ? null : join(cgroups, `queue-agent-task-${key}`);
    try {
      await rm(folder, { recursive: true, force: true });
      await mkdir(join(folder, FILES.work), { recursive: true, mode: 0o700 });
      await this.#openToken();
      // One of a start before may be there.
      if (cgroup !== null) await mkdir(cgroup, { recursive: true });
    } catch (error) {
      return await this.#end('failed', null, taskCause('task_not_started', { found: textOf(error) }));
    }
    await this.#save({ state: 'starting', startedAt: now(), bootId, limits, cgroup });
    const order = { folder, cgroup, command, arguments: words, environment, maxOutputBytes: limits.maxOutputBytes };
    const child = await begun(() => startSupervisor(order));
    if (child instanceof Error)
      return await this.#end('failed', null, taskCause('task_not_started', { found: textOf(child) }));
    child.once('exit', () => this.#look());
    child.unref();
    await this.#save({ state: 'running' });
    this.#watch();
  }

  /**
   * Of a task that an earlier process of the agent was starting or running. True: it did not run and will not by
   * itself, so that it can be started.
   */
  async recover(): Promise<boolean> {
    const { folder, bootId } = this.#needs;
    if ((await exitCodeIn(folder)) !== undefined) {
      await this.#finish();
      return false;
    }
    if (await this.#isAdopted()) return false;
    // What a power cut took from the folder, the program may have done.
    const isSameBoot = bootId !== null && this.#row.bootId === bootId;
    const claim = (): Promise<unknown> => mkdir(join(folder, FILES.claim));
    if (isSameBoot && this.#row.state === 'starting' && (await isUnclaimed(folder, claim))) return true;
    // It may have begun since the first look.
    if (await this.#isAdopted()) return false;
    // It may have ended since the first look.
    if ((await exitCodeIn(folder)) === undefined && this.#row.limits?.rerun === true) return true;
    await this.#finish();
    return false;
  }

  /** True when it runs: it is watched from now on. */
  async #isAdopted(): Promise<boolean> {
    if (!(await this.#isAlive())) return false;
    await this.#openToken();
    if (this.#row.state === 'starting') await this.#save({ state: 'running' });
    this.#watch();
    return true;
  }

  /** Ends the program: SIGTERM, and after its grace SIGKILL for all that it started. */
  async terminate(as: 'canceled' | 'timed-out'): Promise<void> {
    this.#wanted ??= as;
    if (this.#state !== 'watched' || this.#row.ending !== null) return;
    await this.#save({ ending: { at: this.#needs.now(), as } });
    await signalProgram(this.#needs.folder, 'SIGTERM');
    this.#plan();
  }

  /** The agent stops; the task goes on. */
  leave(): void {
    if (this.#state !== 'ended') this.#state = 'left';
    clearTimeout(this.#timer);
    clearTimeout(this.#looking);
  }

  async #openToken(): Promise<void> {
    await this.#needs.tokens.open(tokenFileIn(this.#needs.folder), this.#row.task);
  }

  #watch(): void {
    if (this.#state !== 'new') return;
    this.#state = 'watched';
    this.#plan();
    this.#lookLater();
    if (this.#wanted !== undefined) this.#guard(this.terminate(this.#wanted));
  }

  /** Sets the timer of the next thing that happens to it by itself. */
  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#state !== 'watched') return;
    const { startedAt, limits, ending } = this.#row;
    const now = this.#needs.now();
    // The clock of the host may have been set back: no task gets more than its whole time again.
    const left = (from: number, seconds: number): number =>
      Math.min(seconds * 1000, Math.max(0, from + seconds * 1000 - now));
    const [delay, run] =
      ending === null
        ? [left(startedAt ?? now, limits?.timeoutSeconds ?? 0), () => this.terminate('timed-out')]
        : [left(ending.at, limits?.graceSeconds ?? 0), () => this.#kill()];
    this.#timer = setTimeout(() => this.#guard(run()), Math.min(delay, MAX_DELAY_MS));
  }

  async #kill(): Promise<void> {
    const { folder } = this.#needs;
    if (this.#row.cgroup !== null) await killCgroup(this.#row.cgroup);
    if (await isSupervised(folder)) await signalProgram(folder, 'SIGKILL');
    this.#timer = setTimeout(() => this.#guard(this.#kill()), KILL_AGAIN_MS);
  }

  #lookLater(): void {
    clearTimeout(this.#looking);
    if (this.#state === 'watched') this.#looking = setTimeout(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    if (this.#state !== 'watched') return;
    clearTimeout(this.#looking);
    const looked = async (): Promise<void> => {
      const isOver = (await exitCodeIn(this.#needs.folder)) !== undefined || !(await this.#isAlive());
      if (!isOver) return this.#lookLater();
      if (this.#state === 'watched') await this.#finish();
    };
    this.#guard(looked());
  }

  async #isAlive(): Promise<boolean> {
    const { cgroup, bootId } = this.#row;
    if (bootId !== this.#needs.bootId) return false;
    return (await isSupervised(this.#needs.folder)) || (cgroup !== null && (await isPopulated(cgroup)));
  }

  async #finish(): Promise<void> {
    const { ending } = this.#row;
    const exitCode = await exitCodeIn(this.#needs.folder);
    if (exitCode === undefined) return await this.#end('lost', null, taskCause('task_result_unknown', {}));
    // It was ended, whatever the program made of the signal.
    const state = ending?.as ?? (exitCode === 0 ? 'succeeded' : 'failed');
    await this.#end(state, exitCode, undefined);
  }

  async #end(state: FinalTaskState, exitCode: number | null, cause: TaskCause | undefined): Promise<void> {
    if (this.#state === 'ended') return;
    const wasLeft = this.#state === 'left';
    this.#state = 'ended';
    clearTimeout(this.#timer);
    clearTimeout(this.#looking);
    // The next process of the agent finishes it.
    if (wasLeft) return;
    const { folder, tokens, onEnd } = this.#needs;
    const { limits, cgroup } = this.#row;
    tokens.close(tokenFileIn(folder));
    if (cgroup !== null) {
      await killCgroup(cgroup);
      await removeCgroup(cgroup);
    }
    const maxBytes = limits?.maxOutputBytes ?? 0;
    const [stdout, stderr] = [await outputIn(folder, 'stdout', maxBytes), await outputIn(folder, 'stderr', maxBytes)];
    await rm(join(folder, FILES.work), { recursive: true, force: true });
    await rm(tokenFileIn(folder), { force: true });
    await this.#save({ state, exitCode, ...(cause ?? { code: '', detail: '', hint: '' }), stdout, stderr });
    onEnd(this.#row);
  }

  async #save(change: Partial<TaskRow>): Promise<void> {
    const changedAt = change.state === undefined ? this.#row.changedAt : this.#needs.now();
    this.#row = { ...this.#row, ...change, changedAt };
    await this.#needs.save(this.#row);
  }

  /** A store that fails reports itself; whatever else fails here is looked at again. */
  #guard(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#needs.log.error({ task: this.#row.task, error: textOf(error) }, 'a task could not be looked after');
      this.#lookLater();
    });
  }
}

/** Where a program finds its token and the addresses of the local API. */
export function tokenFileIn(folder: string): string {
  return join(folder, FILES.localApi);
}

/** The process, or the error because of which there is none: some of them (E2BIG, ENOMEM) are thrown at once. */
async function begun(start: () => ChildProcess): Promise<ChildProcess | Error> {
  try {
    const child = start();
    await once(child, 'spawn');
    return child;
  } catch (error) {
    return error instanceof Error ? error : new Error(textOf(error));
  }
}
