// Rollouts in Debian's Chromium, in front of a real Central with real agents: one is started and followed to its end, one
// is paused, resumed and rolled back, one halts since its release reaches nothing, and says why; files that were changed on
// a host are found and restored; profiles and their releases.
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { profileReleaseFolder } from '../../agent/release-record.ts';
import { agentFolders, AgentProcess, CentralProcess, Cleanup } from '../flow/processes.ts';
import { openPage, originOf, shot, shotEachWay, signIn, startBrowser, violationsOf } from './browser.ts';

/** Of what a test waits for: agents try a release for at least a minute, and the machine may be busy. */
const SOON = { timeout: 150_000 };

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;

async function say(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await central.cli(...words);
  expect(code, `queuegate ${words.join(' ')}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

const releaseIn = (text: string): string => /branch@[0-9a-f]+/.exec(text)?.[0] ?? '';

const folders = new Map<string, string>();
let good = '';
let next = '';
let broken = '';

beforeAll(async () => {
  central = await CentralProcess.startOnParameters(cleanup, await cleanup.folder());
  for (const name of ['branch-0042', 'branch-0087']) {
    const agent = await AgentProcess.enrolled(cleanup, central, name);
    folders.set(name, agent.folders.data);
    await central.online(name);
  }
  const { profile } = await agentFolders(cleanup);
  const secure = [
    'central.host=localhost',
    'central.websocket.secure=true',
    `central.websocket.secure.port=${central.ports.wss}`,
  ];
  await writeFile(join(profile, 'conf/agent.conf'), `${secure.join('\n')}\n`);
  await say('profiles', 'import', profile, '--name', 'branch');
  await say('profiles', 'truststore', 'import', 'branch', '--central');
  good = releaseIn(await say('profiles', 'prepare', 'branch', '--ticket', 'CHG-2230'));
  await say('profiles', 'set', 'branch', 'log.level=debug');
  next = releaseIn(await say('profiles', 'prepare', 'branch'));
  // Nothing listens there: agents try it, and return.
  await say('profiles', 'set', 'branch', 'central.websocket.secure.port=1');
  broken = releaseIn(await say('profiles', 'prepare', 'branch', '--force', '--yes'));
  browser = await startBrowser(cleanup);
});
afterAll(() => cleanup.run());

async function opened(path: string, options: Parameters<typeof openPage>[3] = {}) {
  const found = await openPage(browser, central, path, options);
  await signIn(found.page, central.token);
  found.complaints.splice(0);
  return found;
}

/** Fills in the dialog that starts a rollout, and starts it. Returns its id. */
async function started(page: Page, release: string, agents: string, waves: string, soak = '0'): Promise<string> {
  await page.getByRole('button', { name: 'Start a rollout…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Release').selectOption(release);
  await dialog.getByRole('textbox', { name: /^Agents/ }).fill(agents);
  await dialog.getByRole('textbox', { name: /^Waves/ }).fill(waves);
  await dialog.getByLabel('Soak (minutes)').fill(soak);
  await dialog.getByLabel('Trial (seconds)').fill('30');
  await dialog.getByLabel('Ticket').fill('CHG-2231');
  await dialog.getByText(/^\d agents?, of which/).waitFor(SOON);
  await dialog.getByText('No agent would be cut off.').waitFor(SOON);
  if (waves !== '100%') await shot(page, 'rollout-start-light');
  expect(await violationsOf(page)).toEqual([]);
  await dialog.getByRole('button', { name: 'Start', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.waitForURL(/\/rollouts\/r-\d+$/);
  return /r-\d+$/.exec(page.url())?.[0] ?? '';
}

/** Presses a button that opens a dialog, and its confirmation, with what has to be ticked before. */
async function confirmed(page: Page, opener: string, act: string, tick?: RegExp): Promise<void> {
  await page.getByRole('button', { name: opener }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Ticket').fill('CHG-2232');
  if (tick !== undefined) await dialog.getByRole('checkbox', { name: tick }).check();
  await dialog.getByRole('button', { name: act, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
}

describe('a rollout', () => {
  it('is started, and followed to its end without a reload', { timeout: 400_000 }, async () => {
    const { page, complaints } = await opened('/rollouts');
    const id = await started(page, good, 'all', '1, 100%');
    await page.getByRole('heading', { level: 1, name: `${good} to 2 agents` }).waitFor(SOON);
    await page.getByText('Completed').first().waitFor(SOON);
    await expect.poll(async () => (await central.rest('GET', `/rollouts/${id}`)).body.state, SOON).toBe('completed');
    await page.locator('.head').getByText('Completed').waitFor(SOON);
    await page.getByRole('row', { name: /branch-0087.*Succeeded/ }).waitFor(SOON);
    await page.getByText('2 of 2 agents').waitFor();
    await page.goto(`${originOf(central)}/agents/branch-0042?tab=release`);
    const line = page.getByRole('row', { name: /^Profile/ });
    await line.getByText('same').waitFor(SOON);
    expect((await line.innerText()).split(good)).toHaveLength(3);
    await shot(page, 'agent-release-light');
    // The list has it, too, in a column that sorts and a filter that selects it.
    await page.goto(`${originOf(central)}/agents?sort=release`);
    await page.getByRole('row', { name: new RegExp(`branch-0087.*${good}`) }).waitFor(SOON);
    await page.locator('th[aria-sort="ascending"]').getByText('Release').waitFor();
    await page.getByLabel('Release').selectOption({ label: good });
    await expect.poll(() => page.locator('tbody tr a.name').count()).toBe(2);
    await shotEachWay(page, 'agents-release');
    expect(complaints).toEqual([]);
  });

  it(
    'is paused, resumed and rolled back: the agents return to the previous release',
    { timeout: 400_000 },
    async () => {
      const { page, complaints } = await opened('/rollouts');
      const id = await started(page, next, 'all', '1, 100%', '60');
      const head = page.locator('.head');
      const first = page.getByRole('row', { name: /Succeeded/ });
      await first.waitFor(SOON);
      const name = (await first.getByRole('link').first().innerText()).trim();
      const preflight = page.waitForResponse(/\/pause\?(?:.*&)?dryRun=true/);
      await confirmed(page, 'Pause…', 'Pause');
      expect((await (await preflight).json()).changed).toEqual([{ name: 'state', from: 'running', to: 'paused' }]);
      await head.getByText('Paused').waitFor(SOON);
      await confirmed(page, 'Resume…', 'Resume');
      await head.getByText('Running').waitFor(SOON);
      await confirmed(page, 'Roll back…', 'Roll back', /^Bring 1 agent back/);
      await head.getByText('Rolled back').waitFor(SOON);
      expect((await central.rest('GET', `/rollouts/${id}`)).body.state).toBe('rolled-back');
      const runs = async () => (await central.rest('GET', `/agents/${name}/profile`)).body.reported?.name;
      await expect.poll(runs, SOON).toBe(good);
      const { body } = await central.rest('GET', '/audit?text=CHG-2232');
      const acts = body.items.map(({ action }: { action: string }) => action);
      expect(acts).toEqual(expect.arrayContaining(['rollouts.pause', 'rollouts.resume', 'rollouts.rollback']));
      expect(complaints).toEqual([]);
    },
  );

  it('that halts says why, for how many, and what to do; it is canceled', { timeout: 400_000 }, async () => {
    const { page, complaints } = await opened('/rollouts');
    const id = await started(page, broken, 'branch-0042', '100%');
    await page.locator('.head').getByText('Halted').waitFor(SOON);
    const cause = page.locator('.callout', { hasText: 'connection_refused' });
    await cause.waitFor(SOON);
    expect(await cause.innerText()).toContain('1 agent: rolled back');
    expect(await cause.innerText()).toContain('What to do:');
    await page.getByText('central.websocket.secure.port').first().waitFor(SOON);
    await shot(page, 'rollout-halted-light');
    await shotEachWay(page, 'rollout-halted');
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
    expect(await violationsOf(page)).toEqual([]);
    await shot(page, 'rollout-halted-dark');
    await page.emulateMedia({ colorScheme: null, reducedMotion: null });
    await page.locator('.side').getByRole('link', { name: 'Overview' }).click();
    const problem = page.getByRole('listitem').filter({ hasText: `Rollout ${id} of branch is halted` });
    await problem.getByText('What to do:').waitFor(SOON);
    await problem.getByRole('link', { name: 'Open rollout' }).click();
    await page.getByRole('button', { name: 'Show them' }).click();
    await page.waitForURL(/state=rolled-back&code=connection_refused/);
    await page.getByRole('row', { name: /branch-0042.*Rolled back/ }).waitFor();

    await confirmed(page, 'Retry 1 failed…', 'Retry');
    await page.locator('.head').getByText('Running').waitFor(SOON);
    await page.getByRole('button', { name: 'Retry 1 failed…' }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Cancel the rollout…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('checkbox').check();
    await dialog.getByRole('button', { name: 'Cancel the rollout' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.locator('.head').getByText('Canceled').waitFor(SOON);
    expect((await central.rest('GET', `/rollouts/${id}`)).body.state).toBe('canceled');
    expect(complaints).toEqual([]);
  });
});

describe('files that were changed on the host of an agent', () => {
  it('are measured and named, and restored by a rollout of its own', { timeout: 400_000 }, async () => {
    const profile = async () => (await central.rest('GET', '/agents/branch-0087/profile')).body;
    await expect.poll(async () => (await profile()).reported?.name, SOON).toBe(good);
    const { reported } = await profile();
    const file = join(profileReleaseFolder(folders.get('branch-0087') ?? '', reported.digest), 'conf/agent.conf');
    await appendFile(file, '# changed by hand\n');
    const { page, complaints } = await opened('/agents/branch-0087?tab=release');
    await page.getByRole('button', { name: 'Measure now' }).click();
    const callout = page.locator('.callout', { hasText: 'conf/agent.conf' });
    await callout.waitFor(SOON);
    await page.getByText(/^Measured at .*: files were changed\.$/).waitFor();
    await shot(page, 'agent-drift-light');
    const { page: list } = await opened('/overview');
    await list
      .locator('.legend')
      .getByRole('link', { name: new RegExp(`^${good}`) })
      .click();
    await list.waitForURL(/\/agents\?release=[0-9a-f]{64}$/);
    await list.getByRole('row', { name: /branch-0087/ }).waitFor(SOON);
    expect(await list.getByLabel('Release').innerText()).toContain(good);
    expect(await violationsOf(page)).toEqual([]);
    const preflight = page.waitForResponse(/\/profile\/repair\?(?:.*&)?dryRun=true/);
    await confirmed(page, 'Repair…', 'Repair');
    expect((await preflight).status()).toBe(200);
    await page.waitForURL(/\/rollouts\/r-\d+$/);
    await page.locator('.head').getByText('Completed').waitFor(SOON);
    await page.goBack();
    await page.getByRole('button', { name: 'Measure now' }).click();
    await page.getByText(/^Measured at .*: no file was changed\.$/).waitFor(SOON);
    await callout.waitFor({ state: 'detached' });

    const { body } = await central.rest('POST', '/api-tokens', { name: 'measures', role: 'viewer' });
    const viewer = await openPage(browser, central, '/agents/branch-0087?tab=release');
    await signIn(viewer.page, body.token);
    await viewer.page.getByText(/^Measured at /).waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Measure now' }).count()).toBe(0);
    expect(complaints).toEqual([]);
  });
});

describe('profiles', () => {
  it('are listed with the agents of each; one shows its draft, its releases and the commands', async () => {
    const { page, complaints } = await opened('/profiles');
    await page.getByRole('link', { name: 'branch' }).click();
    await page.getByText('The draft is the latest release.').waitFor(SOON);
    await page.getByText(good).first().waitFor(SOON);
    await page.getByText('queuegate profiles prepare branch').waitFor();
    await shot(page, 'profile-light');
    expect(complaints).toEqual([]);
  });
});

describe('a viewer', () => {
  it('sees rollouts and is offered no act', async () => {
    const { body } = await central.rest('POST', '/api-tokens', { name: 'looks', role: 'viewer' });
    const { page } = await openPage(browser, central, '/rollouts');
    await signIn(page, body.token);
    await page.getByRole('link', { name: 'r-1', exact: true }).waitFor(SOON);
    expect(await page.getByRole('button', { name: /…$/ }).count()).toBe(0);
    await page.getByRole('link', { name: 'r-1', exact: true }).click();
    await page.getByRole('row', { name: /branch-0042/ }).waitFor(SOON);
    expect(await page.getByRole('button', { name: /…$/ }).count()).toBe(0);
  });
});

describe('every page', () => {
  it.each([
    ['light', 1440],
    ['dark', 1440],
    ['light', 390],
    ['dark', 390],
  ] as const)(
    'has no violation that axe-core finds: %s, %i wide; nothing is wider than the window',
    async (scheme, width) => {
      const { page, complaints } = await opened('/rollouts', {
        colorScheme: scheme,
        reducedMotion: 'reduce',
        viewport: { width, height: 900 },
      });
      for (const path of ['/rollouts', '/rollouts/r-1', '/profiles', '/profiles/branch', '/rollouts?tab=software']) {
        await page.goto(`${originOf(central)}${path}`);
        await page.locator('main .card').first().waitFor();
        await expect.poll(() => page.locator('[aria-busy="true"]').count(), SOON).toBe(0);
        expect([path, await violationsOf(page)]).toEqual([path, []]);
        const widest = await page.evaluate<number>('document.documentElement.scrollWidth');
        expect([path, widest <= width]).toEqual([path, true]);
        await shot(page, `${path.replaceAll(/\W+/g, '-').slice(1)}-${scheme}-${width}`);
      }
      expect(complaints).toEqual([]);
    },
  );
});
