// Certificates in Debian's Chromium, in front of a real Central with real agents: the authority is rotated from begin to
// end, and back step by step; Central's certificate is reissued, imported, staged, installed and restored; who would be cut
// off is named first.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeBank } from '../central/pki/server/bank.ts';
import { AgentProcess, CentralProcess, Cleanup } from '../flow/processes.ts';
import { openPage, originOf, shot, shotEachWay, signIn, startBrowser, violationsOf } from './browser.ts';

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;
let away: AgentProcess;

/** Of what a test waits for: the machine may be busy. */
const SOON = { timeout: 60_000 };

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  await AgentProcess.enrolled(cleanup, central, 'branch-0042');
  away = await AgentProcess.enrolled(cleanup, central, 'branch-0087');
  await central.online('branch-0042');
  await central.online('branch-0087');
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

const phaseOf = async (): Promise<string> => (await central.rest('GET', '/ca/rotation')).body.phase;

/** Presses a button that opens a dialog, fills it in, and confirms it. */
async function confirmed(page: Page, opener: string | RegExp, act: string | RegExp): Promise<void> {
  await page.getByRole('button', { name: opener }).click();
  const dialog = page.getByRole('dialog');
  const apply = dialog.getByRole('button', { name: act, exact: true });
  await apply.waitFor();
  await dialog.getByLabel('Ticket').fill('CHG-2198');
  const timed = dialog.getByLabel(/^Roll back unless/);
  if ((await timed.count()) > 0) await timed.uncheck();
  // The preflight is computed again.
  await apply.waitFor();
  const tick = dialog.getByRole('checkbox', { name: /^(?:Cut off|Delete)/ });
  if ((await tick.count()) > 0) await tick.check();
  await apply.click();
  await dialog.waitFor({ state: 'detached' });
}

describe('the rotation of the authority', () => {
  // Of a first attempt: as many steps back as there can be.
  beforeEach(async () => {
    for (let i = 0; i < 3 && !['idle', 'retired'].includes(await phaseOf()); i += 1)
      await central.rest('POST', '/ca/rotation/rollback?force=true');
  });

  it(
    'is made from begin to end, each step with its preflight; counts follow without a reload',
    { timeout: 300_000 },
    async () => {
      const { page, complaints } = await opened('/certificates');
      await page.getByRole('link', { name: 'branch-0042' }).first().waitFor();
      await page.getByText('No rotation is in progress').waitFor();
      await confirmed(page, 'Begin a rotation…', 'Begin a rotation');
      await page.getByText(/^Root [0-9a-f]{4} [0-9a-f]{4} was created/).waitFor();
      // One that is away will be missing.
      await away.stop('SIGTERM');
      await confirmed(page, 'Publish…', 'Publish');
      await page.getByText('1 of 2 agents trusts the new root.').waitFor(SOON);
      const missing = page.getByRole('row', { name: /branch-0087.*Offline/ });
      await missing.waitFor(SOON);
      await shot(page, 'certificates-rotation-light');
      await shotEachWay(page, 'certificates-rotation');
      expect(await page.getByRole('button', { name: 'Switch…' }).getAttribute('aria-disabled')).toBe('true');
      await page.getByRole('button', { name: 'Switch without 1 agent…' }).click();
      await page.getByRole('button', { name: 'Switch and cut off 1' }).click();
      expect(await page.evaluate('document.activeElement.type')).toBe('checkbox');
      await shot(page, 'certificates-switch-light');
      expect(await violationsOf(page)).toEqual([]);
      await page.keyboard.press('Escape');
      expect(await phaseOf()).toBe('published');

      AgentProcess.start(cleanup, away.folders, 'branch-0087');
      await page.getByText('2 of 2 agents trust the new root.').waitFor(SOON);
      // The row stays where it is, and says so.
      await missing
        .or(page.getByRole('row', { name: /branch-0087.*Ready now/ }))
        .first()
        .waitFor();
      await confirmed(page, 'Switch…', 'Switch');
      await page.getByText('2 of 2 agents have a certificate of it.').waitFor(SOON);
      await confirmed(page, 'Retire…', 'Retire');
      await page.getByText('Its key is kept for a rollback').first().waitFor(SOON);
      await shot(page, 'certificates-retired-light');
      await confirmed(page, 'Delete the key…', 'Delete the key');
      const { body } = await central.rest('GET', '/audit?text=CHG-2198');
      const acts = body.items.map(({ action }: { action: string }) => action);
      const steps = ['prepare', 'publish', 'switch', 'retire'].map((step) => `ca.rotation.${step}`);
      expect(acts).toEqual(expect.arrayContaining([...steps, 'ca.delete-key']));
      expect(complaints).toEqual([]);
    },
  );

  it('goes back one step at a time, until no rotation is in progress', { timeout: 300_000 }, async () => {
    const { page, complaints } = await opened('/certificates');
    const signer = async (): Promise<string> => (await central.rest('GET', '/ca')).body.pin;
    const cutByBack = async (): Promise<number> =>
      (await central.rest('POST', '/ca/rotation/rollback?dryRun=true')).body.cutOff.count;
    const before = await signer();
    await confirmed(page, 'Begin a rotation…', 'Begin a rotation');
    await confirmed(page, 'Publish…', 'Publish');
    await page.getByText('2 of 2 agents trust the new root.').waitFor(SOON);
    await confirmed(page, 'Switch…', 'Switch');
    await page.getByText('2 of 2 agents have a certificate of it.').waitFor(SOON);
    await page.getByRole('button', { name: 'Back one step…' }).click();
    await page.getByText('The previous authority signs again').waitFor();
    expect(await violationsOf(page)).toEqual([]);
    await page.keyboard.press('Escape');
    for (const phase of ['published', 'prepared', 'idle']) {
      // Agents renew over their sessions; until then a step back cuts them off, and the button says so.
      await expect.poll(cutByBack, SOON).toBe(0);
      await confirmed(page, 'Back one step…', 'Go back one step');
      await expect.poll(phaseOf, SOON).toBe(phase);
    }
    await page.getByText('No rotation is in progress').waitFor();
    expect(await signer()).toBe(before);
    for (const name of ['branch-0042', 'branch-0087']) await central.online(name);
    expect(complaints).toEqual([]);
  });
});

