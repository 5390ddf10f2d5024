// The life of an agent in Debian's Chromium, in front of a real Central with real agents: enrolled by the printed line,
// approved, refused, its PC replaced by another one and by a recovery code, revoked.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  ROOT,
  runNode,
  Running,
  runRecover,
  until,
  type AgentFolders,
} from '../flow/processes.ts';
import {
  hasFocus,
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

const SOON = { timeout: 20_000 };
const SLOW = { timeout: 90_000 } as const;

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;
let pin: string;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  ({ pin } = (await central.rest('GET', '/ca')).body);
  await central.change({ 'agents.enrollment': 'approve' });
  browser = await startBrowser(cleanup);
});
afterAll(() => cleanup.run());

async function opened(path: string, options: Parameters<typeof openPage>[3] = {}) {
  const found = await openPage(browser, central, path, options);
  await signIn(found.page, central.token);
  found.complaints.splice(0);
  return found;
}

/** `queue-agent enroll` without a token, in the background; `key` is the thumbprint that it prints. */
async function requestOf(name: string): Promise<{ folders: AgentFolders; machine: Running; key: string }> {
  const folders = await agentFolders(cleanup);
  const url = `https://localhost:${central.ports.wss}`;
  const words = [`${ROOT}/agent/cli.ts`, 'enroll', url, '--pin', pin, ...agentFlags(folders, name)];
  const machine = new Running(process.execPath, words);
  cleanup.add(() => machine.stop());
  const [, key = ''] = await machine.printed(/key {9}sha256:([0-9a-f]{64})/);
  return { folders, machine, key };
}

const rowOf = (page: Page, name: string) => page.getByRole('row', { name: new RegExp(name) });
const dialog = (page: Page) => page.getByRole('dialog');

