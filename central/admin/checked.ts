// Turns a body or a query into a typed value: validates it against a TypeBox schema, with every faulty place in one
// error.
import { Type, type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Settings } from 'typebox/system';
import { Value } from 'typebox/value';
import type { ProblemEntry } from '../../shared/errors.ts';
import { foundAt, pointerTo } from '../../shared/http/problem.ts';
import { requestInvalid } from './errors.ts';

/** `errorCount` of a problem document is exact up to here; a body of 256 KiB could hold tens of thousands of faults. */
const MAX_ERRORS = 1_000;
// TypeBox stops at eight, and would count eight where there are more.
Settings.Set({ maxErrors: MAX_ERRORS });

/** Reads a part of a request, and has the schema that it validates. */
export interface Reader<S extends TSchema> {
  (value: unknown): Static<S>;
  readonly schema: S;
}

/** One of these words. */
export function oneOf<const W extends readonly string[]>(words: W, options: { readonly default?: W[number] } = {}) {
  return Type.Unsafe<W[number]>({ type: 'string', enum: [...words], ...options });
}

/** Validates a JSON body. An absent one counts as an empty object. Errors: request_invalid with pointers. */
export function bodyOf<S extends TSchema>(schema: S): Reader<S> {
  const validator = Compile(schema);
  const read = (body: unknown): Static<S> => {
    const value = body ?? {};
    if (!validator.Check(value)) throw requestInvalid(entriesOf(schema, validator.Errors(value), value, memberEntry));
    return value;
  };
  return Object.assign(read, { schema });
}

/**
 * Validates a query, whose values are text; what is absent gets its default. Errors: request_invalid with parameters.
 */
export function queryOf<S extends TSchema>(schema: S): Reader<S> {
  const validator = Compile(schema);
  const read = (query: unknown): Static<S> => {
    const value: unknown = Value.Convert(schema, Value.Default(schema, query));
    if (!validator.Check(value))
      throw requestInvalid(entriesOf(schema, validator.Errors(value), query, parameterEntry));
    return value;
  };
  return Object.assign(read, { schema });
}

type EntryText = Omit<Extract<ProblemEntry, { readonly pointer: string }>, 'pointer'>;

function memberEntry(path: string, text: EntryText): ProblemEntry {
  return { pointer: pointerTo(path), ...text };
}

function parameterEntry(path: string, text: EntryText): ProblemEntry {
  return { parameter: nameIn(ofArray(path)), ...text };
}

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/** One entry for each faulty place: the first fault that was found there. */
function entriesOf(
  schema: TSchema,
  errors: readonly SchemaError[],
  value: unknown,
  entryOf: (path: string, text: EntryText) => ProblemEntry,
): ProblemEntry[] {
  const entries = new Map<string, ProblemEntry>();
  const add = (path: string, detail: string, allowed: readonly string[] | null = null): void => {
    if (!entries.has(path))
      entries.set(path, entryOf(path, { detail, allowed, found: foundAt(path, at(value, path)) }));
  };
  for (const { keyword, instancePath: path, message, params } of errors) {
    const name = nameIn(ofArray(path)) || 'The value';
    if (keyword === 'required') {
      const { requiredProperties } = params as { readonly requiredProperties: readonly string[] };
      for (const missing of requiredProperties) add(`${path}/${escaped(missing)}`, `${missing} is missing.`);
    } else if (keyword === 'boolean') {
      const known = namesIn(schema, path);
      add(path, `${name} is unknown; allowed: ${known.join(', ') || 'none'}.`, known);
    } else if (keyword === 'enum') {
      const allowed = (params as { readonly allowedValues: readonly unknown[] }).allowedValues.map(String);
      add(path, `${name} is not one of its values; allowed: ${allowed.join(', ')}.`, allowed);
    }
    // A member that is not allowed is reported at the member (above) and at its object.
    else if (keyword !== 'additionalProperties') add(path, `${name} ${message}.`);
  }
  return [...entries.values()];
}

/** The names that are allowed beside an unknown one. */
function namesIn(schema: TSchema, path: string): readonly string[] {
  const properties = 'properties' in schema ? (schema.properties as object) : {};
  return path.lastIndexOf('/') > 0 ? [] : Object.keys(properties);
}

function at(value: unknown, path: string): unknown {
  let found = value;
  for (const part of path.split('/').slice(1))
    found = typeof found === 'object' && found !== null ? (found as Record<string, unknown>)[nameIn(`/${part}`)] : null;
  return found;
}

/** The place of the array, where the path ends at an item: a parameter that is repeated has one name. */
function ofArray(path: string): string {
  return path.replace(/\/\d{1,9}$/, '');
}

/** The last name of a JSON pointer, bounded. */
function nameIn(path: string): string {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replaceAll('~1', '/')
    .replaceAll('~0', '~')
    .slice(0, 128);
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
