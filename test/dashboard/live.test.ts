// What is live, in Debian's Chromium in front of a real Central: a stream that is cut says of when the page is, resumes
// without a gap, and moves no row.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { openPage, shot, signIn, startBrowser } from './browser.ts';

const SOON = { timeout: 30_000 };
const SLOW = { timeout: 90_000 } as const;

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;
let leaving: AgentProcess;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  await AgentProcess.enrolled(cleanup, central, 'branch-0012');
  leaving = await AgentProcess.enrolled(cleanup, central, 'branch-0087');
  await central.online('branch-0012');
  await central.online('branch-0087');
  browser = await startBrowser(cleanup);
});
afterAll(() => cleanup.run());

/** A line to the administration that can be cut; what was asked through it is kept. */
async function relay(): Promise<{
  port: number;
  asked: string[];
  cut: () => void;
  restore: () => void;
}> {
  const sockets = new Set<Socket>();
  const asked: string[] = [];
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = connect(central.ports.http, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        near.destroy();
        far.destroy();
        sockets.delete(socket);
      });
    }
    near.on('data', (chunk: Buffer) => asked.push(chunk.toString('latin1')));
    near.pipe(far);
    far.pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  cleanup.add(() => {
    cut();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, asked, cut, restore: () => (isCut = false) };
}

const names = (page: Page) => page.locator('tbody tr a.name').allInnerTexts();
const rowOf = (page: Page, name: string) => page.getByRole('row', { name: new RegExp(name) });

describe('a stream that is cut', SLOW, () => {
  it('shows its age at once, resumes behind its last event without a gap, and moves no row', async () => {
    const line = await relay();
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, timezoneId: 'UTC' });
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${line.port}/agents`);
    await signIn(page, central.token);
    await page.getByText('Live', { exact: true }).waitFor();
    await expect.poll(() => names(page), SOON).toHaveLength(2);
    // An event gives the page a position to go on from.
    await central.rest('PATCH', '/agents/branch-0012', { labels: { region: 'north' } });
    await rowOf(page, 'branch-0012').getByText('north').waitFor();
    const before = await names(page);

    line.cut();
    await page.getByText(/^Reconnecting; as of \d\d:\d\d:\d\d$/).waitFor();
    await shot(page, 'stream-cut-light');
    // What happens meanwhile comes with the stream, not with another read of the list.
    await leaving.stop('SIGKILL');
    await until(async () => (await central.agent('branch-0087'))?.['state'] === 'dropped' || undefined);
    await central.rest('PATCH', '/agents/branch-0012', { labels: { region: 'south' } });
    line.asked.splice(0);
    line.restore();
    await page.getByText('Live', { exact: true }).waitFor();
    await rowOf(page, 'branch-0087').getByText('Dropped').waitFor();
    await rowOf(page, 'branch-0012').getByText('south').waitFor();
    const requests = line.asked.join('\n');
    expect(requests).toMatch(/GET \/api\/v1\/watch\?after=\S+ HTTP/);
    expect(requests).not.toMatch(/GET \/api\/v1\/agents\?/);

    expect(await names(page)).toEqual(before);
    await page.getByText('1 agent changed.').waitFor();
    await page.getByRole('button', { name: 'Update the order' }).click();
    await expect.poll(() => names(page), SOON).toEqual(['branch-0087', 'branch-0012']);
  });

  it('dims a row that no longer fits the filter, where it is', async () => {
    const { page } = await openPage(browser, central, '/agents?label=region%3Dsouth');
    await signIn(page, central.token);
    await expect.poll(() => names(page), SOON).toEqual(['branch-0012']);
    await central.rest('PATCH', '/agents/branch-0012', { labels: { region: 'east' } });
    await page.locator('tbody tr.dim a.name').waitFor();
    expect(await names(page)).toEqual(['branch-0012']);
    await page.getByRole('button', { name: 'Update the order' }).click();
    await page.getByText('No agent matches these filters').waitFor();
  });
});
