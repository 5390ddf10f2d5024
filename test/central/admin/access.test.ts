import { EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { fastify, type FastifyReply } from 'fastify';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { AGENT_STATES } from '../../../central/store/agent-store.ts';
import { adminRoutes } from '../../../central/admin/routes.ts';
import type { AdminServices } from '../../../central/admin/services.ts';
import { MAX_REQUESTS_OF_TOKEN, TokenBounds } from '../../../central/admin/token-bounds.ts';
import { createMetrics } from '../../../central/metrics.ts';
import { until } from '../../flow/processes.ts';
import { startRest } from './rest.ts';

async function registeredRoutes(): Promise<{ readonly method: string; readonly url: string }[]> {
  const found: { method: string; url: string }[] = [];
  const app = fastify();
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) if (name !== 'HEAD') found.push({ method: name, url });
  });
  // Nothing is asked of the services before a request comes.
  await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
  await app.ready();
  await app.close();
  return found;
}

/** Every route, with the least role that may use it. */
const ROUTES = [
  ['GET', '/parameters', 'viewer'],
  ['GET', '/parameters/agents.max', 'viewer'],
  ['PATCH', '/parameters', 'administrator'],
  ['DELETE', '/parameters/agents.max', 'administrator'],
  ['GET', '/changes', 'viewer'],
  ['GET', '/changes/x', 'viewer'],
  ['POST', '/changes/x/confirm', 'administrator'],
  ['POST', '/changes/x/rollback', 'administrator'],
  ['GET', '/agents', 'viewer'],
  ['GET', '/agents/a', 'viewer'],
  ['DELETE', '/agents/a', 'administrator'],
  ['GET', '/incidents', 'viewer'],
  ['POST', '/agents/a/commands', 'operator'],
  ['GET', '/dead-letters', 'viewer'],
  ['GET', '/events', 'viewer'],
  ['GET', '/api-tokens', 'administrator'],
  ['POST', '/api-tokens', 'administrator'],
  ['DELETE', '/api-tokens/x', 'administrator'],
  ['GET', '/enrollment-tokens', 'administrator'],
  ['POST', '/enrollment-tokens', 'administrator'],
  ['DELETE', '/enrollment-tokens/x', 'administrator'],
  ['GET', '/status', 'viewer'],
  ['GET', '/store', 'viewer'],
  ['GET', '/metrics', 'viewer'],
  ['GET', '/profiles', 'viewer'],
  ['POST', '/profiles', 'administrator'],
  ['GET', '/profiles/x/truststore', 'viewer'],
  ['GET', '/software-releases', 'viewer'],
  ['GET', '/software-releases/x', 'viewer'],
  ['POST', '/software-releases', 'administrator'],
  ['DELETE', '/software-releases/x', 'administrator'],
] as const;
const ROLES = ['viewer', 'operator', 'administrator'] as const;

