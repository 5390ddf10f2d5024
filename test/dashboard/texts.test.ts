// Texts of others in Debian's Chromium, in front of a real Central: names, notes, comments, tickets, settings, files and
// messages with HTML, characters that turn the direction, and ten thousand characters are texts on every page.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentFolders, AgentProcess, CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { openPage, originOf, signIn, startBrowser } from './browser.ts';

const SOON = { timeout: 20_000 };
const HOSTILE = '<img src=x onerror="document.title=1"><b>\u202Egnp.exe\u200B';
const SHOWN = '<img src=x onerror="document.title=1"><b>[U+202E]gnp.exe[U+200B]';
const LONG = HOSTILE.repeat(200);
/** What a reader of attributes and texts must never find. */
const INVISIBLE = /[\u202E\u200B]/;

const cleanup = new Cleanup();
let central: CentralProcess;
let browser: Browser;
let rollout: string;

beforeAll(async () => {
  central = await CentralProcess.startOnParameters(cleanup, await cleanup.folder());
  const agent = await AgentProcess.enrolled(cleanup, central, 'branch-0087');
  await central.online('branch-0087');
  await agent.stop();
  await until(async () => (await central.agent('branch-0087'))?.['state'] === 'disconnected' || undefined);
  rollout = await hostileInstallation();
  browser = await startBrowser(cleanup);
}, 120_000);
afterAll(() => cleanup.run());

/** Puts such texts where an administrator, a profile or a program can put any text. Returns the id of a rollout. */
async function hostileInstallation(): Promise<string> {
  const reason = `comment=${encodeURIComponent(HOSTILE.repeat(18))}&ticket=${encodeURIComponent(HOSTILE)}`;
  const made = await done('POST', `/api-tokens?${reason}`, { name: HOSTILE, role: 'administrator' });
  // Whatever is done with it names it.
  const by = { authorization: `Bearer ${made.body.token}` };
  await done('PATCH', '/agents/branch-0087', { notes: LONG.slice(0, 1_000) }, by);
  for (const data of [HOSTILE, LONG])
    await done('POST', '/agents/branch-0087/commands', { type: HOSTILE, data, datacontenttype: 'text/plain' }, by);
  await done('PATCH', '/parameters', { 'agents.max': 77 }, by);
  const { profile } = await agentFolders(cleanup);
  const imported = await central.cli('profiles', 'import', profile, '--name', 'branch');
  expect(imported, imported.stderr).toMatchObject({ code: 0 });
  const release = await done('POST', `/profiles/branch/releases?force=true&${reason}`, {}, by);
  await written('conf/agent.conf', `central.host=localhost\nlog.folder=${LONG}\n`, by);
  const plan = { kind: 'profile', stage: 'upgrade', release: release.body.release, agents: ['branch-0087'] };
  const { body } = await done('POST', `/rollouts?${reason}`, plan, by);
  await done('POST', `/server-certificate/issue?force=true&${reason}`, {}, by);
  // Last, since it waits for its confirmation on every page.
  await done('PATCH', `/parameters?confirmWithinSeconds=900&${reason}`, { 'agents.max': 78 }, by);
  return body.id;
}

type Headers = Readonly<Record<string, string>>;

async function done(method: string, path: string, body: unknown, headers: Headers = {}) {
  const answer = await central.rest(method, path, body, headers);
  expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300);
  return answer;
}

/** One file of the draft. */
async function written(file: string, text: string, by: Headers): Promise<void> {
  const etag = (await central.rest('GET', '/profiles/branch')).headers.get('etag') ?? '';
  const answer = await fetch(`${originOf(central)}/api/v1/profiles/branch/files/${file}`, {
    method: 'PUT',
    headers: { ...by, 'content-type': 'application/octet-stream', 'if-match': etag },
    body: text,
  });
  expect(answer.status, await answer.text()).toBe(200);
}

