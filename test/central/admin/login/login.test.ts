// Sign-in of browsers: POST, GET and DELETE /api/v1/login, and the cookie in place of a token.
import fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { adminRoutes } from '../../../../central/admin/routes.ts';
import type { AdminServices } from '../../../../central/admin/services.ts';
import { CENTRAL } from '../../../../central/audit.ts';
import { createApiTokens } from '../../../../central/auth/api-tokens.ts';
import { createSignIns, MAX_SESSION_MS, MAX_SIGN_INS_PER_HOUR } from '../../../../central/auth/sign-in/sign-ins.ts';
import { createMetrics } from '../../../../central/metrics.ts';
import type { Role } from '../../../../central/store/token-store.ts';
import { memoryStore, NO_DELAY } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';

const OWN_PAGE = { 'sec-fetch-site': 'same-origin', 'queuegate-csrf': '1' };

/** The cookie of a session of this role's token, as a browser sends it. */
async function signedIn(rest: Rest, role: Role, headers: Record<string, string> = {}): Promise<string> {
  const body = { token: rest.tokens[role] };
  const response = await rest.request('POST', '/login', { as: null, body, headers: { ...OWN_PAGE, ...headers } });
  expect(response.status).toBe(200);
  const [cookie = ''] = (response.headers.get('set-cookie') ?? '').split(';');
  return cookie;
}

const statusOf = async (rest: Rest, cookie: string, path = '/login'): Promise<number> =>
  (await rest.request('GET', path, { as: null, headers: { cookie } })).status;

const idOf = (token: string): string => /^qg_(\w{16})_/.exec(token)?.[1] ?? '';

interface Route {
  readonly method: string;
  readonly url: string;
}

async function changingRoutes(): Promise<Route[]> {
  const found: Route[] = [];
  const app = fastify();
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const name of [method].flat())
      if (!['GET', 'HEAD', 'OPTIONS'].includes(name) && config?.role !== 'anyone') found.push({ method: name, url });
  });
  // Nothing is asked of the services before a request comes.
  await adminRoutes(app, { metrics: createMetrics() } as unknown as AdminServices);
  await app.ready();
  await app.close();
  return found;
}

describe('a sign-in', () => {
  it('answers who it is and sets a cookie that scripts cannot read and other sites cannot send', async () => {
    const rest = await startRest();
    const body = { token: rest.tokens.operator };
    const response = await rest.request('POST', '/login', { as: null, body, headers: OWN_PAGE });
    expect(response.headers.get('set-cookie')).toMatch(
      /^queuegate=qgs_[0-9a-f]{16}_[\w-]{43}; Path=\/; Max-Age=43\d{3}; HttpOnly; SameSite=Strict$/,
    );
    expect(response.headers.get('cache-control')).toBe('no-store');
    const login = (await response.json()) as object;
    expect(login).toMatchObject({ name: 'operator', role: 'operator', scope: null });
    const cookie = await signedIn(rest, 'operator');
    expect(await (await rest.request('GET', '/login', { as: null, headers: { cookie } })).json()).toMatchObject({
      name: 'operator',
      role: 'operator',
    });
    expect(await statusOf(rest, cookie, '/parameters')).toBe(200);
  });

  it('has the role of its token and no more', async () => {
    const rest = await startRest();
    const cookie = await signedIn(rest, 'viewer');
    const body = { name: 'more', role: 'viewer' };
    const response = await rest.request('POST', '/api-tokens', { as: null, body, headers: { cookie, ...OWN_PAGE } });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: 'forbidden' });
  });

  it('with a wrong token is refused and recorded; without a session, the ways to sign in are named', async () => {
    const rest = await startRest();
    const wrong = `qg_0123456789abcdef_${'A'.repeat(43)}`;
    for (const token of ['x', wrong, `${rest.tokens.viewer}A`]) {
      const response = await rest.request('POST', '/login', { as: null, body: { token }, headers: OWN_PAGE });
      const answer = await response.text();
      expect([response.status, response.headers.get('set-cookie')]).toEqual([401, null]);
      expect(answer).not.toContain(token.slice(10, 40) || 'never');
    }
    expect(rest.refused.filter(({ code }) => code === 'unauthenticated')).toHaveLength(3);
    const anyone = await rest.request('GET', '/login', { as: null });
    expect([anyone.status, await anyone.json()]).toMatchObject([401, { signIn: ['token'] }]);
  });

  it('is slowed down for one token that signs in again and again', async () => {
    const rest = await startRest();
    for (let i = 0; i < MAX_SIGN_INS_PER_HOUR; i += 1) await signedIn(rest, 'viewer');
    const body = { token: rest.tokens.viewer };
    const response = await rest.request('POST', '/login', { as: null, body, headers: OWN_PAGE });
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '60']);
    expect(await response.json()).toMatchObject({ code: 'too_many_sign_ins' });
    await signedIn(rest, 'operator');
  });

  it('never takes the session that the browser had, and ends it', async () => {
    const rest = await startRest();
    const before = await signedIn(rest, 'viewer');
    const after = await signedIn(rest, 'operator', { cookie: before });
    expect(after).not.toBe(before);
    expect([await statusOf(rest, before), await statusOf(rest, after)]).toEqual([401, 200]);
  });

  it('and sign-out are in the audit log, without the secret', async () => {
    const rest = await startRest();
    const cookie = await signedIn(rest, 'viewer');
    const headers = { cookie, ...OWN_PAGE };
    expect((await rest.request('DELETE', '/login', { as: null, headers })).status).toBe(204);
    const entries = rest.store.audit.entries.filter(({ action }) => ['login', 'logout'].includes(action));
    expect(entries.map(({ action, who }) => [action, who])).toEqual([
      ['login', expect.stringContaining('viewer')],
      ['logout', expect.stringContaining('viewer')],
    ]);
    const secret = cookie.slice(-43);
    expect(secret).toMatch(/^[\w-]{43}$/);
    expect(JSON.stringify(rest.store.audit.entries)).not.toContain(secret);
  });
});

