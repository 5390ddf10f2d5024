// Reads `messages` frames into the items of a log. The receiver passes frames on as they came: they are decoded and
// validated where they are written, so that the event loop is free for heartbeats and other sessions.
import { decodeMessages } from '../wire/codec.ts';
import { LIMITS } from '../wire/messages.ts';
import { refusal } from '../wire/refusals.ts';
import { readItem, type Item } from './message.ts';

/** A `messages` frame as it came. */
export interface MessageFrame {
  readonly data: Uint8Array;
  /** What was acknowledged when it came, and how many items more the sender may have sent then. */
  readonly acknowledged: number;
  readonly windowItems: number;
}

/**
 * The items of these frames, of which the first one has the number `next`.
 * Errors: bad_frame (not JSON, not `messages`, another number, more items than the window holds).
 */
export function readMessageFrames(next: number, frames: readonly MessageFrame[]): Item[] {
  const items: Item[] = [];
  for (const { data, acknowledged, windowItems } of frames) {
    const { buffer, byteOffset, byteLength } = data;
    const frame = decodeMessages(Buffer.from(buffer, byteOffset, byteLength).toString('utf8'), windowItems);
    const expected = next + items.length;
    if (frame.first !== expected)
      throw refusal('bad_frame', { found: `messages from ${frame.first}, where ${expected} is next` });
    const unacknowledged = expected + frame.items.length - 1 - acknowledged;
    if (unacknowledged > windowItems)
      throw refusal('bad_frame', {
        found: `${unacknowledged} messages without waiting for an ack, where ${windowItems} are allowed`,
      });
    // The bound is the protocol's: a lower one of today (limits.maxMessageBytes) is for producers, and must not reject
    // what was accepted before it was lowered.
    for (const item of frame.items) items.push(readItem(item, LIMITS.maxMessageBytes));
  }
  return items;
}

/**
 * Gives the memory of frames back that are not used any more: it is tens of megabytes each second, which would wait for
 * a collection of garbage. A frame that shares its buffer with others stays.
 */
export function releaseFrames(frames: readonly MessageFrame[]): void {
  for (const { data } of frames) {
    const { buffer, byteLength } = data;
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
  }
}
