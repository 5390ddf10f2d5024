// How the scope of an API token applies to each route. A route that is not listed is closed to tokens with a scope; a
// test holds the list to the registered routes.
import { authFault } from '../../auth/errors.ts';
import type { Caller } from '../../auth/api-tokens.ts';

/**
 * `agents`: the answer and the act are within the scope: an agent outside is unknown. `open`: nothing in it is about
 * agents, and it changes nothing but the caller's own session. `closed`: it is about the whole installation.
 */
type RouteScope = 'agents' | 'open' | 'closed';

const listed = (scope: RouteScope, routes: readonly string[]) => routes.map((route) => [route, scope] as const);

export const ROUTE_SCOPES: ReadonlyMap<string, RouteScope> = new Map([
  ...listed('agents', [
    'GET /agents',
    'GET /agents/{agent}',
    'PATCH /agents/{agent}',
    'DELETE /agents/{agent}',
    'GET /agents/{agent}/history',
    'POST /agents/{agent}/replace',
    'POST /agents/{agent}/disable',
    'POST /agents/{agent}/enable',
    'POST /agents/{agent}/revoke',
    'GET /agents/{agent}/recovery-code',
    'POST /agents/{agent}/recovery-code',
    'DELETE /agents/{agent}/recovery-code',
    'GET /agents/{agent}/profile',
    'POST /agents/{agent}/profile/measure',
    'POST /agents/{agent}/profile/repair',
    'GET /agents/{agent}/commands',
    'POST /agents/{agent}/commands',
    'POST /agent-actions',
    'GET /incidents',
    'GET /commands',
    'POST /commands',
    'GET /commands/{command}',
    'DELETE /commands/{command}',
    'GET /dead-letters',
    'GET /events',
    'GET /certificates',
    'GET /ca/rotation/agents',
    'GET /drains',
    'POST /drains',
    'GET /drains/{drain}',
    'POST /drains/{drain}/cancel',
    'GET /profiles',
    'GET /profiles/{profile}',
    'GET /rollouts',
    'POST /rollouts',
    'GET /rollouts/{rollout}',
    'GET /rollouts/{rollout}/agents',
    'POST /rollouts/{rollout}/pause',
    'POST /rollouts/{rollout}/resume',
    'POST /rollouts/{rollout}/cancel',
    'POST /rollouts/{rollout}/retry',
    'POST /rollouts/{rollout}/rollback',
    'GET /tasks',
    'POST /tasks',
    'GET /tasks/{task}',
    'GET /tasks/{task}/output/{channel}',
    'POST /tasks/{task}/cancel',
    'GET /agents/{agent}/task-handlers',
    'GET /agents/{agent}/services',
    'GET /api-tokens',
    'POST /api-tokens',
    'GET /api-tokens/{token}',
    'PATCH /api-tokens/{token}',
    'DELETE /api-tokens/{token}',
    'GET /status',
    'GET /watch',
  ]),
  ...listed('open', [
    'GET /login',
    'POST /login',
    'DELETE /login',
    'GET /parameters',
    'GET /parameters/{parameter}',
    'GET /maintenance',
    'GET /server-certificate',
    'GET /ca',
    'GET /ca/generations/{thumbprint}',
    'GET /ca/trust-bundle.pem',
    'GET /profiles/{profile}/releases',
    'GET /profiles/{profile}/releases/{release}',
    'GET /software-releases',
    'GET /software-releases/{release}',
    'GET /health/live',
    'GET /health/ready',
    'GET /crl.der',
    'GET /crl.pem',
    'GET /openapi.json',
    'GET /docs',
  ]),
  ...listed('closed', [
    'POST /agents',
    'GET /handshake-failures',
    'PATCH /maintenance',
    'POST /maintenance/accept-clock',
    'PATCH /parameters',
    'DELETE /parameters/{parameter}',
    'GET /changes',
    'GET /changes/{change}',
    'POST /changes/{change}/confirm',
    'POST /changes/{change}/rollback',
    'GET /subscriptions',
    'POST /subscriptions',
    'GET /subscriptions/{subscription}',
    'PATCH /subscriptions/{subscription}',
    'DELETE /subscriptions/{subscription}',
    'POST /subscriptions/{subscription}/pause',
    'POST /subscriptions/{subscription}/resume',
    'POST /subscriptions/{subscription}/replay',
    'POST /subscriptions/{subscription}/rotate-secret',
    'GET /subscriptions/{subscription}/deliveries',
    'GET /service-exposures',
    'POST /service-exposures',
    'GET /service-exposures/{exposure}',
    'PATCH /service-exposures/{exposure}',
    'DELETE /service-exposures/{exposure}',
    'GET /audit',
    'POST /audit/verify',
    'GET /enrollment-tokens',
    'POST /enrollment-tokens',
    'GET /enrollment-tokens/{token}',
    'DELETE /enrollment-tokens/{token}',
    'GET /enrollment-requests',
    'GET /enrollment-requests/{request}',
    'POST /enrollment-requests/{request}/accept',
    'POST /enrollment-requests/{request}/reject',
    'POST /ca/export',
    'POST /ca/import',
    'DELETE /ca/generations/{thumbprint}',
    'GET /ca/rotation',
    'POST /ca/rotation/prepare',
    'POST /ca/rotation/publish',
    'POST /ca/rotation/switch',
    'POST /ca/rotation/retire',
    'POST /ca/rotation/rollback',
    'POST /server-certificate/request',
    'DELETE /server-certificate/request',
    'DELETE /server-certificate/staged',
    'POST /server-certificate/install',
    'POST /server-certificate/import',
    'POST /server-certificate/issue',
    'POST /server-certificate/activate',
    'POST /profiles',
    'DELETE /profiles/{profile}',
    'GET /profiles/{profile}/settings',
    'PATCH /profiles/{profile}/settings',
    'GET /profiles/{profile}/files',
    'GET /profiles/{profile}/files/{path}',
    'PUT /profiles/{profile}/files/{path}',
    'DELETE /profiles/{profile}/files/{path}',
    'GET /profiles/{profile}/truststore',
    'POST /profiles/{profile}/truststore',
    'DELETE /profiles/{profile}/truststore/{alias}',
    'GET /profiles/{profile}/diff',
    'POST /profiles/{profile}/releases',
    'POST /software-releases',
    'DELETE /software-releases/{release}',
    'GET /nodes',
    'GET /nodes/{node}',
    'POST /nodes/{node}/drain',
    'DELETE /nodes/{node}',
    'GET /store',
    'POST /store/backup',
    'POST /store/restore',
    'GET /metrics',
  ]),
]);

/** `GET /agents/{agent}`, of a route as Fastify has it. HEAD is what GET is. */
export function routeKey(method: string, url: string): string {
  const path = url
    .replace(/^\/api\/v1(?=\/)/, '')
    .replaceAll(/:(\w+)/g, '{$1}')
    .replace('*', '{path}');
  return `${method === 'HEAD' ? 'GET' : method} ${path}`;
}

/** Errors: scope_too_narrow, for a token with a scope on a route that is closed or not listed. */
export function assertRouteScope(caller: Pick<Caller, 'name' | 'scope'>, key: string): void {
  const rule = caller.scope === null ? 'open' : (ROUTE_SCOPES.get(key) ?? 'closed');
  if (rule === 'closed')
    throw tooNarrow(caller, `a token for all agents, since ${key} is about the whole installation`);
}

/** `scope_too_narrow`, with what a request needs. */
export function tooNarrow({ name, scope }: Pick<Caller, 'name' | 'scope'>, needed: string) {
  return authFault('scope_too_narrow', { needed, name, scope: scope ?? 'all' });
}