describe('access', () => {
  test('every route but health and the root certificate refuses a request without a token, before it reads the body', async () => {
    const rest = await startRest();
    for (const [method, path] of ROUTES) {
      const response = await rest.request(method, path, {
        as: null,
        ...(method === 'POST' || method === 'PATCH' ? { body: '{' } : {}),
      });
      expect([method, path, response.status]).toEqual([method, path, 401]);
      expect(response.headers.get('www-authenticate')).toContain('Bearer');
      expect(await response.json()).toMatchObject({ type: 'urn:queuegate:error:unauthenticated', status: 401 });
    }
    for (const path of ['/health/live', '/health/ready', '/ca/trust-bundle.pem'])
      expect((await rest.request('GET', path, { as: null })).status).toBe(200);
  });

  test('each role may do its own and no more', async () => {
    const rest = await startRest();
    for (const [method, path, least] of ROUTES) {
      for (const role of ROLES) {
        const { status } = await rest.request(method, path, {
          as: role,
          ...(method === 'GET' || method === 'DELETE' ? {} : { body: [] }),
        });
        expect([method, path, role, status === 403]).toEqual([
          method,
          path,
          role,
          ROLES.indexOf(role) < ROLES.indexOf(least),
        ]);
      }
    }
    expect(rest.unexpected).toEqual([]);
  });

  test('a refusal that comes before the body says that its connection ends; one that comes behind it does not', async () => {
    const rest = await startRest();
    const { port } = new URL(rest.url);
    const head = `POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${rest.tokens.viewer}\r\n`;
    const answer = async (text: string): Promise<string> => {
      const socket = connect(Number(port), '127.0.0.1');
      onTestFinished(() => void socket.destroy());
      socket.write(text);
      const [piece] = (await once(socket, 'data')) as [Buffer];
      return piece.toString().toLowerCase();
    };
    const typed = `${head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n`;
    expect(await answer(typed)).toMatch(/^http\/1.1 403 [^]*\r\nconnection: close\r\n/);
    expect(await answer(`${typed}[]`)).toMatch(/^http\/1.1 403 [^]*\r\nconnection: keep-alive\r\n/);
  });

  test('a token of another form, and a removed one, are refused', async () => {
    const rest = await startRest();
    for (const authorization of ['Bearer x', 'Basic eDp5', rest.tokens.viewer, `Bearer ${rest.tokens.viewer}x`]) {
      expect((await rest.request('GET', '/status', { as: null, headers: { authorization } })).status).toBe(401);
    }
    const { items } = (await (await rest.request('GET', '/api-tokens')).json()) as {
      items: { id: string; role: string }[];
    };
    const viewer = items.find(({ role }) => role === 'viewer');
    expect((await rest.request('DELETE', `/api-tokens/${viewer?.id}`)).status).toBe(204);
    expect((await rest.request('GET', '/status', { as: 'viewer' })).status).toBe(401);
  });

  test('every refusal is counted for the audit log, with its route, and nothing that was let in', async () => {
    const rest = await startRest();
    await rest.request('GET', '/status', { as: null });
    await rest.request('DELETE', '/agents/a1', { as: null, headers: { authorization: 'Bearer x' } });
    await rest.request('POST', '/api-tokens', { as: 'viewer', body: { name: 'x', role: 'administrator' } });
    await rest.request('GET', '/status', { as: 'viewer' });
    await rest.request('GET', '/health/live', { as: null });
    expect(rest.refused).toEqual([
      { code: 'unauthenticated', address: '127.0.0.1', route: 'GET /api/v1/status' },
      { code: 'unauthenticated', address: '127.0.0.1', route: 'DELETE /api/v1/agents/:agent' },
      { code: 'forbidden', address: '127.0.0.1', route: 'POST /api/v1/api-tokens', caller: 'viewer' },
    ]);
  });
});

describe('the address rules of roles', () => {
  test('refuse a token whose role does not count at its address, with 403; other roles go on, and each refusal is recorded', async () => {
    const rest = await startRest();
    const changed = await rest.request('PATCH', '/parameters', { body: { 'access.viewer.deny': ['127.0.0.0/8'] } });
    expect(changed.status).toBe(200);
    const refused = await rest.request('GET', '/status', { as: 'viewer' });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({
      code: 'address_denied',
      detail: expect.stringMatching(/127\.0\.0\.1.*access\.viewer/),
    });
    for (const as of ['operator', 'administrator'] as const)
      expect((await rest.request('GET', '/status', { as })).status).toBe(200);
    expect((await rest.request('GET', '/health/live', { as: null })).status).toBe(200);
    const route = 'GET /api/v1/status';
    expect(rest.refused).toEqual([{ code: 'address_denied', address: '127.0.0.1', route, caller: 'viewer' }]);
  });

  test('that would refuse the one who sets them need force', async () => {
    const rest = await startRest();
    const body = { 'access.administrator.allow': ['10.0.0.0/8'] };
    const refused = await rest.request('PATCH', '/parameters', { body });
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([
      409,
      'would_cut_off_administrator',
    ]);
    const dry = await rest.request('PATCH', '/parameters?dryRun=true', { body });
    expect(await dry.json()).toMatchObject({ needsForce: true, notices: [{ code: 'administrator_cut_off' }] });
    expect((await rest.request('PATCH', '/parameters?force=true', { body })).status).toBe(200);
    expect((await rest.request('GET', '/status')).status).toBe(403);
    expect((await rest.request('GET', '/status', { as: 'viewer' })).status).toBe(200);
  });
});

