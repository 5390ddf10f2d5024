// Reads events behind a cursor, page by page, with the filter of a reader: of a request to REST, or of a subscription.
import type { LabelTerm } from '../store/agents/labels.ts';
import type { EventFilter, InboxStore, StoredEvent } from '../store/message-store.ts';

/** How old the labels may be by which a reader selects: agents are selected again, all of them. */
const LABELS_MS = 5_000;

export interface EventPage {
  readonly events: readonly StoredEvent[];
  /** Everything through it is in this page, or does not fit the filter. */
  readonly next: number;
}

/** Which events a reader gets; `agents`: those with its labels. */
export interface WantedEvents extends EventFilter {
  readonly agents?: (() => Promise<ReadonlySet<string>>) | undefined;
}

interface LabeledAgents {
  idsWith(labels: readonly (readonly LabelTerm[])[]): Promise<ReadonlySet<string>>;
}

/** The agents with these labels, selected again when that was some seconds ago. */
export function labeledAgents(
  agents: LabeledAgents,
  labels: readonly (readonly LabelTerm[])[],
  now: () => number,
): () => Promise<ReadonlySet<string>> {
  let known: { readonly at: number; readonly ids: Promise<ReadonlySet<string>> } | undefined;
  return async () => {
    if (known === undefined || now() - known.at >= LABELS_MS) known = { at: now(), ids: agents.idsWith(labels) };
    return await known.ids;
  };
}

type EventReads = Pick<InboxStore, 'lastCursor' | 'read'>;

/** Those of agents with the labels, page by page, until there is one or nothing more. */
export async function readEventPage(
  inbox: EventReads,
  after: number,
  { agents, ...filter }: WantedEvents,
  most: number,
  gone: AbortSignal,
): Promise<EventPage> {
  let page = await readAny(inbox, after, filter, most, gone);
  if (agents === undefined) return page;
  for (;;) {
    const ids = await agents();
    const events = page.events.filter(({ agentId }) => ids.has(agentId));
    if (events.length > 0 || page.events.length === 0 || gone.aborted) return { events, next: page.next };
    page = await readAny(inbox, page.next, filter, most, gone);
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
