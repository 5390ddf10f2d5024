// Wakes those who wait for events (long polls). A wake-up is a hint: the waiter reads the store again. What no hint
// announces, such as events that another Central committed to the same store, is found by polling.

interface EventHubPort {
  lastCursor(): Promise<number>;
}

/** Short enough for a consumer of another Central's events; one read a second for all waiters together. */
const POLL_MS = 1_000;

export class EventHub {
  readonly #events: EventHubPort;
  readonly #pollMs: number;
  /** Each waiter's cursor. */
  readonly #waiting = new Map<() => void, number>();
  #poll: NodeJS.Timeout | undefined;

  constructor(events: EventHubPort, pollMs: number = POLL_MS) {
    this.#events = events;
    this.#pollMs = pollMs;
  }

  /** Events were committed. */
  notify(): void {
    for (const wake of this.#waiting.keys()) wake();
  }

  /** Resolves when there may be an event behind `cursor`, and when `signal` is aborted; never rejects. */
  wait(cursor: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#remove(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      if (signal.aborted) return resolve();
      this.#waiting.set(wake, cursor);
      this.#poll ??= setInterval(() => this.#look(), this.#pollMs).unref();
      signal.addEventListener('abort', wake);
      // After it is registered, so that a commit in between is not missed. A store that fails ends the wait too.
      this.#events.lastCursor().then((last) => {
        if (last > cursor) wake();
      }, wake);
    });
  }

  #remove(wake: () => void): void {
    this.#waiting.delete(wake);
    if (this.#waiting.size > 0) return;
    clearInterval(this.#poll);
    this.#poll = undefined;
  }

  #look(): void {
    this.#events.lastCursor().then(
      (last) => {
        for (const [wake, cursor] of this.#waiting) if (last > cursor) wake();
      },
      () => this.notify(),
    );
  }
}
