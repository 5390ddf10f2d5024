// Acts on several agents in Debian's Chromium, in front of a real Central with real agents: a frozen list, a preflight
// that is computed again, one result for each agent; messages that are sent and withdrawn; the keyboard alone.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { openPage, pressOn, shot, signIn, signInByKeys, startBrowser, violationsOf } from './browser.ts';

const SOON = { timeout: 20_000 };
const SLOW = { timeout: 60_000 } as const;
const NAMES = ['branch-0012', 'branch-0087', 'branch-0140'] as const;

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  const agents = await Promise.all(NAMES.map((name) => AgentProcess.enrolled(cleanup, central, name)));
  for (const name of NAMES) await central.online(name);
  await agents[1]?.stop();
  await until(async () => (await central.agent('branch-0087'))?.['state'] === 'disconnected' || undefined);
  browser = await startBrowser(cleanup);
});
afterAll(() => cleanup.run());

async function opened(path: string, token = central.token) {
  const found = await openPage(browser, central, path);
  await signIn(found.page, token);
  found.complaints.splice(0);
  return found;
}

const dialog = (page: Page) => page.getByRole('dialog');
const bar = (page: Page) => page.getByRole('region', { name: 'Selected agents' });
const stateOf = async (name: string) => (await central.agent(name))?.['state'];

describe('several agents', SLOW, () => {
  it('are selected and labeled on a phone', async () => {
    const viewport = { width: 390, height: 844 };
    const { page } = await openPage(browser, central, '/agents', { viewport, reducedMotion: 'reduce' });
    await signIn(page, central.token);
    await page.getByLabel('Select all 3 that match').check();
    await bar(page).getByText('3 agents selected').waitFor();
    await page.getByLabel('Select branch-0087').uncheck();
    expect(await page.getByLabel('Select all 3 that match').isChecked()).toBe(false);
    await bar(page).getByText('2 agents selected').waitFor();
    expect(await violationsOf(page)).toEqual([]);
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(viewport.width);
    await shot(page, 'bulk-light-390');
    await bar(page).getByRole('button', { name: 'Label…' }).click();
    await page.getByLabel('Labels to set').fill('floor=2');
    expect(await violationsOf(page)).toEqual([]);
    await dialog(page).getByRole('button', { name: 'Label (2)' }).click();
    await dialog(page).getByText('Done for 2 agents').waitFor();
    await central.rest('PATCH', '/agents/branch-0012', { labels: { floor: null } });
    await central.rest('PATCH', '/agents/branch-0140', { labels: { floor: null } });
  });

  it('are labeled and drained, all that match a filter, with the result in one line', async () => {
    const { page, complaints } = await opened('/agents?q=branch');
    await expect.poll(() => page.locator('tbody tr a.name').count(), SOON).toBe(3);
    await page.getByLabel('Select all agents that match').check();
    await bar(page).getByText('3 agents selected').waitFor();
    await shot(page, 'bulk-light');
    expect(await violationsOf(page)).toEqual([]);
    await bar(page).getByRole('button', { name: 'Label…' }).click();
    await page.getByLabel('Labels to set').fill('region=north, tier=test');
    await page.getByLabel('Ticket').fill('CHG-7');
    await dialog(page).getByRole('button', { name: 'Label (3)' }).click();
    await dialog(page).getByText('Done for 3 agents').waitFor();
    await dialog(page).getByRole('button', { name: 'Close' }).last().click();
    for (const name of NAMES)
      expect((await central.agent(name))?.['labels']).toEqual({ region: 'north', tier: 'test' });
    expect(await bar(page).count()).toBe(0);

    await page.getByLabel('Select branch-0012').check();
    await bar(page).getByRole('button', { name: 'Drain…' }).click();
    await page.getByLabel('Spread over').selectOption('0');
    await dialog(page)
      .getByRole('button', { name: /^Drain/ })
      .click();
    await dialog(page).getByText('Done for 1 agent').waitFor();
    expect((await central.rest('GET', '/drains')).body.items).toMatchObject([{ agentCount: 1 }]);
    expect(complaints).toEqual([]);
  });

  it('are disabled with the keyboard only, behind a preflight that is computed again', async () => {
    await central.online('branch-0012');
    const { page } = await openPage(browser, central, '/agents?sort=name');
    await signInByKeys(page, central.token);
    await expect.poll(() => page.locator('tbody tr a.name').count(), SOON).toBe(3);
    for (const key of ['j', 'x', 'j', 'x']) await page.keyboard.press(key);
    await bar(page).getByText('2 agents selected').waitFor();
    await pressOn(bar(page).getByRole('button', { name: 'Disable…' }));
    await dialog(page).getByText('1 agent would be cut off').waitFor();
    await pressOn(dialog(page).getByRole('button', { name: 'Disable and cut off 1' }));
    expect(await page.evaluate('document.activeElement.type')).toBe('checkbox');
    // Meanwhile one of them is disabled by somebody else: nothing is applied before that was shown.
    await central.rest('POST', '/agents/branch-0012/disable');
    await page.keyboard.press('Space');
    await pressOn(dialog(page).getByRole('button', { name: 'Disable and cut off 1' }));
    await dialog(page).getByText('This changed since it was checked; nothing was applied.').waitFor();
    expect(await stateOf('branch-0087')).toBe('disconnected');
    await pressOn(dialog(page).getByRole('button', { name: 'Disable (2)' }));
    await dialog(page).getByText('Done for 2 agents').waitFor();
    await page.keyboard.press('Escape');
    await until(async () => (await stateOf('branch-0087')) === 'disabled' || undefined);
    expect(await stateOf('branch-0140')).toBe('online');
  });

  it('that refuse stay selected, with the reason in their rows', async () => {
    await central.rest('POST', '/agents/branch-0087/revoke', {});
    const { page } = await opened('/agents');
    await expect.poll(() => page.locator('tbody tr a.name').count(), SOON).toBe(3);
    await page.getByLabel('Select branch-0012').check();
    await page.getByLabel('Select branch-0087').check();
    await bar(page).getByRole('button', { name: 'Enable…' }).click();
    const apply = dialog(page).getByRole('button', { name: 'Enable (2)' });
    await apply.waitFor();
    await apply.click();
    await dialog(page).getByText('Done for 1, refused for 1').waitFor();
    await shot(page, 'bulk-result-light');
    expect(await violationsOf(page)).toEqual([]);
    await dialog(page).getByRole('button', { name: 'Close' }).last().click();
    await bar(page).getByText('1 agent selected').waitFor();
    await page
      .getByRole('row', { name: /branch-0087/ })
      .getByText('Not done:')
      .waitFor();
    expect(await stateOf('branch-0012')).not.toBe('disabled');
  });
});