const shown = async () => (await central.rest('GET', '/server-certificate')).body;

function fileOf(name: string, text: string) {
  return { name, mimeType: 'application/x-pem-file', buffer: Buffer.from(text) };
}

async function moreActs(page: Page, act: string): Promise<void> {
  await page.getByLabel('More acts on the certificate').click();
  await page.getByRole('button', { name: act }).click();
}

describe("Central's certificate", () => {
  // Of the test before, or of a first attempt.
  beforeEach(async () => {
    for (const slot of ['staged', 'request']) await central.rest('DELETE', `/server-certificate/${slot}`);
  });

  it(
    'is imported, staged until it is activated, and restored; who does not trust it is named first',
    { timeout: 240_000 },
    async () => {
      const { page, complaints } = await opened('/certificates');
      const dialog = page.getByRole('dialog');
      const before = (await shown()).current.thumbprint;
      const bank = makeBank(['localhost']);
      const { key, certificate } = bank.issue('central');
      const chain = bank.intermediate.certificate + bank.root.certificate;
      const imports = async (): Promise<void> => {
        await moreActs(page, 'Import…');
        const content = key + certificate + chain;
        await dialog.locator('input[type=file]').setInputFiles(fileOf('central.pem', content));
      };
      await imports();
      // No agent has the root of this authority.
      await dialog.getByRole('button', { name: 'Import and cut off 2' }).waitFor(SOON);
      await dialog.getByText('branch-0042').waitFor();
      await shot(page, 'certificates-import-light');
      expect(await violationsOf(page)).toEqual([]);
      await dialog.getByLabel('Use').selectOption('true');
      await dialog.getByText('2 agents do not trust it yet').waitFor(SOON);
      await dialog.getByText('No agent would be cut off.').waitFor();
      await dialog.getByRole('button', { name: 'Import', exact: true }).click();
      await dialog.waitFor({ state: 'detached', ...SOON });
      expect(await shown()).toMatchObject({ current: { thumbprint: before }, staged: { origin: 'imported' } });
      // Agents get its root meanwhile.
      const isTrusted = async (): Promise<number> =>
        (await central.rest('POST', '/server-certificate/activate?dryRun=true', { slot: 'staged' })).body.cutOff.count;
      await expect.poll(isTrusted, SOON).toBe(0);
      await confirmed(page, 'Activate…', 'Activate');
      await expect.poll(async () => (await shown()).current.origin, SOON).toBe('imported');
      await confirmed(page, 'Restore the previous one…', 'Restore the previous one');
      await expect.poll(async () => (await shown()).current.thumbprint, SOON).toBe(before);
      expect(complaints).toEqual([]);
    },
  );

  it('is requested from another authority, whose answer is installed', { timeout: 240_000 }, async () => {
    const { page } = await opened('/certificates');
    const dialog = page.getByRole('dialog');
    const before = (await shown()).current.thumbprint;
    await moreActs(page, 'Request from another authority…');
    await page.getByRole('button', { name: 'Create the request' }).click();
    await dialog.getByText('BEGIN CERTIFICATE REQUEST').waitFor(SOON);
    const bank = makeBank(['localhost']);
    const answer = bank.sign((await shown()).request.csr);
    await page.keyboard.press('Escape');
    await moreActs(page, 'Install the answer…');
    const content = answer + bank.intermediate.certificate + bank.root.certificate;
    await dialog.locator('input[type=file]').setInputFiles(fileOf('answer.pem', content));
    await dialog.getByLabel('Use').selectOption('true');
    await dialog.getByText('2 agents do not trust it yet').waitFor(SOON);
    await dialog.getByText('No agent would be cut off.').waitFor();
    await dialog.getByRole('button', { name: 'Install the answer', exact: true }).click();
    await dialog.waitFor({ state: 'detached', ...SOON });
    expect(await shown()).toMatchObject({ current: { thumbprint: before }, staged: { origin: 'signed' } });
    await moreActs(page, 'Delete the staged one…');
    await dialog.getByLabel('Delete the staged certificate.').check();
    await dialog.getByRole('button', { name: 'Delete the staged one', exact: true }).click();
    await expect.poll(async () => (await shown()).staged, SOON).toBeNull();
    await dialog.waitFor({ state: 'detached' });
  });

  it('is requested from another authority; the request can be deleted', async () => {
    const { page } = await opened('/certificates');
    await page.getByLabel('More acts on the certificate').click();
    await page.getByRole('button', { name: 'Request from another authority…' }).click();
    await page.getByRole('button', { name: 'Create the request' }).click();
    await page.getByText('BEGIN CERTIFICATE REQUEST').waitFor(SOON);
    await page.keyboard.press('Escape');
    await page.getByText('open: its answer can be installed').waitFor(SOON);
    await page.getByLabel('More acts on the certificate').click();
    await confirmed(page, 'Delete the request…', 'Delete the request');
    expect((await central.rest('GET', '/server-certificate')).body.request).toBeNull();
  });

  // The last of them: agents come back up to two minutes after it.
  it('is reissued, and counts down until it is confirmed', { timeout: 120_000 }, async () => {
    const { page } = await opened('/certificates');
    await page.getByRole('button', { name: 'Reissue…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('No agent would be cut off.').waitFor(SOON);
    await dialog.getByRole('button', { name: 'Reissue' }).click();
    await dialog.waitFor({ state: 'detached', ...SOON });
    await page.getByText('Rolls back unless confirmed:').waitFor(SOON);
    await page.getByText('Awaits confirmation').waitFor(SOON);
    const isPending = async (): Promise<boolean> =>
      (await central.rest('GET', '/server-certificate')).body.change !== null;
    expect(await isPending()).toBe(true);
    await page.getByRole('button', { name: 'Roll back now' }).click();
    await page.getByText('In use').waitFor(SOON);
    expect(await isPending()).toBe(false);
  });
});

describe('a viewer', () => {
  it('sees everything and is offered no act', async () => {
    const { body } = await central.rest('POST', '/api-tokens', { name: 'looks', role: 'viewer' });
    const { page } = await openPage(browser, central, '/certificates');
    await signIn(page, body.token);
    await page.getByRole('link', { name: 'branch-0042' }).first().waitFor();
    await page.getByText('In use').waitFor(SOON);
    await page.getByText('Prepare').first().waitFor(SOON);
    const buttons = await page.locator('main .page').getByRole('button').allInnerTexts();
    // What copies the pin has no text.
    expect(buttons.filter((text) => text !== '')).toEqual([]);
    expect(await page.getByLabel('More acts on the certificate').count()).toBe(0);
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
      const { page, complaints } = await opened('/certificates', {
        colorScheme: scheme,
        reducedMotion: 'reduce',
        viewport: { width, height: 900 },
      });
      for (const path of ['/certificates']) {
        await page.goto(`${originOf(central)}${path}`);
        await page.locator('main .card').first().waitFor();
        await page.locator('[aria-busy="true"]').first().waitFor({ state: 'detached' });
        expect([path, await violationsOf(page)]).toEqual([path, []]);
        const widest = await page.evaluate<number>('document.documentElement.scrollWidth');
        expect([path, widest <= width]).toEqual([path, true]);
        await shot(page, `${path.replaceAll(/\W+/g, '-').slice(1)}-${scheme}-${width}`);
      }
      expect(complaints).toEqual([]);
    },
  );
});
