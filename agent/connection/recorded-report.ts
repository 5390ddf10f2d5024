// Reports to Central what it has to record, such as commands that expired here after they were acknowledged, and how far
// tasks are: one frame at a time, each until Central says that it has recorded it, over sessions and restarts.
import { textOf } from '../../shared/errors.ts';
import type { AgentControl } from '../../shared/wire/messages.ts';
import type { SendControl } from './control.ts';

/** A frame of the report; the answer of Central names its `through`, which is above 0. */
type Batch = Extract<AgentControl, { readonly through: number }>;

export interface RecordedReportNeeds {
  /** What is reported, for the log. */
  readonly subject: string;
  /** What waits for Central, oldest first; undefined: nothing. */
  read(): Promise<Batch | undefined>;
  recorded(through: number): Promise<void>;
  /** From the answer to a frame to the next frame: Central takes 20 control frames a second, and counts one more per KiB. */
  intervalMs(frame: Batch): number;
  readonly log: { debug(facts: object, text: string): void };
  readonly after: (ms: number, run: () => void) => () => void;
}

export class RecordedReport {
  readonly #needs: RecordedReportNeeds;
  #send: SendControl | undefined;
  /** `busy`: one is read, on its way, or its time runs; what comes meanwhile is read after it. */
  #state: 'idle' | 'busy' = 'idle';
  #isChanged = false;
  /** The frame whose answer is awaited. */
  #awaited: Batch | undefined;
  #cancel: (() => void) | undefined;

  constructor(needs: RecordedReportNeeds) {
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
    this.#awaited = undefined;
    this.#state = 'idle';
  }

  /** A hint: there may be something to report. */
  changed(): void {
    this.#isChanged = true;
    if (this.#send !== undefined && this.#state === 'idle') this.#report(this.#send);
  }

  /** Central has recorded a frame. */
  onFrame({ through }: { readonly through: number }): void {
    const send = this.#send;
    const awaited = this.#awaited;
    // An answer to nothing that was asked deletes nothing.
    if (send === undefined || through !== awaited?.through) return;
    this.#awaited = undefined;
    this.#needs.recorded(through).then(
      () => {
        if (this.#send !== send) return;
        this.#cancel = this.#needs.after(this.#needs.intervalMs(awaited), () => {
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
      (frame) => {
        if (this.#send !== send) return;
        if (frame !== undefined) {
          this.#awaited = frame;
          return send(frame);
        }
        this.#state = 'idle';
        if (this.#isChanged) this.#report(send);
      },
      (error: unknown) => this.#failed(error),
    );
  }

  /** A store that fails reports itself. */
  #failed(error: unknown): void {
    this.#needs.log.debug({ error: textOf(error) }, `report of ${this.#needs.subject}`);
  }
}
