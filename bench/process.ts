// Runs programs as processes of their own: starts them, waits for a line, reads their memory, ends them.
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { watchProcess } from './guard.ts';

const STOP_MS = 20_000;
/** More is thrown away: a log may be long, and only its beginning is looked into. */
const KEPT_CHARACTERS = 256 * 1024;

export class Program {
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  #text = '';
  #look: (() => void) | undefined;

  constructor(
    program: string,
    args: readonly string[],
    options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
  ) {
    this.#process = spawn(program, [...args], {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const take = (chunk: Buffer): void => {
      if (this.#text.length < KEPT_CHARACTERS) this.#text += chunk.toString();
      this.#look?.();
    };
    this.#process.stdout?.on('data', take);
    this.#process.stderr?.on('data', take);
    watchProcess(this.#process);
    this.#exited = new Promise((resolve, reject) => {
      this.#process.once('error', reject);
      this.#process.once('close', () => resolve());
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get text(): string {
    return this.#text;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Waits until what it printed fits. Fails with all of it when it ends or the time is up. */
  async printed(pattern: RegExp, withinMs = 30_000): Promise<RegExpExecArray> {
    return await new Promise((resolve, reject) => {
      const fail = (what: string): void =>
        reject(new Error(`${what} without printing ${String(pattern)}:\n${this.#text}`));
      const timer = setTimeout(() => fail(`${withinMs} ms passed`), withinMs);
      this.#look = () => {
        const found = pattern.exec(this.#text);
        if (found === null) return;
        clearTimeout(timer);
        this.#look = undefined;
        resolve(found);
      };
      this.#look();
      void this.#exited.then(() => fail('it ended'));
    });
  }

  /** Runs to its end; fails with what it printed when that is not 0. */
  async done(): Promise<string> {
    await this.#exited;
    if (this.#process.exitCode !== 0)
      throw new Error(`it ended with ${this.#process.exitCode ?? this.#process.signalCode}:\n${this.#text}`);
    return this.#text;
  }

  async stop(): Promise<void> {
    if (!this.running) return;
    this.#process.kill('SIGTERM');
    const force = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS);
    await this.#exited;
    clearTimeout(force);
  }
}

/**
 * Memory of a process that is in RAM, in bytes: all of it, and the part that no other process shares (Linux; else
 * undefined).
 */
export async function memoryOf(pid: number): Promise<{ readonly resident: number; readonly own: number } | undefined> {
  // No such file: not Linux, or the process is gone.
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
  return { resident: kib('Rss') * 1024, own: (kib('Private_Clean') + kib('Private_Dirty')) * 1024 };
}

/** The most memory that a process has had in RAM so far, in bytes (Linux; else undefined). */
export async function peakResidentOf(pid: number): Promise<number | undefined> {
  // As above.
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined);
  const found = text === undefined ? null : /^VmHWM:\s+(\d+) kB/m.exec(text);
  return found === null ? undefined : Number(found[1]) * 1024;
}

/**
 * What a process has written to disk so far, in bytes: logs and databases, each page as often as it was written (Linux;
 * else undefined).
 */
export async function writtenBytesOf(pid: number): Promise<number | undefined> {
  // As above; also where the kernel counts nothing.
  const text = await readFile(`/proc/${pid}/io`, 'utf8').catch(() => undefined);
  const found = text === undefined ? null : /^write_bytes: (\d+)/m.exec(text);
  return found === null ? undefined : Number(found[1]);
}

/** Processor time a process has used so far, all its threads, in milliseconds (Linux; else undefined). */
export async function processorMsOf(pid: number): Promise<number | undefined> {
  // As above.
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // Fields 14 and 15 of proc(5), counted behind the name, which may hold blanks; a tick is 10 ms wherever Node.js runs.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields === undefined ? undefined : (Number(fields[11]) + Number(fields[12])) * 10;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
