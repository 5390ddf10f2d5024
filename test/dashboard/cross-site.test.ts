// A page of another site in the browser of an administrator who has signed in: it changes nothing and reads nothing, by
// forms, requests, frames, images and windows; and the dashboard's own pages never break their content security policy.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DASHBOARD_PATHS } from '../../central/dashboard/files.ts';
import { CentralProcess, Cleanup } from '../flow/processes.ts';
import { openPage, originOf, signIn, startBrowser } from './browser.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;
let port: number;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  const other = createServer((_request, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Another site</title>'),
  );
  await once(other.listen(0), 'listening');
  cleanup.add(() => other.close());
  port = (other.address() as AddressInfo).port;
  browser = await startBrowser(cleanup);
});
afterAll(() => cleanup.run());

async function signedIn(): Promise<BrowserContext> {
  const { page } = await openPage(browser, central, '/overview');
  await signIn(page, central.token);
  return page.context();
}

interface Tried {
  /** What a request gave back to the page; null: nothing. */
  readonly read: readonly (string | null)[];
  readonly framed: string | null;
}

/** In the page of the other site, as text since tests have no types of browsers: everything that it can send. */
const ATTACK = `async (origin) => {
  const api = origin + '/api/v1';
  const read = [];
  const json = { 'content-type': 'application/json' };
  const token = '{"name":"other","role":"administrator"}';
  const tries = [
    ['/login', {}],
    ['/agents', { mode: 'no-cors' }],
    ['/login', { method: 'DELETE' }],
    ['/maintenance', { method: 'PATCH', body: '{"enabled":true}', headers: json }],
    ['/api-tokens', { method: 'POST', body: token, mode: 'no-cors' }],
    ['/api-tokens', { method: 'POST', body: token, headers: { ...json, 'queuegate-csrf': '1' } }],
  ];
  for (const [path, options] of tries)
    read.push(
      await fetch(api + path, { credentials: 'include', ...options }).then(
        async (response) => (await response.text()) || null,
        () => null,
      ),
    );
  const loaded = (frame) => new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
  for (const path of ['/api-tokens', '/maintenance/accept-clock', '/login']) {
    const form = document.createElement('form');
    Object.assign(form, { method: 'post', enctype: 'text/plain', action: api + path, target: 'sink' });
    const input = document.createElement('input');
    Object.assign(input, { name: '{"name":"other","role":"administrator","x":"', value: '"}' });
    form.append(input);
    const sink = document.createElement('iframe');
    sink.name = 'sink';
    document.body.append(sink, form);
    form.submit();
    await loaded(sink);
    sink.remove();
  }
  const frame = document.createElement('iframe');
  frame.src = origin + '/overview';
  document.body.append(frame);
  await loaded(frame);
  let framed = null;
  try {
    framed = frame.contentDocument.body.textContent;
  } catch {}
  return { read, framed };
}`;

it.each(['localhost', '127.0.0.1'])(
  'a page of http://%s on another port changes nothing and reads nothing in the browser of an administrator',
  async (host) => {
    const context = await signedIn();
    const acts = async (): Promise<unknown> => {
      const { body } = await central.rest('GET', '/audit?limit=100');
      const { items } = body as { items: { action: string }[] };
      return items
        .map(({ action }) => action)
        .filter((action) => !action.endsWith('.forbid') && !action.endsWith('.refuse'));
    };
    const before = await acts();
    const evil = await context.newPage();
    await evil.goto(`http://${host}:${port}/`);
    const { read, framed } = await evil.evaluate<Tried>(`(${ATTACK})(${JSON.stringify(originOf(central))})`);
    expect(read).toEqual(read.map(() => null));
    // Chromium shows a page of its own where the frame was refused.
    expect(framed ?? '').toBe('');
    expect(await acts()).toEqual(before);
    const own = await context.newPage();
    await own.goto(`${originOf(central)}/overview`);
    await own.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  },
);

it('no page of the dashboard breaks its content security policy, which allows nothing inline', async () => {
  const { page, complaints } = await openPage(browser, central, '/overview');
  await signIn(page, central.token);
  complaints.splice(0);
  await page.addInitScript(`addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    console.error('violation of ' + violatedDirective + ': ' + blockedURI);
  })`);
  for (const path of DASHBOARD_PATHS) {
    const address = `${originOf(central)}${path.replace('*', 'none')}`;
    const response = await page.goto(address);
    const policy = response?.headers()['content-security-policy'] ?? '';
    expect([path, policy]).toEqual([path, expect.stringMatching(/^default-src 'none'; script-src 'self'; /)]);
    expect([path, policy.includes('unsafe')]).toEqual([path, false]);
    await page.getByRole('main').waitFor();
  }
  expect(complaints.filter((text) => /violation|Content.Security.Policy|Refused/i.test(text))).toEqual([]);
});
