// One task from its start to its end: starts the supervisor, or finds it again after a restart of the agent, ends the
// program when its time is over or it is canceled, and notes how it ended. Each state is on disk before what follows it.
import { rm } from 'node:fs/promises';
import { textOf } from '../../shared/errors.ts';
import type { FinalTaskState } from '../../shared/wire/tasks/frames.ts';
import type { TaskLimits, TaskRow } from '../store/tasks.ts';
import { taskCause, type TaskCause } from './causes.ts';
import { outputIn } from './output.ts';
import type { ProgramActs } from './programs.ts';
import { RunnerAway } from './runner/client.ts';
import { exitCodeIn } from './supervisor.ts';

export interface Program {
  /** Absolute. */
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: TaskLimits;
}

/** Of the local API. */
export interface TaskTokenFiles {
  /** Makes the file of a task that starts, or goes on with the token in it. Errors: file faults, of `onWritten`. */
  open(path: string, task: string, onWritten?: (text: string) => Promise<void>): Promise<void>;
  /** Its token is not accepted any more. */
  close(path: string): void;
}

/** Where the files of one task are. */
export interface TaskPlace {
  readonly folder: string;
  /** To which they belong; undefined: to that of the agent. */
  readonly account: number | undefined;
  /** The file by which it posts events while it runs; the agent writes it. */
  readonly token: string;
  /** Passes it on to the account of the program. */
  readonly onToken?: (text: string) => Promise<void>;
}

interface RunNeeds {
  readonly place: () => TaskPlace;
  readonly programs: ProgramActs;
  readonly bootId: string | null;
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

  /**
   * Starts the program: `starting` is on disk before, so that no second start can follow. Errors: RunnerAway; then it
   * has not begun where its state is `accepted`, and otherwise `recover` finds out.
   */
  async start({ command, arguments: words, environment, limits }: Program): Promise<void> {
    const { programs, bootId, now } = this.#needs;
    const { key } = this.#row;
    let cgroup;
    try {
      cgroup = await programs.prepare(key);
      await this.#openToken();
    } catch (error) {
      if (error instanceof RunnerAway) throw error;
      return await this.#end('failed', null, taskCause('task_not_started', { found: textOf(error) }));
    }
    const begun = { code: '', detail: '', hint: '' };
    await this.#save({ state: 'starting', startedAt: now(), bootId, limits, cgroup, ...begun });
    const order = { key, cgroup, command, arguments: words, environment, maxOutputBytes: limits.maxOutputBytes };
    try {
      await programs.start(order, () => this.#look());
    } catch (error) {
      if (error instanceof RunnerAway) throw error;
      return await this.#end('failed', null, taskCause('task_not_started', { found: textOf(error) }));
    }
    await this.#save({ state: 'running' });
    this.#watch();
  }

  /**
   * Of a task that an earlier process of the agent was starting or running. True: it did not run and will not by
   * itself, so that it can be started. Errors: RunnerAway; then it is to be called again.
   */
  async recover(): Promise<boolean> {
    const { programs, bootId } = this.#needs;
    if ((await this.#exitCode()) !== undefined) {
      await this.#finish();
      return false;
    }
    if (await this.#isAdopted()) return false;
    // What a power cut took from the folder, the program may have done.
    const isSameBoot = bootId !== null && this.#row.bootId === bootId;
    if (isSameBoot && this.#row.state === 'starting' && (await programs.claim(this.#row.key))) return true;
    // It may have begun since the first look.
    if (await this.#isAdopted()) return false;
    // It may have ended since the first look.
    if ((await this.#exitCode()) === undefined && this.#row.limits?.rerun === true) return true;
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
    // Before the act, which fails while the runner is away.
    this.#plan();
    await this.#needs.programs.terminate(this.#row.key).catch((error: unknown) => {
      // After its grace it is killed, again and again.
      if (!(error instanceof RunnerAway)) throw error;
    });
  }

  /** The agent stops; the task goes on. */
  leave(): void {
    if (this.#state !== 'ended') this.#state = 'left';
    clearTimeout(this.#timer);
    clearTimeout(this.#looking);
  }

  async #openToken(): Promise<void> {
    const { tokens, place } = this.#needs;
    const { token, onToken } = place();
    await tokens.open(token, this.#row.task, onToken);
  }

  async #exitCode(): Promise<number | undefined> {
    const { folder, account } = this.#needs.place();
    return await exitCodeIn(folder, account);
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
    this.#timer = setTimeout(() => this.#guard(this.#kill()), KILL_AGAIN_MS);
    await this.#needs.programs.kill(this.#row.key, this.#row.cgroup);
  }

  #lookLater(): void {
    clearTimeout(this.#looking);
    if (this.#state === 'watched') this.#looking = setTimeout(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    if (this.#state !== 'watched') return;
    clearTimeout(this.#looking);
    const looked = async (): Promise<void> => {
      const isOver = (await this.#exitCode()) !== undefined || !(await this.#isAlive());
      if (!isOver) return this.#lookLater();
      if (this.#state === 'watched') await this.#finish();
    };
    this.#guard(looked());
  }

  async #isAlive(): Promise<boolean> {
    const { key, cgroup, bootId } = this.#row;
    if (bootId !== this.#needs.bootId) return false;
    return await this.#needs.programs.isAlive(key, cgroup);
  }

  async #finish(): Promise<void> {
    const { ending } = this.#row;
    const exitCode = await this.#exitCode();
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
    const { place, programs, tokens, onEnd, log } = this.#needs;
    const { key, task, limits, cgroup } = this.#row;
    const { folder, account, token } = place();
    tokens.close(token);
    await rm(token, { force: true });
    // What it wrote is known without the runner.
    await programs.clean(key, cgroup).catch((error: unknown) => {
      log.error({ task, error: textOf(error) }, 'what a task left could not be removed');
    });
    const bounds = { maxBytes: limits?.maxOutputBytes ?? 0, account };
    const [stdout, stderr] = [await outputIn(folder, 'stdout', bounds), await outputIn(folder, 'stderr', bounds)];
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
      // The status of the agent says so, for all tasks.
      if (error instanceof RunnerAway) return this.#lookLater();
      this.#needs.log.error({ task: this.#row.task, error: textOf(error) }, 'a task could not be looked after');
      this.#lookLater();
    });
  }
}
