// The conventions of every route of the local API: methods, content types, problems, lists; and what openapi.json says.
import { afterEach, describe, expect, it } from 'vitest';
import { openApiDocument } from '../../../../agent/local-api/routes/openapi.ts';
import { PROBLEM } from '../../../../agent/local-api/routes/schemas.ts';
import { ROUTES } from '../../../../agent/local-api/routes/table.ts';
import { validate } from '../../../../shared/wire/json-schema.ts';
import { bearer, endAll, openApi, type ApiSetting } from '../parts.ts';

afterEach(endAll);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function start(setting: ApiSetting = {}) {
  const { port, token } = await openApi({
    ...setting,
    ports: {
      consumers: async () => [
        { name: 'default', types: [], messages: 0, bytes: 0, delivered: 0, acknowledged: 0, oldestAt: null },
      ],
      take: async () => [{ cursor: 3, json: '{"type":"t"}' }],
      incidents: async ({ limit, before }) =>
        [3, 2, 1]
          .filter((key) => key < (before ?? Infinity))
          .slice(0, limit)
          .map((key) => ({ key, at: 0, kind: 'log_restarted', detail: `{"key":${key}}` })),
      deadLetters: async () => [
        { key: 1, at: 0, direction: 'down', number: 0, id: 'x', reason: 'expired', json: '{}' } as const,
      ],
      ...setting.ports,
    },
  });
  const call = async (method: string, path: string, headers: Record<string, string> = bearer(token), body?: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body }),
    });
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  };
  return { call, token };
}

const concrete = (path: string): string => path.replace('{consumer}', 'default');
const BODIES: Readonly<Record<string, string>> = {
  '/api/v1/events': '{"type":"t"}',
  '/api/v1/commands/ack': '{"through":3}',
};

describe('every route of the local API', () => {
  it.each(ROUTES.map((route) => [route.path, route] as const))(
    '%s answers as its schema says, HEAD and OPTIONS too, and refuses other methods, unknown parameters and a missing token',
    async (path, route) => {
      const { call } = await start();
      for (const method of ['GET', 'POST'] as const) {
        const operation = route[method];
        if (operation === undefined || operation.who === 'owner') continue;
        const answer = await call(method, concrete(path), undefined, BODIES[path]);
        const documented = operation.answers[answer.status];
        expect([method, answer.status, documented === undefined]).toEqual([method, answer.status, false]);
        expect(validate(documented?.schema ?? {}, JSON.parse(answer.text))).toBeUndefined();
        expect(answer.headers.get('queuegate-request-id')).toMatch(UUID);
        expect(answer.headers.get('cache-control')).toBe('no-store');
        const unknown = await call(method, `${concrete(path)}?foo=1`, undefined, BODIES[path]);
        const problem = JSON.parse(unknown.text) as Record<string, unknown>;
        expect(problem).toMatchObject({
          status: 400,
          code: 'local_parameter_unknown',
          errors: [{ parameter: 'foo', allowed: Object.keys(operation.parameters), found: null }],
          errorCount: 1,
        });
        expect(validate(PROBLEM, problem)).toBeUndefined();
        expect(problem['instance']).toBe(`urn:uuid:${unknown.headers.get('queuegate-request-id')}`);
        expect(unknown.headers.get('content-type')).toBe('application/problem+json');
        const stranger = await call(method, concrete(path), {}, BODIES[path]);
        const isOpen = operation.who === 'none';
        expect([stranger.status, stranger.headers.get('www-authenticate')?.split(' ')[0]]).toEqual(
          isOpen ? [answer.status, undefined] : [401, 'Bearer'],
        );
      }
      const allowed = [...(route.GET ? ['GET', 'HEAD'] : []), ...(route.POST ? ['POST'] : []), 'OPTIONS'];
      const head = await call('HEAD', concrete(path));
      expect([head.status, head.text]).toEqual([route.GET === undefined ? 405 : 200, '']);
      const options = await call('OPTIONS', concrete(path));
      expect([options.status, options.headers.get('allow')]).toEqual([204, allowed.join(', ')]);
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((one) => !allowed.includes(one))) {
        const answer = await call(method, concrete(path));
        expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, allowed.join(', ')]);
      }
      for (const other of [`${concrete(path)}/`, `/${concrete(path)}`])
        expect([other, (await call('GET', other)).status]).toEqual([other, 404]);
    },
  );

  it('that takes a body accepts JSON only, one without a content type or a body with one', async () => {
    const { call, token } = await start();
    for (const [path, body] of Object.entries(BODIES))
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
        const answer = await call('POST', path, { ...bearer(token), 'content-type': type }, body);
        expect(JSON.parse(answer.text)).toMatchObject({
          status: 415,
          code: 'local_content_type',
          errors: [{ header: 'content-type', allowed: expect.arrayContaining(['application/json']), found: type }],
        });
      }
    const binary = { ...bearer(token), 'ce-specversion': '1.0', 'ce-type': 't' };
    expect((await call('POST', '/api/v1/events', binary, '{}')).status).toBe(415);
    expect((await call('GET', '/api/v1/status', { ...bearer(token), 'content-type': 'application/json' })).status).toBe(
      200,
    );
  });

  it('answers Accept where it has several types: 406 for another one', async () => {
    const { call, token } = await start();
    for (const [accept, status, type] of [
      ['*/*', 200, 'application/json'],
      ['application/json, text/event-stream;q=0.5', 200, 'application/json'],
      ['application/*', 200, 'application/json'],
      ['text/html', 406, 'application/problem+json'],
      ['text/event-stream;q=0, application/xml', 406, 'application/problem+json'],
    ] as const) {
      const answer = await call('GET', '/api/v1/commands', { ...bearer(token), accept });
      expect([accept, answer.status, answer.headers.get('content-type')?.split(';')[0]]).toEqual([
        accept,
        status,
        type,
      ]);
    }
    expect((await call('GET', '/api/v1/status', { ...bearer(token), accept: 'text/html' })).status).toBe(200);
  });

  it('delivers nothing by HEAD', async () => {
    let taken = 0;
    const { call } = await start({ ports: { take: async () => ((taken += 1), []) } });
    expect((await call('HEAD', '/api/v1/commands?waitSeconds=55')).status).toBe(200);
    expect(taken).toBe(0);
  });
});