describe('a message', SLOW, () => {
  it('is sent to an agent and withdrawn while it waits, and sent to several at once', async () => {
    await central.rest('POST', '/agents/branch-0012/disable');
    const { body } = await central.rest('POST', '/api-tokens', { name: 'desk', role: 'operator' });
    const { page, complaints } = await opened('/agents/branch-0012?tab=messages', body.token);
    await page.getByRole('button', { name: 'Send message…' }).click();
    await dialog(page).getByLabel('Type').fill('com.example.printer.restart');
    await dialog(page).getByLabel('Data').fill('{"printer": 2');
    expect(await dialog(page).getByRole('button', { name: 'Send' }).getAttribute('title')).toContain('not JSON');
    await dialog(page).getByLabel('Data').fill('{"printer": 2}');
    await shot(page, 'send-message-light');
    expect(await violationsOf(page)).toEqual([]);
    await dialog(page).getByRole('button', { name: 'Send' }).click();
    await page.locator('tbody').getByText('com.example.printer.restart').waitFor();
    const sent = (await central.rest('GET', '/agents/branch-0012/commands')).body.items[0];
    expect(JSON.parse(sent.text)).toMatchObject({ type: 'com.example.printer.restart', data: { printer: 2 } });
    await page.getByRole('button', { name: 'Withdraw…' }).click();
    await dialog(page).getByRole('button', { name: 'Withdraw', exact: true }).click();
    await expect.poll(() => page.locator('tbody').getByText('com.example.printer.restart').count(), SOON).toBe(0);
    expect((await central.rest('GET', '/dead-letters')).body.items).toMatchObject([{ code: 'message_withdrawn' }]);

    await page.getByRole('link', { name: 'Agents' }).first().click();
    await expect.poll(() => page.locator('tbody tr a.name').count(), SOON).toBe(3);
    await page.getByLabel('Select all agents that match').check();
    // An operator may do these two, and no others.
    expect(await bar(page).getByRole('button').allInnerTexts()).toEqual(['Send message…', 'Drain…', '']);
    await bar(page).getByRole('button', { name: 'Send message…' }).click();
    await dialog(page).getByLabel('Type').fill('com.example.display.text');
    await dialog(page).getByRole('button', { name: 'Send message (3)' }).click();
    await dialog(page).getByText('Done for 2, refused for 1').waitFor();
    expect((await central.rest('GET', '/agents/branch-0012/commands')).body.items).toHaveLength(1);
    expect(complaints).toEqual([]);
  });
});
