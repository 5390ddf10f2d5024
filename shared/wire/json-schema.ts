// Checks values against the small part of JSON Schema (2020-12) that the wire's schemas use, and gives their static
// types. Its own, because every agent pays for it in memory: the compiled validators of TypeBox or Ajv cost 20 MiB per
// branch PC, this costs nothing measurable. The schemas are plain data, so documents and property tests are made from
// them.
import type { XStatic } from 'typebox/schema';

/** The static type of a schema literal (`as const`). */
export type Static<S> = XStatic<S>;

export type JsonSchema = Form & {
  /** For documents. */
  readonly description?: string;
};

type Form =
  | { readonly type: 'string'; readonly minLength?: number; readonly maxLength: number; readonly pattern?: string }
  | { readonly type: 'integer'; readonly minimum: number; readonly maximum: number }
  | { readonly type: 'boolean' }
  | { readonly type: 'null' }
  | { readonly const: string }
  | { readonly enum: readonly string[] }
  | { readonly anyOf: readonly JsonSchema[] }
  | { readonly type: 'array'; readonly maxItems: number; readonly items: JsonSchema }
  | {
      readonly type: 'object';
      readonly properties: Readonly<Record<string, JsonSchema>>;
      readonly required: readonly string[];
      /**
       * Absent or true: members that are not named are allowed, so that a newer peer may say more (docs/PROTOCOL.md).
       */
      readonly additionalProperties?: boolean;
    }
  /** Any value. */
  | { readonly description: string }
  | Readonly<Record<string, never>>;

/** A member, an index, or '' for the value itself. */
type Name = string | number;

const patterns = new Map<string, RegExp>();

/**
 * Returns undefined when `value` fits `schema`, else one sentence that names the place (JSON Pointer),
 * what was found and what is allowed.
 */
export function validate(schema: JsonSchema, value: unknown, parent = '', name: Name = ''): string | undefined {
  if ('const' in schema)
    return value === schema.const ? undefined : wrong(place(parent, name), value, `"${schema.const}"`);
  if ('enum' in schema) {
    return typeof value === 'string' && schema.enum.includes(value)
      ? undefined
      : wrong(place(parent, name), value, `one of ${schema.enum.join(', ')}`);
  }
  if ('anyOf' in schema) {
    let first: string | undefined;
    for (const option of schema.anyOf) {
      const found = validate(option, value, parent, name);
      if (found === undefined) return undefined;
      first = found;
    }
    return first;
  }
  if (!('type' in schema)) return undefined;
  switch (schema.type) {
    case 'null':
      return value === null ? undefined : wrong(place(parent, name), value, 'null');
    case 'boolean':
      return typeof value === 'boolean' ? undefined : wrong(place(parent, name), value, 'true or false');
    case 'integer':
      if (
        typeof value === 'number' &&
        Number.isSafeInteger(value) &&
        value >= schema.minimum &&
        value <= schema.maximum
      )
        return undefined;
      return wrong(place(parent, name), value, `a whole number from ${schema.minimum} to ${schema.maximum}`);
    case 'string':
      return validateString(schema, value, parent, name);
    case 'array':
      if (!Array.isArray(value)) return wrong(place(parent, name), value, 'an array');
      if (value.length > schema.maxItems)
        return described(place(parent, name), `an array of ${value.length}`, `at most ${schema.maxItems} items`);
      return validateItems(schema.items, value, place(parent, name));
    case 'object':
      return validateObject(schema, value, parent, name);
  }
}

function validateItems(schema: JsonSchema, items: readonly unknown[], here: string): string | undefined {
  for (let i = 0; i < items.length; i += 1) {
    const found = validate(schema, items[i], here, i);
    if (found !== undefined) return found;
  }
  return undefined;
}

function validateString(
  schema: Extract<JsonSchema, { type: 'string' }>,
  value: unknown,
  parent: string,
  name: Name,
): string | undefined {
  const minLength = schema.minLength ?? 0;
  if (typeof value !== 'string') return wrong(place(parent, name), value, 'a string');
  if (value.length < minLength || value.length > schema.maxLength) {
    return described(
      place(parent, name),
      `a string of ${value.length} characters`,
      `${minLength} to ${schema.maxLength} characters`,
    );
  }
  if (schema.pattern === undefined) return undefined;
  let pattern = patterns.get(schema.pattern);
  if (pattern === undefined) {
    pattern = new RegExp(schema.pattern, 'u');
    patterns.set(schema.pattern, pattern);
  }
  return pattern.test(value) ? undefined : wrong(place(parent, name), value, `a string that fits ${schema.pattern}`);
}

function validateObject(
  schema: Extract<JsonSchema, { type: 'object' }>,
  value: unknown,
  parent: string,
  name: Name,
): string | undefined {
  if (!isRecord(value)) return wrong(place(parent, name), value, 'an object');
  for (const member of schema.required) {
    if (!Object.hasOwn(value, member)) return `${place(parent, name) || 'the object'} has no member "${member}"`;
  }
  const here = place(parent, name);
  // Not Object.entries: this runs for every message, and makes nothing that has to be thrown away.
  for (const member in schema.properties) {
    const found = Object.hasOwn(value, member)
      ? validate(schema.properties[member] as JsonSchema, value[member], here, member)
      : undefined;
    if (found !== undefined) return found;
  }
  if (schema.additionalProperties === false) {
    for (const member of Object.keys(value)) {
      if (!Object.hasOwn(schema.properties, member)) return `${here}/${member.slice(0, 64)} is not known here`;
    }
  }
  return undefined;
}

/** True for a JSON object (not null, not an array). */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Built only for a reported fault, or as the parent of more. */
function place(parent: string, name: Name): string {
  return name === '' ? parent : `${parent}/${name}`;
}

function wrong(place: string, value: unknown, allowed: string): string {
  const found =
    typeof value === 'string'
      ? JSON.stringify(value.slice(0, 64))
      : Array.isArray(value)
        ? 'an array'
        : isRecord(value)
          ? 'an object'
          : String(value);
  return described(place, found, allowed);
}

function described(place: string, found: string, allowed: string): string {
  return `${place === '' ? 'the value' : place} is ${found}; allowed: ${allowed}`;
}
