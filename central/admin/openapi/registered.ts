// Notes the routes of the administration as they are registered, with the schemas that validate their requests.
import type { FastifyContextConfig, FastifyInstance } from 'fastify';
import type { TSchema } from 'typebox';

export interface RegisteredRoute {
  /** `GET /agents/{agent}`: the method and the path below /api/v1. */
  readonly key: string;
  readonly method: string;
  /** The whole path, in the form of OpenAPI. */
  readonly path: string;
  readonly role: string;
  readonly query: TSchema | undefined;
  readonly terms: TSchema | undefined;
  /** Undefined also where the body is not read as JSON. */
  readonly body: TSchema | undefined;
  readonly types: readonly string[] | undefined;
}

/** The routes that are registered from now on, in a list that grows with them. */
export function noteRoutes(app: FastifyInstance, prefix: string): readonly RegisteredRoute[] {
  const routes: RegisteredRoute[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    const path = url.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{path}');
    for (const name of [method].flat())
      if (name !== 'HEAD' && name !== 'OPTIONS') routes.push(registered(name, path, prefix, config ?? {}));
  });
  return routes;
}

function registered(method: string, path: string, prefix: string, config: FastifyContextConfig): RegisteredRoute {
  const { role = 'anyone', query, terms, body, types } = config;
  const key = `${method} ${path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path}`;
  const bodySchema = typeof body === 'function' ? body.schema : undefined;
  return { key, method, path, role, query: query?.schema, terms: terms?.schema, body: bodySchema, types };
}
