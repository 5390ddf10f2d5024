// Makes the OpenAPI 3.1 document of the administration: from the routes as they are registered, with the schemas that
// validate their requests, and from the operations that describe their answers. Loaded on demand.
import { DRAIN_ERRORS } from '../../agents/acts/drains.ts';
import { SELECTOR_ERRORS } from '../../agents/selectors.ts';
import { AUTH_ERRORS } from '../../auth/errors.ts';
import { CHANGE_ERRORS } from '../../change/errors.ts';
import { HTTP_ERRORS, LISTENER_ERRORS } from '../../listeners/errors.ts';
import { PARAMETER_ERRORS } from '../../parameters/errors.ts';
import { PKI_ERRORS, ROTATION_ERRORS } from '../../pki/errors.ts';
import { PROFILE_ERRORS } from '../../profiles/errors.ts';
import { ROLLOUT_ERRORS } from '../../rollouts/errors.ts';
import { SOFTWARE_ERRORS } from '../../software/errors.ts';
import { BACKUP_ERRORS } from '../../store/backup/errors.ts';
import { STORE_ERRORS } from '../../store/errors.ts';
import { NODE_ERRORS } from '../../store/nodes/errors.ts';
import { SERVICE_ERRORS } from '../../services/errors.ts';
import { TASK_ERRORS } from '../../tasks/errors.ts';
import { SUBSCRIPTION_ERRORS } from '../../subscriptions/errors.ts';
import { MESSAGE_ERRORS } from '../../../shared/delivery/errors.ts';
import type { ErrorTable } from '../../../shared/errors.ts';
import { DISK_ERRORS } from '../../../shared/files/errors.ts';
import { PROBLEM_TYPE } from '../../../shared/http/problem.ts';
import { PRIVATE_KEY_ERRORS } from '../../../shared/keystore/key-file.ts';
import { RELEASE_ERRORS } from '../../../shared/releases/errors.ts';
import { DATABASE_ERRORS } from '../../../shared/sqlite/errors.ts';
import { VERSION } from '../../../shared/version.ts';
import { REASON } from '../changes/terms.ts';
import { ROUTE_SCOPES } from '../scopes/routes.ts';
import { ADMIN_ERRORS } from '../errors.ts';
import { CREATING_ROUTES } from '../idempotency/creating-routes.ts';
import { KEY_HEADER, MAX_KEY_LENGTH, REPLAYED_HEADER } from '../idempotency/replays.ts';
import { AGENT_OPERATIONS } from './operations/agents.ts';
import { CERTIFICATE_OPERATIONS } from './operations/certificates.ts';
import { CHANGE_OPERATIONS } from './operations/changes.ts';
import { MESSAGE_OPERATIONS } from './operations/messages.ts';
import { PROFILE_OPERATIONS, ROLLOUT_OPERATIONS } from './operations/releases.ts';
import { SERVICE_OPERATIONS } from './operations/services.ts';
import { TASK_OPERATIONS } from './operations/tasks.ts';
import { STATUS_OPERATIONS } from './operations/status.ts';
import { TOKEN_OPERATIONS } from './operations/tokens.ts';
import type { RegisteredRoute } from './registered.ts';
import { PROBLEM, type Answer, type Operation, type Operations, type Schema } from './schema.ts';

/** In the order in which they are listed. */
const SUBJECTS: readonly { readonly name: string; readonly about: string; readonly operations: Operations }[] = [
  { name: 'Status', about: 'Version, health, store and metrics.', operations: STATUS_OPERATIONS },
  { name: 'Agents', about: 'Agents, drains, incidents and maintenance mode.', operations: AGENT_OPERATIONS },
  { name: 'Tasks', about: 'Programs that agents run on request.', operations: TASK_OPERATIONS },
  { name: 'Messages', about: 'Commands to agents, events from them, dead letters.', operations: MESSAGE_OPERATIONS },
  { name: 'Parameters', about: 'Parameters, and changes that wait for a confirmation.', operations: CHANGE_OPERATIONS },
  { name: 'Access', about: 'Tokens, enrollment, recovery codes, the audit log.', operations: TOKEN_OPERATIONS },
  { name: 'Certificates', about: "The authority and Central's certificate.", operations: CERTIFICATE_OPERATIONS },
  { name: 'Profiles', about: 'Profiles of agents and their releases.', operations: PROFILE_OPERATIONS },
  { name: 'Rollouts', about: 'Software of agents, and rollouts in waves.', operations: ROLLOUT_OPERATIONS },
  { name: 'Services', about: 'Services of agents on ports of Central.', operations: SERVICE_OPERATIONS },
];

