// The frames of the raw peer: the product's, distinguished and counted by their length, so that neither side parses
// JSON.
import { MESSAGE_BYTES } from './sample.ts';

const ITEMS = '"items":[';
const FIRST = '{"type":"messages","first":';

export function isMessages(text: string): boolean {
  return text.startsWith(FIRST);
}

/** The number of the last item: each has MESSAGE_BYTES, and a comma separates two. */
export function throughOf(text: string): number {
  const first = Number(text.slice(FIRST.length, text.indexOf(',', FIRST.length)));
  const begin = text.indexOf(ITEMS) + ITEMS.length;
  return first + (text.length - begin - 2 + 1) / (MESSAGE_BYTES + 1) - 1;
}

export function ackOf(through: number): string {
  return `{"type":"ack","through":${through}}`;
}
