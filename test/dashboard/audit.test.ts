// The audit log and the API tokens in Debian's Chromium, in front of a real Central: find a refusal, verify the log and
// compare a hash, export it; make a viewer's token, sign in with it, and revoke it; all of it with the keyboard once.
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CentralProcess, Cleanup, until } from '../flow/processes.ts';
import {
  openPage,
  originOf,
  pressOn,
  shot,
  signIn,
  signInByKeys,
  startBrowser,
  tabTo,
  violationsOf,
} from './browser.ts';

/** What an administrator may write, and what it would do to a page that takes it as more than text. */
const HOSTILE = '<img src=x onerror="document.title=1">\u202Egnp.exe';

/** Of what a test waits for: the machine may be busy. */
const SOON = { timeout: 20_000 };

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  const terms = new URLSearchParams({ comment: HOSTILE, ticket: 'CHG-2231' });
  await central.rest('POST', `/api-tokens?${terms.toString()}`, { name: HOSTILE, role: 'viewer' });
  const long = encodeURIComponent('10 000 '.repeat(146));
  await central.rest('POST', `/enrollment-tokens?comment=${long}`, {});
  // A refusal, which is an entry after five seconds.
  const wrong = { authorization: `Bearer qg_0123456789abcdef_${'A'.repeat(43)}` };
  await fetch(`${originOf(central)}/api/v1/status`, { headers: wrong });
  browser = await startBrowser(cleanup);
});
afterAll(() => cleanup.run());

async function opened(path: string, options: Parameters<typeof openPage>[3] = {}) {
  const found = await openPage(browser, central, path, options);
  await signIn(found.page, central.token);
  found.complaints.splice(0);
  return found;
}

const namesOfTokens = async (): Promise<string[]> =>
  (await central.rest('GET', '/api-tokens')).body.items.map(({ name }: { name: string }) => name);

const callout = (page: Page) => page.locator('.callout').first();

describe('the audit log', () => {
  it('is verified, found in by text and result, and compared with a hash that was written down', async () => {
    const { page, complaints } = await opened('/audit');
    await page.getByText('not verified here yet').waitFor();
    const noted = await page.locator('.hash code').getAttribute('title');
    await page.getByRole('button', { name: 'Verify now' }).click();
    await page.getByRole('heading', { name: /^Unbroken: \d+ entries verified at/ }).waitFor();
    await shot(page, 'audit-light');

    await page.getByLabel('Find in the audit log').fill('chg-2231');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('tbody tr a.name').count(), SOON).toBe(1);
    expect(page.url()).toContain('q=chg-2231');
    await page.locator('tbody tr a.name').click();
    await page.getByRole('dialog').getByText('api-tokens.create').waitFor();
    expect(page.url()).toMatch(/entry=\d+/);
    expect(await page.getByRole('dialog').innerText()).toContain('<img src=x onerror="document.title=1">[U+202E]');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Clear' }).click();

    await until(async () => (await central.rest('GET', '/audit?result=refused')).body.items.length > 0 || undefined);
    await page.getByLabel('Result').selectOption('refused');
    await expect.poll(() => page.locator('tbody').getByText('Done').count(), SOON).toBe(0);
    await page.locator('tbody').getByText('api-tokens.refuse').first().waitFor();
    await page.goBack();
    await page.locator('tbody').getByText('Done').first().waitFor();

    await page.getByRole('button', { name: 'Compare a hash…' }).click();
    await page.getByLabel('Hash of an entry').fill('a'.repeat(64));
    await page.getByRole('dialog').getByRole('button', { name: 'Verify now' }).click();
    await expect.poll(() => callout(page).innerText(), SOON).toContain('audit_head_missing');
    await page.getByRole('button', { name: 'Compare a hash…' }).click();
    await page.getByLabel('Hash of an entry').fill(noted ?? '');
    await page.getByRole('dialog').getByRole('button', { name: 'Verify now' }).click();
    await expect.poll(() => callout(page).innerText(), SOON).toContain('Unbroken');
    expect(complaints).toEqual([]);
  });

  it('is exported as lines of JSON, oldest first, and says that newer entries came', async () => {
    const { page } = await opened('/audit');
    await page.locator('tbody tr a.name').first().waitFor();
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export' }).click();
    const lines = (await readFile(await (await download).path(), 'utf8')).trim().split('\n');
    const entries = lines.map((line) => JSON.parse(line) as { number: number; hash: string });
    expect(entries.map(({ number }) => number)).toEqual(entries.map((_, i) => i + 1));
    const rows = await page.locator('tbody tr').count();
    await central.rest('POST', '/enrollment-tokens', {});
    await page.getByRole('button', { name: 'Show the newest' }).waitFor();
    expect(await page.locator('tbody tr').count()).toBe(rows);
    await page.getByRole('button', { name: 'Show the newest' }).click();
    await expect.poll(() => page.locator('tbody tr').count(), SOON).toBeGreaterThan(rows);
  });
});