const ERRORS: ErrorTable = {
  ...ADMIN_ERRORS,
  ...AUTH_ERRORS,
  ...BACKUP_ERRORS,
  ...CHANGE_ERRORS,
  ...DATABASE_ERRORS,
  ...DISK_ERRORS,
  ...DRAIN_ERRORS,
  ...HTTP_ERRORS,
  ...LISTENER_ERRORS,
  ...MESSAGE_ERRORS,
  ...NODE_ERRORS,
  ...PARAMETER_ERRORS,
  ...PKI_ERRORS,
  ...PRIVATE_KEY_ERRORS,
  ...PROFILE_ERRORS,
  ...RELEASE_ERRORS,
  ...ROLLOUT_ERRORS,
  ...ROTATION_ERRORS,
  ...SELECTOR_ERRORS,
  ...SERVICE_ERRORS,
  ...SOFTWARE_ERRORS,
  ...STORE_ERRORS,
  ...SUBSCRIPTION_ERRORS,
  ...TASK_ERRORS,
};

const EVERYWHERE = [
  'address_denied',
  'request_failed',
  'request_invalid',
  'responses_unread',
  'store_away',
  'store_failed',
  'store_stopped',
] as const;
const WITH_TOKEN = [
  'csrf_required',
  'forbidden',
  'too_many_attempts',
  'too_many_in_progress',
  'unauthenticated',
] as const;
const WITH_BODY = ['body_too_large', 'content_type_unsupported', 'json_unparseable', 'too_much_in_progress'] as const;
const WITH_ACT = ['disk_full', 'store_low', 'store_reserve'] as const;
const WITH_KEY = ['idempotency_answer_lost', 'idempotency_key_in_progress', 'idempotency_key_reused'] as const;
const OF_AGENT = ['agent_ambiguous', 'agent_unknown'] as const;

/** A value for each part of a path, in examples. */
const PATH_EXAMPLES: Readonly<Record<string, string>> = {
  agent: 'branch-0042',
  alias: 'central-root',
  change: 'c41f0d2b8a6e9357',
  command: '00000000000000010123456789abcdef',
  drain: '5f1c02b8a6e93d47',
  exposure: '7be80c1d2f3a4b5c',
  node: 'central-1',
  parameter: 'agents.max',
  path: 'conf/agent.conf',
  profile: 'branch',
  release: 'a4b1c2d3',
  request: '69bd19d9946a0e0f',
  rollout: 'r-17',
  subscription: 'tickets',
  thumbprint: '69bd19d9946a0e0fd2dbaa474c2067a9bab8e263da9589da4eedb8c46b726395',
  token: '9f3c5a109f3c5a10',
};

export interface OpenApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationObject>>>>;
  readonly [member: string]: unknown;
}
export type OperationObject = ReturnType<typeof operationObject>;

/** The operation of a route, as this describes it: `GET /agents/{agent}`. Undefined: it is not described. */
export function operationOf(key: string): Operation | undefined {
  return SUBJECTS.map(({ operations }) => operations[key]).find((found) => found !== undefined);
}

export function describedOperations(): readonly string[] {
  return SUBJECTS.flatMap(({ operations }) => Object.keys(operations));
}

