// Reports to Central which commands have expired here after they were acknowledged to it: one frame at a time, each
// until Central says that it has recorded it, over sessions and restarts.
import { textOf } from '../../shared/errors.ts';
import type { ExpiredCommands, ExpiredRecorded } from '../../shared/wire/messages.ts';
import type { SendControl } from './control.ts';

interface ExpiredReportNeeds {
  /** What waits for Central, oldest first; undefined: nothing. */
  read(): Promise<Omit<ExpiredCommands, 'type'> | undefined>;
  recorded(through: number): Promise<void>;
  readonly log: { debug(facts: object, text: string): void };
  readonly after: (ms: number, run: () => void) => () => void;
}

/** From an answer to the next frame: a frame of the largest size costs some 17 of the 20 control frames of a second. */
const INTERVAL_MS = 2_000;

export class ExpiredReport {
  readonly #needs: ExpiredReportNeeds;
  #send: SendControl | undefined;
  /** `busy`: one is read, on its way, or its time runs; what comes meanwhile is read after it. */
  #state: 'idle' | 'busy' = 'idle';
  #isChanged = false;
  /** What the answer has to name; 0: none is awaited. */
  #awaited = 0;
  #cancel: (() => void) | undefined;

  constructor(needs: ExpiredReportNeeds) {
    this.#needs = needs;
  }

  onOnline(send: SendControl): void {
    this.onOffline();
    this.#send = send;
    this.#report(send);
  }

  onOffline(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#send = undefined;
    this.#awaited = 0;
    this.#state = 'idle';
  }

  /** A hint: commands may have expired. */
  changed(): void {
    this.#isChanged = true;
    if (this.#send !== undefined && this.#state === 'idle') this.#report(this.#send);
  }

  onFrame({ through }: ExpiredRecorded): void {
    const send = this.#send;
    // An answer to nothing that was asked deletes nothing.
    if (send === undefined || this.#awaited === 0 || through !== this.#awaited) return;
    this.#awaited = 0;
    this.#needs.recorded(through).then(
      () => {
        if (this.#send !== send) return;
        this.#cancel = this.#needs.after(INTERVAL_MS, () => {
          this.#cancel = undefined;
          this.#report(send);
        });
      },
      (error: unknown) => this.#failed(error),
    );
  }

  #report(send: SendControl): void {
    this.#state = 'busy';
    this.#isChanged = false;
    this.#needs.read().then(
      (batch) => {
        if (this.#send !== send) return;
        if (batch !== undefined) {
          this.#awaited = batch.through;
          return send({ type: 'expired', ...batch });
        }
        this.#state = 'idle';
        if (this.#isChanged) this.#report(send);
      },
      (error: unknown) => this.#failed(error),
    );
  }

  /** A store that fails reports itself. */
  #failed(error: unknown): void {
    this.#needs.log.debug({ error: textOf(error) }, 'report of expired commands');
  }
}
