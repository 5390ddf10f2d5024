// Why a message became a dead letter, as a code that can be looked up: the logs keep it in the words of the side that
// gave it up.
import type { MESSAGE_ERRORS } from './errors.ts';

/** What the logs write for a message that expired, and for an id with other data than before. */
export const EXPIRED = 'expired';
/** At Central, of a command that its agent had taken. */
export const EXPIRED_AT_AGENT = 'expired at the agent';
/** An administrator withdrew a command that had not been sent. */
export const WITHDRAWN = 'withdrawn';
export const ID_REUSED = 'id_reused';

/** Of MESSAGE_ERRORS. */
export const DEAD_LETTER_CODES = [
  'message_expired',
  'message_withdrawn',
  'id_reused',
  'message_invalid',
] as const satisfies readonly (keyof typeof MESSAGE_ERRORS)[];
export type DeadLetterCode = (typeof DEAD_LETTER_CODES)[number];

interface DeadLetterCause {
  readonly code: DeadLetterCode;
  /** What is wrong with it; null where the code says everything. */
  readonly detail: string | null;
}

export function causeOf(reason: string): DeadLetterCause {
  if (reason === EXPIRED || reason === EXPIRED_AT_AGENT) return { code: 'message_expired', detail: null };
  if (reason === WITHDRAWN) return { code: 'message_withdrawn', detail: null };
  if (reason === ID_REUSED) return { code: 'id_reused', detail: null };
  return { code: 'message_invalid', detail: reason };
}

/** Which side gave up a message that is in Central's dead letters. */
export function placeOf({
  direction,
  reason,
}: {
  readonly direction: 'up' | 'down';
  readonly reason: string;
}): 'central' | 'agent' {
  return reason === EXPIRED_AT_AGENT || (direction === 'up' && reason === EXPIRED) ? 'agent' : 'central';
}
