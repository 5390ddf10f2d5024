// Cursors of events in tests: those of a store in memory, and the position in one that a real Central gave.
import { EventCursors } from '../central/messaging/event-cursors.ts';

export const CURSORS = new EventCursors([{ id: '0123456789', ended: null }]);

export const cursorAt = (position: number): string => CURSORS.encode(position);

/** In the order of commits. */
export const positionIn = (cursor: string): number => Buffer.from(cursor, 'base64url').readUIntBE(6, 6);
