// PostgreSQL that is away, in Debian's Chromium in front of a real Central: what is shown stays and says of when it is,
// acts are refused with the reason, no one is signed out, and the pages go on by themselves.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CentralProcess, Cleanup } from '../flow/processes.ts';
import { lacksPostgres } from '../postgres/binaries.ts';
import { startCluster, type PostgresCluster } from '../postgres/cluster.ts';
import { openPage, originOf, shotEachWay, signIn, startBrowser, violationsOf } from './browser.ts';

const SOON = { timeout: 60_000 };

const cleanup = new Cleanup();
let central: CentralProcess;
let cluster: PostgresCluster;
let browser: Browser;

describe.skipIf(lacksPostgres())('a store that is away', () => {
  beforeAll(async () => {
    cluster = await startCluster();
    cleanup.add(() => cluster.remove());
    const url = cluster.primary.url(await cluster.createDatabase());
    central = await CentralProcess.start(cleanup, await cleanup.folder(), [], { QUEUEGATE_STORE_URL: url });
    browser = await startBrowser(cleanup);
  }, 120_000);
  afterAll(() => cleanup.run());

  it('is said on every page until it is back; what was read stays', { timeout: 180_000 }, async () => {
    const { page } = await openPage(browser, central, '/tokens');
    await signIn(page, central.token);
    await page.getByRole('row', { name: /first administrator/ }).waitFor(SOON);
    const bar = page.getByRole('region', { name: 'Central cannot reach its store' });
    expect(await bar.count()).toBe(0);
    await cluster.primary.stop('immediate');
    await bar.getByText(/^Central cannot reach its store\. What is shown here is as of \d\d:/).waitFor(SOON);
    await bar
      .getByText(/PostgreSQL/)
      .first()
      .waitFor(SOON);
    await page.getByRole('row', { name: /first administrator/ }).waitFor(SOON);
    expect(await violationsOf(page)).toEqual([]);
    await shotEachWay(page, 'store-away');

    // A page that is opened now waits, and asks for no token.
    const other = await page.context().newPage();
    await other.goto(`${originOf(central)}/audit`);
    await other.getByRole('heading', { level: 1, name: 'Central cannot reach its store' }).waitFor(SOON);
    expect(await violationsOf(other)).toEqual([]);
    expect(await other.getByLabel('API token').count()).toBe(0);

    await cluster.primary.start();
    await bar.waitFor({ state: 'detached', ...SOON });
    await other
      .getByRole('heading', { level: 1, name: 'Audit log' })
      .or(other.getByRole('table'))
      .first()
      .waitFor(SOON);
    await page.getByRole('row', { name: /first administrator/ }).waitFor(SOON);
  });
});
