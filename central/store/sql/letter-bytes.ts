// The size of a dead letter, as SQL: rows and triggers count it alike.
import { DEAD_LETTER_OVERHEAD } from '../space/bounds.ts';

/** What a dead letter counts against the bound of its agent. */
export const LETTER_BYTES = (row: string): string =>
  `(octet_length(${row}.id) + octet_length(${row}.reason) + octet_length(${row}.json) + 2 * octet_length(${row}.agent_id) + ${DEAD_LETTER_OVERHEAD})`;
