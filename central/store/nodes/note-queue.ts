// Tells the other nodes (NodeStore.tell), in order and in groups; again where the store was away.
import { textOf } from '../../../shared/errors.ts';
import type { NodeNote } from './node-store.ts';

const NOTES_AT_ONCE = 500;
const MAX_WAITING = 5_000;
const AGAIN_MS = 1_000;

interface NoteQueueNeeds {
  /** Undefined: this process has the store for itself, and there is none to tell. */
  readonly tell: ((notes: readonly NodeNote[]) => Promise<void>) | undefined;
  readonly log: { warn(facts: object, text: string): void };
}

export class NoteQueue {
  readonly #needs: NoteQueueNeeds;
  #waiting: NodeNote[] = [];
  #isTelling = false;

  constructor(needs: NoteQueueNeeds) {
    this.#needs = needs;
  }

  /** There may be others. */
  get isOpen(): boolean {
    return this.#needs.tell !== undefined;
  }

  add(subject: NodeNote['subject'], id: string, told: object): void {
    if (this.#needs.tell === undefined) return;
    this.#waiting.push({ subject, id, body: JSON.stringify(told) });
    if (this.#waiting.length > MAX_WAITING) this.#waiting = this.#waiting.slice(-MAX_WAITING / 2);
    // One call for what happens together.
    if (this.#waiting.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const { tell, log } = this.#needs;
    if (tell === undefined || this.#isTelling || this.#waiting.length === 0) return;
    this.#isTelling = true;
    const notes = this.#waiting.splice(0, NOTES_AT_ONCE);
    tell(notes).then(
      () => this.#goOn(0),
      (error: unknown) => {
        this.#waiting.unshift(...notes);
        log.warn({ error: textOf(error) }, 'other nodes could not be notified; trying again');
        this.#goOn(AGAIN_MS);
      },
    );
  }

  #goOn(afterMs: number): void {
    setTimeout(() => {
      this.#isTelling = false;
      this.#flush();
    }, afterMs).unref();
  }
}
