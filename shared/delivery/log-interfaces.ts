// The interfaces between a session and the logs on disk: the sender needs an outbox, the receiver an inbox. Central
// and the agent implement both, each over its own store.
import type { Position, Range } from '../wire/messages.ts';
import type { MessageFrame } from './message-frames.ts';

/** How much of a log may be neither acknowledged nor given up. */
export interface OutboxBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** A message that was seen longer ago may come again; absent: as the log has it. */
  readonly deduplicationMs?: number;
}

/**
 * What became of one appended message. `duplicate`: (source, id) was seen within the last days; its number if still
 * known.
 */
export type Appended =
  | { readonly outcome: 'stored'; readonly number: number }
  | { readonly outcome: 'duplicate'; readonly number: number | null };

export interface OutboxEntry {
  readonly number: number;
  readonly id: string;
  /** JSON text as it goes into the frame (a tombstone's for a message that was given up). */
  readonly json: string;
  /** Its length in UTF-8. */
  readonly bytes: number;
  readonly expiresAt: number | null;
}

/** How a sender resumes from the position of its peer; what goes into the `begin` frame. */
export interface ResumedLog {
  readonly incarnation: string;
  readonly next: number;
  readonly missing: Range | null;
}

export interface LogDepth {
  readonly incarnation: string;
  readonly messages: number;
  readonly bytes: number;
  /** Time of the oldest message that is not acknowledged; null when the log is empty. */
  readonly oldestAt: number | null;
}

/**
 * The log that one session sends from. Every call that resolves is on disk, except that `acknowledge` may be lost:
 * `resume` repairs it.
 */
export interface OutboxPort {
  /** Decides how to go on from where the peer says it is (shared/delivery/ordered-log.ts). */
  resume(peer: Position | null): Promise<ResumedLog>;
  /** Messages with a number greater than `after`, contiguous, at most so many and so many bytes (but at least one). */
  read(after: number, maxItems: number, maxBytes: number): Promise<OutboxEntry[]>;
  /** Trims through this number. */
  acknowledge(through: number): Promise<void>;
  /** Moves expired messages to the dead letters and leaves tombstones; the number of them. */
  expire(): Promise<number>;
}

/** The log that one session receives into. */
export interface InboxPort {
  /** Notes the sender's `begin`. Errors: log_violation. */
  begin(begin: { readonly incarnation: string; readonly next: number; readonly missing: Range | null }): Promise<void>;
  /**
   * Appends the items of these frames, the first one numbered `next`, all or nothing; resolves with the last number on
   * disk, which may then be acknowledged. Errors: bad_frame (message-frames.ts), log_violation.
   */
  append(next: number, frames: readonly MessageFrame[]): Promise<number>;
}