describe('API tokens', () => {
  it('are made with the keyboard only; a viewer signs in with it and is offered no acts', async () => {
    const { page, complaints } = await openPage(browser, central, '/overview');
    await signInByKeys(page, central.token);
    complaints.splice(0);
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await page.getByRole('heading', { level: 1, name: 'API tokens' }).waitFor();
    await pressOn(page.getByRole('button', { name: 'Create a token…' }));
    await expect.poll(() => page.evaluate('document.activeElement.textContent'), SOON).toBe('Create an API token');
    await tabTo(page.getByRole('dialog').getByRole('textbox').first());
    await page.keyboard.type('branch desk');
    await page.keyboard.press('Tab');
    await page.keyboard.press('v');
    await pressOn(page.getByRole('button', { name: 'Create the token' }));
    const secret = await page.getByRole('dialog').locator('.cmd code').innerText();
    expect(secret).toMatch(/^qg_[0-9a-f]{16}_\S{43}$/);
    expect(page.url()).not.toContain('qg_');
    await shot(page, 'token-created-light');
    await page.keyboard.press('Escape');
    await expect.poll(() => page.evaluate('document.activeElement.textContent'), SOON).toBe('Create a token…');
    await page.getByRole('row', { name: /branch desk/ }).waitFor();
    expect(await page.content()).not.toContain(secret);

    const viewer = await openPage(browser, central, '/overview');
    await signIn(viewer.page, secret);
    await viewer.page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    const nav = viewer.page.getByRole('navigation', { name: 'Main' }).first();
    expect(await nav.getByRole('link', { name: 'Tokens' }).count()).toBe(0);
    await nav.getByRole('link', { name: 'Agents' }).click();
    await viewer.page.getByRole('heading', { level: 1, name: 'Agents' }).waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Enroll agents…' }).count()).toBe(0);
    await nav.getByRole('link', { name: 'Audit' }).click();
    await viewer.page.locator('tbody tr a.name').first().waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Verify now' }).count()).toBe(0);

    await page.getByRole('button', { name: 'Revoke… branch desk' }).click();
    await page.getByText('1 browser signed in with it within the last 12 hours').waitFor();
    await shot(page, 'token-revoke-light');
    expect(await violationsOf(page)).toEqual([]);
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
    expect(await namesOfTokens()).toContain('branch desk');
    await page.getByLabel('Comment').fill('left the branch');
    await page.getByLabel('Revoke this token.').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
    await expect.poll(() => page.getByRole('row', { name: /branch desk/ }).count(), SOON).toBe(0);
    await viewer.page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
    expect(complaints).toEqual([]);
  });

  it('are reached on a phone, behind More, where one signs out as well', async () => {
    const { page } = await opened('/overview', { viewport: { width: 390, height: 844 }, reducedMotion: 'reduce' });
    const bottom = page.getByRole('navigation', { name: 'Main' });
    await bottom.getByText('More', { exact: true }).click();
    expect(await violationsOf(page)).toEqual([]);
    await bottom.getByRole('button', { name: 'Tokens' }).click();
    await page.getByRole('heading', { level: 1, name: 'API tokens' }).waitFor();
    await page
      .getByRole('button', { name: /^Revoke… / })
      .first()
      .waitFor();
    await bottom.getByText('More', { exact: true }).click();
    await bottom.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
  });

  it('of the last administrator is not revoked, and the dialog says why', async () => {
    const { page } = await opened('/tokens');
    await page
      .getByRole('row', { name: /This session/ })
      .getByRole('button')
      .click();
    await page.getByText('you are signed out at once').waitFor();
    await page.getByLabel('Revoke this token.').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
    await page.getByRole('alert').waitFor();
    expect(await namesOfTokens()).toContain('first administrator');
  });
});

it.each([
  ['light', 1440],
  ['dark', 1440],
  ['light', 390],
  ['dark', 390],
] as const)(
  'has no violation that axe-core finds, and texts stay texts: %s, %i wide; nothing is wider than the window',
  async (scheme, width) => {
    const { page, complaints } = await opened('/audit', {
      colorScheme: scheme,
      reducedMotion: 'reduce',
      viewport: { width, height: 900 },
    });
    for (const path of ['/audit', '/tokens', '/audit?result=refused&q=nothing', '/audit?entry=1']) {
      await page.goto(`${originOf(central)}${path}`);
      await page.locator('main .card').first().waitFor();
      await page.locator('[aria-busy="true"]').first().waitFor({ state: 'detached' });
      if (path === '/tokens') await page.getByText('<img src=x onerror="document.title=1">[U+202E]gnp.exe').waitFor();
      expect([path, await page.locator('img').count()]).toEqual([path, 0]);
      expect([path, await violationsOf(page)]).toEqual([path, []]);
      const widest = await page.evaluate<number>('document.documentElement.scrollWidth');
      expect([path, widest <= width]).toEqual([path, true]);
      await shot(page, `${path.replaceAll(/\W+/g, '-').slice(1)}-${scheme}-${width}`);
    }
    expect(complaints).toEqual([]);
  },
);
