// Reports to Central which consumers take commands here and how far each is: at each welcome, which repairs what was
// lost, and after changes, at most once in a while. A report is the whole state, so that the newest one counts alone.
import { textOf } from '../../shared/errors.ts';
import type { Consumers } from '../../shared/wire/messages.ts';
import type { SendControl } from './control.ts';

interface ConsumerReportNeeds {
  read(): Promise<Omit<Consumers, 'type'>>;
  readonly log: { debug(facts: object, text: string): void };
  readonly after: (ms: number, run: () => void) => () => void;
}

/** Under load every acknowledgement changes it: one frame of some hundred bytes in this time is enough. */
const INTERVAL_MS = 2_000;

export class ConsumerReport {
  readonly #needs: ConsumerReportNeeds;
  #send: SendControl | undefined;
  /** Set while the time after a report runs. */
  #cancel: (() => void) | undefined;
  #isChanged = false;
  #sent = '';

  constructor(needs: ConsumerReportNeeds) {
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
    this.#sent = '';
  }

  /** A hint: consumers may have taken, acknowledged or got something. */
  changed(): void {
    this.#isChanged = true;
    if (this.#send !== undefined && this.#cancel === undefined) this.#report(this.#send);
  }

  #report(send: SendControl): void {
    this.#isChanged = false;
    this.#cancel = this.#needs.after(INTERVAL_MS, () => {
      this.#cancel = undefined;
      if (this.#isChanged) this.changed();
    });
    this.#needs.read().then(
      (state) => {
        const text = JSON.stringify(state);
        if (this.#send !== send || text === this.#sent) return;
        this.#sent = text;
        send({ type: 'consumers', ...state });
      },
      // A store that fails reports itself.
      (error: unknown) => this.#needs.log.debug({ error: textOf(error) }, 'report of consumers'),
    );
  }
}
