// Owns the bench's own processes: starts one, calls its functions, ends it. Servers and load never share a process.
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { textOf } from '../shared/errors.ts';
import { watchProcess } from './guard.ts';

type Method = (...args: never[]) => unknown;

interface Request {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

const STOP_MS = 5_000;

export interface ChildOptions {
  readonly args?: readonly string[];
  readonly execArgv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A process that serves the functions of `M` (serveCalls). */
export class Child<M extends { readonly [K in keyof M]: Method }> {
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #lastId = 0;
  #ended: string | undefined;

  /** `script` is relative to bench/. */
  constructor(script: string, options: ChildOptions = {}) {
    this.#process = fork(join(import.meta.dirname, script), [...(options.args ?? [])], {
      execArgv: [...(options.execArgv ?? [])],
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    watchProcess(this.#process);
    this.#process.on('message', (answer: Answer) => {
      const call = this.#pending.get(answer.id);
      this.#pending.delete(answer.id);
      if ('error' in answer) call?.reject(new Error(`${script}: ${answer.error}`));
      else call?.resolve(answer.value);
    });
    this.#process.once('exit', (code, signal) => {
      this.#ended = `${script} ended (${signal ?? code})`;
      for (const call of this.#pending.values()) call.reject(new Error(this.#ended));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  call<K extends keyof M & string>(name: K, ...args: Parameters<M[K]>): Promise<Awaited<ReturnType<M[K]>>> {
    if (this.#ended !== undefined) return Promise.reject(new Error(this.#ended));
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      // The other side answers with what the function of that name returned.
      this.#pending.set(this.#lastId, { resolve: resolve as (value: unknown) => void, reject });
      const request: Request = { id: this.#lastId, name, args };
      this.#process.send(request);
    });
  }

  async stop(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exited = new Promise<void>((resolve) => this.#process.once('exit', () => resolve()));
    this.#process.kill('SIGTERM');
    const force = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(force);
  }
}

/** In the process that was started: answers calls until its parent goes away. */
export function serveCalls(methods: object): void {
  process.on('message', (request: Request) => void answer(methods, request));
  process.once('disconnect', () => process.exit());
  process.once('SIGTERM', () => process.exit());
}

async function answer(methods: object, { id, name, args }: Request): Promise<void> {
  try {
    const method: unknown = Reflect.get(methods, name);
    if (typeof method !== 'function') throw new Error(`no function ${name}`);
    const value: unknown = await Reflect.apply(method, methods, args);
    process.send?.({ id, value } satisfies Answer);
  } catch (error) {
    process.send?.({
      id,
      error: error instanceof Error ? (error.stack ?? error.message) : textOf(error),
    } satisfies Answer);
  }
}