describe('an API token', () => {
  test('has so many requests in progress and no more; other tokens go on, and what ended makes room again', async () => {
    const rest = await startRest();
    const ended = new AbortController();
    const waiting = Array.from({ length: MAX_REQUESTS_OF_TOKEN }, () =>
      rest.request('GET', '/events?waitSeconds=55', { as: 'viewer', signal: ended.signal }).catch(() => undefined),
    );
    await until(() => rest.events.waiting === MAX_REQUESTS_OF_TOKEN || undefined);
    const refused = await rest.request('GET', '/status', { as: 'viewer' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    expect(await refused.json()).toMatchObject({ type: 'urn:queuegate:error:too_many_in_progress' });
    expect((await rest.request('GET', '/status', { as: 'operator' })).status).toBe(200);
    ended.abort();
    await Promise.all(waiting);
    await until(async () => (await rest.request('GET', '/status', { as: 'viewer' })).status === 200 || undefined);
  });

  test('keeps nothing of a request whose client left while its token was looked up', () => {
    const bounds = new TokenBounds();
    const left = { raw: Object.assign(new EventEmitter(), { closed: true }) } as unknown as FastifyReply;
    const body = { headers: { 'content-length': String(8 * 1024 * 1024) } } as unknown as IncomingMessage;
    const request = (): void => {
      bounds.enter('a', left);
      bounds.expectBody('a', body, 8 * 1024 * 1024, left);
    };
    for (let i = 0; i <= MAX_REQUESTS_OF_TOKEN; i += 1) expect(request).not.toThrow();
  });

  test('whose client leaves before its request waits for events holds no place among those that wait', async () => {
    const rest = await startRest();
    const [arrived, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { events } = rest;
    const [lastCursor, read] = [events.lastCursor.bind(events), vi.spyOn(events, 'read')];
    events.lastCursor = async () => {
      arrived.resolve();
      await goOn.promise;
      return await lastCursor();
    };
    const leaving = new AbortController();
    const request = rest.request('GET', '/events?waitSeconds=55', { as: 'viewer', signal: leaving.signal });
    await arrived.promise;
    leaving.abort();
    await expect(request).rejects.toThrow('abort');
    await until(async () => (await rest.connections()) === 0 || undefined);
    goOn.resolve();
    await until(() => read.mock.calls.length > 0 || undefined);
    await new Promise(setImmediate);
    expect(events.waiting).toBe(0);
  });
});

describe('the bodies of one API token', () => {
  test('are collected up to 64 MiB at once; other tokens go on, and what ended makes room again', () => {
    const bounds = new TokenBounds();
    const request = (headers: Record<string, string>) => ({ headers }) as unknown as IncomingMessage;
    const reply = () => ({ raw: new EventEmitter() }) as unknown as FastifyReply;
    const limit = 8 * 1024 * 1024;
    const replies = Array.from({ length: 8 }, reply);
    for (const [i, one] of replies.entries()) {
      bounds.expectBody(
        'a',
        request(i % 2 === 0 ? { 'content-length': String(limit) } : { 'transfer-encoding': 'chunked' }),
        limit,
        one,
      );
    }
    const more = (token: string) => () => bounds.expectBody(token, request({ 'content-length': '1' }), limit, reply());
    expect(more('a')).toThrow(expect.objectContaining({ code: 'too_much_in_progress', status: 503 }));
    expect(more('b')).not.toThrow();
    replies[0]?.raw.emit('close');
    expect(more('a')).not.toThrow();
  });
});

describe('every error is a problem document', () => {
  const cases = [
    ['an unknown path', 'GET', '/nonsense', {}, 404, 'not_found'],
    ['a path outside the API', 'GET', '/api/v2/x', {}, 404, 'not_found'],
    ['another method', 'PUT', '/parameters', { body: {} }, 405, 'method_not_allowed'],
    ['another method of a path with an id', 'POST', '/agents/a', { body: {} }, 405, 'method_not_allowed'],
    ['a body that is not JSON', 'PATCH', '/parameters', { body: '{"agents.max":' }, 400, 'json_unparseable'],
    ['an empty body', 'PATCH', '/parameters', { body: '' }, 400, 'request_invalid'],
    ['a member named __proto__', 'PATCH', '/parameters', { body: '{"__proto__":{}}' }, 400, 'json_unparseable'],
    [
      'another content type',
      'PATCH',
      '/parameters',
      { body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'content_type_unsupported',
    ],
    [
      'a body that is too large',
      'PATCH',
      '/parameters',
      { body: JSON.stringify({ comment: 'x'.repeat(300_000) }) },
      413,
      'body_too_large',
    ],
    ['a body that does not fit', 'PATCH', '/parameters', { body: [1] }, 400, 'request_invalid'],
    ['terms in the body', 'PATCH', '/parameters', { body: { dryRun: true } }, 422, 'parameters_invalid'],
    ['a query that does not fit', 'GET', '/events?limit=x', {}, 400, 'request_invalid'],
    ['an unknown query parameter', 'GET', '/agents?order=name', {}, 400, 'request_invalid'],
    ['an unknown agent', 'GET', '/agents/no-such', {}, 404, 'agent_unknown'],
    ['an unknown parameter', 'GET', '/parameters/websocket.prot', {}, 404, 'parameter_unknown'],
    ['an unknown group', 'GET', '/parameters?group=x', {}, 400, 'request_invalid'],
    ['a trailing slash', 'GET', '/agents/', {}, 404, 'not_found'],
    ['an empty part of a path', 'GET', '/agents//history', {}, 404, 'not_found'],
    ['a query parameter of a route without any', 'GET', '/status?foo=1', {}, 400, 'request_invalid'],
    ['a body of a route without one', 'DELETE', '/agents/a', { body: { force: true } }, 400, 'request_invalid'],
    [
      'an If-Match that is not an ETag',
      'PATCH',
      '/parameters',
      { body: {}, headers: { 'if-match': 'x' } },
      400,
      'request_invalid',
    ],
  ] as const;
  for (const [what, method, path, options, status, code] of cases) {
    test(`${what}: ${status}`, async () => {
      const rest = await startRest();
      const response = await rest.request(method, path, options);
      expect(response.headers.get('content-type')).toContain('application/problem+json');
      expect(await response.json()).toMatchObject({
        type: `urn:queuegate:error:${code}`,
        code,
        status,
        title: expect.any(String),
        hint: expect.any(String),
        instance: `urn:uuid:${response.headers.get('queuegate-request-id')}`,
      });
      expect(response.status).toBe(status);
      expect(rest.unexpected).toEqual([]);
    });
  }

  test('a request that does not fit names each fault with its place', async () => {
    const rest = await startRest();
    const terms = 'force=yes&confirmWithinSeconds=1&confirmShare=2&nonsense=1';
    const response = await rest.request('PATCH', `/parameters?${terms}`, { body: {} });
    const { errors, ...problem } = (await response.json()) as { errors: { parameter: string }[] };
    expect(errors.map(({ parameter }) => parameter).toSorted()).toEqual([
      'confirmShare',
      'confirmWithinSeconds',
      'force',
      'nonsense',
    ]);
    expect(problem).toMatchObject({ detail: expect.stringContaining('4 faults'), errorCount: 4 });
  });

  test('what no one foresaw tells the stranger nothing and the log everything', async () => {
    const rest = await startRest();
    rest.agents.push({ id: 'a', name: 'a' } as never);
    rest.fail.sending = new TypeError('secret detail');
    const response = await rest.request('POST', '/agents/a/commands', { body: { type: 't' } });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret');
    expect(rest.unexpected).toEqual([rest.fail.sending]);
  });

  test('a value outside an enum lists the allowed ones once, and no secret is repeated', async () => {
    const rest = await startRest();
    const errorsOf = async (method: string, path: string, body?: unknown) =>
      ((await (await rest.request(method, path, { body })).json()) as { errors: unknown[] }).errors;
    expect(await errorsOf('GET', '/agents?state=Online&limit=0')).toEqual([
      {
        parameter: 'limit',
        detail: 'limit must be >= 1.',
        allowed: null,
        found: '0',
      },
      {
        parameter: 'state',
        detail: `state is not one of its values; allowed: ${AGENT_STATES.join(', ')}.`,
        allowed: [...AGENT_STATES],
        found: 'Online',
      },
    ]);
    expect(await errorsOf('GET', '/health/live?foo=1')).toEqual([
      { parameter: 'foo', detail: 'foo is unknown; allowed: none.', allowed: [], found: '1' },
    ]);
    expect(await errorsOf('POST', '/store/backup', { password: 7, 'a/b#é': 1 })).toEqual([
      { pointer: '#/a~1b%23%C3%A9', detail: 'a/b#é is unknown; allowed: password.', allowed: ['password'], found: '1' },
      { pointer: '#/password', detail: 'password must be string.', allowed: null, found: null },
    ]);
  });

  test('at most 20 faulty places are listed, all are counted', async () => {
    const rest = await startRest();
    const body = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`m${i}`, i]));
    const problem = (await (await rest.request('POST', '/api-tokens', { body })).json()) as { errors: unknown[] };
    expect(problem).toMatchObject({ errorCount: 32 });
    expect(problem.errors).toHaveLength(20);
  });
});

describe('every path', () => {
  test('refuses a query parameter that it does not have, and names those that it has', async () => {
    const rest = await startRest();
    const routes = await registeredRoutes();
    expect(routes.length).toBeGreaterThan(40);
    for (const { method, url } of routes) {
      const response = await fetch(`${rest.url}${url.replaceAll(/:\w+/g, 'x')}?frobnicate=1`, {
        method,
        headers: { authorization: `Bearer ${rest.tokens.administrator}` },
      });
      expect({ method, url, status: response.status, body: await response.json() }).toMatchObject({
        method,
        url,
        status: 400,
        body: {
          code: 'request_invalid',
          errors: expect.arrayContaining([
            expect.objectContaining({ parameter: 'frobnicate', allowed: expect.any(Array), found: '1' }),
          ]),
        },
      });
    }
  });

  test('with an act takes the reason for it, but for commands and measurements, which leave no audit entry', async () => {
    const acts = (await registeredRoutes()).filter(({ method }) => method !== 'GET');
    expect(acts.length).toBeGreaterThan(20);
    const rest = await startRest();
    for (const { method, url } of acts) {
      const response = await fetch(`${rest.url}${url.replaceAll(/:\w+/g, 'x')}?frobnicate=1`, {
        method,
        headers: { authorization: `Bearer ${rest.tokens.administrator}` },
      });
      const { errors } = (await response.json()) as { errors: { parameter?: string; allowed: string[] }[] };
      const unknown = errors.find(({ parameter }) => parameter === 'frobnicate');
      const takes = ['comment', 'ticket'].every((name) => unknown?.allowed.includes(name));
      expect([method, url, takes]).toEqual([method, url, !/\/(?:commands|measure)$/.test(url)]);
    }
  });

  test('405 and OPTIONS say what is allowed', async () => {
    const rest = await startRest();
    const refused = await rest.request('PUT', '/parameters', { body: {} });
    expect(refused.headers.get('allow')).toBe('GET, HEAD, PATCH, OPTIONS');
    const options = await rest.request('OPTIONS', '/parameters', { as: null });
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, PATCH, OPTIONS']);
  });

  test('answers HEAD where it answers GET, with the id of the request', async () => {
    const rest = await startRest();
    const response = await rest.request('HEAD', '/agents');
    expect([response.status, await response.text()]).toEqual([200, '']);
    expect(response.headers.get('queuegate-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('answers Accept where a route has several types: 406 with them for another one', async () => {
    const rest = await startRest();
    const get = (path: string, accept: string, as: 'viewer' | null = 'viewer') =>
      rest.request('GET', path, { as, headers: { accept } });
    for (const [path, accept, status, type] of [
      ['/events', '*/*', 200, 'application/json'],
      [
        '/events',
        'application/cloudevents-batch+json, application/json;q=0.9',
        200,
        'application/cloudevents-batch+json',
      ],
      ['/events', 'application/cloudevents-batch+json;q=0.1, application/json', 200, 'application/json'],
      ['/events', 'application/xml', 406, 'application/problem+json'],
      ['/events', 'application/cloudevents-batch+json;q=0, text/html', 406, 'application/problem+json'],
      ['/audit', 'text/html', 406, 'application/problem+json'],
      // One type, whatever Accept says.
      ['/incidents', 'text/html', 200, 'application/json'],
      ['/health/live', 'text/html', 200, 'application/json'],
    ] as const) {
      const answer = await get(path, accept);
      const found = answer.headers.get('content-type')?.split(';')[0];
      expect([path, accept, answer.status, found]).toEqual([path, accept, status, type]);
    }
    const refused = await get('/events', 'text/html');
    expect(await refused.json()).toMatchObject({
      code: 'not_acceptable',
      errors: [
        {
          header: 'Accept',
          allowed: ['application/json', 'application/cloudevents-batch+json', 'text/event-stream'],
          found: 'text/html',
        },
      ],
    });
    // Who may not read the route does not learn its types.
    expect((await get('/events', 'text/html', null)).status).toBe(401);
  });

  test('accepts a JSON content type without a body', async () => {
    const rest = await startRest();
    rest.agents.push({ id: 'a', name: 'a' } as never);
    const headers = { 'content-type': 'application/json' };
    expect((await rest.request('DELETE', '/agents/a', { headers })).status).toBe(204);
    expect((await rest.request('POST', '/api-tokens', { headers })).status).toBe(400);
  });
});
