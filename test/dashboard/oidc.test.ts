// Sign-in with the OpenID provider of an organization in Debian's Chromium: a real provider on another site, over TLS
// whose key the browser is given; the page that was asked for follows, and a refusal says why.
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CentralProcess, Cleanup, freePorts } from '../flow/processes.ts';
import { startOrganization, type Organization } from '../oidc-provider.ts';
import { openPage, shot, startBrowser, violationsOf, type OpenedPage } from './browser.ts';

const cleanup = new Cleanup();
let organization: Organization;
let central: CentralProcess;
let browser: Browser;

beforeAll(async () => {
  const [port = 0] = await freePorts(1);
  organization = await startOrganization(cleanup, {
    redirectUri: `http://127.0.0.1:${port}/oidc/callback`,
    roles: 'admins=administrator; branch-north=viewer label:region=north',
    inIdToken: true,
  });
  organization.accounts.set('anna', ['admins']);
  organization.accounts.set('nora', ['branch-north']);
  organization.accounts.set('gast', ['<b>cantina</b>']);
  const flags = ['--http-port', String(port), ...organization.flags];
  central = await CentralProcess.start(cleanup, await cleanup.folder(), flags);
  const { publicKey } = new X509Certificate(organization.certificate);
  const key = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');
  browser = await startBrowser(cleanup, [`--ignore-certificate-errors-spki-list=${key}`]);
});
afterAll(() => cleanup.run());

/** From the sign-in page to the provider and back. */
async function signedInAs(name: string, path: string): Promise<OpenedPage> {
  const opened = await openPage(browser, central, path);
  const { page, complaints } = opened;
  await page.getByRole('link', { name: 'Sign in with your organization' }).click();
  await page.getByLabel('Name').fill(name);
  // The first page asked without a session, and Chromium prints its 401.
  complaints.splice(0);
  await page.getByRole('button', { name: 'Continue' }).click();
  return opened;
}

const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name });

it('shows the page that was asked for, with the role of the group, until Sign out', async () => {
  const { page, complaints } = await signedInAs('anna', '/agents?state=action');
  await heading(page, 'Agents').waitFor();
  expect(new URL(page.url()).pathname + new URL(page.url()).search).toBe('/agents?state=action');
  await page.getByRole('button', { name: 'Enroll agents' }).waitFor();
  const cookies = (await page.context().cookies()).filter(({ domain }) => domain === '127.0.0.1');
  expect(cookies).toMatchObject([{ name: 'queuegate', httpOnly: true, sameSite: 'Strict' }]);
  expect(complaints).toEqual([]);
  await page.reload();
  await heading(page, 'Agents').waitFor();
  await page.locator('.who').click();
  await page.locator('.side').getByText('Sign out').click();
  await heading(page, 'Sign in').waitFor();
});

it('offers a viewer no act', async () => {
  const { page } = await signedInAs('nora', '/agents');
  await heading(page, 'Agents').waitFor();
  expect(await page.getByRole('button', { name: 'Enroll agents' }).count()).toBe(0);
  await page.locator('.who').click();
  await page.getByText('Viewer').first().waitFor();
});

it('says why a person is refused, as text, and leads back to the sign-in', async () => {
  const { page, complaints } = await signedInAs('gast', '/overview');
  await heading(page, 'Sign in').waitFor();
  const said = await page.getByRole('alert').innerText();
  expect(said).toContain('"gast" may not use this Central: none of the groups has a role here: <b>cantina</b>.');
  expect(said).toContain('oidc.roles');
  expect(new URL(page.url()).pathname + new URL(page.url()).search).toBe('/sign-in');
  expect(complaints.filter((text) => /Content.Security.Policy/i.test(text))).toEqual([]);
  expect(await violationsOf(page)).toEqual([]);
  await shot(page, 'sign-in-refused');
  await page.getByLabel('API token').fill(central.token);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await heading(page, 'Overview').waitFor();
});

it('says that the provider is away, and the token still signs in', async () => {
  const [folder, flags] = [await cleanup.folder(), [...organization.flags]];
  flags[flags.indexOf('--oidc-issuer') + 1] = 'https://localhost:9';
  const other = await CentralProcess.start(cleanup, folder, flags);
  const { page } = await openPage(browser, other, '/oidc/login?moved=true');
  expect(await page.getByRole('alert').innerText()).toContain('https://localhost:9 did not answer');
  await page.getByLabel('API token').fill(readFileSync(join(folder, 'administrator-token'), 'utf8').trim());
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await heading(page, 'Overview').waitFor();
});
