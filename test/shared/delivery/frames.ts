// Items as the `messages` frame that brings them: what the log of a receiver is given.
import { tombstoneJson, type Item } from '../../../shared/delivery/message.ts';
import type { MessageFrame } from '../../../shared/delivery/message-frames.ts';
import { encodeMessages } from '../../../shared/wire/codec.ts';

/** One frame with these items, the first one numbered `first`; none without items. */
export function framesOf(first: number, items: readonly Item[]): MessageFrame[] {
  if (items.length === 0) return [];
  const texts = items.map((item) => {
    if (item.kind === 'message') return item.message.json;
    return item.kind === 'rejected' ? item.json : tombstoneJson(item.id, item.source, item.reason);
  });
  return [frameOf(encodeMessages(first, texts), first - 1)];
}

export function frameOf(text: string, acknowledged: number, windowItems = 1_000_000): MessageFrame {
  return { data: Buffer.from(text), acknowledged, windowItems };
}
