// Makes docs/REST.md from the description of the interface (central/admin/openapi): for each route its role, request,
// answers and errors, and the types at the end. The texts of rest/ are put between them; a route needs none.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openApiDocument, operationOf, statusOf, type OperationObject } from '../central/admin/openapi/document.ts';
import type { Operation, Schema } from '../central/admin/openapi/schema.ts';
import type { RegisteredRoute } from '../central/admin/openapi/registered.ts';
import { formOf, membersTable, typesMarkdown } from './rest-forms.ts';

/** The texts, in the order of the page. */
const TEXTS = [
  'introduction',
  'parameters',
  'agents',
  'rollouts',
  'messages',
  'tasks',
  'integration',
  'tokens',
  'certificates',
  'profiles',
  'operation',
];
const ROUTE = /^### `(?<route>[A-Z]+ \S+)`\n\n(?<text>[^]*?)\n*(?=^#{2,3} |$(?![^]))/gm;
/** Parameters that many routes have, explained once. */
const COMMON: Readonly<Record<string, string>> = {
  limit: '[pages](#answers-and-errors)',
  after: '[pages](#answers-and-errors)',
  dryRun: '[terms](#terms-of-an-act)',
  force: '[terms](#terms-of-an-act)',
  confirmWithinSeconds: '[terms](#terms-of-an-act)',
  confirmShare: '[terms](#terms-of-an-act)',
  comment: '[terms](#terms-of-an-act)',
  ticket: '[terms](#terms-of-an-act)',
  'Idempotency-Key': '[keys](#idempotency-keys)',
};

const HEAD = `# REST

The API for the administration of Central. \`queuegate\` uses nothing else. This page is generated from the routes, from the
schemas that validate requests and answers, and from the texts of \`docs/rest/\` (\`npm run docs\`); the running Central
serves the same as \`GET /openapi.json\`.
`;

/** Texts of the repository, by part of the page. */
export function restTexts(): string[] {
  return TEXTS.map((name) => readFileSync(join(import.meta.dirname, 'rest', `${name}.md`), 'utf8'));
}

/** The page. Throws when a text is about a route that does not exist, or a route has no heading in the texts. */
export function restMarkdown(texts: readonly string[], routes: readonly RegisteredRoute[]): string {
  const document = openApiDocument(routes);
  const left = new Map(routes.map((route) => [`${route.method} ${route.path}`, route]));
  const parts = texts.map((text) =>
    text.replaceAll(ROUTE, (_, heading: string, prose: string) => {
      const route = left.get(heading);
      if (route === undefined) throw new Error(`docs/rest: ${heading} is not a route, or has two headings`);
      left.delete(heading);
      const found = document.paths[route.path]?.[route.method.toLowerCase()];
      return `### \`${heading}\`\n\n${routeText(route, found, prose)}\n\n`;
    }),
  );
  if (left.size > 0) throw new Error(`docs/rest: no heading for ${[...left.keys()].join(', ')}`);
  const body = parts.map((part) => part.trimEnd()).join('\n\n');
  const types = typesMarkdown((document['components'] as { readonly schemas: Record<string, Schema> }).schemas);
  const titles = [...`${body}\n${types}`.matchAll(/^## (.+)$/gm)].map(([, title = '']) => title);
  const contents = titles.map((title) => `- [${title}](#${anchorOf(title)})`).join('\n');
  return `${[HEAD, contents, '', body, '', types].join('\n').trimEnd()}\n`;
}

/** `found` is undefined for the routes of the description itself. */
function routeText(route: RegisteredRoute, found: OperationObject | undefined, prose: string): string {
  const operation = operationOf(route.key);
  const about = prose === '' ? (operation?.summary ?? '') : prose;
  const role = `Role: ${route.role}.`;
  // A table or a list begins a paragraph of its own.
  const begin = /^[|\-#`]/.test(about) && !about.startsWith('`') ? `${role}\n\n${about}` : `${role} ${about}`;
  if (found === undefined || operation === undefined) return begin.trimEnd();
  return [begin, ...requestTable(found), ...answersText(operation)].join('\n').trimEnd();
}

function requestTable({ parameters, requestBody }: OperationObject): string[] {
  const rows = parameters
    .filter((one) => one.in !== 'path')
    .map(({ name, in: place, required, schema }) => ({
      name,
      place: place === 'query' && (schema as Schema)['type'] === 'array' ? 'query, repeated' : place,
      required,
      form: COMMON[name] ?? formOf(schema),
    }));
  const shared = rows.filter(({ name }) => name in COMMON);
  const lines = rows
    .filter(({ name }) => !(name in COMMON))
    .map(({ name, place, required, form }) => `| \`${name}\` | ${place}${required ? ', required' : ''} | ${form} |`);
  for (const form of new Set(shared.map((one) => one.form))) {
    const of = shared.filter((one) => one.form === form);
    lines.push(`| ${of.map(({ name }) => `\`${name}\``).join(', ')} | ${of[0]?.place} | ${form} |`);
  }
  const contents = Object.entries(requestBody?.content ?? {});
  const [[type, { schema }] = ['', { schema: {} }]] = contents;
  lines.push(...bodyRows(type, schema));
  return lines.length === 0 ? [] : ['', '| request | in | form |', '| --- | --- | --- |', ...lines];
}

function bodyRows(type: string, schema: Schema): string[] {
  if (type === '') return [];
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>);
  if (properties.length === 0)
    return [`| the body | body | ${type === 'application/json' ? formOf(schema) : `\`${type}\``} |`];
  const required = new Set((schema['required'] ?? []) as string[]);
  return properties.map(
    ([name, member]) => `| \`${name}\` | body${required.has(name) ? ', required' : ''} | ${formOf(member)} |`,
  );
}

/** What it answers, and the errors of its own: those of every request are described once. */
function answersText(operation: Operation): string[] {
  const byStatus = new Map<number, string[]>();
  for (const code of (operation.errors ?? []).toSorted()) {
    const status = statusOf(code) ?? 500;
    byStatus.set(status, [...(byStatus.get(status) ?? []), `[\`${code}\`](ERRORS.md#${code})`]);
  }
  const answers = Object.entries(operation.answers);
  const done = answers.map(([status, { schema, types = {} }]) => {
    const forms = [
      ...(schema === undefined ? [] : [formOf(schema)]),
      ...Object.keys(types).map((type) => `\`${type}\``),
    ];
    return forms.length === 0 ? status : `${status} ${forms.join(' or ')}`;
  });
  const refused = [...byStatus].toSorted(([a], [b]) => a - b).map(([status, codes]) => `${status} ${codes.join(', ')}`);
  const [first] = answers.flatMap(([, { schema }]) => (schema === undefined ? [] : [schema]));
  const table = first === undefined ? [] : membersTable(first);
  return ['', `Answers: ${[...done, ...refused].join('; ')}.`, ...(table.length === 0 ? [] : ['', ...table])];
}

/** As `anchorOf` of make.ts, which imports this file. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}
