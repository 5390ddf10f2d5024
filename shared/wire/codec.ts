// Turns text frames into checked objects and back. Every inbound byte of a session passes here once.
import { misfit, isRecord, type JsonSchema } from './json-schema.ts';
import { refusal } from './refusals.ts';
import type { AgentFrame, CentralFrame } from './messages.ts';
import { FROM_AGENT, FROM_CENTRAL } from './messages.ts';

/** The text of a frame that is not `messages` (those are put together from stored JSON by `encodeMessages`). */
export function encode(frame: AgentFrame | CentralFrame): string {
  return JSON.stringify(frame);
}

/** A `messages` frame around items that are JSON text already: nothing is parsed or written a second time. */
export function encodeMessages(first: number, items: readonly string[]): string {
  return `{"type":"messages","first":${first},"items":[${items.join(',')}]}`;
}

/** Bytes that a `messages` frame needs beside its items and their commas. */
export const MESSAGES_FRAME_OVERHEAD = 64;

/** Decodes a frame of an agent; null for a type this version does not know. Throws `bad_frame` naming what is wrong. */
export function decodeFromAgent(text: string): AgentFrame | null {
  // The schema named by `type` has just been checked: that is what makes it this type.
  return decode(text, FROM_AGENT) as AgentFrame | null;
}

/** Decodes a frame of Central; see `decodeFromAgent`. */
export function decodeFromCentral(text: string): CentralFrame | null {
  return decode(text, FROM_CENTRAL) as CentralFrame | null;
}

function decode(text: string, schemas: Readonly<Record<string, JsonSchema>>): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refusal('bad_frame', { found: 'the text is no JSON' }, error);
  }
  if (!isRecord(value) || typeof value['type'] !== 'string') throw refusal('bad_frame', { found: 'no JSON object with a "type"' });
  const type = value['type'];
  const schema = Object.hasOwn(schemas, type) ? schemas[type] : undefined;
  if (schema === undefined) return null;
  const found = misfit(schema, value);
  if (found !== undefined) throw refusal('bad_frame', { found: `${type}: ${found}` });
  return value;
}
