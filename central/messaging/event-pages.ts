// Reads events behind a cursor, page by page, with the filter of a reader: of a request to REST, or of a subscription.
import type { EventFilter, InboxStore, StoredEvent } from '../store/message-store.ts';

export interface EventPage {
  readonly events: readonly StoredEvent[];
  /** Everything through it is in this page, or does not fit the filter. */
  readonly next: number;
}

/** Which events a reader gets. */
export interface WantedEvents extends EventFilter {
  /** Those with its labels. */
  readonly agents?: (() => Promise<ReadonlySet<string>>) | undefined;
  /** Those of a page that the reader may see now; absent: all. */
  readonly fitting?: ((events: readonly StoredEvent[]) => Promise<readonly StoredEvent[]>) | undefined;
}

/** Behind the first page: a reader of single events would otherwise ask the store for each one that does not fit. */
const LEAST_FILTERED = 100;

type EventReads = Pick<InboxStore, 'lastCursor' | 'read'>;

/** Those of agents with the labels that the reader may see, page by page, until there is one or nothing more. */
export async function readEventPage(
  inbox: EventReads,
  after: number,
  { agents, fitting, ...filter }: WantedEvents,
  most: number,
  gone: AbortSignal,
): Promise<EventPage> {
  if (agents === undefined && fitting === undefined) return await readAny(inbox, after, filter, most, gone);
  let page = await readAny(inbox, after, filter, most, gone);
  for (;;) {
    const ids = await agents?.();
    const labeled = ids === undefined ? page.events : page.events.filter(({ agentId }) => ids.has(agentId));
    const found = fitting === undefined ? labeled : await fitting(labeled);
    const events = found.slice(0, most);
    const last = events.at(-1);
    if (last !== undefined) return { events, next: found.length > most ? last.cursor : page.next };
    if (page.events.length === 0 || gone.aborted) return { events, next: page.next };
    page = await readAny(inbox, page.next, filter, Math.max(most, LEAST_FILTERED), gone);
  }
}

/**
 * A page may end before `limit` (the store bounds it in bytes, and a filter's search in cursors): only an empty one
 * says that nothing more fits, and then `next` passes what the filter left out.
 */
async function readAny(
  inbox: EventReads,
  after: number,
  filter: EventFilter,
  most: number,
  gone: AbortSignal,
): Promise<EventPage> {
  const found = await inbox.read(after, filter, most, gone);
  const last = found.at(-1);
  if (last !== undefined) return { events: found, next: last.cursor };
  // Asked before the log is read once more: what is committed in between belongs to the next page.
  const newest = await inbox.lastCursor();
  const again = newest > after ? await inbox.read(after, filter, most, gone) : [];
  return { events: again, next: again.at(-1)?.cursor ?? Math.max(newest, after) };
}
