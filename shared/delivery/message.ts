// Validates messages: CloudEvents 1.0 events in the JSON format (cloudevents spec v1.0.2, sections 3.1 to 3.3, and its
// JSON event format), and the tombstones that replace those that were given up. A message is stored and sent as the
// text that its producer wrote; what a producer left out is added to that text.
import { hash, randomUUID } from 'node:crypto';
import type { JsonSchema } from '../wire/json-schema.ts';
import { pointerToken, stringAt, stringOf, type JsonMember, type JsonNode } from '../wire/json-text.ts';
import { isAttributeString, isBase64, isMediaType, isUri, isUriReference, timestampMs } from './attribute-types.ts';

/**
 * A message as it is in a log: its identity for deduplication, and its JSON text, which is never parsed again below.
 */
export interface Message {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  /** The whole event as JSON text; what is stored and sent. */
  readonly json: string;
  /** Milliseconds since 1970 after which the message has expired (extension attribute `expirytime`); null: never. */
  readonly expiresAt: number | null;
  /**
   * Tells a repeat from another message under the same (source, id): a hash of the text of `data` or `data_base64`, 0
   * without.
   */
  readonly dataHash: number;
}

/** Why a value is not a message that can be taken. `pointer` is a JSON pointer within the message. */
interface MessageFault {
  readonly kind: 'invalid' | 'expired';
  readonly pointer: string;
  /** What was found there and what is allowed, to be read behind the pointer. */
  readonly found: string;
}

/** What an item of a `messages` frame turned out to be. Each takes its number, whatever it is. */
export type Item =
  | { readonly kind: 'message'; readonly message: Message }
  /** The sender gave this message up (it expired); the reason is in its dead letters. */
  | { readonly kind: 'tombstone'; readonly id: string; readonly source: string; readonly reason: string }
  /**
   * No valid message: goes to the receiver's dead letters. `id` and `source` are what could be read of it, or made up.
   */
  | {
      readonly kind: 'rejected';
      readonly id: string;
      readonly source: string;
      readonly reason: string;
      readonly json: string;
    };

/** The defaults of attributes that a producer on this side may leave out. */
interface Defaults {
  readonly source: string;
  readonly now: Date;
  /** The id of the task that produces it; undefined: another program. */
  readonly task?: string;
}

/**
 * One deeper message would stop every client that reads the events page by page: of the common JSON readers .NET's
 * gives up first, at 64 levels, of which the answer of the events API takes four.
 */
export const MAX_DATA_LEVELS = 60;
/** The extension by which /events says, in the batch form, which agent sent an event. Only Central sets it. */
const AGENT_EXTENSION = 'queuegateagent';
/** The extension that says which task of the agent posted an event. Only the agent sets it. */
const TASK_EXTENSION = 'queuegatetask';
/** Of a rejected item, so much is kept in the dead letters. */
const EXCERPT_BYTES = 4096;

/** Section 3.1: lower-case letters and digits. The specification advises 20 characters and forbids no length. */
const ATTRIBUTE_NAME = /^[a-z0-9]{1,255}$/;

const name255 = { type: 'string', minLength: 1, maxLength: 255 } as const;
const text1024 = { type: 'string', minLength: 1, maxLength: 1024 } as const;
const timestamp = { type: 'string', minLength: 1, maxLength: 64 } as const;

/** What CloudEvents names, as plain data: how long each string may be. What else holds of them is in `ALL_RULES`. */
export const MESSAGE_SCHEMA = {
  type: 'object',
  required: ['specversion', 'id', 'source', 'type'],
  properties: {
    specversion: { const: '1.0' },
    id: name255,
    source: text1024,
    type: name255,
    subject: text1024,
    time: timestamp,
    datacontenttype: text1024,
    dataschema: text1024,
    expirytime: timestamp,
    data_base64: { type: 'string', maxLength: 1024 * 1024 },
  },
} as const satisfies JsonSchema;

type AttributeWithRule =
  'specversion' | 'id' | 'source' | 'type' | 'subject' | 'time' | 'expirytime' | 'datacontenttype' | 'dataschema';

interface AttributeRule {
  readonly name: AttributeWithRule;
  readonly maxLength: number;
  readonly fits: (text: string) => boolean;
  readonly allowed: string;
}

const nonEmpty = (text: string): boolean => text !== '';
const isTimestamp = {
  maxLength: timestamp.maxLength,
  fits: (text: string) => timestampMs(text) !== undefined,
  allowed: 'a time of RFC 3339 such as 2026-11-22T10:00:00Z',
};

