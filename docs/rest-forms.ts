// The forms of values for docs/REST.md, from JSON Schema: in words, as a table of members, and the types that have a
// name.
import { time, type Schema } from '../central/admin/openapi/schema.ts';

/** In words: `text`, `1 to 1000`, a link to a type, or the shape of a list. */
export function formOf(schema: object): string {
  const { title, $ref, enum: words, anyOf, items, type, const: only } = schema as Record<string, unknown>;
  const name =
    typeof title === 'string' ? title : typeof $ref === 'string' ? ($ref.split('/').at(-1) ?? '') : undefined;
  if (name !== undefined) return `[${name}](#type-${name.toLowerCase()})`;
  if (isReport(schema as Schema)) return '[report](#reports)';
  if (only !== undefined) return `\`${JSON.stringify(only)}\``;
  if (Array.isArray(words)) return words.map((word) => `\`${String(word)}\``).join(', ');
  if (Array.isArray(anyOf)) return [...new Set(anyOf.map((one) => formOf(one as object)))].join(' or ');
  const types = [type].flat().filter((one) => typeof one === 'string');
  if (types.length === 0) return 'any JSON value';
  return types.map((one) => ofType(one, schema as Schema, items)).join(' or ') + defaultOf(schema as Schema);
}

function ofType(type: string, schema: Schema, items: unknown): string {
  const { minimum, maximum, minLength, maxLength, maxItems, format, properties, additionalProperties } = schema;
  switch (type) {
    case 'array':
      return `${maxItems === undefined ? 'list' : `at most ${counted(maxItems)}`} of ${formOf(items ?? {})}`;
    case 'integer':
    case 'number':
      return `${type === 'integer' ? 'whole number' : 'number'}${between(minimum, maximum)}`;
    case 'string':
      if (format === 'date-time') return 'time';
      return maxLength === undefined ? 'text' : `text of ${counted(minLength ?? 0)} to ${counted(maxLength)}`;
    case 'object':
      if (isList(schema)) return `list of ${formOf(itemsOf(schema))}`;
      if (properties === undefined && typeof additionalProperties === 'object' && additionalProperties !== null)
        return `names with ${formOf(additionalProperties)}`;
      return 'object';
    default:
      return type;
  }
}

function between(minimum: unknown, maximum: unknown): string {
  if (maximum !== undefined && Number(maximum) < Number.MAX_SAFE_INTEGER)
    return `, ${counted(minimum ?? 0)} to ${counted(maximum)}`;
  return Number(minimum ?? 0) > 0 ? `, at least ${counted(minimum)}` : '';
}

function counted(value: unknown): string {
  return Number(value).toLocaleString('en-US');
}

function defaultOf({ default: value }: Schema): string {
  return value === undefined ? '' : `; default \`${JSON.stringify(value)}\``;
}

/** The envelope of a list, with nothing beside it. */
function isList({ properties = {} }: Schema): boolean {
  return Object.keys(properties as object).join(' ') === 'items next';
}

function itemsOf({ properties }: Schema): object {
  return (properties as { readonly items: { readonly items: object } }).items.items;
}

/** What acts answer, with and without a dry run: explained once. */
function isReport({ properties = {} }: Schema): boolean {
  return ['dryRun', 'cutOff', 'needsForce', 'result'].every((name) => name in (properties as object));
}

/** A table of the members of an object without a name, or of the items of a list; empty: there are none to show. */
export function membersTable(schema: Schema): string[] {
  if ('title' in schema) return [];
  const shown = isList(schema) ? (itemsOf(schema) as Schema) : schema;
  const rows = 'title' in shown ? [] : membersOf(shown, '');
  return rows.length === 0 ? [] : ['| member | form | |', '| --- | --- | --- |', ...rows];
}

/** Members of nested objects follow with their path. */
function membersOf(schema: Schema, prefix: string): string[] {
  const { type, items, anyOf } = schema;
  const properties = (schema['properties'] ?? {}) as Record<string, Schema>;
  if (Array.isArray(anyOf))
    return [
      ...new Set((anyOf as Schema[]).flatMap((one) => ('title' in one || '$ref' in one ? [] : membersOf(one, prefix)))),
    ];
  if (type === 'array' && typeof items === 'object' && items !== null)
    return 'title' in items || '$ref' in items ? [] : membersOf(items as Schema, prefix.replace(/\.$/, '[].'));
  const shown = isReport(schema) ? { result: properties['result'] ?? {} } : properties;
  return Object.entries(shown).flatMap(([name, member]) => [
    `| \`${prefix}${name}\` | ${formOf(member)} |${aboutOf(member)} |`,
    ...('title' in member || '$ref' in member ? [] : membersOf(member, `${prefix}${name}.`)),
  ]);
}

function aboutOf({ description }: Schema): string {
  // Of a time it says what the word time says.
  if (typeof description !== 'string' || description === time.description) return '';
  return ` ${description.replaceAll('|', String.raw`\|`)}`;
}

/** The types that have a name, each with its members. Every member of an answer is there; absent values are null. */
export function typesMarkdown(schemas: Readonly<Record<string, Schema>>): string {
  const types = Object.entries(schemas).map(([name, schema]) => {
    const { description } = schema;
    const about = typeof description === 'string' ? [description, ''] : [];
    return [`### Type ${name}`, '', ...about, ...membersTable(schema)].join('\n').trimEnd();
  });
  return ['## Types', ...types].join('\n\n');
}
