// The dashboard in Debian's Chromium, in front of a real Central: starts both, signs in, and collects what the browser
// complains about.
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { ROOT, type CentralProcess, type Cleanup } from '../flow/processes.ts';

const CHROMIUM = '/usr/bin/chromium';
const AXE = readFileSync(join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** What a page said on its console, errors of scripts, and violations of its policy; empty where all is well. */
export type Complaints = string[];

export interface OpenedPage {
  readonly page: Page;
  readonly complaints: Complaints;
}

export async function startBrowser(cleanup: Cleanup, more: readonly string[] = []): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    chromiumSandbox: false,
    args: ['--disable-gpu', '--disable-dev-shm-usage', ...more],
  });
  cleanup.add(() => browser.close());
  return browser;
}

export function originOf(central: CentralProcess): string {
  return `http://127.0.0.1:${central.ports.http}`;
}

/** A browser of its own, without a session, at an address of the dashboard. */
export async function openPage(
  browser: Browser,
  central: CentralProcess,
  path: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, timezoneId: 'UTC', ...options });
  const page = await context.newPage();
  const complaints: Complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`${originOf(central)}${path}`);
  return { page, complaints };
}

/** Signs in by the form, as a person does; the page that was asked for follows. */
export async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('API token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor({ state: 'detached' });
}

/** Signs in with the keyboard alone. */
export async function signInByKeys(page: Page, token: string): Promise<void> {
  await tabTo(page.getByLabel('API token'));
  await page.keyboard.type(token);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor({ state: 'detached' });
}

/** More than any page has. */
const MOST_TABS = 100;

/** Presses Tab until the control has the focus, as a person without a mouse does; no script moves the focus. */
export async function tabTo(control: Locator): Promise<void> {
  await control.waitFor();
  for (let i = 0; i < MOST_TABS; i += 1) {
    await control.page().keyboard.press('Tab');
    if (await hasFocus(control)) return;
  }
  throw new Error(`Tab does not reach ${String(control)}`);
}

export async function hasFocus(control: Locator): Promise<boolean> {
  return await control.evaluate((element) => (element as { matches(selector: string): boolean }).matches(':focus'));
}

/** Goes to the control by Tab, and presses Enter, or another key. */
export async function pressOn(control: Locator, key = 'Enter'): Promise<void> {
  await tabTo(control);
  await control.page().keyboard.press(key);
}

/** The violations that axe-core finds on the page as it is now. */
export async function violationsOf(page: Page): Promise<string[]> {
  // As a debugger: the policy of the page forbids it to the page itself.
  await page.evaluate(AXE);
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
    };
    const { violations } = await axe.run();
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
    );
  });
}

/** Keeps a picture of the page where SCREENSHOTS_DIR names a folder (CI keeps it as an artifact). */
export async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS_DIR'];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** Keeps four pictures: light and dark, as wide as a desk's screen and as a phone; the page is then as it was opened. */
export async function shotEachWay(page: Page, name: string): Promise<void> {
  if (process.env['SCREENSHOTS_DIR'] === undefined) return;
  const before = page.viewportSize();
  for (const width of [390, 1440]) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await shot(page, `${name}-${colorScheme}-${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  if (before !== null) await page.setViewportSize(before);
}
