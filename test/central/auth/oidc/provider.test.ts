// Sign-in with the OpenID provider of an organization: a real provider (oidc-provider) over TLS with a certificate of its
// own authority, a whole Central, and a browser that follows redirects and keeps cookies.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProvider } from '../../../../central/auth/oidc/provider.ts';
import type { RunningCentral } from '../../../../central/composition/lifecycle.ts';
import { Cleanup, freePorts } from '../../../flow/processes.ts';
import { startOrganization, type Organization } from '../../../oidc-provider.ts';
import { sendTo, startInProcess } from '../../in-process.ts';

const ROLES =
  'CN=admins,OU=Queuegate=administrator; noc=operator; branch-north=operator label:region=north; staff=viewer';

const cleanup = new Cleanup();
let organization: Organization;
let central: RunningCentral;
let folder: string;
let origin: string;
let flags: readonly string[];

beforeAll(async () => {
  const [port = 0] = await freePorts(1);
  origin = `http://127.0.0.1:${port}`;
  organization = await startOrganization(cleanup, { redirectUri: `${origin}/oidc/callback`, roles: ROLES });
  for (const [name, groups] of Object.entries({
    anna: ['staff', 'CN=admins,OU=Queuegate'],
    otto: ['noc', 'branch-north'],
    nora: ['branch-north'],
    vera: ['staff'],
    gast: ['cantina', 'parking'],
  }))
    organization.accounts.set(name, groups);
  organization.accounts.set('ghost', undefined);
  folder = await cleanup.folder();
  flags = ['--http-port', String(port), ...organization.flags];
  central = await startInProcess(folder, ...flags);
});
afterAll(async () => {
  await central.stop();
  await cleanup.run();
});

interface Answered {
  readonly url: URL;
  readonly status: number;
  readonly location: string | undefined;
  readonly text: string;
}

/** Cookies by host, redirects one by one. */
class Browser {
  readonly cookies = new Map<string, Map<string, string>>();
  readonly set: string[] = [];

  async visit(address: string | URL, form?: Record<string, string>): Promise<Answered> {
    const url = new URL(address);
    const jar = this.cookies.get(url.hostname) ?? new Map<string, string>();
    this.cookies.set(url.hostname, jar);
    const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    const headers = { cookie, ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }) };
    const body = form === undefined ? undefined : new URLSearchParams(form).toString();
    const { status, location, cookies, text } = await (url.protocol === 'https:' ? overTls : plain)(url, headers, body);
    for (const one of cookies) {
      this.set.push(one);
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(one) ?? [];
      if (value === '') jar.delete(name);
      else jar.set(name, value);
    }
    return { url, status, location: location === null ? undefined : new URL(location, url).href, text };
  }

  /** Follows redirects; stops before `until` is visited. */
  async follow(from: Answered, until = /^$/): Promise<Answered> {
    let answered = from;
    for (let i = 0; i < 10 && answered.location !== undefined && !until.test(answered.location); i += 1)
      answered = await this.visit(answered.location);
    return answered;
  }

  /** Signs in at the provider; gives the address of the callback, which is not visited yet. */
  async toCallback(name: string, change: (url: URL) => void = () => undefined): Promise<string> {
    const begun = await this.visit(`${origin}/oidc/login`);
    const url = new URL(begun.location ?? '');
    if (url.origin !== organization.issuer) throw new Error(`it leads to ${url.href}`);
    change(url);
    const form = await this.follow(await this.visit(url), /oidc\/callback/);
    if (form.status >= 400) throw new Error(`${form.url.pathname} answers ${form.status}: ${form.text}`);
    const done =
      form.location === undefined
        ? await this.follow(await this.visit(form.url, { login: name }), /oidc\/callback/)
        : form;
    if (done.location === undefined)
      throw new Error(`${done.url.href} answers ${done.status}: ${done.text.slice(0, 1000)}`);
    return done.location;
  }

  async signIn(name: string): Promise<Answered> {
    return await this.visit(await this.toCallback(name));
  }

  async login(): Promise<{ status: number; body: Record<string, unknown> }> {
    const { status, text } = await this.visit(`${origin}/api/v1/login`);
    return { status, body: JSON.parse(text) as Record<string, unknown> };
  }
}

