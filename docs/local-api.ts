// Makes docs/LOCAL-API.md: the prose of local-api-text.ts around what the table of routes says.
import { ROUTES } from '../agent/local-api/routes/table.ts';
import type { Operation } from '../agent/local-api/types.ts';
import type { JsonSchema } from '../shared/wire/json-schema.ts';
import { EXAMPLES, LOCAL_API_END, LOCAL_API_INTRODUCTION, WHO } from './local-api-text.ts';

export function localApiMarkdown(): string {
  const operations = ROUTES.flatMap(({ path, GET, POST }) => [
    ...(GET === undefined ? [] : [{ heading: `GET ${path}`, operation: GET }]),
    ...(POST === undefined ? [] : [{ heading: `POST ${path}`, operation: POST }]),
  ]);
  return `${[
    LOCAL_API_INTRODUCTION,
    '## Routes',
    '',
    '| route | who | what it does |',
    '| --- | --- | --- |',
    ...operations.map(
      ({ heading, operation: { who, summary } }) =>
        `| [\`${heading}\`](#${anchorOf(heading)}) | ${WHO[who]} | ${summary} |`,
    ),
    '',
    ...operations.flatMap(({ heading, operation }) => [`### ${heading}`, '', ...operationText(heading, operation), '']),
    LOCAL_API_END,
  ]
    .join('\n')
    .trimEnd()}\n`;
}

function operationText(heading: string, { summary, who, parameters, body, answers, errors }: Operation): string[] {
  const inQuery = Object.entries(parameters);
  return [
    `${summary} For: ${WHO[who]}.`,
    '',
    ...(inQuery.length === 0
      ? []
      : [
          '| parameter | allowed | |',
          '| --- | --- | --- |',
          ...inQuery.map(([name, schema]) => `| \`${name}\` | ${formOf(schema)} | ${schema.description ?? ''} |`),
          '',
        ]),
    ...(body === undefined
      ? []
      : [`Body (${body.types.map((type) => `\`${type}\``).join(', ')}):`, '', ...shapeOf(body.schema), '']),
    ...Object.entries(answers).flatMap(([status, { description, schema, stream }]) => [
      `${status}: ${description}${stream === undefined ? '' : ` With \`Accept: ${stream}\`: a [stream](#streams).`}`,
      '',
      ...shapeOf(schema),
      '',
    ]),
    ...(EXAMPLES[heading] ?? []).flatMap((example) => ['```json', example, '```', '']),
    `Errors: ${errors.map((code) => `[\`${code}\`](ERRORS.md#${code})`).join(', ')}.`,
  ];
}

/** A table of members; nested ones with their path. */
function shapeOf(schema: JsonSchema): string[] {
  const rows = membersOf(schema, '');
  return rows.length === 0
    ? [schema.description ?? 'Any JSON value.']
    : [
        ...(schema.description === undefined ? [] : [schema.description, '']),
        '| member | form | |',
        '| --- | --- | --- |',
        ...rows,
      ];
}

function membersOf(schema: JsonSchema, prefix: string): string[] {
  if ('anyOf' in schema) return schema.anyOf.flatMap((option) => membersOf(option, prefix)).filter(isFirst);
  if (!('type' in schema)) return [];
  // An array at the top is one of what is described beside it.
  if (schema.type === 'array') return prefix === '' ? [] : membersOf(schema.items, prefix.replace(/\.$/, '[].'));
  if (schema.type !== 'object') return [];
  return Object.entries(schema.properties).flatMap(([name, member]) => {
    const optional = schema.required.includes(name) ? '' : ', optional';
    return [
      `| \`${prefix}${name}\` | ${formOf(member)}${optional} | ${member.description ?? ''} |`,
      ...membersOf(member, `${prefix}${name}.`),
    ];
  });
}

function isFirst(row: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(row) === index;
}

function formOf(schema: JsonSchema): string {
  if ('const' in schema) return `\`${schema.const}\``;
  if ('enum' in schema) return schema.enum.map((word) => `\`${word}\``).join(', ');
  if ('anyOf' in schema) return schema.anyOf.map(formOf).join(' or ');
  if (!('type' in schema)) return 'any JSON value';
  switch (schema.type) {
    case 'integer':
      return schema.maximum === Number.MAX_SAFE_INTEGER
        ? `whole number, at least ${schema.minimum}`
        : `${schema.minimum} to ${schema.maximum}`;
    case 'string':
      if (schema.maxLength === 24) return 'time';
      return schema.maxLength === 65_536 ? 'string' : `string of ${schema.minLength ?? 0} to ${schema.maxLength}`;
    case 'array':
      return `array of at most ${schema.maxItems.toLocaleString('en')}`;
    default:
      return schema.type;
  }
}

/** As `anchorOf` of make.ts, which imports this file. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}