export function openApiDocument(routes: readonly RegisteredRoute[]): OpenApiDocument {
  const components = new Map<string, Schema>();
  const paths: Record<string, Record<string, OperationObject>> = {};
  for (const { name: tag, operations } of SUBJECTS)
    for (const [key, operation] of Object.entries(operations)) {
      const route = routes.find((one) => one.key === key);
      if (route === undefined) continue;
      const found = (paths[route.path] ??= {});
      found[route.method.toLowerCase()] = operationObject(route, operation, tag, components);
    }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Queuegate: the administration of Central',
      version: VERSION,
      description:
        'HEAD is allowed wherever GET is, and OPTIONS everywhere. Unknown parameters and members of a request are refused; clients ignore members of an answer that they do not know.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'This Central' }],
    tags: SUBJECTS.map(({ name, about: description }) => ({ name, description })),
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'An API token.' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: '__Host-queuegate',
          description:
            'The session of a browser; over HTTP on loopback the name is queuegate. What is not GET needs the headers Queuegate-CSRF: 1 and Sec-Fetch-Site: same-origin.',
        },
      },
      schemas: Object.fromEntries([...components].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

function operationObject(route: RegisteredRoute, operation: Operation, tag: string, components: Map<string, Schema>) {
  const { id, summary, answers, example } = operation;
  const shown = (schema: Schema): Schema => referring(schema, components);
  const requestBody = bodyOf(route, operation, shown);
  return {
    operationId: id,
    summary,
    description: route.role === 'anyone' ? 'Public.' : `Role: ${route.role}. ${scopeText(route)}`,
    tags: [tag],
    ...(route.role === 'anyone' ? { security: [] } : {}),
    parameters: parametersOf(route, operation, example?.query ?? {}),
    ...(requestBody === undefined ? {} : { requestBody }),
    responses: responsesOf(answers, codesOf(route, operation), shown, CREATING_ROUTES[route.key] !== undefined),
  };
}

/** What a token with a scope gets (central/admin/scopes/routes.ts). */
const SCOPE_TEXTS = {
  agents: 'A token with a scope: agents outside of it are unknown here.',
  open: 'A token with a scope: as any other.',
  closed: 'Not for tokens with a scope.',
} as const;

const scopeText = ({ key }: RegisteredRoute): string => SCOPE_TEXTS[ROUTE_SCOPES.get(key) ?? 'closed'];

function parametersOf(route: RegisteredRoute, { errors = [] }: Operation, examples: Readonly<Record<string, string>>) {
  const inPath = Array.from(route.path.matchAll(/\{(\w+)\}/g), ([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', minLength: 1 },
    example: PATH_EXAMPLES[name],
  }));
  const query = route.query ?? (route.method === 'GET' ? undefined : (route.terms ?? REASON.schema));
  const { properties = {}, required = [] } = (query ?? {}) as unknown as {
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly required?: readonly string[];
  };
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    // A parameter with a default may be left out.
    required: required.includes(name) && !('default' in schema),
    schema: plain(schema),
    ...(examples[name] === undefined ? {} : { example: valueOf(schema, examples[name]) }),
  }));
  const header = (name: string, description: string, isRequired: boolean, bounds: Schema = {}) => ({
    name,
    in: 'header',
    required: isRequired,
    description,
    schema: { type: 'string', ...bounds },
  });
  const inHeader = [
    ...(CREATING_ROUTES[route.key] === undefined
      ? []
      : [
          header(KEY_HEADER, 'Sent again with the same key within 24 hours, it is not carried out twice.', false, {
            minLength: 1,
            maxLength: MAX_KEY_LENGTH,
          }),
        ]),
    ...(errors.includes('version_conflict')
      ? [header('If-Match', 'The ETag of an earlier answer.', errors.includes('if_match_required'))]
      : []),
    ...(route.path.endsWith('/restore')
      ? [header('Queuegate-Password', 'The password of the backup, UTF-8 as base64url.', true)]
      : []),
  ];
  return [...inPath, ...inQuery, ...inHeader];
}

/** The value that stands for the text of a query parameter. */
function valueOf(schema: Schema, text: string): unknown {
  if (schema['type'] === 'array') return [text];
  return ['integer', 'number', 'boolean'].includes(String(schema['type'])) ? (JSON.parse(text) as unknown) : text;
}

function bodyOf(route: RegisteredRoute, { body, example }: Operation, shown: (schema: Schema) => Schema) {
  const value = example?.body === undefined ? {} : { example: example.body };
  const content = (types: Readonly<Record<string, Schema>>) =>
    Object.fromEntries(
      Object.entries(types).map(([type, schema], index) => [
        type,
        { schema: shown(schema), ...(index === 0 ? value : {}) },
      ]),
    );
  if (body !== undefined) return { required: true, content: content(body) };
  if (route.body === undefined) return undefined;
  const { required = [] } = route.body as unknown as { readonly required?: readonly string[] };
  const types = route.method === 'PATCH' ? ['application/json', 'application/merge-patch+json'] : ['application/json'];
  const schema = plain(route.body);
  return {
    required: required.length > 0 || route.method === 'PATCH',
    content: content(Object.fromEntries(types.map((type) => [type, schema]))),
  };
}