/** The attributes that CloudEvents and its expiry extension define; all are strings. */
const ALL_RULES: readonly AttributeRule[] = [
  { name: 'specversion', maxLength: 16, fits: (text) => text === '1.0', allowed: '"1.0"' },
  { name: 'id', maxLength: name255.maxLength, fits: nonEmpty, allowed: 'a string of 1 to 255 characters' },
  {
    name: 'source',
    maxLength: text1024.maxLength,
    fits: isUriReference,
    allowed: 'a URI reference (RFC 3986) of 1 to 1024 characters',
  },
  { name: 'type', maxLength: name255.maxLength, fits: nonEmpty, allowed: 'a string of 1 to 255 characters' },
  { name: 'subject', maxLength: text1024.maxLength, fits: nonEmpty, allowed: 'a string of 1 to 1024 characters' },
  { name: 'time', ...isTimestamp },
  { name: 'expirytime', ...isTimestamp },
  {
    name: 'datacontenttype',
    maxLength: text1024.maxLength,
    fits: isMediaType,
    allowed: 'a media type (RFC 2046) such as application/json',
  },
  { name: 'dataschema', maxLength: text1024.maxLength, fits: isUri, allowed: 'an absolute URI (RFC 3986)' },
];
const RULES: ReadonlyMap<string, AttributeRule> = new Map(ALL_RULES.map((rule) => [rule.name, rule]));

const REQUIRED = MESSAGE_SCHEMA.required;

type Values = Record<AttributeWithRule, string | undefined>;

/** The values of the attributes with a rule, by name; and the payload's member. */
interface Attributes {
  readonly values: Values;
  readonly data: JsonMember | undefined;
}

/** Validates a value as a message, which is then its own text. `maxBytes` bounds that text in UTF-8. */
export function readMessage(node: JsonNode, maxBytes: number): Message | MessageFault {
  const attributes = readAttributes(node);
  if ('pointer' in attributes) return attributes;
  return messageOf(node, attributes, node.text.slice(node.from, node.to), maxBytes);
}

/**
 * Validates what a producer on this side hands over: completes specversion, id, source, time and the task in its text,
 * and refuses what has expired already.
 */
export function readProduced(
  node: JsonNode,
  { source, now, task }: Defaults,
  maxBytes: number,
): Message | MessageFault {
  const attributes = readAttributes(node);
  if ('pointer' in attributes) return attributes;
  if (node.members.some(({ name }) => name === TASK_EXTENSION))
    return invalid(`/${TASK_EXTENSION}`, 'is set by the agent alone, for its tasks; leave it out');
  const { values } = attributes;
  const added: [string, string][] = task === undefined ? [] : [[TASK_EXTENSION, task]];
  const complete = (name: AttributeWithRule, value: string): void => {
    values[name] = value;
    added.push([name, value]);
  };
  if (values.specversion === undefined) complete('specversion', '1.0');
  if (values.id === undefined) complete('id', randomUUID());
  if (values.source === undefined) complete('source', source);
  if (values.time === undefined) complete('time', now.toISOString());
  const message = messageOf(node, attributes, completedText(node, added), maxBytes);
  if ('pointer' in message || message.expiresAt === null || message.expiresAt > now.getTime()) return message;
  return { kind: 'expired', pointer: '/expirytime', found: values.expirytime ?? '' };
}

/** A fault as one sentence. */
export function faultText({ kind, pointer, found }: MessageFault): string {
  return `${pointer === '' ? 'the message' : pointer} ${kind === 'expired' ? `is ${found}, which has passed` : found}`;
}

/** Reads one item of a `messages` frame. */
export function readItem(node: JsonNode, maxBytes: number): Item {
  const message = readMessage(node, maxBytes);
  if (!('pointer' in message)) return { kind: 'message', message };
  const [tombstone, id] = [textOf(node, 'tombstone'), textOf(node, 'id')];
  // An event may have an extension of that name: what has a version is an event.
  if (tombstone !== undefined && id !== undefined && !node.members.some(({ name }) => name === 'specversion')) {
    return { kind: 'tombstone', id: id.slice(0, 255), source: sourceOf(node), reason: tombstone.slice(0, 255) };
  }
  const knownAs = id === undefined || id === '' ? '(none)' : id.slice(0, 255);
  return { kind: 'rejected', id: knownAs, source: sourceOf(node), reason: faultText(message), json: excerpt(node) };
}