interface Raw {
  readonly status: number;
  readonly location: string | null;
  readonly cookies: readonly string[];
  readonly text: string;
}

async function plain(url: URL, headers: Record<string, string>): Promise<Raw> {
  const response = await fetch(url, { headers, redirect: 'manual' });
  const { status } = response;
  const cookies = response.headers.getSetCookie();
  return { status, location: response.headers.get('location'), cookies, text: await response.text() };
}

async function overTls(url: URL, headers: Record<string, string>, body?: string): Promise<Raw> {
  const request = requestHttps(url, { ca: organization.root, headers, method: body === undefined ? 'GET' : 'POST' });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const piece of response) text += String(piece);
  const { statusCode: status = 0, headers: found } = response;
  return { status, location: found.location ?? null, cookies: found['set-cookie'] ?? [], text };
}

/** The problem in the sign-in page. */
function problemIn({ text }: Answered): Record<string, unknown> {
  const [, content = ''] = /<meta name="queuegate-problem" content="([^"]*)"/.exec(text) ?? [];
  return JSON.parse(
    content.replaceAll(/&#(\d+);/g, (_all, code: string) => String.fromCharCode(Number(code))),
  ) as never;
}

const entriesOf = async (action: string): Promise<Record<string, unknown>[]> => {
  const response = await sendTo(central, { method: 'GET', path: `/api/v1/audit?action=${action}&limit=100` });
  return ((await response.json()) as { items: Record<string, unknown>[] }).items;
};

