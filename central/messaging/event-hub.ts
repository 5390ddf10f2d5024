// Owns waking those who wait for events (long polls). A wake-up is a hint: whoever wakes reads the store again.

export interface EventHubPort {
  lastCursor(): Promise<number>;
}

export class EventHub {
  readonly #events: EventHubPort;
  readonly #waiting = new Set<() => void>();

  constructor(events: EventHubPort) {
    this.#events = events;
  }

  /** Events were committed. */
  notify(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves when there may be an event behind `cursor`, and when `signal` is aborted; never rejects. */
  wait(cursor: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      if (signal.aborted) return resolve();
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
      // Looked at after it is registered, so that a commit in between is not missed. A store that fails ends the wait too.
      this.#events.lastCursor().then((last) => {
        if (last > cursor) wake();
      }, wake);
    });
  }
}