/** The JSON text of a tombstone in a `messages` frame. */
export function tombstoneJson(id: string, source: string, reason: string): string {
  return JSON.stringify({ tombstone: reason, id, source });
}

/** An event's text with the agent's id in it. `json` is that of a message, which has members and none of this name. */
export function withAgent(json: string, agentId: string): string {
  return `{"${AGENT_EXTENSION}":${JSON.stringify(agentId)},${json.slice(1)}`;
}

/** Every member is validated; a member that is null counts as absent (JSON event format, section 2.2). */
function readAttributes(node: JsonNode): Attributes | MessageFault {
  if (node.kind !== 'object') return invalid('', `is ${described(node.kind)}; allowed: a JSON object`);
  if (node.fault !== undefined) return { kind: 'invalid', ...node.fault };
  const values: Values = {
    specversion: undefined,
    id: undefined,
    source: undefined,
    type: undefined,
    subject: undefined,
    time: undefined,
    expirytime: undefined,
    datacontenttype: undefined,
    dataschema: undefined,
  };
  let data: JsonMember | undefined;
  for (const member of node.members) {
    const { name, kind } = member;
    if (name === 'data' || name === 'data_base64') {
      if (name === 'data_base64' && kind === 'null') continue;
      if (data !== undefined)
        return invalid(`/${name}`, 'is given together with the other form of data; allowed: data or data_base64');
      data = member;
      const fault = name === 'data' ? dataFault(member) : base64Fault(node, member);
      if (fault !== undefined) return invalid(`/${name}`, fault);
      continue;
    }
    const rule = RULES.get(name);
    const fault =
      (rule === undefined ? nameFault(name) : undefined) ??
      (kind === 'null' ? undefined : attributeFault(node, member, rule, values));
    if (fault !== undefined) return invalid(`/${pointerToken(name)}`, fault);
  }
  return { values, data };
}

function nameFault(name: string): string | undefined {
  if (name === AGENT_EXTENSION) return 'is set by Central alone; leave it out';
  return ATTRIBUTE_NAME.test(name) ? undefined : 'is not an attribute name; allowed: lower-case letters and digits';
}

/** Adds the value of an attribute with a rule to `values`. */
function attributeFault(
  node: JsonNode,
  member: JsonMember,
  rule: AttributeRule | undefined,
  values: Values,
): string | undefined {
  const { kind } = member;
  if (kind === 'string') {
    const value = stringOf(node.text, member);
    if (!isAttributeString(value)) return 'holds a control character, half of a surrogate pair or a noncharacter';
    if (rule === undefined) return undefined;
    if (value.length > rule.maxLength) return `is a string of ${value.length} characters; allowed: ${rule.allowed}`;
    if (!rule.fits(value)) return `is ${JSON.stringify(value.slice(0, 64))}; allowed: ${rule.allowed}`;
    values[rule.name] = value;
    return undefined;
  }
  const found =
    kind === 'object' || kind === 'array'
      ? described(kind)
      : node.text.slice(member.from, Math.min(member.to, member.from + 64));
  if (rule !== undefined) return `is ${found}; allowed: ${rule.allowed}`;
  if (kind === 'boolean' || (kind === 'number' && isInteger(node.text.slice(member.from, member.to)))) return undefined;
  return `is ${found}; allowed: a string, true, false or a whole number from -2147483648 to 2147483647`;
}

/** JSON event format, section 2.2: the integer component of a number alone; the range is that of the type Integer. */
function isInteger(text: string): boolean {
  return /^-?\d{1,10}$/.test(text) && Number(text) >= -(2 ** 31) && Number(text) <= 2 ** 31 - 1;
}

function dataFault({ levels }: JsonMember): string | undefined {
  return levels > MAX_DATA_LEVELS ? `is nested more than ${MAX_DATA_LEVELS} levels deep` : undefined;
}

function base64Fault(node: JsonNode, { kind, from, to }: JsonMember): string | undefined {
  if (kind !== 'string') return `is ${described(kind)}; allowed: a string in base64`;
  const { maxLength } = MESSAGE_SCHEMA.properties.data_base64;
  if (to - from > maxLength) return `has ${to - from} characters; allowed: at most ${maxLength}`;
  if (isBase64(stringAt(node.text, from, to))) return undefined;
  return 'is not base64; allowed: RFC 4648 section 4, with padding and without line breaks';
}