/** Everything that a person reads or hears of a page. */
const readOf = async (page: Page): Promise<string> =>
  await page.evaluate<string>(`
    [document.title, document.body.innerText,
      ...[...document.querySelectorAll('*')].flatMap((one) => [...one.attributes].map(({ value }) => value))].join('\\n')
  `);

/** What makes the page wider than its window. */
const tooWide = async (page: Page): Promise<string[]> =>
  await page.evaluate<string[]>(`
    document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')]
      .filter((one) => one.getBoundingClientRect().right > innerWidth)
      .slice(0, 9).map((one) => one.outerHTML.slice(0, 120))
  `);

describe('texts of others', () => {
  it('are texts on every page, cut where they are long', { timeout: 180_000 }, async () => {
    const { page, complaints } = await openPage(browser, central, '/overview');
    await signIn(page, central.token);
    complaints.splice(0);
    const entry = (await central.rest('GET', '/audit?text=gnp.exe')).body.items[0].number;
    for (const [path, seen] of [
      ['/overview', SHOWN],
      ['/agents', 'branch-0087'],
      ['/agents/branch-0087', 'show all'],
      ['/agents/branch-0087?tab=messages', SHOWN],
      ['/agents/branch-0087?tab=release', 'Desired'],
      ['/parameters?group=Queue Agent settings', `Set by ${SHOWN}`],
      ['/certificates', SHOWN],
      ['/rollouts', SHOWN],
      [`/rollouts/${rollout}`, SHOWN],
      ['/nodes', 'One Central'],
      ['/tasks', 'No tasks yet'],
      ['/profiles', 'branch'],
      ['/profiles/branch', 'show all'],
      ['/audit', SHOWN],
      [`/audit?entry=${entry}`, 'show all'],
      ['/tokens', SHOWN],
      // What an address names and is not there.
      [`/agents?q=${encodeURIComponent(`${HOSTILE}${'z'.repeat(2_000)}`)}`, 'No agent matches'],
      [`/agents/${encodeURIComponent(HOSTILE)}`, '(agent_unknown)'],
      [`/profiles/${encodeURIComponent(HOSTILE)}`, 'This could not be loaded'],
      [`/rollouts/${encodeURIComponent(HOSTILE)}`, 'This could not be loaded'],
      [`/tasks/${encodeURIComponent(HOSTILE)}`, 'This could not be loaded'],
      [`/tasks?agent=${encodeURIComponent(HOSTILE)}&state=${encodeURIComponent(HOSTILE)}`, '(agent_unknown)'],
      [`/audit?q=${encodeURIComponent(HOSTILE)}&entry=${encodeURIComponent(HOSTILE)}`, 'has no entry'],
    ] as const) {
      await page.goto(`${originOf(central)}${path}`);
      await page.getByText(seen).first().waitFor(SOON);
      expect([path, await page.locator('img, bdi b, #app script, #app style').count()]).toEqual([path, 0]);
      expect([path, await page.title()]).not.toEqual([path, '1']);
      expect([path, INVISIBLE.exec(await readOf(page))]).toEqual([path, null]);
      await page.setViewportSize({ width: 390, height: 844 });
      expect([path, await tooWide(page)]).toEqual([path, []]);
      await page.setViewportSize({ width: 1440, height: 900 });
    }
    // A request that is refused is printed by the browser itself; the policy of the page complains of nothing.
    expect(complaints.filter((text) => !/status of 4\d\d/.test(text))).toEqual([]);
  });

  it('of ten thousand characters are whole when that is asked for', async () => {
    const { page } = await openPage(browser, central, '/profiles/branch');
    await signIn(page, central.token);
    await page.getByRole('button', { name: /^show all \d\d,\d\d\d characters$/ }).click();
    const whole = page.locator('bdi', { hasText: SHOWN.repeat(200) });
    expect((await whole.first().innerText()).length).toBeGreaterThan(SHOWN.length * 200);
    expect(await page.locator('img, bdi b').count()).toBe(0);
  });
});
