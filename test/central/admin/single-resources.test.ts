// One resource of each kind, against a running Central: shown by its id, deleted, and gone; never with a secret.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeRequest } from '../../../agent/enrollment/csr.ts';
import { loadOrCreateKey } from '../../../agent/identity/identity.ts';
import type { RunningCentral } from '../../../central/composition/lifecycle.ts';
import { Cleanup } from '../../flow/processes.ts';
import { SUBPROTOCOL } from '../../../shared/wire/messages.ts';
import { sendTo, startInProcess } from '../in-process.ts';

const cleanup = new Cleanup();
let central: RunningCentral;

beforeAll(async () => {
  central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return await sendTo(central, { method, path: `/api/v1${path}`, body, headers });
}

async function json(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  return (await (await send(method, path, body)).json()) as Record<string, unknown>;
}

test.each([
  ['/api-tokens', { name: 'monitor', role: 'viewer' }],
  ['/enrollment-tokens', {}],
])('a token of %s is shown without its secret, and is unknown once it is deleted', async (path, body) => {
  const { token, pin: _pin, commandLine: _line, ...made } = await json('POST', path, body);
  expect(token).toMatch(/^qge?_/);
  const url = `${path}/${String(made['id'])}`;
  expect(await json('GET', url)).toEqual(made);
  expect((await send('DELETE', url)).status).toBe(204);
  expect(await json('GET', url)).toMatchObject({ status: 404, code: 'token_unknown' });
});

test('an API token changes its name, role and expiry; the last administrator stays one, and the first one to change it wins', async () => {
  const { token, ...made } = await json('POST', '/api-tokens', { name: 'monitor', role: 'viewer' });
  const url = `/api-tokens/${String(made['id'])}`;
  const as = async (method: string, path: string): Promise<number> =>
    (await send(method, path, undefined, { authorization: `Bearer ${String(token)}` })).status;
  expect(await as('GET', '/status')).toBe(200);
  expect(await as('GET', '/api-tokens')).toBe(403);
  const tag = (await send('GET', url)).headers.get('etag') ?? '';
  const changed = await send('PATCH', url, { role: 'administrator', lifetimeSeconds: 86_400 }, { 'if-match': tag });
  expect(await changed.json()).toEqual({
    ...made,
    role: 'administrator',
    expiresAt: expect.stringMatching(/^\d{4}-/),
    lastUsedAt: expect.stringMatching(/^\d{4}-/),
  });
  expect(changed.headers.get('etag')).not.toBe(tag);
  expect(await as('GET', '/api-tokens')).toBe(200);
  expect((await send('PATCH', url, { role: 'viewer' }, { 'if-match': tag })).status).toBe(412);
  expect(await json('PATCH', url, { name: 'wall', role: 'viewer', lifetimeSeconds: null })).toMatchObject({
    name: 'wall',
    role: 'viewer',
    expiresAt: null,
  });
  expect(await as('GET', '/api-tokens')).toBe(403);
  const { items } = (await json('GET', '/api-tokens')) as { items: { id: string; role: string }[] };
  const last = items.find(({ role }) => role === 'administrator')?.id ?? '';
  for (const change of [{ role: 'operator' }, { lifetimeSeconds: 60 }])
    expect(await json('PATCH', `/api-tokens/${last}`, change)).toMatchObject({ code: 'last_administrator' });
  expect(await json('PATCH', url, { role: 'boss' })).toMatchObject({ errors: [{ pointer: '#/role' }] });
  expect((await send('DELETE', url)).status).toBe(204);
});

test('a recovery code is shown without the code, and deleted', async () => {
  const { pem: csr } = await makeRequest(await loadOrCreateKey(await cleanup.folder()), 'branch-7');
  const { id } = await json('POST', '/agents', { csr });
  const url = `/agents/${String(id)}/recovery-code`;
  expect(await json('GET', url)).toMatchObject({ status: 404, code: 'recovery_code_missing' });
  const { code, expiresAt } = await json('POST', url, {});
  const shown = await json('GET', url);
  expect(shown).toEqual({
    agent: { id, name: 'branch-7' },
    createdAt: expect.stringMatching(/Z$/),
    createdBy: 'first administrator',
    expiresAt,
    usedByKeyThumbprint: null,
  });
  expect(JSON.stringify(shown)).not.toContain(String(code));
  expect((await send('DELETE', url)).status).toBe(204);
  expect((await send('DELETE', url)).status).toBe(404);
});

test('the request for a server certificate is deleted with its key', async () => {
  await json('POST', '/server-certificate/request', {});
  expect((await send('DELETE', '/server-certificate/request')).status).toBe(204);
  expect(await json('GET', '/server-certificate')).toMatchObject({ request: null });
  expect(await json('DELETE', '/server-certificate/request')).toMatchObject({
    status: 409,
    code: 'certificate_request_missing',
  });
});

test('each answer says that it is not kept, and by which headers of a request it varies', async () => {
  for (const path of ['/status', '/agents/nothing', '/nowhere']) {
    const { headers } = await send('GET', path);
    expect([path, headers.get('vary'), headers.get('referrer-policy')]).toEqual([
      path,
      'Accept, Accept-Encoding',
      'no-referrer',
    ]);
    expect(headers.get('cache-control')).toBe('no-store');
  }
  // It is public, and asked for again and again.
  expect((await send('GET', '/ca/trust-bundle.pem')).headers.get('cache-control')).toBe('no-cache');
});

/** The first frame that an agent gets, and the code of the close. */
async function firstFrame(): Promise<{ readonly frame: unknown; readonly close: number }> {
  const socket = new WebSocket(`ws://127.0.0.1:${central.port('ws')}/agent`, SUBPROTOCOL);
  const frames: unknown[] = [];
  socket.addEventListener('message', ({ data }) => void frames.push(JSON.parse(String(data).replace(/[^}]*$/, ''))));
  return await new Promise((resolve) => {
    socket.addEventListener('close', ({ code }) => resolve({ frame: frames[0], close: code }));
    socket.addEventListener('message', () => {
      const { type } = frames[0] as { readonly type: string };
      if (type === 'challenge') socket.close(1000);
    });
  });
}

