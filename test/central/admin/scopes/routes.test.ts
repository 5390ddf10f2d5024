// Each route says how the scope of a token applies to it, and what says nothing is closed to tokens with a scope.
import { expect, test } from 'vitest';
import { assertRouteScope, ROUTE_SCOPES, routeKey } from '../../../../central/admin/scopes/routes.ts';
import { CENTRAL } from '../../../../central/audit.ts';
import { createApiTokens } from '../../../../central/auth/api-tokens.ts';
import { registeredRoutes } from '../../../described-answers.ts';
import { NO_DELAY } from '../../fakes.ts';
import { startRest } from '../rest.ts';

const SCOPED = { name: 'north', scope: 'label:region=north' };

test('every registered route is listed, with the key that requests have, and nothing else is', async () => {
  const routes = await registeredRoutes();
  expect([...ROUTE_SCOPES.keys()].toSorted()).toEqual(routes.map(({ key }) => key).toSorted());
  for (const { key, method, path } of routes)
    expect(routeKey(method, path.replaceAll(/\{(\w+)\}/g, ':$1').replace(':path', '*'))).toBe(key);
});

test('a route that is not listed is refused to a token with a scope, and to no other', () => {
  expect(() => assertRouteScope(SCOPED, 'GET /new-things')).toThrow(
    expect.objectContaining({ code: 'scope_too_narrow', status: 403 }),
  );
  expect(() => assertRouteScope({ ...SCOPED, scope: null }, 'GET /new-things')).not.toThrow();
});

test('what changes the installation is closed, and what is public is open', async () => {
  const found = (await registeredRoutes()).map(({ key, role, method }) => ({
    key,
    role,
    method,
    is: ROUTE_SCOPES.get(key),
  }));
  expect(found.filter(({ role, is }) => role === 'anyone' && is !== 'open')).toEqual([]);
  const changing = found.filter(({ method, is }) => method !== 'GET' && is === 'open').map(({ key }) => key);
  expect(changing).toEqual(['POST /login', 'DELETE /login']);
});

test('a scoped administrator is refused each closed route with what it has and what is needed, and no other', async () => {
  const rest = await startRest();
  const apiTokens = createApiTokens({ tokens: rest.store.tokens, attempts: NO_DELAY, now: Date.now });
  const { token } = await apiTokens.create({ ...SCOPED, role: 'administrator', expiresAt: null }, CENTRAL);
  const headers = { authorization: `Bearer ${token}` };
  for (const { key, method, path } of await registeredRoutes()) {
    // A parameter that exists nowhere: no route does anything.
    const url = `${path.replaceAll(/\{\w+\}/g, 'x')}?noSuchParameter=1`;
    const response = await fetch(`${rest.url}${url}`, { method, headers });
    const isClosed = ROUTE_SCOPES.get(key) === 'closed';
    expect([key, response.status]).toEqual([key, isClosed ? 403 : 400]);
    expect(await response.json()).toMatchObject(
      isClosed
        ? {
            code: 'scope_too_narrow',
            detail: `This requires a token for all agents, since ${key} is about the whole installation; the token "north" has the scope label:region=north.`,
          }
        : { code: 'request_invalid' },
    );
  }
  expect(rest.refused).toContainEqual({
    code: 'scope_too_narrow',
    address: '127.0.0.1',
    route: 'GET /api/v1/audit',
    caller: 'north',
  });
});