/** The codes that an operation may be refused with. */
export function codesOf(route: RegisteredRoute, operation: Operation): string[] {
  const { key, method, path, role, body, query, types } = route;
  const isPaged = query !== undefined && 'properties' in query && 'after' in (query.properties as object);
  const codes = new Set<string>([
    ...EVERYWHERE,
    ...(role === 'anyone' ? [] : WITH_TOKEN),
    ...(ROUTE_SCOPES.get(key) === 'open' ? [] : ['scope_too_narrow']),
    ...(body === undefined && operation.body === undefined ? [] : WITH_BODY),
    ...(method === 'GET' ? [] : WITH_ACT),
    ...(types === undefined ? [] : ['not_acceptable']),
    ...(isPaged ? ['cursor_invalid'] : []),
    ...(path.includes('{agent}') ? OF_AGENT : []),
    ...(CREATING_ROUTES[key] === undefined ? [] : WITH_KEY),
    ...(operation.errors ?? []),
  ]);
  return [...codes].toSorted();
}

/** What a code means by HTTP. Undefined: REST has no such code. */
export function statusOf(code: string): number | undefined {
  return ERRORS[code]?.status;
}

/** Of an answer to a request with an Idempotency-Key. */
const REPLAYED = {
  [REPLAYED_HEADER]: {
    description: 'true: the answer to the first request with this Idempotency-Key, without its secrets.',
    schema: { type: 'string', enum: ['true'] },
  },
} as const;

interface ResponseObject {
  readonly description: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

function responsesOf(
  answers: Readonly<Record<number, Answer>>,
  codes: readonly string[],
  shown: (schema: Schema) => Schema,
  takesKey: boolean,
): Readonly<Record<string, ResponseObject>> {
  const byStatus = new Map<string, string[]>();
  for (const code of codes) {
    const status = String(statusOf(code) ?? 500);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const problem = { [PROBLEM_TYPE]: { schema: shown(PROBLEM) } };
  const done = Object.entries(answers).map(([status, { description, schema, types = {} }]) => {
    const content = {
      ...(schema === undefined ? {} : { 'application/json': { schema: shown(schema) } }),
      ...Object.fromEntries(Object.entries(types).map(([type, one]) => [type, { schema: shown(one) }])),
      ...(byStatus.has(status) ? problem : {}),
    };
    const headers = takesKey ? { headers: REPLAYED } : {};
    return [status, { description, ...headers, ...(Object.keys(content).length === 0 ? {} : { content }) }] as const;
  });
  const refused = [...byStatus]
    .filter(([status]) => !(status in answers))
    .map(([status, found]) => [status, { description: `\`${found.join('`, `')}\``, content: problem }] as const);
  // Keys that are numbers are in their order.
  return Object.fromEntries<ResponseObject>([...done, ...refused]);
}

/** As JSON has it: the schemas of TypeBox have more. */
function plain(schema: object): Schema {
  return JSON.parse(JSON.stringify(schema)) as Schema;
}

/**
 * The schema with a reference in place of each named part, which `components` gets. Members that a newer Central adds
 * are allowed: a client ignores them.
 */
function referring(schema: Schema, components: Map<string, Schema>): Schema {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== 'object' || value === null) return value;
    const { title, ...rest } = value as Record<string, unknown>;
    const members = Object.fromEntries(
      Object.entries(rest)
        .filter(([name, member]) => name !== 'additionalProperties' || member !== false)
        .map(([name, member]) => [name, name === 'properties' ? mapped(member, walk) : walk(member)]),
    );
    if (typeof title !== 'string') return members;
    components.set(title, members);
    return { $ref: `#/components/schemas/${title}` };
  };
  return walk(schema) as Schema;
}

/** Names of members are not keywords: one may be called "title". */
function mapped(properties: unknown, walk: (value: unknown) => unknown): unknown {
  return Object.fromEntries(Object.entries(properties as object).map(([name, member]) => [name, walk(member)]));
}