function messageOf(
  node: JsonNode,
  { values, data }: Attributes,
  json: string,
  maxBytes: number,
): Message | MessageFault {
  for (const name of REQUIRED) if (values[name] === undefined) return invalid('', `has no member "${name}"`);
  // A UTF-16 unit has at most three bytes in UTF-8: most messages need no counting.
  const bytes = json.length * 3 > maxBytes ? Buffer.byteLength(json) : json.length;
  if (bytes > maxBytes) return invalid('', `has ${bytes} bytes; allowed: at most ${maxBytes}`);
  const { id = '', source = '', type = '', expirytime: expiry } = values;
  const expiresAt = expiry === undefined ? null : (timestampMs(expiry) ?? null);
  const payload = data === undefined ? undefined : node.text.slice(data.from, data.to);
  return new ReadMessage({ id, source, type, json, expiresAt }, data?.name ?? '', payload);
}

/** Hashes its data only when that is asked for: of most events it never is. */
class ReadMessage implements Message {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly json: string;
  readonly expiresAt: number | null;
  readonly #dataName: string;
  readonly #data: string | undefined;

  constructor(
    { id, source, type, json, expiresAt }: Omit<Message, 'dataHash'>,
    dataName: string,
    data: string | undefined,
  ) {
    this.id = id;
    this.source = source;
    this.type = type;
    this.json = json;
    this.expiresAt = expiresAt;
    this.#dataName = dataName;
    this.#data = data;
  }

  get dataHash(): number {
    return this.#data === undefined ? 0 : dataHash(this.#dataName, this.#data);
  }
}

/**
 * 44 bits of SHA-256, and which member it is. Two payloads are compared with each other and with no third: they meet by
 * accident once in 10^13 times. SQLite keeps it in six bytes; 16 characters made the tables of what was seen half as
 * long again, and Central took a quarter fewer events (measured).
 */
function dataHash(name: string, text: string): number {
  const bytes = hash('sha256', text, 'latin1');
  const first32 =
    ((bytes.charCodeAt(0) * 256 + bytes.charCodeAt(1)) * 256 + bytes.charCodeAt(2)) * 256 + bytes.charCodeAt(3);
  const bits44 = (first32 * 256 + bytes.charCodeAt(4)) * 16 + (bytes.charCodeAt(5) >> 4);
  return bits44 * 2 + (name === 'data' ? 1 : 2);
}

/** The producer's text with `added` in it: in the place of a null, so that no name is repeated, else in front. */
function completedText({ text, from, to, members }: JsonNode, added: readonly (readonly [string, string])[]): string {
  if (added.length === 0) return text.slice(from, to);
  let front = '';
  let body = text.slice(from + 1, to);
  for (const [name, value] of added.toReversed()) {
    if (!members.some((member) => member.name === name)) front = `"${name}":${JSON.stringify(value)},${front}`;
  }
  for (const { name, from: nullFrom, to: nullTo } of members.toReversed()) {
    const value = added.find(([one]) => one === name)?.[1];
    if (value !== undefined)
      body = body.slice(0, nullFrom - from - 1) + JSON.stringify(value) + body.slice(nullTo - from - 1);
  }
  return `{${front}${body}`;
}

function invalid(pointer: string, found: string): MessageFault {
  return { kind: 'invalid', pointer, found };
}

function described(kind: JsonNode['kind']): string {
  return kind === 'null' ? 'null' : kind === 'object' || kind === 'array' ? `an ${kind}` : `a ${kind}`;
}

/** The member's text if it is a string. */
function textOf(node: JsonNode, name: string): string | undefined {
  const member = node.members.find((one) => one.name === name);
  return member?.kind === 'string' ? stringAt(node.text, member.from, member.to) : undefined;
}

function sourceOf(node: JsonNode): string {
  return (textOf(node, 'source') ?? '').slice(0, 1024);
}

/** The beginning of the text as it came, without a character that the bound would cut. */
function excerpt({ text, from, to }: JsonNode): string {
  const bytes = Buffer.from(text.slice(from, Math.min(to, from + EXCERPT_BYTES)));
  if (bytes.length <= EXCERPT_BYTES) return bytes.toString();
  let end = EXCERPT_BYTES;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

/** A copy of a text that is kept: a part of a long text (a frame, a request's body) keeps the whole of it in memory. */
export function copyOfText(text: string): string {
  return Buffer.from(text).toString();
}
