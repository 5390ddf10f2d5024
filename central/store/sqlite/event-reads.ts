// Reads events slice by slice: few slices of all requests are at the reading thread at once, so that a filter that finds little, or many
// pages that are asked for at the same time, let other reads in between; and nothing more is read for whoever is gone.
import type { EventFilter, StoredEvent } from '../message-store.ts';
import type { EventSlice } from './rows/messages.ts';

/** The reading thread answers together what came together: a login waits for so many slices of some 10 ms. */
const MAX_AT_ONCE = 4;

export type ReadSlice = (after: number, filter: EventFilter, limit: number) => Promise<EventSlice>;

export class EventReads {
  readonly #readSlice: ReadSlice;
  /** In order of arrival; whoever has had a slice is behind the others again. */
  readonly #waiting: (() => void)[] = [];
  #reading = 0;

  constructor(readSlice: ReadSlice) {
    this.#readSlice = readSlice;
  }

  /** The first events behind `after` that fit; none when the log ends before, and when `gone` is aborted. */
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
        // Whose turn is next takes this place.
        const next = this.#waiting.shift();
        if (next === undefined) this.#reading -= 1;
        else next();
      }
    }
  }
}
