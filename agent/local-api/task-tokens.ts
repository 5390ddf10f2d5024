// The tokens of running tasks, each in a file in the folder of its task. A task may post events by it and nothing else,
// until it ends.
import { TokenFile, type LocalApiAddresses } from './file.ts';

interface TaskToken {
  readonly task: string;
  readonly file: TokenFile;
}

export class TaskTokens {
  readonly #now: () => number;
  /** By the path of the file. */
  readonly #open = new Map<string, TaskToken>();
  #addresses: LocalApiAddresses = { socket: null, url: null };

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Writes the file of a task that starts, or that was found again: then its token stays. `onWritten` passes it on to
   * another account. Errors: file faults, those of `onWritten`.
   */
  async open(path: string, task: string, onWritten?: (text: string) => Promise<void>): Promise<void> {
    const file = await TokenFile.open({ path, now: this.#now, onWritten });
    this.#open.set(path, { task, file });
    await file.publish(this.#addresses);
  }

  /** The task has ended: its token is not accepted any more. */
  close(path: string): void {
    this.#open.delete(path);
  }

  /** The id of the task that a token belongs to, at Central. All tokens are compared; `sent` is a digest. */
  taskOf(sent: Buffer): string | undefined {
    let found: string | undefined;
    for (const { task, file } of this.#open.values()) if (file.accepts(sent)) found = task;
    return found;
  }

  /** Writes all files with what is listened on now. */
  async publish(addresses: LocalApiAddresses): Promise<void> {
    this.#addresses = addresses;
    for (const { file } of this.#open.values()) await file.publish(addresses);
  }
}
