// The rules that hold for every route of the administration, whatever it answers: methods, trailing slashes, HEAD, and
// the headers of each answer; and those of releases and their files on the agents' ports.
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { registeredRoutes } from '../../described-answers.ts';
import { Cleanup } from '../../flow/processes.ts';
import { sendTo, startInProcess } from '../in-process.ts';
import { startRest } from './rest.ts';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** By path, with `x` for each parameter: the methods that are registered there. */
const paths = new Map<string, Set<string>>();

beforeAll(async () => {
  for (const { method, path } of await registeredRoutes()) {
    const url = path.replaceAll(/\{\w+\}/g, 'x');
    paths.set(url, (paths.get(url) ?? new Set()).add(method));
  }
});

async function start() {
  const rest = await startRest();
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const headers = { authorization: `Bearer ${rest.tokens.administrator}` };
  return async (method: string, path: string, more: Record<string, string> = {}) =>
    await fetch(`${rest.url}${path}`, { method, headers: { ...headers, ...more }, signal: abort.signal });
}

/** The same with a whole Central. */
async function startWhole() {
  const cleanup = new Cleanup();
  onTestFinished(() => cleanup.run());
  const central = await startInProcess(await cleanup.folder(), '--central-name', 'central.test');
  onTestFinished(() => central.stop());
  return async (method: string, path: string, headers: Record<string, string> = {}) =>
    await sendTo(central, { method, path, headers });
}

