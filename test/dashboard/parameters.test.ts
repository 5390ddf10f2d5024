// Parameters in Debian's Chromium: a port moves and rolls back by itself, unencrypted WebSocket is turned off while one
// agent needs it, two administrators change the same value, and every change waits in the bar until it is confirmed.
import { networkInterfaces } from 'node:os';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, freePorts, until } from '../flow/processes.ts';
import {
  openPage,
  originOf,
  pressOn,
  shot,
  shotEachWay,
  signIn,
  signInByKeys,
  startBrowser,
  tabTo,
  violationsOf,
} from './browser.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;

beforeAll(async () => {
  central = await CentralProcess.startOnParameters(cleanup, await cleanup.folder());
  await AgentProcess.enrolled(cleanup, central, 'branch-0042');
  await central.online('branch-0042');
  browser = await startBrowser(cleanup);
});
// What a test that failed left pending would lock the parameters for the next one.
afterEach(async () => {
  const { body } = await central.rest('GET', '/changes?state=pending');
  for (const { id } of body.items as { id: string }[]) await central.rest('POST', `/changes/${id}/rollback`);
});
afterAll(() => cleanup.run());

async function opened(path: string, options: Parameters<typeof openPage>[3] = {}) {
  const found = await openPage(browser, central, path, options);
  await signIn(found.page, central.token);
  await found.page.locator('.prow').first().waitFor();
  found.complaints.splice(0);
  return found;
}

const valueOf = async (name: string): Promise<unknown> => (await central.rest('GET', `/parameters/${name}`)).body.value;

/** Opens the review of what is edited; nothing is pending yet. */
async function review(page: Page) {
  await page.getByRole('button', { name: 'Review…' }).click();
  await page.getByRole('dialog').getByText('Afterwards:').waitFor();
  return page.getByRole('dialog');
}

const bar = (page: Page) => page.getByRole('region', { name: 'Pending change' });

describe('parameters', () => {
  it('are shown by their groups, with default, value and what a change does; an edit is marked until it is discarded', async () => {
    const { page, complaints } = await opened('/parameters');
    await page.getByLabel('websocket.port', { exact: true }).fill('70000');
    expect(await page.getByRole('alert').innerText()).toContain('65535');
    await page.getByLabel('Groups of parameters').getByRole('link', { name: 'Queue Agent settings' }).click();
    await page.getByLabel('agents.max', { exact: true }).waitFor();
    expect(page.url()).toContain('group=Queue%20Agent%20settings');
    await page.getByText('1 of').waitFor();
    await page.getByRole('button', { name: 'Discard' }).click();
    await page.goBack();
    expect(await page.getByLabel('websocket.port', { exact: true }).inputValue()).toBe(String(central.ports.ws));
    expect(complaints).toEqual([]);
  });

  it('are refused by Central with what it found beside the field, and nothing is applied', async () => {
    const { page } = await opened('/parameters?group=Certificate and key store settings');
    await page.getByLabel('certificate.distinguishedName').fill('nonsense');
    await page.getByRole('button', { name: 'Review…' }).click();
    await page.getByRole('dialog').getByRole('alert').first().waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.prow').getByRole('alert').waitFor();
    expect(await valueOf('certificate.distinguishedName')).not.toBe('nonsense');
  });

  it('without an effect on connections are applied at once; Restore default brings them back, with the keyboard alone', async () => {
    const { page } = await openPage(browser, central, '/parameters?group=Queue Agent settings');
    await signInByKeys(page, central.token);
    const dialog = page.getByRole('dialog');
    await tabTo(page.getByLabel('agents.max', { exact: true }));
    await page.keyboard.press('Control+A');
    await page.keyboard.type('77');
    await pressOn(page.getByRole('button', { name: 'Review…' }));
    await dialog.getByText('Afterwards:').waitFor();
    await pressOn(dialog.getByLabel('Roll back unless I confirm within'), 'Space');
    await pressOn(dialog.getByRole('button', { name: 'Apply', exact: true }));
    await until(async () => ((await valueOf('agents.max')) === 77 ? true : undefined));
    await dialog.waitFor({ state: 'detached' });
    await pressOn(page.getByRole('button', { name: 'Restore defaults…' }));
    await dialog.getByText('agents.max').waitFor();
    await pressOn(dialog.getByLabel('Roll back unless I confirm within'), 'Space');
    await pressOn(dialog.getByRole('button', { name: 'Apply', exact: true }));
    await dialog.waitFor({ state: 'detached' });
    expect(await valueOf('agents.max')).not.toBe(77);
    await page.getByRole('link', { name: 'History' }).click();
    await page
      .getByRole('row', { name: /parameters\.set/ })
      .first()
      .waitFor();
  });
});

