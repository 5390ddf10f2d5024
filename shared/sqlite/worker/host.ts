// The event loop's side of a database thread: sends calls, receives answers, and handles the end of the thread.
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { databaseFault } from '../errors.ts';
import { type CodedError, textOf } from '../../errors.ts';
import type { CallCost } from '../group-commit.ts';
import { unpackError, type FromWorker, type Methods, type Request, type ToWorker } from './protocol.ts';

interface WorkerHostOptions {
  readonly url: URL;
  /** What the thread's file gets to start with. */
  readonly workerData: unknown;
  /** Called once, when the thread can no longer answer; every call rejects from then on. */
  readonly onFailure: (error: CodedError) => void;
  /** Called with what the thread reports by itself; default: it reports nothing. */
  readonly onReport?: (report: unknown) => void;
}

/**
 * V8 gives a thread 48 MiB for objects that live shortly, and the texts of a few large batches fill them. With a third
 * the writing thread takes no more CPU time per event (measured).
 */
const YOUNG_MIB = 16;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The file of a thread beside the one that starts it: TypeScript when run from source, JavaScript when built. */
export function workerUrl(name: string, from: string): URL {
  return new URL(`${name}${extname(new URL(from).pathname)}`, from);
}

export class WorkerHost<M extends Methods> {
  readonly #worker: Worker;
  readonly #onFailure: (error: CodedError) => void;
  readonly #started: Promise<void>;
  readonly #exited: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  readonly #onCommit: ((ms: number) => void)[] = [];
  #outgoing: Request[] = [];
  #transfer: ArrayBuffer[] = [];
  #lastId = 0;
  #batches = 0;
  #ready = false;
  #failure: CodedError | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: WorkerHostOptions) {
    this.#onFailure = options.onFailure;
    this.#worker = new Worker(options.url, {
      workerData: options.workerData,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => resolve());
    });
    this.#started = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromWorker) => {
        if (message.kind === 'answers') this.#settle(message);
        else if (message.kind === 'committed') for (const listener of this.#onCommit) listener(message.ms);
        else if (message.kind === 'report') options.onReport?.(message.report);
        else if (message.kind === 'failed') this.fail(unpackError(message.error));
        else if (message.kind === 'ready') {
          this.#ready = true;
          resolve();
        } else reject(unpackError(message.error));
      });
      this.#worker.once('error', (error) => this.#died(textOf(error), reject));
      this.#worker.once('exit', () => this.#died('its thread ended', reject));
    });
  }

  /** Resolves when the thread has opened the database. Rejects with the CodedError that says why it could not. */
  started(): Promise<void> {
    return this.#started;
  }

  /** Calls not yet answered. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** How often the thread answered: for a writer the number of its commits. */
  get batches(): number {
    return this.#batches;
  }

  /** Of a writer: calls back with the time that each commit took. */
  onCommit(listener: (ms: number) => void): void {
    this.#onCommit.push(listener);
  }

  /** `transfer`: buffers in `args` that the thread takes over; they cannot be used here any more. */
  call<K extends keyof M & string>(
    method: K,
    args: Parameters<M[K]>,
    { transfer, ...cost }: CallCost & { readonly transfer?: readonly ArrayBuffer[] } = {},
  ): Promise<ReturnType<M[K]>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#stopping !== undefined) return Promise.reject(databaseFault('store_stopped', {}));
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      // The thread answers with what the method of that name returned.
      this.#pending.set(this.#lastId, { resolve: resolve as (value: unknown) => void, reject });
      if (transfer !== undefined) this.#transfer.push(...transfer);
      // One message for all the calls of this turn of the event loop.
      if (this.#outgoing.push({ id: this.#lastId, method, args, cost }) === 1) setImmediate(() => this.#flush());
    });
  }

  /** Ends the thread after every accepted call is answered. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      this.#flush();
      this.#post({ kind: 'stop' });
      await this.#exited;
    })();
    return this.#stopping;
  }

  /** Ends the thread, whatever it does; calls that are not answered reject. */
  async terminate(): Promise<void> {
    this.#stopping ??= this.#exited;
    await this.#worker.terminate();
  }

  /** Rejects everything, now and later. Once only. */
  fail(error: CodedError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of pending) call.reject(error);
    this.#onFailure(error);
  }

  #died(found: string, refuse: (error: CodedError) => void): void {
    const failure = databaseFault('store_failed', {
      found,
      hint: 'Start again; if it comes back, report it with the log of this time.',
    });
    // One that never became ready fails only its starter.
    if (!this.#ready) refuse(failure);
    else if (this.#stopping === undefined || this.#pending.size > 0) this.fail(failure);
  }

  #flush(): void {
    if (this.#outgoing.length === 0) return;
    const [calls, transfer] = [this.#outgoing, this.#transfer];
    [this.#outgoing, this.#transfer] = [[], []];
    this.#post({ kind: 'calls', calls }, transfer);
  }

  #settle(message: Extract<FromWorker, { kind: 'answers' }>): void {
    this.#batches += 1;
    for (const answer of message.answers) {
      const call = this.#pending.get(answer.id);
      this.#pending.delete(answer.id);
      if (answer.ok) call?.resolve(answer.value);
      else call?.reject(unpackError(answer.error));
    }
  }

  #post(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(message, transfer);
  }
}
