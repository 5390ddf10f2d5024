// The dashboard in Debian's Chromium, in front of a real Central with real agents: whether all is well, which agents
// need someone, why one is offline; texts of others stay texts; no violations of accessibility rules, dark and light.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { openPage, originOf, shot, shotEachWay, signIn, startBrowser, violationsOf } from './browser.ts';

const SOON = { timeout: 20_000 };
const HOSTILE = '<img src=x onerror="document.title=1">\u202Egnp.exe';

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;
let offline: AgentProcess;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  await AgentProcess.enrolled(cleanup, central, 'branch-0042');
  offline = await AgentProcess.enrolled(cleanup, central, 'branch-0087');
  await central.online('branch-0042');
  await central.online('branch-0087');
  await central.rest('PATCH', '/agents/branch-0042', { labels: { region: 'north' }, notes: HOSTILE });
  browser = await startBrowser(cleanup);
});
afterAll(() => cleanup.run());

async function opened(path: string, options: Parameters<typeof openPage>[3] = {}) {
  const found = await openPage(browser, central, path, options);
  await signIn(found.page, central.token);
  // The first page asks without a session, and Chromium prints its 401.
  found.complaints.splice(0);
  return found;
}

const rowOf = (page: Page, name: string) => page.getByRole('row', { name: new RegExp(name) });

describe('the sign-in page', () => {
  it('is what anyone without a session sees at every address, and says why a token is refused', async () => {
    const { page } = await openPage(browser, central, '/agents?state=action');
    await page.getByLabel('API token').fill('qg_0123456789abcdef_wrong');
    expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('Sign in');
    expect(await violationsOf(page)).toEqual([]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
  });
});

describe('a session', () => {
  it('is kept when the page is loaded again, and ends by Sign out', async () => {
    const { page } = await opened('/overview');
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    await page.locator('.who').click();
    await page.locator('.side').getByText('Sign out').click();
    await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
    expect(await page.context().cookies()).toEqual([]);
  });

  it('is shown however late the browser paints', async () => {
    const { page } = await opened('/overview');
    await page.addInitScript('globalThis.requestAnimationFrame = () => 0');
    for (const path of ['/overview', '/agents']) {
      await page.goto(`${originOf(central)}${path}`);
      await expect.poll(() => page.locator('main .card').count(), { timeout: 5_000 }).toBeGreaterThan(0);
    }
  });

  it('ends at once when its token is deleted, and the page asks for another one', async () => {
    const { body } = await central.rest('POST', '/api-tokens', { name: 'short', role: 'viewer' });
    const { page } = await openPage(browser, central, '/overview');
    await signIn(page, body.token);
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    await central.rest('DELETE', `/api-tokens/${body.id}`);
    await expect.poll(() => page.getByRole('heading', { level: 1 }).innerText(), SOON).toBe('Sign in');
  });
});

describe('overview and agents', () => {
  it('show who is online, and rows keep their place while their states change', async () => {
    const { page, complaints } = await opened('/overview');
    await page.getByText('of 2', { exact: false }).first().waitFor();
    // A rate needs two readings; what is not known yet is never 0.
    const rate = page.getByRole('link', { name: /^Messages per second/ });
    expect(await rate.innerText()).toMatch(/–\n+not reported|up · /);
    await rate.getByText(/up · \S+ down/).waitFor();
    await page.getByRole('link', { name: /^Oldest waiting message\s*none/ }).waitFor();
    await shot(page, 'overview-light');
    await page.getByRole('navigation', { name: 'Main' }).first().getByRole('link', { name: 'Agents' }).click();
    await rowOf(page, 'branch-0087').getByText('Online').waitFor();
    const before = await page.locator('tbody tr a.name').allInnerTexts();
    await offline.stop('SIGKILL');
    await rowOf(page, 'branch-0087').getByText('Dropped').waitFor();
    expect(await page.locator('tbody tr a.name').allInnerTexts()).toEqual(before);
    await page.getByRole('button', { name: 'Update the order' }).click();
    expect((await page.locator('tbody tr a.name').allInnerTexts())[0]).toBe('branch-0087');
    await shot(page, 'agents-light');
    expect(complaints).toEqual([]);
  });

  it('keep filters in the address, and Back undoes one', async () => {
    const { page } = await opened('/agents');
    await page.getByLabel('Label').selectOption('region=north');
    await expect.poll(() => page.locator('tbody tr a.name').allInnerTexts()).toEqual(['branch-0042']);
    expect(page.url()).toContain('label=region%3Dnorth');
    await page.goBack();
    await expect.poll(() => page.locator('tbody tr a.name').count()).toBe(2);
  });
});

describe('an agent', () => {
  it('that is offline says why and what to do; the messages that wait are listed', async () => {
    await central.rest('POST', '/agents/branch-0087/commands', {
      type: 'com.example.display.text',
      source: '/central',
    });
    const { page, complaints } = await opened('/agents?state=action');
    await rowOf(page, 'branch-0087').getByRole('link').click();
    await page.getByRole('heading', { name: 'What to do' }).waitFor();
    expect(await page.locator('.callout').innerText()).toContain('session_cut');
    await page.getByRole('heading', { name: 'Desired and reported' }).waitFor();
    // The side bar counts problems on every page, also where the overview was not opened.
    await page.getByRole('link', { name: 'Overview 1 problems' }).waitFor();
    await page.getByRole('img', { name: /^State in the last 7 days: \d+\.\d% online; now Dropped$/ }).waitFor();
    await shot(page, 'agent-why-offline-light');
    await shotEachWay(page, 'agent-why-offline');
    await page.getByRole('link', { name: /^Messages/ }).click();
    await page.getByText('com.example.display.text').waitFor();
    await page.getByRole('navigation', { name: 'Main' }).first().getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('link', { name: /^Oldest waiting message.*1 waits, most for branch-0087/s }).waitFor();
    await page.getByRole('heading', { name: 'Problems (1)' }).waitFor();
    const problem = page.getByRole('listitem').filter({ hasText: 'branch-0087: Dropped' });
    expect(await problem.innerText()).toContain('What to do:');
    expect(await problem.getByRole('link', { name: 'Open agent' }).getAttribute('href')).toMatch(/^\/agents\/./);
    const plain = page.getByRole('row', { name: /^WebSocket \(ws\)/ });
    expect(await plain.innerText()).toMatch(/127\.0\.0\.1 and ::1 only, unencrypted\s+0$/);
    // Of branch-0042.
    expect(await page.getByRole('row', { name: /^Secure WebSocket \(wss\)/ }).innerText()).toMatch(/\s1$/);
    await shot(page, 'overview-problem-light');
    await shotEachWay(page, 'overview-problem');
    await problem.getByRole('link').first().click();
    await page.getByRole('heading', { name: 'What to do' }).waitFor();
    expect(complaints).toEqual([]);
  });

  it('has beside each other what it should run and what it reports, "none" where it reported nothing', async () => {
    const { page, complaints } = await opened('/agents/branch-0042?tab=release');
    const line = (what: string) => page.getByRole('row', { name: new RegExp(`^${what}`) });
    await line('Transport').getByText('same').waitFor();
    expect((await line('Profile').innerText()).split(/\s+/)).toEqual(['Profile', 'none', 'none']);
    expect(await line('Program').innerText()).toContain(', of the package');
    await page.goto(`${originOf(central)}/agents/branch-0087?tab=release`);
    await line('Transport').waitFor();
    expect((await line('Transport').innerText()).split(/\s+/)).toEqual(['Transport', 'wss', 'none']);
    expect(complaints).toEqual([]);
  });

  it('shows notes as text, with the characters that would turn its direction', async () => {
    const { page, complaints } = await opened('/agents/branch-0042');
    await page.getByText('<img src=x onerror="document.title=1">[U+202E]gnp.exe').waitFor();
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.title()).toBe('branch-0042 · Queuegate');
    expect(complaints).toEqual([]);
  });

  it('is disabled only behind a preflight whose box is ticked; a viewer is not offered it', async () => {
    const { page } = await opened('/agents/branch-0042');
    await page.getByLabel('More acts').click();
    await page.getByRole('button', { name: 'Disable…' }).click();
    const apply = page.getByRole('button', { name: 'Disable and cut off 1' });
    await apply.click();
    expect((await central.agent('branch-0042'))?.['state']).toBe('online');
    await shot(page, 'preflight-light');
    await shotEachWay(page, 'preflight');
    expect(await violationsOf(page)).toEqual([]);
    await page.getByLabel('Comment').fill('burglary');
    await page.getByLabel('Cut off 1 agent.').check();
    await apply.click();
    await until(async () => (await central.agent('branch-0042'))?.['state'] === 'disabled' || undefined);
    await page.getByText('Disabled by').first().waitFor();

    const { body } = await central.rest('POST', '/api-tokens', { name: 'looks', role: 'viewer' });
    const viewer = await openPage(browser, central, '/agents/branch-0042');
    await signIn(viewer.page, body.token);
    await viewer.page.getByText('Disabled by').first().waitFor();
    expect(await viewer.page.getByLabel('More acts').count()).toBe(0);
    expect(await viewer.page.getByText('Recovery code…').count()).toBe(0);

    await page.getByLabel('More acts').click();
    await page.getByRole('button', { name: 'Enable…' }).click();
    await page.getByRole('button', { name: 'Enable', exact: true }).click();
    await until(async () => (await central.agent('branch-0042'))?.['state'] !== 'disabled' || undefined);
  });
});