describe('a change that cuts off or moves', () => {
  it('of a port waits for its confirmation on every page, locks the others, and rolls back by itself', async () => {
    const before = await valueOf('websocket.port');
    const [port = 0] = await freePorts(1);
    const { page } = await opened('/parameters');
    await page.getByLabel('websocket.port', { exact: true }).fill(String(port));
    const dialog = await review(page);
    await dialog.getByLabel('Minutes to confirm').fill('0.4');
    await dialog.getByLabel('Ticket').fill('CHG-2214');
    await shot(page, 'parameters-review-light');
    expect(await violationsOf(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Apply', exact: true }).click();
    await bar(page).getByText('CHG-2214').waitFor();
    expect(await bar(page).innerText()).toContain(String(port));
    expect(await page.getByLabel('websocket.port', { exact: true }).isDisabled()).toBe(true);
    expect(await page.title()).toMatch(/^00:[0-2]\d · /);
    await page.getByText('A change is pending, so parameters cannot be edited').waitFor();
    // None has to be back: no bar of how many are.
    expect(await bar(page).locator('.track').count()).toBe(0);
    await shot(page, 'parameters-pending-light');
    await shotEachWay(page, 'parameters-pending');
    await page.goto(`${originOf(central)}/agents/branch-0042`);
    await bar(page).waitFor();
    await page.getByRole('heading', { level: 1, name: 'branch-0042' }).waitFor();
    await shotEachWay(page, 'agent-pending');
    await page.goto(`${originOf(central)}/agents`);
    await bar(page).waitFor();
    await bar(page).waitFor({ state: 'detached', timeout: 60_000 });
    await page.getByText('The change was rolled back.').first().waitFor();
    expect(await valueOf('websocket.port')).toBe(before);
  });

  it('is kept by Confirm, and ends at once by Roll back now', async () => {
    const [first = 0, second = 0] = await freePorts(2);
    const { page } = await opened('/parameters');
    for (const [port, act] of [
      [first, 'Roll back now'],
      [second, 'Confirm'],
    ] as const) {
      await page.getByLabel('websocket.port', { exact: true }).fill(String(port));
      await (await review(page)).getByRole('button', { name: 'Apply', exact: true }).click();
      await bar(page).getByRole('button', { name: act }).click();
      await bar(page).waitFor({ state: 'detached' });
      await expect.poll(() => page.getByLabel('websocket.port', { exact: true }).isDisabled()).toBe(false);
    }
    expect(await valueOf('websocket.port')).toBe(second);
  });

  it('of the administration itself is confirmed at its new address, where the bar leads to', async () => {
    const [port = 0] = await freePorts(1);
    const { page } = await opened('/parameters?group=HTTPS server settings');
    const field = page.getByLabel('http.port', { exact: true });
    for (const to of [port, central.ports.http]) {
      await field.fill(String(to));
      await (await review(page)).getByRole('button', { name: 'Apply', exact: true }).click();
      await bar(page).getByRole('link', { name: 'Open the new address' }).click();
      await page.waitForURL(`http://127.0.0.1:${to}/**`);
      await bar(page).getByRole('button', { name: 'Confirm' }).click();
      await bar(page).waitFor({ state: 'detached' });
      expect(await field.inputValue()).toBe(String(to));
    }
  });

  it('names the agent that unencrypted off cuts off, and needs the box beside its red button', async () => {
    const own = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find((entry) => !entry.internal && entry.family === 'IPv4');
    if (own === undefined) throw new Error('this host has no address but loopback: the test needs one');
    await central.change({ 'websocket.enabled': true });
    const port = String(await valueOf('websocket.port'));
    await AgentProcess.enrolled(cleanup, central, 'branch-0003', [
      '--central-websocket-secure',
      'false',
      '--central-hosts',
      `${own.address}:${port}`,
    ]);
    await central.online('branch-0003');
    const { page } = await opened('/parameters');
    await page.goto(`${originOf(central)}/overview`);
    const problem = page.getByRole('listitem').filter({ hasText: 'branch-0003' });
    expect(await problem.innerText()).toContain('by 1 agent: branch-0003');
    await problem.getByRole('link', { name: 'Open agent' }).waitFor();
    await page.goto(`${originOf(central)}/parameters`);
    await page.getByLabel('websocket.enabled', { exact: true }).uncheck();
    const dialog = await review(page);
    const row = dialog.getByRole('row', { name: /branch-0003/ });
    expect(await row.getByRole('cell').nth(1).innerText()).toBe(own.address);
    await dialog.getByRole('columnheader', { name: 'What to do first' }).waitFor();
    expect(await row.getByRole('cell').nth(2).innerText()).toMatch(/^Set central\.websocket\.secure=true in its agent/);
    expect(await dialog.getByRole('link', { name: 'Move them first' }).getAttribute('href')).toBe(
      '/agents?transport=ws',
    );
    await shot(page, 'parameters-cut-off-light');
    await shotEachWay(page, 'parameters-cut-off');
    const apply = dialog.getByRole('button', { name: 'Apply and cut off 1' });
    await apply.click();
    const box = dialog.getByLabel('Cut off 1 agent. I can reach it in another way.');
    expect(await box.evaluate((one) => one === one.ownerDocument.activeElement)).toBe(true);
    expect(await valueOf('websocket.enabled')).toBe(true);
    await box.check();
    await apply.click();
    await bar(page)
      .getByText(/^0 of \d agents? are back; \d more needed/)
      .waitFor();
    expect((await central.agent('branch-0003'))?.['state']).not.toBe('online');
    // None is back, and nine of ten are needed.
    expect(await bar(page).getByRole('button', { name: 'Confirm' }).getAttribute('aria-disabled')).toBe('true');
    await bar(page).getByRole('button', { name: 'Roll back now' }).click();
    await bar(page).waitFor({ state: 'detached' });
    expect(await valueOf('websocket.enabled')).toBe(true);
  });
});

describe('two administrators', () => {
  it('who change the same value: the second sees both values, and takes theirs or applies its own again', async () => {
    const { page } = await opened('/parameters?group=Queue Agent settings');
    const field = page.getByLabel('agents.max', { exact: true });
    await field.fill('500');
    await central.rest('PATCH', '/parameters', { 'agents.max': 400 });
    await page.getByText('Now: 400').waitFor();
    expect(await field.inputValue()).toBe('500');
    const dialog = await review(page);
    await dialog.getByText('changed agents.max meanwhile').waitFor();
    await dialog.getByRole('button', { name: 'Apply', exact: true }).click({ force: true });
    expect(await valueOf('agents.max')).toBe(400);
    await shot(page, 'parameters-conflict-light');
    await dialog.getByRole('button', { name: 'Apply mine again' }).click();
    await dialog.getByText('changed agents.max meanwhile').waitFor({ state: 'detached' });
    // While the dialog is open, something else changes: nothing is applied that was not shown.
    await central.rest('PATCH', '/parameters', { 'agents.max': 450 });
    await dialog.getByLabel('Roll back unless I confirm within').uncheck();
    // The page may know of it before this click, or by it.
    await dialog.getByRole('button', { name: 'Apply', exact: true }).click({ force: true });
    await dialog.getByRole('button', { name: 'Take theirs' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(await valueOf('agents.max')).toBe(450);
    expect(await field.inputValue()).toBe('450');
  });
});

describe('a viewer', () => {
  it('reads everything, and is offered no change', async () => {
    const { body } = await central.rest('POST', '/api-tokens', { name: 'looks', role: 'viewer' });
    const { page, complaints } = await openPage(browser, central, '/parameters');
    await signIn(page, body.token);
    await page.getByLabel('websocket.port', { exact: true }).waitFor();
    complaints.splice(0);
    expect(await page.locator('main input:enabled, main select:enabled').count()).toBe(1);
    expect(await page.getByRole('button', { name: /Restore|Review/ }).count()).toBe(0);
    expect(complaints).toEqual([]);
  });
});

describe('the page', () => {
  it.each([
    ['light', 1440],
    ['dark', 1440],
    ['light', 390],
    ['dark', 390],
  ] as const)('has no violation that axe-core finds: %s, %i wide', async (scheme, width) => {
    const { page } = await opened('/parameters', {
      colorScheme: scheme,
      reducedMotion: 'reduce',
      viewport: { width, height: 900 },
    });
    await page.getByLabel('websocket.port', { exact: true }).fill('1');
    expect(await violationsOf(page)).toEqual([]);
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    await shot(page, `parameters-${scheme}-${width}`);
  });
});
