// Reads events slice by slice: few slices of all requests are in the reading thread at once, so that a filter that
// matches little, or many pages requested at the same time, let other reads in between. Reading stops when the client
// is gone.
import type { EventFilter, StoredEvent } from '../message-store.ts';
import type { EventSlice } from './events/event-reads.ts';

/** The reading thread answers in batches: a login waits for this many slices of some 10 ms. */
const MAX_AT_ONCE = 4;

type ReadSlice = (after: number, filter: EventFilter, limit: number) => Promise<EventSlice>;

export class EventReads {
  readonly #readSlice: ReadSlice;
  /** In order of arrival; a request queues again after each slice. */
  readonly #waiting: (() => void)[] = [];
  #reading = 0;

  constructor(readSlice: ReadSlice) {
    this.#readSlice = readSlice;
  }

  /** The first matching events after `after`; none when the log has no more, and when `gone` is aborted. */
  async read(after: number, filter: EventFilter, limit: number, gone?: AbortSignal): Promise<StoredEvent[]> {
    for (let from = after; ;) {
      if (this.#reading >= MAX_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      else this.#reading += 1;
      try {
        if (gone?.aborted === true) return [];
        const { events, through, last } = await this.#readSlice(from, filter, limit);
        if (events.length > 0 || through >= last) return events;
        from = through;
      } finally {
        // The next one takes this place.
        const next = this.#waiting.shift();
        if (next === undefined) this.#reading -= 1;
        else next();
      }
    }
  }
}