/** As the header Allow has them. */
const allowed = (methods: ReadonlySet<string>): string[] =>
  [...methods, ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS'].toSorted();
/** Of a refusal. */
const HEADERS = [
  'content-type',
  'cache-control',
  'x-content-type-options',
  'referrer-policy',
  'content-security-policy',
  'ratelimit-policy',
];
const allowOf = (response: Response): string[] => (response.headers.get('allow') ?? '').split(', ').toSorted();

describe('every path', () => {
  test('answers OPTIONS with 204 and what is allowed, without a token, and knows no CORS', async () => {
    const send = await start();
    for (const [path, methods] of paths) {
      const origin = { origin: 'https://elsewhere.example', 'access-control-request-method': 'GET', authorization: '' };
      const response = await send('OPTIONS', path, origin);
      expect([path, response.status, allowOf(response)]).toEqual([path, 204, allowed(methods)]);
      expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });

  test('refuses each other method with 405 and what is allowed', async () => {
    const send = await start();
    for (const [path, methods] of paths)
      for (const method of METHODS.filter((one) => !methods.has(one))) {
        const response = await send(method, path);
        expect([method, path, response.status, allowOf(response)]).toEqual([method, path, 405, allowed(methods)]);
        expect(await response.json()).toMatchObject({ code: 'method_not_allowed' });
      }
  });

  test('is not found with a trailing slash, nor with two slashes', async () => {
    const send = await start();
    for (const path of paths.keys())
      for (const other of [`${path}/`, path.replace(/\/(?=[^/]*$)/, '//')]) {
        // The rest of the path names a file.
        if (other.startsWith('/api/v1/profiles/x/files/')) continue;
        const response = await send('GET', other);
        expect([other, response.status, await response.json()]).toEqual([
          other,
          404,
          expect.objectContaining({ code: 'not_found' }),
        ]);
      }
  });

  test('answers HEAD as GET, without a body', async () => {
    const send = await startWhole();
    for (const [path, methods] of paths) {
      if (!methods.has('GET') || path === '/api/v1/watch') continue;
      const plain = { 'accept-encoding': 'identity' };
      const [get, head] = [await send('GET', path, plain), await send('HEAD', path, plain)];
      const facts = ({ status, headers }: Response) => [
        path,
        status,
        ...['content-type', 'cache-control', 'etag', 'link'].map((name) => headers.get(name)),
      ];
      expect(facts(head)).toEqual(facts(get));
      expect(await head.text()).toBe('');
      await get.body?.cancel();
    }
  });
});

describe('every answer', () => {
  test('has the headers that protect a browser, is not kept unless its route says so, and is not deprecated', async () => {
    const send = await start();
    const kept = new Set(['/api/v1/ca/trust-bundle.pem', '/crl.der', '/crl.pem', '/openapi.json', '/docs']);
    for (const [path, methods] of paths)
      for (const method of methods) {
        if (path === '/api/v1/watch') continue;
        const { headers, body, status } = await send(method, `${path}?noSuchParameter=1`);
        await body?.cancel();
        expect([method, path, headers.get('x-content-type-options'), headers.get('referrer-policy')]).toEqual([
          method,
          path,
          'nosniff',
          'no-referrer',
        ]);
        expect([path, headers.get('content-security-policy')]).toEqual([
          path,
          expect.stringMatching(/default-src 'none'/),
        ]);
        expect([path, headers.get('vary')]).toEqual([path, 'Accept, Accept-Encoding']);
        const isKept = kept.has(path) && status < 400 ? headers.get('cache-control') !== null : 'no-store';
        expect([path, isKept === true ? isKept : headers.get('cache-control')]).toEqual([path, isKept]);
        expect([headers.get('deprecation'), headers.get('sunset')]).toEqual([null, null]);
      }
  });

  test('is compressed from 1 KiB on, and never as a stream, or where only administrators may read it', async () => {
    const send = await startWhole();
    const gzip = { 'accept-encoding': 'gzip' };
    const compressed: string[] = [];
    const small: string[] = [];
    for (const { method, path, role } of await registeredRoutes()) {
      if (method !== 'GET' || path === '/api/v1/watch') continue;
      const response = await send('GET', path.replaceAll(/\{\w+\}/g, 'x'), gzip);
      const isCompressed = response.headers.get('content-encoding') !== null;
      // As it was before.
      const { length } = new Uint8Array(await response.arrayBuffer());
      if (isCompressed) compressed.push(`${role} ${path}`);
      if (isCompressed && length < 1024) small.push(path);
    }
    expect(compressed).toContain('viewer /api/v1/parameters');
    expect(compressed.filter((one) => one.startsWith('administrator'))).toEqual([]);
    expect(small).toEqual([]);
    for (const path of ['/api/v1/watch', '/api/v1/events']) {
      const stream = await send('GET', path, { ...gzip, accept: 'text/event-stream' });
      expect([stream.headers.get('content-type'), stream.headers.get('content-encoding')]).toEqual([
        'text/event-stream',
        null,
      ]);
      await stream.body?.cancel();
    }
  });

  test('without a token says how many requests its address may make; with one it does not', async () => {
    const cleanup = new Cleanup();
    onTestFinished(() => cleanup.run());
    const central = await startInProcess(await cleanup.folder());
    onTestFinished(() => central.stop());
    const fieldsOf = ({ headers }: Response) => [headers.get('ratelimit-policy'), headers.get('ratelimit')];
    const counted = ['"address";q=1000;w=5', expect.stringMatching(/^"address";r=\d{1,3};t=[1-5]$/)];
    for (const { method, path } of await registeredRoutes()) {
      if (method !== 'GET' || path === '/api/v1/watch') continue;
      const url = path.replaceAll(/\{\w+\}/g, 'x');
      expect([path, ...fieldsOf(await sendTo(central, { method, path: url, token: null }))]).toEqual([
        path,
        ...counted,
      ]);
      const known = await sendTo(central, { method, path: url });
      await known.body?.cancel();
      expect([path, ...fieldsOf(known)]).toEqual([path, null, null]);
    }
  });
});

describe('releases and their files on the ports of the agents', () => {
  const digest = 'ab'.repeat(32);
  const downloads = [`/releases/${digest}/manifest`, `/releases/${digest}/signature`, `/blobs/${digest}`];

  test('follow the same rules: methods, slashes, headers, problems, and the rate of an address', async () => {
    const cleanup = new Cleanup();
    onTestFinished(() => cleanup.run());
    const central = await startInProcess(await cleanup.folder());
    onTestFinished(() => central.stop());
    const ask = async (method: string, path: string) =>
      await fetch(`http://127.0.0.1:${central.port('ws')}${path}`, { method });
    for (const path of downloads) {
      const refused = await ask('GET', path);
      expect([path, refused.status, await refused.json()]).toEqual([
        path,
        401,
        expect.objectContaining({ code: 'ticket_invalid', instance: expect.stringMatching(/^urn:uuid:/) }),
      ]);
      const head = await ask('HEAD', path);
      expect([path, head.status, await head.text()]).toEqual([path, 401, '']);
      for (const { headers } of [refused, head])
        expect([path, ...HEADERS.map((name) => headers.get(name))]).toEqual([
          path,
          'application/problem+json; charset=utf-8',
          'no-store',
          'nosniff',
          'no-referrer',
          expect.stringMatching(/default-src 'none'/),
          '"address";q=1000;w=5',
        ]);
      const options = await ask('OPTIONS', path);
      expect([path, options.status, allowOf(options)]).toEqual([path, 204, ['GET', 'HEAD', 'OPTIONS']]);
      for (const method of METHODS.filter((one) => one !== 'GET')) {
        const response = await ask(method, path);
        expect([method, path, response.status, allowOf(response)]).toEqual([method, path, 405, allowOf(options)]);
      }
      for (const other of [`${path}/`, `/${path}`])
        expect([other, (await ask('GET', other)).status]).toEqual([other, 404]);
    }
  });
});
