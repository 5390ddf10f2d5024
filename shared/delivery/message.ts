// Owns what a message is: a CloudEvents 1.0 event in JSON format (cloudevents spec v1.0.2, sections 3.1 to 3.3), and the
// tombstone that stands in its place when it was given up. Completes what a producer left out, and judges what a peer sent.
import { randomUUID } from 'node:crypto';
import { isRecord, misfit, type JsonSchema } from '../wire/json-schema.ts';

/** A message as it lies in a log: its identity for deduplication, and its JSON text, which nobody below reads again. */
export interface Message {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  /** The whole event as JSON text; what is stored and sent. */
  readonly json: string;
  /** Milliseconds since 1970 after which nobody wants it any more (extension attribute `expirytime`); null: never. */
  readonly expiresAt: number | null;
}

/** What an item of a `messages` frame turned out to be. Each takes its number, whatever it is. */
export type Item =
  | { readonly kind: 'message'; readonly message: Message }
  /** The sender gave this message up (it expired); the reason stands in its dead letters. */
  | { readonly kind: 'tombstone'; readonly id: string; readonly source: string; readonly reason: string }
  /** No valid message: goes to the receiver's dead letters. `id` and `source` are what can be told of it, or made up. */
  | { readonly kind: 'rejected'; readonly id: string; readonly source: string; readonly reason: string; readonly json: string };

const attribute = { type: 'string', minLength: 1, maxLength: 1024 } as const;

/** The attributes that CloudEvents names; extensions may stand beside them. */
export const MESSAGE_SCHEMA = {
  type: 'object',
  required: ['specversion', 'id', 'source', 'type'],
  properties: {
    specversion: { const: '1.0' },
    id: { type: 'string', minLength: 1, maxLength: 255 },
    source: attribute,
    type: { type: 'string', minLength: 1, maxLength: 255 },
    subject: attribute,
    time: attribute,
    datacontenttype: attribute,
    dataschema: attribute,
    expirytime: attribute,
    data_base64: { type: 'string', maxLength: 1024 * 1024 },
  },
} as const satisfies JsonSchema;

/** Attribute names are lower-case letters and digits (section 3.1); `data` and `data_base64` are members of the JSON format. */
const ATTRIBUTE_NAME = /^(?:[a-z0-9]{1,64}|data_base64)$/;
/**
 * One deeper message would stop whoever reads the events page by page: of the common JSON readers .NET's gives up first, at 64
 * levels, of which the answer of the events API takes four.
 */
export const MAX_DATA_LEVELS = 60;
/** What no attribute holds (section 3.1): half of a surrogate pair above all, since a store writes every one of them as U+FFFD, and two ids become one. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;
/** RFC 3339 section 5.6, as CloudEvents wants time stamps. */
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;

/**
 * Judges a value as a message. Returns the message, or a sentence that says what is wrong.
 * `maxBytes` bounds the JSON text in UTF-8.
 */
export function readMessage(value: unknown, maxBytes: number): Message | string {
  const found = misfit(MESSAGE_SCHEMA, value);
  if (found !== undefined) return found;
  // `misfit` has just shown these members to be strings.
  const event = value as Record<string, unknown> & { id: string; source: string; type: string; expirytime?: string; time?: string };
  for (const name of Object.keys(event)) {
    const member = event[name];
    if (!Object.hasOwn(MESSAGE_SCHEMA.properties, name) && !ATTRIBUTE_NAME.test(name)) return `/${name.slice(0, 64)} is no attribute name; allowed: lower-case letters and digits`;
    if (name !== 'data' && typeof member === 'object') return `/${name} is ${member === null ? 'null' : 'an object or an array'}; allowed: a string, a number or a boolean`;
    if (name !== 'data' && typeof member === 'string' && FORBIDDEN.test(member)) return `/${name} holds a control character, half of a surrogate pair or a noncharacter`;
  }
  if ('data' in event && 'data_base64' in event) return 'data and data_base64 stand side by side; allowed: one of them';
  for (const name of ['time', 'expirytime'] as const) {
    const stamp = event[name];
    if (stamp !== undefined && (!TIMESTAMP.test(stamp) || Number.isNaN(Date.parse(stamp)))) return `/${name} is "${stamp.slice(0, 64)}"; allowed: a time such as 2026-11-22T10:00:00Z`;
  }
  if (isDeeper(event['data'], MAX_DATA_LEVELS)) return `/data is nested more than ${MAX_DATA_LEVELS} levels deep`;
  const json = JSON.stringify(event);
  // A UTF-16 unit has at most three bytes in UTF-8: most messages need no counting.
  const bytes = json.length * 3 > maxBytes ? Buffer.byteLength(json) : json.length;
  if (bytes > maxBytes) return `the message has ${bytes} bytes; allowed: at most ${maxBytes}`;
  return { id: event.id, source: event.source, type: event.type, json, expiresAt: event.expirytime === undefined ? null : Date.parse(event.expirytime) };
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1));
}

/** Fills in what a local producer may leave out: specversion, id, source and time. Leaves anything else as it is, to be judged. */
export function completeMessage(value: unknown, source: string, now: Date): unknown {
  if (!isRecord(value)) return value;
  return { specversion: '1.0', id: randomUUID(), source, time: now.toISOString(), ...value };
}

/** Judges one item of a `messages` frame. */
export function readItem(value: unknown, maxBytes: number): Item {
  if (isRecord(value) && typeof value['tombstone'] === 'string' && typeof value['id'] === 'string') {
    return { kind: 'tombstone', id: value['id'].slice(0, 255), source: sourceOf(value), reason: value['tombstone'].slice(0, 255) };
  }
  const message = readMessage(value, maxBytes);
  if (typeof message !== 'string') return { kind: 'message', message };
  const id = isRecord(value) && typeof value['id'] === 'string' && value['id'].length > 0 ? value['id'].slice(0, 255) : '(none)';
  return { kind: 'rejected', id, source: sourceOf(value), reason: message, json: excerpt(value) };
}

/** The JSON text of a tombstone in a `messages` frame. */
export function tombstoneJson(id: string, source: string, reason: string): string {
  return JSON.stringify({ tombstone: reason, id, source });
}

function sourceOf(value: unknown): string {
  return isRecord(value) && typeof value['source'] === 'string' ? value['source'].slice(0, 1024) : '';
}

function excerpt(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? 'null').slice(0, 4096);
  } catch {
    return '"(nested too deeply)"';
  }
}
