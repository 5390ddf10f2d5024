// Asks the runner for what tasks need of its account. All that it answers, and all files in its folder, may come from a
// program of a task, which has the same account: nothing of it is more than a word about tasks of that runner.
import { connect } from 'node:net';
import { lstat } from 'node:fs/promises';
import { textOf } from '../../../shared/errors.ts';
import type { Containment, ProgramActs, ProgramOrder } from '../programs.ts';
import { MAX_ANSWER_BYTES, readAnswer, receiveAll, type RunnerAnswer, type RunnerRequest } from './requests.ts';

/** The runner does not answer: nothing is known of what it was asked. */
export class RunnerAway extends Error {}

const ANSWER_MS = 10_000;

export class RunnerClient implements ProgramActs {
  readonly #socket: string;
  readonly #now: () => number;
  #containment: Containment = 'process-group';
  /** Whose programs these are; undefined: it was never there. */
  #account: number | undefined;
  /** Undefined: it answers. */
  #away: { readonly since: number; readonly found: string } | undefined;
  /** What the files of running tasks say, for a runner that was away. */
  readonly #files = new Map<string, string>();

  constructor(socket: string, now: () => number) {
    this.#socket = socket;
    this.#now = now;
    this.#away = { since: now(), found: 'it has not been asked yet' };
  }

  /** Undefined: it answers. */
  get away(): { readonly since: number; readonly found: string } | undefined {
    return this.#away;
  }

  /** The account of the runner, and with it of the files that count. */
  get account(): number | undefined {
    return this.#account;
  }

  containment(): Containment {
    return this.#containment;
  }

  /** Whether it is there. Never rejects. */
  async look(): Promise<void> {
    const before = this.#away;
    try {
      // Who made the name is who listens: others cannot write in that folder.
      const { uid } = await lstat(this.#socket);
      const { containment } = await this.#ask({ act: 'hello' });
      this.#containment = containment ?? 'process-group';
      this.#account = uid;
      this.#away = undefined;
      if (before !== undefined) for (const [key, text] of this.#files) await this.#put(key, text);
    } catch (error) {
      this.#away = { since: before?.since ?? this.#now(), found: textOf(error) };
    }
  }

  /** Writes the file by which a program finds the local API; later, where the runner is away. Never rejects. */
  async put(key: string, text: string): Promise<void> {
    this.#files.set(key, text);
    if (this.#away === undefined) await this.#put(key, text);
  }

  async #put(key: string, text: string): Promise<void> {
    // Its program may have removed the folder: that must hold up neither other tasks nor the agent.
    await this.#ask({ act: 'put', key, text }).catch(() => undefined);
  }

  async check(command: string): Promise<void> {
    await this.#ask({ act: 'check', command });
  }

  async prepare(key: string): Promise<string | null> {
    return (await this.#ask({ act: 'prepare', key, cgroup: null })).cgroup ?? null;
  }

  async start({ environment, ...order }: ProgramOrder): Promise<void> {
    const pairs = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    await this.#ask({ act: 'start', order: { ...order, arguments: [...order.arguments], environment: pairs } });
  }

  async claim(key: string): Promise<boolean> {
    return (await this.#ask({ act: 'claim', key, cgroup: null })).yes === true;
  }

  async isAlive(key: string, cgroup: string | null): Promise<boolean> {
    return (await this.#ask({ act: 'is-alive', key, cgroup })).yes === true;
  }

  async terminate(key: string): Promise<void> {
    await this.#ask({ act: 'terminate', key, cgroup: null });
  }

  async kill(key: string, cgroup: string | null): Promise<void> {
    await this.#ask({ act: 'kill', key, cgroup });
  }

  async clean(key: string, cgroup: string | null): Promise<void> {
    this.#files.delete(key);
    await this.#ask({ act: 'clean', key, cgroup });
  }

  async remove(key: string): Promise<void> {
    await this.#ask({ act: 'remove', key, cgroup: null });
  }

  /** Errors: RunnerAway; another one: the runner answered that it failed. */
  async #ask(request: RunnerRequest): Promise<RunnerAnswer> {
    const socket = connect({ path: this.#socket, allowHalfOpen: true });
    let bytes: Buffer;
    try {
      socket.end(JSON.stringify(request));
      bytes = await receiveAll(socket, MAX_ANSWER_BYTES, ANSWER_MS);
    } catch (error) {
      this.#away ??= { since: this.#now(), found: textOf(error) };
      throw new RunnerAway(textOf(error), { cause: error });
    } finally {
      socket.destroy();
    }
    const answer = readAnswer(bytes);
    if (answer === undefined) throw new RunnerAway('its answer is cut off or malformed');
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }
}
