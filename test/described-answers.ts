// Holds every answer that the tests get from the administration to its description (central/admin/openapi): status,
// media type, members, codes. Called by the clients of the tests.
import { fastify } from 'fastify';
import Schema from 'typebox/schema';
import { codesOf, operationOf, statusOf } from '../central/admin/openapi/document.ts';
import { noteRoutes, type RegisteredRoute } from '../central/admin/openapi/registered.ts';
import { PROBLEM, type Answer } from '../central/admin/openapi/schema.ts';
import { adminRoutes } from '../central/admin/routes.ts';
import type { AdminServices } from '../central/admin/services.ts';
import { createMetrics } from '../central/metrics.ts';
import { PROBLEM_TYPE } from '../shared/http/problem.ts';

export const PREFIX = '/api/v1';

let registered: Promise<readonly RegisteredRoute[]> | undefined;

/** The routes of the administration. Nothing is asked of its services before a request comes. */
export function registeredRoutes(): Promise<readonly RegisteredRoute[]> {
  registered ??= (async () => {
    const app = fastify();
    const routes = noteRoutes(app, PREFIX);
    await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
    await app.ready();
    await app.close();
    return routes;
  })();
  return registered;
}

const validators = new WeakMap<object, ReturnType<typeof Schema.Compile>>();

function validatorOf(schema: object): ReturnType<typeof Schema.Compile> {
  let found = validators.get(schema);
  if (found === undefined) validators.set(schema, (found = Schema.Compile(schema)));
  return found;
}

/** Throws where `response` is not what the description says. Its body stays unread. */
export async function expectDescribed(method: string, path: string, response: Response): Promise<void> {
  const copy = response.clone();
  const faults = await faultsOf(method, path, copy);
  // What is not read would hold back the other reader, and its cancellation.
  if (!copy.bodyUsed) void copy.body?.cancel();
  if (faults.length > 0)
    throw new Error(
      `${method} ${path} ${response.status}: the answer is not as central/admin/openapi describes it: ${faults.join('; ')}`,
    );
}

async function faultsOf(method: string, path: string, response: Response): Promise<readonly string[]> {
  const route = (await registeredRoutes()).find((one) => one.method === method && matches(one.path, path));
  const operation = route === undefined ? undefined : operationOf(route.key);
  const type = response.headers.get('content-type')?.split(';', 1)[0] ?? '';
  if (type === PROBLEM_TYPE && method !== 'HEAD') {
    const problem = (await response.json()) as { readonly code: string; readonly status: number };
    const { code, status } = problem;
    if (route === undefined || operation === undefined) return faultsIn(PROBLEM, problem);
    const isKnown = statusOf(code) === undefined || codesOf(route, operation).includes(code);
    return [
      ...faultsIn(PROBLEM, problem),
      ...(isKnown ? [] : [`the code ${code} is not one of its own`]),
      ...(status === response.status ? [] : [`the problem says ${status}`]),
    ];
  }
  if (operation === undefined || method === 'HEAD') return [];
  const answer: Answer | undefined = operation.answers[response.status];
  if (answer === undefined) return [`the status is not one of ${Object.keys(operation.answers).join(', ')}`];
  if (type === 'application/json' && answer.schema !== undefined) return faultsIn(answer.schema, await response.json());
  if (type in (answer.types ?? {})) return [];
  const text = await response.text();
  return text === '' && answer.schema === undefined ? [] : [`the media type ${type} is not described`];
}

function faultsIn(schema: object, value: unknown): readonly string[] {
  const [fits, errors] = validatorOf(schema).Errors(value);
  if (fits) return [];
  return errors.slice(0, 5).map(({ instancePath, message, params }) => {
    return `${instancePath || 'the answer'} ${message} ${JSON.stringify(params)}`;
  });
}

function matches(pattern: string, path: string): boolean {
  const [wanted, found] = [pattern.split('/'), (path.split('?', 1)[0] ?? '').split('/')];
  const isRest = wanted.at(-1) === '{path}';
  if (isRest ? found.length < wanted.length : found.length !== wanted.length) return false;
  return wanted.every((part, index) => (/^\{\w+\}$/.test(part) ? found[index] !== '' : part === found[index]));
}
