// The answers that go on until their client leaves: streams, and requests that wait for an event. When a token or an
// address rule changes, streams look whether they may go on. When Central stops, each answer ends in its own way, before
// its connection does.
import { setTimeout as delay } from 'node:timers/promises';

/** How long a stop waits for clients to take the last of their streams. */
const STOP_MS = 1_000;

export class OpenStreams {
  /** What makes each look. */
  readonly #looks = new Set<() => void>();
  #isStopping = false;
  #onLast: (() => void) | undefined;

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /**
   * `look` is called when the answer may have to end: at once if Central stops already (`isStopping`). Gives what to
   * call when the answer is over.
   */
  enter(look: () => void): () => void {
    this.#looks.add(look);
    if (this.#isStopping) look();
    return () => {
      this.#looks.delete(look);
      if (this.#looks.size === 0) this.#onLast?.();
    };
  }

  /** A token, or an address rule, is another one than before. */
  look(): void {
    for (const look of this.#looks) look();
  }

  /** Resolves when all are over, or have had their time. */
  async stop(ms: number = STOP_MS): Promise<void> {
    this.#isStopping = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onLast = resolve;
    this.look();
    if (this.#looks.size > 0) await Promise.race([promise, delay(ms, undefined, { ref: false })]);
  }
}
