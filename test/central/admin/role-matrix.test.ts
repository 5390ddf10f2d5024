// Every route by four identities, against a running Central. The routes come from the routes themselves, each with the
// role that it names; docs/REST.md pins which role that is (test/docs.test.ts).
import { fastify } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adminRoutes } from '../../../central/admin/routes.ts';
import type { AdminServices } from '../../../central/admin/services.ts';
import type { RunningCentral } from '../../../central/composition/lifecycle.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { Cleanup } from '../../flow/processes.ts';
import { sendTo, startInProcess } from '../in-process.ts';

const IDENTITIES = ['none', 'viewer', 'operator', 'administrator'] as const;
type Identity = (typeof IDENTITIES)[number];

interface Route {
  readonly method: string;
  readonly url: string;
  /** As the route has it. */
  readonly role: unknown;
}

async function routes(): Promise<Route[]> {
  const found: Route[] = [];
  const app = fastify();
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const name of [method].flat()) found.push({ method: name, url, role: config?.role });
  });
  // Nothing is asked of the services before a request comes.
  await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
  await app.ready();
  await app.close();
  return found;
}

const cleanup = new Cleanup();
const tokens = new Map<Identity, string>();
let central: RunningCentral;

beforeAll(async () => {
  central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
  tokens.set('administrator', central.firstStart?.administratorToken ?? '');
  for (const role of ['viewer', 'operator'] as const) {
    const made = await send('POST', '/api/v1/api-tokens', 'administrator', { name: role, role });
    tokens.set(role, ((await made.json()) as { readonly token: string }).token);
  }
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function send(method: string, path: string, as: Identity, body?: unknown): Promise<Response> {
  return await sendTo(central, { method, path, body, token: tokens.get(as) ?? null });
}

/**
 * What an identity gets: refused for who it is, or let in. The parameter exists nowhere, so that no route does
 * anything.
 */
async function access(route: Route, as: Identity): Promise<'unauthenticated' | 'forbidden' | 'let in'> {
  const path = route.url.replaceAll(/:\w+|\*/g, 'x');
  const response = await send(route.method, `${path}?noSuchParameter=1`, as);
  await response.arrayBuffer();
  if (response.status === 401) return 'unauthenticated';
  if (response.status === 403) return 'forbidden';
  expect([route.method, route.url, as, response.status]).toEqual([route.method, route.url, as, 400]);
  return 'let in';
}

describe('every route by every identity', () => {
  test('names a role, and lets in that role and those above it, and no other', { timeout: 30_000 }, async () => {
    const all = (await routes()).filter(({ method }) => method !== 'OPTIONS');
    expect(all.length).toBeGreaterThan(60);
    for (const route of all) {
      const { method, url, role } = route;
      expect([method, url, role]).toEqual([method, url, expect.toBeOneOf(['anyone', ...IDENTITIES.slice(1)])]);
      const least = role === 'anyone' ? 0 : IDENTITIES.indexOf(role as Identity);
      for (const [i, identity] of IDENTITIES.entries()) {
        const expected = i >= least ? 'let in' : identity === 'none' ? 'unauthenticated' : 'forbidden';
        expect([method, url, identity, await access(route, identity)]).toEqual([method, url, identity, expected]);
      }
    }
  });

  test('a route without a role is refused when it is made', async () => {
    const app = fastify();
    const services = { metrics: createMetrics() } as unknown as AdminServices;
    app.addHook('onRoute', (route) => {
      if (route.url === '/api/v1/status' && route.config !== undefined) delete route.config.role;
    });
    await expect(adminRoutes(app, services)).rejects.toThrow('names no role');
    await app.close();
  });
});