describe('every page', () => {
  const pages = [
    '/overview',
    '/agents',
    '/agents/branch-0087',
    '/agents/branch-0087?tab=history',
    '/agents/branch-0042?tab=release',
  ];
  it.each([
    ['light', 1440],
    ['dark', 1440],
    ['light', 390],
    ['dark', 390],
  ] as const)(
    'has no violation that axe-core finds: %s, %i wide; nothing is wider than the window',
    async (scheme, width) => {
      const { page, complaints } = await opened('/overview', {
        colorScheme: scheme,
        // No color on its way from one to another is measured.
        reducedMotion: 'reduce',
        viewport: { width, height: 900 },
      });
      for (const path of pages) {
        await page.goto(`${originOf(central)}${path}`);
        await page.locator('main .card').first().waitFor();
        await page.locator('[aria-busy="true"]').waitFor({ state: 'detached' });
        expect([path, await violationsOf(page)]).toEqual([path, []]);
        // On a phone the tab that is open may begin beyond the edge.
        const tabs = page.locator('.tabs [aria-current]');
        await expect
          .poll(async () => {
            const boxes = await Promise.all((await tabs.all()).map((tab) => tab.boundingBox()));
            return boxes.every((box) => box === null || box.x + box.width <= width);
          }, SOON)
          .toBe(true);
        const widest = await page.evaluate<number>('document.documentElement.scrollWidth');
        expect([path, widest <= width]).toEqual([path, true]);
        await shot(page, `${path.replaceAll(/\W+/g, '-').slice(1)}-${scheme}-${width}`);
      }
      expect(complaints).toEqual([]);
    },
  );
});
