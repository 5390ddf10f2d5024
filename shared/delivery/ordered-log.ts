// The rules of an ordered log between two peers; knows neither sockets nor disks. A sender numbers its messages 1, 2,
// 3 ... within an incarnation. A receiver holds one position: the last message it has on disk. On reconnect the
// receiver reports its position, and the sender decides here whether both logs still agree. The id of a position is a
// fingerprint of the whole log through that number (shared/sqlite/logs/fingerprint.ts, linkOf); here it is only
// compared.
import type { Position, Range } from '../wire/messages.ts';

/** What a sender has on disk about its own log. */
export interface SenderRecord {
  readonly incarnation: string;
  /** Number that the next appended message gets; 1 in an empty log. */
  readonly next: number;
  /** Last number the receiver has acknowledged; 0 when none. */
  readonly acknowledged: number;
  /** Id of the position at `acknowledged`; null when none. */
  readonly acknowledgedId: string | null;
  /**
   * Why this incarnation began: the range of the one before on which the two sides did not agree. Kept until the first
   * ack.
   */
  readonly missing: Range | null;
}

/** What a receiver has on disk about its peer's log. */
export interface ReceiverRecord {
  /** Null before the first `begin`. */
  readonly incarnation: string | null;
  /** Last number on disk; 0 when none of this incarnation. */
  readonly number: number;
  /** Id of the position at `number`; null when none. */
  readonly id: string | null;
}

/** What a receiver tells of itself in hello or welcome; null while it holds nothing of the current incarnation. */
export function positionOf(record: ReceiverRecord): Position | null {
  if (record.incarnation === null || record.id === null || record.number === 0) return null;
  return { incarnation: record.incarnation, number: record.number, id: record.id };
}

type ResumeDecision =
  /** The receiver has everything through this number: acknowledge it and go on behind it, saying what is missing. */
  | { readonly kind: 'resume'; readonly through: number; readonly missing: Range | null }
  /** One side went back in time: a new incarnation begins, what is not acknowledged is numbered again from 1. */
  | { readonly kind: 'new-incarnation'; readonly missing: Range };

/**
 * Decides how a sender continues from where the receiver says it is.
 * `idAt(number)` gives the id of the sender's own position there (also of a tombstone) or undefined when there is no
 * record.
 *
 * When the receiver is ahead of what the sender ever sent, or behind what it has acknowledged, or has another log
 * through that number, one of the two disks was restored, and silence would lose messages (docs/RELIABILITY.md, promise
 * 3).
 */
export function decideResume(
  own: SenderRecord,
  peer: Position | null,
  idAt: (number: number) => string | undefined,
): ResumeDecision {
  const acknowledged = own.acknowledged;
  if (peer === null || peer.incarnation !== own.incarnation) {
    // The receiver knows nothing of this incarnation. Once it has acknowledged something, that is a loss on its side.
    if (acknowledged > 0) return { kind: 'new-incarnation', missing: { from: 1, through: acknowledged } };
    // Nothing acknowledged: this incarnation begins now. If the receiver holds another one that this sender did not
    // itself leave behind (then `missing` would say so), the sender lost its log, and with it whatever it had not sent.
    const lost = peer === null ? null : { from: 1, through: peer.number };
    return { kind: 'resume', through: 0, missing: own.missing ?? lost };
  }
  if (peer.number < acknowledged)
    return { kind: 'new-incarnation', missing: { from: peer.number + 1, through: acknowledged } };
  const known = peer.number === acknowledged ? (own.acknowledgedId ?? undefined) : idAt(peer.number);
  if (peer.number < own.next && known === peer.id) return { kind: 'resume', through: peer.number, missing: null };
  return { kind: 'new-incarnation', missing: { from: acknowledged + 1, through: Math.max(peer.number, own.next - 1) } };
}

type BeginDecision =
  /** The same incarnation goes on. */
  | { readonly kind: 'continue' }
  /** Another incarnation starts at 1: the position is reset; not recovered when messages may be missing. */
  | { readonly kind: 'reset'; readonly recovered: boolean }
  /** The sender breaks the rules; the text says how. */
  | { readonly kind: 'violation'; readonly found: string };

/** Decides what a receiver makes of the sender's `begin`. */
export function decideBegin(
  own: ReceiverRecord,
  begin: { incarnation: string; next: number; missing: Range | null },
): BeginDecision {
  if (own.incarnation === begin.incarnation) {
    if (begin.next === own.number + 1) return { kind: 'continue' };
    return { kind: 'violation', found: `begin at ${begin.next}, where ${own.number + 1} is next` };
  }
  if (begin.next !== 1)
    return { kind: 'violation', found: `begin at ${begin.next} of an incarnation that is new here, where 1 is next` };
  return { kind: 'reset', recovered: begin.missing === null };
}