describe('a person of the organization', () => {
  it.each([
    ['anna', 'administrator', null, 'CN=admins,OU=Queuegate'],
    ['otto', 'operator', null, 'noc'],
    ['nora', 'operator', 'label:region=north', 'branch-north'],
    ['vera', 'viewer', null, 'staff'],
  ])('%s signs in as %s, with the scope %s, by the group %s', async (name, role, scope, group) => {
    const browser = new Browser();
    const done = await browser.signIn(name);
    expect([done.status, done.location]).toEqual([302, `${origin}/`]);
    const { status, body } = await browser.login();
    const who = `${name} (${name} of ${organization.issuer})`;
    expect([status, body]).toMatchObject([200, { id: null, name: who, role, scope }]);
    const hours = (Date.parse(String(body['expiresAt'])) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(11.9);
    expect(hours).toBeLessThanOrEqual(12);
    const [entry] = await entriesOf('login');
    expect(entry).toMatchObject({
      actor: who,
      address: '127.0.0.1',
      detail: { issuer: organization.issuer, subject: name, name, group, role, scope },
    });
  });

  it('gets a cookie that no other site can send, and the one of the waiting sign-in is cleared', async () => {
    const browser = new Browser();
    await browser.signIn('vera');
    const own = browser.set.filter((cookie) => cookie.startsWith('queuegate'));
    expect(own).toEqual([
      expect.stringMatching(/^queuegate-oidc=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/),
      expect.stringMatching(/^queuegate-oidc=; Path=\/; Max-Age=0; HttpOnly; SameSite=Lax$/),
      expect.stringMatching(
        /^queuegate=qgs_[0-9a-f]{16}_[\w-]{43}; Path=\/; Max-Age=43\d{3}; HttpOnly; SameSite=Strict$/,
      ),
    ]);
  });

  it('may do what the role may, within the scope, and no more; without the header of the page nothing', async () => {
    const browser = new Browser();
    await browser.signIn('nora');
    const cookie = [...(browser.cookies.get('127.0.0.1') ?? [])].map((pair) => pair.join('=')).join('; ');
    const send = async (method: string, path: string, headers: Record<string, string> = {}): Promise<unknown> => {
      const response = await fetch(`${origin}/api/v1${path}`, { method, headers: { cookie, ...headers } });
      return [response.status, ((await response.json()) as { code?: string }).code];
    };
    const page = { 'sec-fetch-site': 'same-origin', 'queuegate-csrf': '1' };
    expect(await send('GET', '/agents')).toEqual([200, undefined]);
    expect(await send('GET', '/audit')).toEqual([403, 'scope_too_narrow']);
    expect(await send('DELETE', '/parameters/agents.max', page)).toEqual([403, 'forbidden']);
    expect(await send('POST', '/drains', { 'queuegate-csrf': '1' })).toEqual([403, 'csrf_required']);
  });

  it('replaces the session that the browser had', async () => {
    const browser = new Browser();
    await browser.signIn('vera');
    const before = browser.cookies.get('127.0.0.1')?.get('queuegate') ?? '';
    await browser.signIn('vera');
    const { status } = await fetch(`${origin}/api/v1/login`, { headers: { cookie: `queuegate=${before}` } });
    expect([status, (await browser.login()).status]).toEqual([401, 200]);
  });

  it('is offered this way to sign in, and an API token still works', async () => {
    const refused = await new Browser().login();
    expect(refused).toMatchObject({ status: 401, body: { signIn: ['token', 'oidc'] } });
    expect((await sendTo(central, { method: 'GET', path: '/api/v1/login' })).status).toBe(200);
  });

  it('who comes from another address of Central goes to the one that the provider knows', async () => {
    const response = await fetch(`http://localhost:${new URL(origin).port}/oidc/login`, { redirect: 'manual' });
    expect([response.status, response.headers.get('location')]).toEqual([302, `${origin}/oidc/login?moved=true`]);
  });
});

describe('a sign-in is refused', () => {
  it('of a person without a group that has a role, with the groups that it has; the audit log says who', async () => {
    const browser = new Browser();
    const refused = await browser.signIn('gast');
    expect([refused.status, problemIn(refused)]).toMatchObject([
      403,
      {
        code: 'oidc_no_role',
        detail: '"gast" may not use this Central: none of the groups has a role here: cantina, parking.',
      },
    ]);
    expect((await browser.login()).status).toBe(401);
    await central.stop();
    central = await startInProcess(folder, ...flags);
    const [entry] = await entriesOf('login.refuse');
    expect(entry).toMatchObject({
      detail: { code: 'oidc_no_role', name: 'gast', groups: 'cantina, parking', route: 'GET /oidc/callback' },
    });
  });

  it('of a person whose groups the provider does not tell, and of one whom it does not admit', async () => {
    const ghost = await new Browser().signIn('ghost');
    expect([ghost.status, problemIn(ghost)['code']]).toEqual([403, 'oidc_groups_missing']);
    const denied = await new Browser().signIn('stranger');
    expect([denied.status, problemIn(denied)]).toMatchObject([403, { code: 'oidc_denied' }]);
    expect(problemIn(denied)['detail']).toMatch(/: access_denied\.$/);
    expect(denied.text).not.toContain('a text of the provider');
  });

  it('with another state, without the cookie, or for the second time', async () => {
    const browser = new Browser();
    const callback = new URL(await browser.toCallback('vera'));
    const altered = new URL(callback);
    altered.searchParams.set('state', `${altered.searchParams.get('state')}x`);
    const stranger = new Browser();
    const taken: Answered[] = [];
    for (const [who, url] of [
      [stranger, callback],
      [browser, altered],
      [browser, callback],
    ] as const)
      taken.push(await who.visit(url));
    for (const one of taken) expect([one.status, problemIn(one)['code']]).toEqual([400, 'oidc_sign_in_unknown']);
    expect([(await browser.login()).status, (await stranger.login()).status]).toEqual([401, 401]);
  });

  it('with a code that was used before', async () => {
    const browser = new Browser();
    const first = new URL(await browser.toCallback('vera'));
    expect((await browser.visit(first)).location).toBe(`${origin}/`);
    const again = new Browser();
    const second = new URL(await again.toCallback('vera'));
    second.searchParams.set('code', first.searchParams.get('code') ?? '');
    const refused = await again.visit(second);
    expect([refused.status, problemIn(refused)]).toMatchObject([403, { code: 'oidc_answer_bad' }]);
    expect(problemIn(refused)['detail']).toContain('invalid_grant');
  });

  it('with the nonce or the PKCE challenge of another sign-in', async () => {
    for (const [term, found] of [
      ['nonce', 'nonce'],
      ['code_challenge', 'invalid_grant'],
    ] as const) {
      const browser = new Browser();
      const refused = await browser.visit(
        await browser.toCallback('vera', ({ searchParams }) => searchParams.set(term, 'A'.repeat(43))),
      );
      expect([term, refused.status, problemIn(refused)['code']]).toEqual([term, 403, 'oidc_answer_bad']);
      expect(problemIn(refused)['detail']).toContain(found);
      expect((await browser.login()).status).toBe(401);
    }
  });
});

describe('a session of a person', () => {
  it('outlasts a restart of Central, and ends when the roles of groups change, or with Sign out', async () => {
    const [browser, other] = [new Browser(), new Browser()];
    await browser.signIn('vera');
    await other.signIn('otto');
    const restart = async (roles: string): Promise<void> => {
      await central.stop();
      central = await startInProcess(folder, ...flags, '--oidc-roles', roles);
    };
    await restart(ROLES);
    expect([(await browser.login()).status, (await other.login()).status]).toEqual([200, 200]);
    const cookie = `queuegate=${other.cookies.get('127.0.0.1')?.get('queuegate')}`;
    const headers = { cookie, 'sec-fetch-site': 'same-origin', 'queuegate-csrf': '1' };
    expect((await fetch(`${origin}/api/v1/login`, { method: 'DELETE', headers })).status).toBe(204);
    expect((await other.login()).status).toBe(401);
    await restart('noc=viewer; staff=viewer');
    expect((await browser.login()).status).toBe(401);
    await restart(ROLES);
  });
});

describe('a provider', () => {
  const settings = () => ({
    issuer: organization.issuer,
    clientId: 'queuegate',
    clientSecretFile: '',
    redirectUri: `${origin}/oidc/callback`,
    scopes: 'openid',
    groupsClaim: 'groups',
    roles: [],
    caFile: undefined,
  });

  it('that is away is a problem with what to do, at once; once it is back, people sign in', async () => {
    await central.stop();
    await organization.stop();
    central = await startInProcess(folder, ...flags);
    const browser = new Browser();
    const refused = await browser.visit(`${origin}/oidc/login`);
    expect([refused.status, problemIn(refused)]).toMatchObject([
      503,
      { code: 'oidc_unreachable', detail: expect.stringContaining('ECONNREFUSED') },
    ]);
    expect((await sendTo(central, { method: 'GET', path: '/api/v1/login' })).status).toBe(200);
    await organization.start();
    await central.stop();
    central = await startInProcess(folder, ...flags);
    expect((await browser.signIn('vera')).location).toBe(`${origin}/`);
  });

  it('whose certificate is of another authority, or for another name, is not asked anything', async () => {
    const { issuer } = organization;
    const now = Date.now;
    const stranger = createProvider({ settings: settings(), secret: 's', roots: undefined, now });
    await expect(stranger.begin()).rejects.toMatchObject({ code: 'oidc_untrusted', status: 503 });
    const named = { ...settings(), issuer: issuer.replace('localhost', '127.0.0.1') };
    const other = createProvider({ settings: named, secret: 's', roots: organization.root, now });
    // It listens on localhost, whichever address that is first.
    await expect(other.begin()).rejects.toMatchObject({ code: expect.stringMatching(/^oidc_un(trusted|reachable)$/) });
  });

  it('that answers nothing is given up after a time, and one that names another issuer is not accepted', async () => {
    const silent = createServer(() => undefined);
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    cleanup.add(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    const away = { ...settings(), issuer: `https://127.0.0.1:${port}` };
    const begun = performance.now();
    const provider = createProvider({ settings: away, secret: 's', roots: undefined, timeoutMs: 200, now: Date.now });
    const fault = { code: 'oidc_unreachable', message: expect.stringContaining('within 0.2 s') };
    await expect(provider.begin()).rejects.toMatchObject(fault);
    expect(performance.now() - begun).toBeLessThan(5_000);
    // Not again for a while.
    await expect(provider.begin()).rejects.toMatchObject(fault);
    const wrong = { ...settings(), issuer: `${organization.issuer}/other` };
    const other = createProvider({ settings: wrong, secret: 's', roots: organization.root, now: Date.now });
    await expect(other.begin()).rejects.toMatchObject({ code: 'oidc_answer_bad' });
  });
});
