// Makes the OpenAPI 3.1 document of the local API from the table of its routes and the schemas that validate. Loaded on
// demand.
import { VERSION } from '../../../shared/version.ts';
import { AGENT_ERRORS } from '../../errors.ts';
import { MESSAGE_ERRORS } from '../../../shared/delivery/errors.ts';
import { DATABASE_ERRORS } from '../../../shared/sqlite/errors.ts';
import type { ErrorTable } from '../../../shared/errors.ts';
import type { Operation, Route } from '../types.ts';
import { PROBLEM } from './schemas.ts';

const ERRORS: ErrorTable = { ...AGENT_ERRORS, ...MESSAGE_ERRORS, ...DATABASE_ERRORS };
const PROBLEM_CONTENT = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };

let made: string | undefined;

/** Always the same text: made once. */
export function openApiText(routes: readonly Route[]): string {
  made ??= JSON.stringify(openApiDocument(routes));
  return made;
}

export function openApiDocument(routes: readonly Route[]) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Local API of the Queuegate agent',
      version: VERSION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'For programs on the host of an agent. HEAD is allowed wherever GET is, and OPTIONS everywhere. Unknown parameters and members are refused.',
    },
    servers: [{ url: 'http://127.0.0.1:8888' }],
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: PROBLEM },
    },
    paths: Object.fromEntries(
      routes.map((route) => [
        route.path,
        {
          ...(route.GET === undefined ? {} : { get: operationOf(route, route.GET) }),
          ...(route.POST === undefined ? {} : { post: operationOf(route, route.POST) }),
        },
      ]),
    ),
  };
}

function operationOf({ path }: Route, operation: Operation) {
  const { id, summary, who, parameters, body, answers, errors } = operation;
  const segment = /\{(\w+)\}/.exec(path)?.[1];
  const all = who === 'none' ? errors : [...errors, 'local_unauthorized' as const, 'local_busy' as const];
  return {
    operationId: id,
    summary,
    security: who === 'none' ? [] : [{ token: [] }],
    parameters: [
      ...(segment === undefined
        ? []
        : [{ name: segment, in: 'path', required: true, schema: { type: 'string', minLength: 1, maxLength: 64 } }]),
      ...Object.entries(parameters).map(([name, schema]) => ({ name, in: 'query', required: false, schema })),
    ],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: Object.fromEntries(body.types.map((type) => [type, { schema: body.schema }])),
          },
        }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, { description, schema, stream }]) => [
          status,
          {
            description,
            content: {
              'application/json': { schema },
              ...(stream === undefined ? {} : { [stream]: { schema: { type: 'string' } } }),
            },
          },
        ]),
      ),
      ...problemsOf(all, new Set(Object.keys(answers))),
    },
  };
}

/** One response for each status, with its codes. */
function problemsOf(codes: readonly string[], taken: ReadonlySet<string>) {
  const byStatus = new Map<string, string[]>();
  for (const code of codes) {
    const status = String(ERRORS[code]?.status ?? 500);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    Array.from(byStatus)
      .filter(([status]) => !taken.has(status))
      .map(([status, found]) => [status, { description: found.join(', '), content: PROBLEM_CONTENT }]),
  );
}