describe('an agent', SLOW, () => {
  it('is enrolled by the printed line', async () => {
    const { page, complaints } = await opened('/agents');
    await page.getByText('No agents yet').waitFor();
    await page.getByRole('button', { name: 'Enroll agents…' }).click();
    await page.getByLabel('Agent name (optional)').fill('branch-0042');
    await page.getByRole('button', { name: 'Make the line' }).click();
    const line = await dialog(page).locator('.cmd code').innerText();
    await shot(page, 'enroll-light');
    expect(await violationsOf(page)).toEqual([]);
    expect(page.url()).not.toContain('qge_');
    const folders = await agentFolders(cleanup);
    const enrolled = await runNode('agent/cli.ts', [
      ...line.split(' ').slice(1),
      ...agentFlags(folders, 'branch-0042'),
    ]);
    expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
    AgentProcess.start(cleanup, folders, 'branch-0042');
    await page.getByRole('button', { name: 'Close' }).last().click();
    await rowOf(page, 'branch-0042').getByText('Online').waitFor();
    expect(complaints).toEqual([]);
  });

  it('that asks without a token is approved after its thumbprint was compared; another one is refused', async () => {
    const { page, complaints } = await opened('/agents');
    await page.getByRole('heading', { level: 1, name: 'Agents' }).waitFor();
    const first = await requestOf('kiosk-0009');
    // It came later: it moves nothing until it is asked for.
    await page.getByRole('button', { name: 'Show 1 new request' }).click();
    const row = rowOf(page, 'kiosk-0009');
    await row.getByText('Pending').waitFor();
    await shot(page, 'pending-light');
    await page.getByRole('button', { name: 'Approve… kiosk-0009' }).click();
    const shown = await dialog(page).locator('dd code').first().innerText();
    expect(shown.replaceAll(' ', '')).toBe(first.key);
    await dialog(page).getByRole('button', { name: 'Approve', exact: true }).click();
    expect(await central.agent('kiosk-0009')).toBeUndefined();
    await shot(page, 'approve-light');
    await shotEachWay(page, 'approve');
    expect(await violationsOf(page)).toEqual([]);
    await page.getByLabel('The machine prints this thumbprint.').check();
    await dialog(page).getByRole('button', { name: 'Approve', exact: true }).click();
    const ended = await first.machine.ended();
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    await row.getByText('decided, or withdrawn').waitFor();

    const second = await requestOf('stranger');
    await page.goto(`${originOf(central)}/agents?state=pending`);
    await page.getByRole('button', { name: 'Refuse… stranger' }).click();
    await page.getByLabel('Comment').fill('not one of ours');
    await dialog(page).getByRole('button', { name: 'Refuse', exact: true }).click();
    expect((await second.machine.ended()).stderr).toContain('(not one of ours)');
    expect(complaints).toEqual([]);
  });

  it('keeps its id when its PC is replaced by one that asks, and the old one is cut off', async () => {
    const before = await central.online('branch-0042');
    const { folders, machine, key } = await requestOf('new-pc');
    const { page, complaints } = await opened('/agents/branch-0042');
    await page.getByLabel('More acts').click();
    await page.getByRole('button', { name: 'Replace by another PC…' }).click();
    await dialog(page).getByText('1 agent would be cut off').waitFor();
    await dialog(page).getByText('its key would be refused from then on').waitFor();
    await shot(page, 'replace-light');
    await shotEachWay(page, 'replace');
    expect(await violationsOf(page)).toEqual([]);
    await page.getByLabel('The machine prints this thumbprint.').check();
    await dialog(page).getByRole('button', { name: 'Replace and cut off 1' }).click();
    await page.locator('.toast').getByText('branch-0042 now runs on the new PC.').waitFor();
    const ended = await machine.ended();
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    const after = await until(async () => {
      const found = await central.agent('branch-0042');
      return found?.['keyThumbprint'] === key ? found : undefined;
    });
    expect(after['id']).toBe(before['id']);
    AgentProcess.start(cleanup, folders, 'branch-0042');
    await central.online('branch-0042');
    await page.locator('.head').getByText('Online').waitFor();
    expect(complaints).toEqual([]);
  });

  it('gets a new machine by a recovery code, and is revoked: the page says why it is offline', async () => {
    const { page, complaints } = await opened('/agents/branch-0042');
    await page.getByRole('button', { name: 'Recovery code…' }).click();
    await page.getByRole('button', { name: 'Create the code' }).click();
    const code = await dialog(page).locator('.cmd code').first().innerText();
    expect(page.url()).not.toContain(code);
    await shot(page, 'recovery-code-light');
    expect(await violationsOf(page)).toEqual([]);
    const session = async () => (await central.online('branch-0042'))['session'] as { readonly id: string };
    const old = await session();
    const folders = await agentFolders(cleanup);
    const recovered = await runRecover(
      folders,
      'branch-0042',
      code,
      '--central-host',
      `localhost:${central.ports.wss}`,
    );
    expect(recovered, recovered.stderr).toMatchObject({ code: 0 });
    AgentProcess.start(cleanup, folders, 'branch-0042');
    await page.keyboard.press('Escape');
    // One that connects while the dialog is open is one more to be cut off: nothing would be applied then.
    // Online is the old machine as well, until Central has ended its session.
    await until(async () => (await session()).id !== old.id || undefined);
    await page.locator('.head').getByText('Online').waitFor();
    await page.getByLabel('More acts').click();
    await page.getByRole('button', { name: 'Revoke…' }).click();
    await page.getByLabel('Comment').fill('the PC was stolen');
    const apply = dialog(page).getByRole('button', { name: /^Revoke/ });
    await page.getByLabel('Cut off 1 agent.').check();
    await shot(page, 'revoke-light');
    await shotEachWay(page, 'revoke');
    await apply.click();
    await page.locator('.head').getByText('Revoked').waitFor();
    await expect.poll(() => page.locator('.callout').first().innerText(), SOON).toContain('Revoked');
    await page.getByText('This stays until an administrator changes it.').waitFor();
    expect(complaints).toEqual([]);
  });

  it('is enrolled and revoked with the keyboard only; each dialog gives the focus back', async () => {
    // Another one in each attempt.
    const name = `kiosk-${String(Date.now()).slice(-6)}`;
    const { page, complaints } = await openPage(browser, central, '/agents');
    await signInByKeys(page, central.token);
    complaints.splice(0);
    const opener = page.getByRole('button', { name: 'Enroll agents…' });
    await pressOn(opener);
    await tabTo(page.getByLabel('Agent name (optional)'));
    await page.keyboard.type(name);
    await pressOn(page.getByRole('button', { name: 'Make the line' }));
    const line = await dialog(page).locator('.cmd code').innerText();
    const folders = await agentFolders(cleanup);
    const words = [...line.split(' ').slice(1), ...agentFlags(folders, name)];
    const enrolled = await runNode('agent/cli.ts', words);
    expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
    AgentProcess.start(cleanup, folders, name);
    await pressOn(page.getByRole('button', { name: 'Close' }).last());
    await expect.poll(() => hasFocus(opener), SOON).toBe(true);
    const row = rowOf(page, name);
    // A new agent comes into a list that has others when its order is updated.
    const update = page.getByRole('button', { name: 'Update the order' });
    const seen = async (): Promise<number> => {
      if ((await row.count()) === 0 && (await update.isVisible())) await pressOn(update);
      return await row.getByText('Online').count();
    };
    await expect.poll(seen, SOON).toBe(1);
    await pressOn(row.getByRole('link', { name }));

    const menu = page.getByLabel('More acts');
    await pressOn(menu);
    await pressOn(page.getByRole('button', { name: 'Revoke…' }));
    await dialog(page).getByText('1 agent would be cut off').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => hasFocus(menu), SOON).toBe(true);
    await page.keyboard.press('Enter');
    await pressOn(page.getByRole('button', { name: 'Revoke…' }));
    await dialog(page).getByText('1 agent would be cut off').waitFor();
    await tabTo(page.getByLabel('Comment'));
    await page.keyboard.type('the PC was stolen');
    await pressOn(page.getByLabel('Cut off 1 agent.'), 'Space');
    await pressOn(dialog(page).getByRole('button', { name: /^Revoke/ }));
    await page.locator('.head').getByText('Revoked').waitFor();
    expect((await central.agent(name))?.['state']).toBe('revoked');
    expect(complaints).toEqual([]);

    // Another page that shows it says that it is gone.
    const { page: other } = await opened(`/agents/${name}`);
    await other.locator('.head').getByText('Revoked').waitFor();
    await pressOn(menu);
    await pressOn(page.getByRole('button', { name: 'Delete…' }));
    await pressOn(dialog(page).getByRole('button', { name: 'Delete', exact: true }));
    await page.waitForURL(/\/agents$/);
    expect(await central.agent(name)).toBeUndefined();
    await other.getByText('agent_unknown').waitFor(SOON);
    expect(await other.getByLabel('More acts').count()).toBe(0);
  });
});