test('in maintenance mode no agent gets as far as the challenge, and the status says so, until it is disabled', async () => {
  expect(await json('GET', '/maintenance')).toEqual({ enabled: false, retryAfterSeconds: 60, enabledAt: null });
  expect(await json('PATCH', '/maintenance?dryRun=true', { enabled: true })).toMatchObject({
    dryRun: true,
    changed: [{ name: 'enabled', from: false, to: true }],
    cutOff: { count: 0, items: [] },
  });
  expect(await json('PATCH', '/maintenance', { retryAfterSeconds: 4 })).toMatchObject({
    errors: [{ pointer: '#/retryAfterSeconds' }],
  });
  expect((await firstFrame()).frame).toMatchObject({ type: 'challenge' });
  expect(await json('PATCH', '/maintenance?ticket=CHG-9', { enabled: true, retryAfterSeconds: 7 })).toMatchObject({
    enabled: true,
    retryAfterSeconds: 7,
    enabledAt: expect.stringMatching(/Z$/),
  });
  expect(await firstFrame()).toEqual({
    frame: expect.objectContaining({ type: 'refuse', code: 'maintenance', retryAfterSeconds: 7 }),
    close: 4521,
  });
  const codes = (await json('GET', '/status'))['problems'] as readonly { readonly code: string }[];
  expect(codes.map(({ code }) => code)).toContain('maintenance_enabled');
  expect((await send('GET', '/health/ready')).status).toBe(200);
  await json('PATCH', '/maintenance', { enabled: false });
  expect((await firstFrame()).frame).toMatchObject({ type: 'challenge' });
  expect(await json('GET', '/audit?action=maintenance.*')).toMatchObject({
    items: [{ action: 'maintenance.disable' }, { action: 'maintenance.enable', ticket: 'CHG-9' }],
  });
});

test('an answer is compressed for a client that accepts it, but not one that only administrators may read', async () => {
  const encoded = async (path: string, acceptEncoding: string): Promise<string | null> => {
    const response = await send('GET', path, undefined, { 'accept-encoding': acceptEncoding });
    expect(JSON.parse(await response.text())).toBeTypeOf('object');
    return response.headers.get('content-encoding');
  };
  expect(await encoded('/parameters', 'gzip')).toBe('gzip');
  expect(await encoded('/parameters', 'identity')).toBe(null);
  expect(await encoded('/maintenance', 'gzip')).toBe(null);
  for (let i = 0; i < 12; i += 1) await json('POST', '/api-tokens', { name: `many ${i}`, role: 'viewer' });
  expect((await (await send('GET', '/api-tokens')).text()).length).toBeGreaterThan(1024);
  expect(await encoded('/api-tokens', 'gzip')).toBe(null);
  const tag = (await send('GET', '/parameters', undefined, { 'accept-encoding': 'gzip' })).headers.get('etag') ?? '';
  expect(tag).toMatch(/^W\//);
  expect((await send('GET', '/parameters', undefined, { 'if-none-match': tag })).status).toBe(304);
  const change = await send('PATCH', '/parameters', { 'events.retentionDays': 31 }, { 'if-match': tag });
  expect(change.status).toBe(200);
});
