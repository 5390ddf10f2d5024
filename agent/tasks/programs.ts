// What tasks need of the account that runs their programs. Here: the account of the agent itself. A second account does
// the same in a process of its own (runner/server.ts), and the agent asks it (runner/client.ts).
import { once } from 'node:events';
import { access, constants, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { textOf } from '../../shared/errors.ts';
import { findCgroups, isPopulated, killCgroup, removeCgroup } from '../../shared/platform/cgroup.ts';
import { FILES, isSupervised, isUnclaimed, signalProgram, startSupervisor } from './supervisor.ts';

/** One program, to be started once. */
export interface ProgramOrder {
  readonly key: string;
  readonly cgroup: string | null;
  /** Absolute. */
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly maxOutputBytes: number;
}

/** All but the reading of files: these are in `folder`/KEY. Every act may be repeated. */
export interface ProgramActs {
  /** Errors: it cannot be run. */
  check(command: string): Promise<void>;
  /** Makes the folder of a task, empty, and its cgroup; null: it gets none. */
  prepare(key: string): Promise<string | null>;
  /** Errors: there is no process. `onEnd` is a hint. */
  start(order: ProgramOrder, onEnd?: () => void): Promise<void>;
  /** True when no program was started and none will be. */
  claim(key: string): Promise<boolean>;
  isAlive(key: string, cgroup: string | null): Promise<boolean>;
  /** SIGTERM for the program. */
  terminate(key: string): Promise<void>;
  /** SIGKILL for all that it started. */
  kill(key: string, cgroup: string | null): Promise<void>;
  /** Ends what is left of a task, and removes all but its output. */
  clean(key: string, cgroup: string | null): Promise<void>;
  remove(key: string): Promise<void>;
}

export type Containment = 'cgroup' | 'process-group';

/** Of one account, with the tasks in this folder. */
export class OwnPrograms implements ProgramActs {
  readonly #folder: string;
  /** 0o750: another account of its group reads what they wrote. */
  readonly #mode: 0o700 | 0o750;
  #cgroups: string | undefined;

  constructor(folder: string, mode: 0o700 | 0o750 = 0o700) {
    this.#folder = folder;
    this.#mode = mode;
  }

  async findCgroups(): Promise<void> {
    this.#cgroups ??= await findCgroups();
  }

  containment(): Containment {
    return this.#cgroups === undefined ? 'process-group' : 'cgroup';
  }

  async check(command: string): Promise<void> {
    if (!(await stat(command)).isFile()) throw new Error('it is not a file');
    await access(command, constants.X_OK);
  }

  async prepare(key: string): Promise<string | null> {
    const cgroup = this.#cgroups === undefined ? null : join(this.#cgroups, `queue-agent-task-${key}`);
    const folder = join(this.#folder, key);
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, FILES.work), { recursive: true, mode: this.#mode });
    // One of a start before may be there.
    if (cgroup !== null) await mkdir(cgroup, { recursive: true });
    return cgroup;
  }

  async start({ key, ...order }: ProgramOrder, onEnd?: () => void): Promise<void> {
    const child = await begun(() => startSupervisor({ ...order, folder: join(this.#folder, key) }));
    if (onEnd !== undefined) child.once('exit', onEnd);
    child.unref();
  }

  async claim(key: string): Promise<boolean> {
    const folder = join(this.#folder, key);
    return await isUnclaimed(folder, () => mkdir(join(folder, FILES.claim)));
  }

  async isAlive(key: string, cgroup: string | null): Promise<boolean> {
    return (await isSupervised(join(this.#folder, key))) || (cgroup !== null && (await isPopulated(cgroup)));
  }

  async terminate(key: string): Promise<void> {
    await signalProgram(join(this.#folder, key), 'SIGTERM');
  }

  async kill(key: string, cgroup: string | null): Promise<void> {
    const folder = join(this.#folder, key);
    if (cgroup !== null) await killCgroup(cgroup);
    if (await isSupervised(folder)) await signalProgram(folder, 'SIGKILL');
  }

  async clean(key: string, cgroup: string | null): Promise<void> {
    if (cgroup !== null) {
      await killCgroup(cgroup);
      await removeCgroup(cgroup);
    }
    await rm(join(this.#folder, key, FILES.work), { recursive: true, force: true });
    await rm(join(this.#folder, key, FILES.localApi), { force: true });
  }

  async remove(key: string): Promise<void> {
    await rm(join(this.#folder, key), { recursive: true, force: true });
  }
}

/** Some errors (E2BIG, ENOMEM) are thrown at once, others are events. */
async function begun(start: () => ChildProcess): Promise<ChildProcess> {
  try {
    const child = start();
    await once(child, 'spawn');
    return child;
  } catch (error) {
    throw error instanceof Error ? error : new Error(textOf(error), { cause: error });
  }
}