describe('lists of the local API', () => {
  it('go on behind the cursor of the page before, and refuse any other cursor', async () => {
    const { call } = await start();
    const pages: unknown[] = [];
    let path: string | undefined = '/api/v1/incidents?limit=2';
    while (path !== undefined) {
      const { text, headers } = await call('GET', path);
      pages.push(JSON.parse(text));
      path = /^<([^>]+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1];
    }
    expect(pages).toMatchObject([
      { items: [{ detail: { key: 3 } }, { detail: { key: 2 } }], next: 'i-2' },
      { items: [{ code: 'log_restarted', occurredAt: '1970-01-01T00:00:00.000Z', detail: { key: 1 } }], next: null },
    ]);
    for (const after of ['d-2', '2', 'i-', 'i-2x', 'x'])
      expect(JSON.parse((await call('GET', `/api/v1/incidents?after=${after}`)).text)).toMatchObject({
        code: 'local_cursor_invalid',
        status: 400,
      });
    for (const query of ['limit=0', 'limit=1001', 'limit=1&limit=2', 'limit=', 'after='])
      expect([query, (await call('GET', `/api/v1/dead-letters?${query}`)).status]).toEqual([query, 400]);
  });
});

describe('the health of the local API', () => {
  it('needs no token; it is not ready while no event could be posted, and says why', async () => {
    const { call } = await start({ ports: { notReady: async () => ['outbox_full'] } });
    expect((await call('GET', '/api/v1/health/live', {})).status).toBe(200);
    const ready = await call('GET', '/api/v1/health/ready', {});
    expect([ready.status, ready.text]).toEqual([503, '{"state":"failing","reasons":["outbox_full"]}']);
  });
});

describe('openapi.json', () => {
  it('is made from the routes and their schemas, and needs no token', async () => {
    const { call } = await start();
    const served = JSON.parse((await call('GET', '/api/v1/openapi.json', {})).text) as unknown;
    const document = openApiDocument(ROUTES);
    expect(served).toEqual(JSON.parse(JSON.stringify(document)));
    expect(Object.keys(document.paths)).toEqual(ROUTES.map(({ path }) => path));
    const ids = ROUTES.flatMap(({ GET, POST }) => [GET?.id, POST?.id]).filter((id) => id !== undefined);
    expect(new Set(ids).size).toBe(ids.length);
    expect(served).toMatchObject({
      openapi: '3.1.0',
      paths: {
        '/api/v1/commands/ack': {
          post: {
            requestBody: {
              content: { 'application/json': { schema: { required: ['through'], additionalProperties: false } } },
            },
            responses: { 409: { description: 'ack_beyond_delivered' } },
          },
        },
        '/api/v1/health/ready': { get: { security: [] } },
      },
    });
  });
});
