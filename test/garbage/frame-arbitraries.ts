// Makes values from the wire's schemas: such that fit, and such that do not fit in exactly one place. The schemas are
// plain data, so a new member of a frame is in the garbage from its first day on.
import * as fc from 'fast-check';
import { isRecord, validate, type JsonSchema } from '../../shared/wire/json-schema.ts';

type ObjectSchema = Extract<JsonSchema, { type: 'object' }>;

/** One value with its one fault, and where that is. */
export interface Broken {
  readonly place: string;
  readonly value: unknown;
}

/**
 * Values that JSON can carry and that some place does not expect: edges of numbers and texts, and names of
 * Object.prototype.
 */
const STRANGE: readonly unknown[] = [
  null,
  true,
  false,
  0,
  1,
  -1,
  0.5,
  -0.5,
  1e308,
  5e-324,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  86_401,
  1_000_001,
  '',
  ' ',
  '0',
  '1',
  'null',
  '\u0000',
  '\ud800',
  'a\udfff',
  '\u202e',
  '\ufeff',
  '__proto__',
  'constructor',
  '<script>',
  '%s%n',
  'x'.repeat(256),
  'x'.repeat(70_000),
  'A'.repeat(1025),
  [],
  {},
  [[]],
  [null],
  { type: 'hello' },
  { length: 5 },
  JSON.parse('{"then":1}'),
  Array.from({ length: 40 }, () => 'x'),
  JSON.parse('{"__proto__":{"type":"hello"},"constructor":1}'),
  JSON.parse(`${'['.repeat(1_000)}${']'.repeat(1_000)}`),
];

/** Values that fit. */
export function fitting(schema: JsonSchema): fc.Arbitrary<unknown> {
  if ('const' in schema) return fc.constant(schema.const);
  if ('enum' in schema) return fc.constantFrom(...schema.enum);
  if ('anyOf' in schema) return fc.oneof(...schema.anyOf.map(fitting));
  if (!('type' in schema)) return fc.oneof(fc.jsonValue(), fc.constantFrom(...STRANGE));
  switch (schema.type) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.oneof(
        fc.constantFrom(schema.minimum, schema.maximum),
        fc.integer({ min: schema.minimum, max: schema.maximum }),
      );
    case 'string':
      return fittingString(schema);
    case 'array':
      return fc.array(fitting(schema.items), { maxLength: Math.min(schema.maxItems, 5) });
    case 'object':
      return fc.record(
        Object.fromEntries(Object.entries(schema.properties).map(([name, member]) => [name, fitting(member)])),
        { requiredKeys: [...schema.required] },
      );
  }
}

const INSTANT = '2026-11-29T08:00:00.000Z';

function fittingString(schema: Extract<JsonSchema, { type: 'string' }>): fc.Arbitrary<string> {
  const least = schema.minLength ?? 0;
  // Most patterns of the wire take one of these letters any number of times, from which come the edges of the length.
  const takes = (text: string): boolean => schema.pattern === undefined || new RegExp(schema.pattern).test(text);
  const letter = ['A', 'a', '/'].find((one) => takes(one.repeat(Math.max(least, 1))));
  if (letter === undefined) {
    // An instant must also be a day of the calendar. Everything else is made from its pattern.
    if (takes(INSTANT)) return fc.constant(INSTANT);
    return fc
      .stringMatching(new RegExp(schema.pattern ?? ''))
      .filter((text) => text.length >= least && text.length <= schema.maxLength);
  }
  const letters = fc
    .oneof(fc.constantFrom(least, schema.maxLength), fc.integer({ min: least, max: schema.maxLength }))
    .map((length) => letter.repeat(length));
  if (schema.pattern !== undefined) return letters;
  const any = fc
    .string({ unit: 'binary', minLength: Math.min(least, 1), maxLength: 40 })
    .filter((text) => text.length >= least && text.length <= schema.maxLength);
  return least > 1 ? letters : fc.oneof(letters, any, fc.constantFrom('\u0000', '\ud800', '__proto__'));
}

/** Values that do not fit: wrong types, edges, and what any JSON may be. */
export function invalid(schema: JsonSchema): fc.Arbitrary<unknown> {
  return fc
    .oneof(
      { arbitrary: fc.constantFrom(...STRANGE), weight: 3 },
      { arbitrary: fc.jsonValue({ maxDepth: 2 }), weight: 1 },
    )
    .filter((value) => validate(schema, value) !== undefined);
}

/**
 * An object that fits but for one member (at any depth) that is missing or wrong. `type` stays: it says which schema
 * counts.
 */
export function brokenOnce(schema: ObjectSchema): fc.Arbitrary<Broken> {
  const places = Object.entries(schema.properties).filter(
    ([name, member]) => name !== 'type' && !takesAnything(member),
  );
  const removable = schema.required.filter((name) => name !== 'type');
  return fitting(schema).chain((whole) => {
    if (!isRecord(whole)) throw new Error('an object schema makes objects');
    const options: fc.Arbitrary<Broken>[] = places.map(([name, member]) =>
      invalid(member).map((wrong) => ({ place: `/${name}`, value: { ...whole, [name]: wrong } })),
    );
    if (removable.length > 0) {
      options.push(
        fc.constantFrom(...removable).map((name) => ({
          place: `/${name}`,
          value: Object.fromEntries(Object.entries(whole).filter(([other]) => other !== name)),
        })),
      );
    }
    for (const [name, member] of places) {
      for (const nested of objectsIn(member))
        options.push(
          brokenOnce(nested).map(({ place, value }) => ({
            place: `/${name}${place}`,
            value: { ...whole, [name]: value },
          })),
        );
    }
    return fc.oneof(...options).filter(({ value }) => validate(schema, value) !== undefined);
  });
}

/** True for a frame in which nothing but its type can be wrong. */
export function hasMembers(schema: ObjectSchema): boolean {
  return Object.keys(schema.properties).length > 1;
}

function takesAnything(schema: JsonSchema): boolean {
  return Object.keys(schema).length === 0;
}

function objectsIn(schema: JsonSchema): ObjectSchema[] {
  if ('anyOf' in schema) return schema.anyOf.flatMap(objectsIn);
  return 'type' in schema && schema.type === 'object' ? [schema] : [];
}
