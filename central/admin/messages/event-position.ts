// The position of events in a request: a cursor, or the words `oldest` and `newest`.
import { DetailedError, type ProblemEntry } from '../../../shared/errors.ts';
import type { EventCursors } from '../../messaging/event-cursors.ts';
import type { InboxStore } from '../../store/message-store.ts';
import { adminFault } from '../errors.ts';

interface EventPositionNeeds {
  readonly cursors: EventCursors;
  readonly inbox: Pick<InboxStore, 'lastCursor' | 'prunedThrough'>;
}

type Place = { readonly parameter: string } | { readonly header: string } | { readonly pointer: string };

/** 0: from the oldest event on. Errors: cursor_invalid, cursor_ahead. */
export async function positionOfEvents(
  { cursors, inbox }: EventPositionNeeds,
  text: string,
  place: Place,
): Promise<number> {
  if (text === 'oldest') return 0;
  const newest = await inbox.lastCursor();
  if (text === 'newest') return newest;
  const found = cursors.decode(text);
  if (found.kind === 'foreign') throw cursorInvalid(text, place);
  if (found.kind === 'position' && found.position <= newest) return found.position;
  const resumeAfter = cursors.encode(Math.min(found.position, newest));
  throw new DetailedError(adminFault('cursor_ahead', { after: text, resumeAfter }), { members: { resumeAfter } });
}

/**
 * From 0 on a reader begins; behind a cursor it goes on, and has to know that it missed something. Errors:
 * cursor_expired.
 */
export async function assertEventsKept({ cursors, inbox }: EventPositionNeeds, position: number): Promise<void> {
  const through = position === 0 ? null : await inbox.prunedThrough(position);
  if (through === null) return;
  const resumeAfter = cursors.encode(through);
  const fault = adminFault('cursor_expired', { after: cursors.encode(position), resumeAfter });
  throw new DetailedError(fault, { members: { resumeAfter } });
}

function cursorInvalid(text: string, place: Place): DetailedError {
  const entry: ProblemEntry = {
    ...place,
    detail:
      'It is not a cursor of events of this installation; allowed: a cursor of an earlier answer, oldest, newest.',
    allowed: null,
    found: text.slice(0, 64),
  };
  return new DetailedError(adminFault('cursor_invalid', {}), { entries: [entry] });
}
