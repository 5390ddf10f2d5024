// Turns text frames into checked objects and back. Every inbound byte of a session passes here once; the items of a
// `messages` frame are not built into values, they stay the text that came.
import { textOf } from '../errors.ts';
import { validate, type JsonSchema } from './json-schema.ts';
import { pointerToken, scanObjectWithList, stringAt, type JsonNodeWithList } from './json-text.ts';
import { refusal } from './refusals.ts';
import { type AgentFrame, type CentralFrame, FROM_AGENT, FROM_CENTRAL, LIMITS, type Messages } from './messages.ts';

/** What every `messages` frame of ours begins with. */
const MESSAGES_HEAD = '{"type":"messages","first":';
const ITEMS_HEAD = ',"items":[{';
/** The head with the largest number (2^53 - 1). */
const HEAD_BYTES = MESSAGES_HEAD.length + 16 + ITEMS_HEAD.length;

/** The text of a frame that is not `messages` (those are put together from stored JSON by `encodeMessages`). */
export function encode(frame: AgentFrame | CentralFrame): string {
  return JSON.stringify(frame);
}

/** A `messages` frame around items that are JSON text already: nothing is parsed or written a second time. */
export function encodeMessages(first: number, items: readonly string[]): string {
  return `{"type":"messages","first":${first},"items":[${items.join(',')}]}`;
}

/**
 * True for a `messages` frame with at least one item as `encodeMessages` writes it: it need not be decoded to know its
 * type. False says nothing: another writer may put members in another order.
 */
export function hasMessagesHead(frame: Buffer): boolean {
  const head = frame.toString('latin1', 0, HEAD_BYTES);
  if (!head.startsWith(MESSAGES_HEAD)) return false;
  return head.startsWith(ITEMS_HEAD, head.indexOf(',', MESSAGES_HEAD.length));
}

/** Bytes that a `messages` frame needs beside its items and their commas, its checksum included. */
export const MESSAGES_FRAME_OVERHEAD = 96;

/** No frame but `messages` is nested deeper; the rest of what a peer nests is not built. */
const MAX_CONTROL_LEVELS = 16;

/**
 * Decodes a frame of an agent; null for a type this version does not know. `maxItems` bounds the items of a `messages`
 * frame. Throws `bad_frame` naming what is wrong.
 */
export function decodeFromAgent(text: string, maxItems: number = LIMITS.windowItems): AgentFrame | null {
  // The schema named by `type` has just been checked: that is what makes it this type.
  return decode(text, FROM_AGENT, maxItems) as AgentFrame | null;
}

/** Decodes a frame that is `messages`; see `decodeFromAgent`. Both sides send the same. */
export function decodeMessages(text: string, maxItems: number): Messages {
  const frame = decodeFromAgent(text, maxItems);
  if (frame?.type !== 'messages') throw refusal('bad_frame', { found: 'the frame is not messages' });
  return frame;
}

/** Decodes a frame of Central; see `decodeFromAgent`. */
export function decodeFromCentral(text: string, maxItems: number = LIMITS.windowItems): CentralFrame | null {
  return decode(text, FROM_CENTRAL, maxItems) as CentralFrame | null;
}

function decode(text: string, schemas: Readonly<Record<string, JsonSchema>>, maxItems: number): unknown {
  const frame = scan(text, maxItems);
  const named = frame.members.find(({ name }) => name === 'type');
  if (named?.kind !== 'string') throw refusal('bad_frame', { found: 'the text is not a JSON object with a "type"' });
  const type = stringAt(text, named.from, named.to);
  const schema = Object.hasOwn(schemas, type) ? schemas[type] : undefined;
  if (schema === undefined) return null;
  if (frame.fault !== undefined) {
    const { pointer, found } = frame.fault;
    throw refusal('bad_frame', { found: `${type}: ${pointer || 'the frame'} ${found}` });
  }
  if (type === 'messages') return messagesOf(frame, schema, maxItems);
  const deep = frame.members.find(({ levels }) => levels > MAX_CONTROL_LEVELS);
  if (deep !== undefined) {
    const place = `/${pointerToken(deep.name)}`;
    throw refusal('bad_frame', { found: `${type}: ${place} is nested more than ${MAX_CONTROL_LEVELS} levels deep` });
  }
  return checked(type, schema, JSON.parse(text));
}

function scan(text: string, maxItems: number): JsonNodeWithList {
  try {
    return scanObjectWithList(text, 'items', maxItems);
  } catch (error) {
    throw refusal('bad_frame', { found: `the text is not JSON: ${textOf(error)}` }, error);
  }
}

/** Builds only the text around the items. */
function messagesOf({ text, members, list }: JsonNodeWithList, schema: JsonSchema, maxItems: number): Messages {
  const around: Record<string, unknown> = { type: 'messages' };
  for (const { name, kind, from, to } of members) {
    if (name === 'first') around[name] = kind === 'number' ? Number(text.slice(from, to)) : kind;
    else if (name === 'items') around[name] = list === undefined ? kind : [];
  }
  checked('messages', schema, around);
  const { items = [], count = 0 } = list ?? {};
  if (count > maxItems) {
    throw refusal('bad_frame', {
      found: `messages: /items is an array of ${count}; allowed: at most ${maxItems} items`,
    });
  }
  return { type: 'messages', first: around['first'] as number, items };
}

function checked(type: string, schema: JsonSchema, value: unknown): unknown {
  const found = validate(schema, value);
  if (found !== undefined) throw refusal('bad_frame', { found: `${type}: ${found}` });
  return value;
}
