// Nodes in Debian's Chromium, in front of two real Centrals on one PostgreSQL: both are shown, one is drained, and one that
// was stopped is deleted.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup } from '../flow/processes.ts';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase, type TestDatabase } from '../postgres/cluster.ts';
import { openPage, originOf, shot, signIn, startBrowser, violationsOf } from './browser.ts';

const SOON = { timeout: 60_000 };
const KEY = randomBytes(32).toString('base64');

const cleanup = new Cleanup();
let first: CentralProcess;
let second: CentralProcess;
let browser: Browser;

async function started(database: TestDatabase, name: string, token?: string): Promise<CentralProcess> {
  const folder = await cleanup.folder();
  if (token !== undefined) await writeFile(join(folder, 'administrator-token'), `${token}\n`, { mode: 0o600 });
  return await CentralProcess.start(cleanup, folder, [], {
    QUEUEGATE_STORE_URL: database.url,
    QUEUEGATE_CENTRAL_NAME: 'centrals',
    QUEUEGATE_NODE_NAME: name,
    QUEUEGATE_KEY_ENCRYPTION_KEY: KEY,
  });
}

const row = (page: Page, name: string) => page.getByRole('row', { name: new RegExp(`^${name} `) });

/** Presses a button that opens a dialog, and its confirmation, with the box ticked where there is one. */
async function confirmed(page: Page, opener: string, act: string): Promise<void> {
  await page.getByRole('button', { name: opener }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: act, exact: true }).waitFor(SOON);
  await dialog.getByLabel('Ticket').fill('CHG-16');
  for (const box of await dialog.getByRole('checkbox').all()) await box.check();
  await dialog.getByRole('button', { name: act, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
}

describe.skipIf(lacksPostgres())('the page of nodes', () => {
  beforeAll(async () => {
    const database = await freshDatabase();
    cleanup.add(() => database.drop());
    first = await started(database, 'node-a');
    second = await started(database, 'node-b', first.token);
    await AgentProcess.enrolled(cleanup, first, 'branch-0042');
    await first.online('branch-0042');
    browser = await startBrowser(cleanup);
  }, 120_000);
  afterAll(() => cleanup.run());

  it.each([
    ['light', 1440],
    ['dark', 1440],
    ['light', 390],
    ['dark', 390],
  ] as const)('has each node, and no violation that axe-core finds: %s, %i wide', async (scheme, width) => {
    const { page, complaints } = await openPage(browser, first, '/overview', {
      colorScheme: scheme,
      reducedMotion: 'reduce',
      viewport: { width, height: 900 },
    });
    await signIn(page, first.token);
    complaints.splice(0);
    await page.locator('main').getByRole('link', { name: 'Nodes' }).click(SOON);
    await page.waitForURL(/\/nodes$/);
    await row(page, 'node-a').getByText('This one').waitFor(SOON);
    await row(page, 'node-a').getByText('Leads').waitFor(SOON);
    await row(page, 'node-b').getByText('Works').waitFor(SOON);
    await page.getByText('2 nodes, 1 session').waitFor(SOON);
    expect(await violationsOf(page)).toEqual([]);
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    await shot(page, `nodes-${scheme}-${width}`);
    expect(complaints).toEqual([]);
  });

  it('drains a node, and deletes one that was stopped', { timeout: 180_000 }, async () => {
    const { page, complaints } = await openPage(browser, first, '/nodes');
    await signIn(page, first.token);
    complaints.splice(0);
    await confirmed(page, 'Drain… node-b', 'Drain');
    await row(page, 'node-b').getByText('Drained').waitFor(SOON);
    // Agents need one that admits them.
    const other = page.getByRole('button', { name: 'Drain… node-a' });
    expect(await other.getAttribute('aria-disabled')).toBe('true');
    await confirmed(page, 'End the drain… node-b', 'End the drain');
    await row(page, 'node-b').getByText('Works').waitFor(SOON);
    await second.stop();
    await row(page, 'node-b').getByText('Stopped').waitFor(SOON);
    await confirmed(page, 'Delete… node-b', 'Delete');
    await row(page, 'node-b').waitFor({ state: 'detached', ...SOON });
    await page.getByText('It has its store to itself').waitFor(SOON);
    const { body } = await first.rest('GET', '/audit?text=CHG-16');
    const acts = body.items.map(({ action }: { action: string }) => action);
    expect(acts).toEqual(['nodes.delete', 'nodes.drain', 'nodes.drain']);
    expect(complaints).toEqual([]);
  });

  it('offers a viewer no act', async () => {
    const { body } = await first.rest('POST', '/api-tokens', { name: 'looks', role: 'viewer' });
    const { page } = await openPage(browser, first, '/nodes');
    await signIn(page, body.token);
    await row(page, 'node-a').waitFor(SOON);
    expect(await page.getByRole('button', { name: /…/ }).count()).toBe(0);
    expect(page.url()).toBe(`${originOf(first)}/nodes`);
  });
});
