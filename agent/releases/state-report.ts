// Reports to Central how far the agent is, and what it measured: the newest frame of each subject, at most one frame a second, and each again
// after a welcome.
import type { ReleaseMeasured, ReleaseState } from '../../shared/wire/release-frames.ts';
import type { SendControl } from '../connection/control.ts';

type ReleaseFrame = ReleaseState | ReleaseMeasured;

const INTERVAL_MS = 1_000;

export class StateReport {
  readonly #after: (ms: number, run: () => void) => () => void;
  #send: SendControl | undefined;
  readonly #waiting = new Map<string, ReleaseFrame>();
  #cancel: (() => void) | undefined;

  constructor(after: (ms: number, run: () => void) => () => void) {
    this.#after = after;
  }

  onOnline(send: SendControl): void {
    this.#send = send;
    this.#next();
  }

  onOffline(): void {
    this.#send = undefined;
  }

  /** Of one subject the newest counts; without a session it waits for the next. */
  report(subject: string, frame: ReleaseFrame): void {
    const { detail, hint } = frame;
    this.#waiting.set(subject, { ...frame, detail: detail.slice(0, 1024), hint: hint.slice(0, 1024) });
    this.#next();
  }

  stop(): void {
    this.#send = undefined;
    this.#cancel?.();
  }

  #next(): void {
    if (this.#cancel !== undefined || this.#send === undefined) return;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next[0]);
    this.#send(next[1]);
    this.#cancel = this.#after(INTERVAL_MS, () => {
      this.#cancel = undefined;
      this.#next();
    });
  }
}
