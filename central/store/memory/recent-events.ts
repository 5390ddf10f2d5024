// Keeps the events that were committed last, and the newest cursor: a reader that is up to date needs no read of the
// store. Answers exactly what the store would, or leaves the answer to it.
import type { CommittedEvents, EventFilter, StoredEvent } from '../message-store.ts';

export const MAX_EVENTS = 256;
/** In UTF-16 units of all events that are kept. */
export const MAX_EVENTS_LENGTH = 4 * 1024 * 1024;
/** The events of an append of no more than so many are kept in memory: who sends more has readers that are behind. */
export const MAX_REMEMBERED = 64;
/** One append as it was called. */
interface Append {
  readonly agentId: string;
  readonly now: number;
}

interface Kept {
  readonly event: StoredEvent;
  readonly type: string;
  readonly source: string;
}

export class RecentEvents {
  /** All events behind `#start` through `#newest` are in `#kept`, in the order of their cursors. */
  #kept: Kept[] = [];
  #start: number;
  #newest: number;
  #length = 0;
  /** The newest cursor that a read of the store has shown: it may see a commit before that is answered. */
  #seen: number;
  /** What is older than this may have been pruned. */
  #prunedBefore = Number.NEGATIVE_INFINITY;

  /** `newest`: the newest cursor in the store. */
  constructor(newest: number) {
    this.#start = newest;
    this.#newest = newest;
    this.#seen = newest;
  }

  get newest(): number {
    return Math.max(this.#newest, this.#seen);
  }

  /** An append is on disk. To be called in the order of the commits. */
  committed({ agentId, now }: Append, { firstCursor, stored, events, incarnation }: CommittedEvents): void {
    if (firstCursor === null) return;
    const last = firstCursor + stored - 1;
    // Cursors in between belong to another process, or to a store that was replaced.
    if (firstCursor !== this.#newest + 1) this.#forgetThrough(Math.max(this.#newest, firstCursor - 1));
    this.#newest = Math.max(this.#newest, last);
    if (events === null || now < this.#prunedBefore || firstCursor <= this.#start)
      return this.#forgetThrough(this.#newest);
    for (const [i, { number, type, source, json }] of events.entries()) {
      const event = { cursor: firstCursor + i, agentId, incarnation, number, receivedAt: now, json };
      this.#kept.push({ event, type, source });
      this.#length += json.length;
    }
    while (this.#kept.length > MAX_EVENTS || this.#length > MAX_EVENTS_LENGTH) this.#forgetOldest();
  }

  /** What InboxStore.read answers; undefined: the store has to be read. */
  read(after: number, filter: EventFilter, limit: number): StoredEvent[] | undefined {
    if (after < this.#start) return undefined;
    const found: StoredEvent[] = [];
    for (const kept of this.#kept) {
      if (kept.event.cursor <= after || !matches(kept, filter)) continue;
      if (found.length === limit) break;
      found.push(kept.event);
    }
    return found.length === 0 && this.#seen > this.#newest ? undefined : found;
  }

  /** The store was read and answered this. */
  wasRead(events: readonly StoredEvent[]): void {
    this.#seen = Math.max(this.#seen, events.at(-1)?.cursor ?? 0);
  }

  /** True when no event behind this cursor was pruned; false: the store knows. */
  isWholeBehind(after: number): boolean {
    return after >= this.#start;
  }

  /** The store prunes what is older than this, from now on. */
  prune(olderThan: number): void {
    this.#prunedBefore = olderThan;
    const old = this.#kept.findLast(({ event }) => event.receivedAt < olderThan);
    if (old !== undefined) this.#forgetThrough(old.event.cursor);
  }

  #forgetThrough(cursor: number): void {
    while ((this.#kept[0]?.event.cursor ?? Number.POSITIVE_INFINITY) <= cursor) this.#forgetOldest();
    this.#start = Math.max(this.#start, cursor);
  }

  #forgetOldest(): void {
    const oldest = this.#kept.shift();
    if (oldest === undefined) return;
    this.#length -= oldest.event.json.length;
    this.#start = oldest.event.cursor;
  }
}

function matches({ event, type, source }: Kept, filter: EventFilter): boolean {
  return (
    (filter.agentId === undefined || filter.agentId === event.agentId) &&
    (filter.type === undefined || filter.type === type) &&
    (filter.source === undefined || filter.source === source)
  );
}
