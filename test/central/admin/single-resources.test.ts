// One resource of each kind, against a running Central: shown by its id, deleted, and gone; never with a secret.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeRequest } from '../../../agent/enrollment/csr.ts';
import { loadOrCreateKey } from '../../../agent/identity/identity.ts';
import type { RunningCentral } from '../../../central/composition/lifecycle.ts';
import { Cleanup } from '../../flow/processes.ts';
import { startInProcess } from '../in-process.ts';

const cleanup = new Cleanup();
let central: RunningCentral;

beforeAll(async () => {
  central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

async function send(method: string, path: string, body?: unknown): Promise<Response> {
  return await fetch(`http://127.0.0.1:${central.port('http')}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${central.firstStart?.administratorToken}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
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