describe('a request of another page', () => {
  it('changes nothing by any route, whatever it sends with the cookie', async () => {
    const rest = await startRest();
    const cookie = await signedIn(rest, 'administrator');
    const before = rest.store.audit.entries.length;
    const all = await changingRoutes();
    expect(all.length).toBeGreaterThan(40);
    const foreign: readonly Record<string, string>[] = [
      {},
      { 'sec-fetch-site': 'cross-site', 'queuegate-csrf': '1' },
      { 'sec-fetch-site': 'same-site', 'queuegate-csrf': '1' },
      { 'sec-fetch-site': 'none', 'queuegate-csrf': '1' },
      { 'sec-fetch-site': 'same-origin' },
      { 'queuegate-csrf': '1' },
    ];
    for (const { method, url } of all) {
      for (const headers of foreign) {
        const path = url.replaceAll(/:\w+/g, 'a-0000000000');
        const response = await fetch(`${rest.url}${path}`, { method, headers: { cookie, ...headers } });
        const { code } = (await response.json()) as { code: string };
        expect([method, url, headers, response.status, code]).toEqual([method, url, headers, 403, 'csrf_required']);
      }
    }
    expect(rest.store.audit.entries).toHaveLength(before);
    expect(await statusOf(rest, cookie)).toBe(200);
  });

  it('of another origin reads nothing', async () => {
    const rest = await startRest();
    const cookie = await signedIn(rest, 'viewer');
    const codes: number[] = [];
    for (const site of ['cross-site', 'same-site', 'same-origin', 'none']) {
      const headers = { cookie, 'sec-fetch-site': site };
      codes.push((await rest.request('GET', '/parameters', { as: null, headers })).status);
    }
    expect(codes).toEqual([403, 403, 200, 200]);
  });

  it('of another site signs no browser in', async () => {
    const rest = await startRest();
    const body = { token: rest.tokens.viewer };
    for (const site of ['cross-site', 'same-site', 'none']) {
      const headers = { 'sec-fetch-site': site };
      const response = await rest.request('POST', '/login', { as: null, body, headers });
      expect([site, response.status, response.headers.get('set-cookie')]).toEqual([site, 403, null]);
    }
  });
});

describe('a session', () => {
  it('ends with its token, with its role and scope, and so do its streams', async () => {
    const rest = await startRest();
    for (const [role, change] of [
      ['viewer', undefined],
      ['operator', { role: 'viewer' }],
    ] as const) {
      const cookie = await signedIn(rest, role);
      const stream = await rest.request('GET', '/watch', { as: null, headers: { cookie } });
      expect([role, stream.status]).toEqual([role, 200]);
      const id = idOf(rest.tokens[role]);
      await (change === undefined
        ? rest.request('DELETE', `/api-tokens/${id}`)
        : rest.request('PATCH', `/api-tokens/${id}`, { body: change, headers: { 'if-match': '*' } }));
      rest.resourceChanges.note('agents', 'x');
      expect(await stream.text()).toContain('"code":"unauthenticated"');
      expect([role, await statusOf(rest, cookie)]).toEqual([role, 401]);
    }
  });

  it('that is altered is refused, and so is one that has been signed out, or comes twice', async () => {
    const rest = await startRest();
    const cookie = await signedIn(rest, 'viewer');
    const altered = `${cookie.slice(0, -2)}${cookie.endsWith('AA') ? 'BB' : 'AA'}`;
    const other = cookie.replace(/qgs_\w{16}/, `qgs_${'0'.repeat(16)}`);
    const texts = [altered, other, `${cookie}x`, `${cookie}; ${altered}`, 'queuegate=', `x${cookie}`];
    for (const text of texts) expect([text, await statusOf(rest, text)]).toEqual([text, 401]);
    expect(await statusOf(rest, `theme=dark; ${cookie}`)).toBe(200);
    const signedOut = await rest.request('DELETE', '/login', { as: null, headers: { cookie, ...OWN_PAGE } });
    expect(signedOut.headers.get('set-cookie')).toMatch(/^queuegate=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict$/);
    expect(await statusOf(rest, cookie)).toBe(401);
  });

  it('lasts 12 hours, and no longer than its token', async () => {
    let at = 1_000_000;
    const now = (): number => at;
    const { tokens } = memoryStore();
    const apiTokens = createApiTokens({ tokens, attempts: NO_DELAY, now });
    const signIns = createSignIns({ store: tokens, apiTokens, now });
    const sessionOf = async (expiresAt: number | null): Promise<string> => {
      const { token } = await apiTokens.create({ name: `t${expiresAt}`, role: 'viewer', expiresAt }, CENTRAL);
      const caller = await apiTokens.authenticateText(token, '127.0.0.1');
      return (await signIns.begin(caller, CENTRAL, undefined)).session;
    };
    const long = await sessionOf(null);
    const short = await sessionOf(at + 60_000);
    at += 59_999;
    expect([await signIns.find(long), await signIns.find(short)]).not.toContain(undefined);
    at += 1;
    expect(await signIns.find(short)).toBeUndefined();
    at = 1_000_000 + MAX_SESSION_MS - 1;
    expect(await signIns.find(long)).toMatchObject({ role: 'viewer' });
    at += 1;
    expect(await signIns.find(long)).toBeUndefined();
  });
});
