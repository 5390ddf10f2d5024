// Tasks in Debian's Chromium, in front of a real Central with a real agent: one is run and followed to its end, one is
// canceled, one fails and says why, one waits in a queue; what programs write is text, whatever it is.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentFlags, agentFolders, AgentProcess, CentralProcess, Cleanup, runNode, until } from '../flow/processes.ts';
import {
  hasFocus,
  openPage,
  originOf,
  pressOn,
  shot,
  shotEachWay,
  signIn,
  startBrowser,
  tabTo,
  violationsOf,
} from './browser.ts';

const SOON = { timeout: 30_000 };
const NAME = 'branch-0042';
const HOSTILE = '<img src=x onerror="document.title=1"><b>\u202Egnp.exe\u200B\u001B[31mred';
const SHOWN = '<img src=x onerror="document.title=1"><b>[U+202E]gnp.exe[U+200B][U+001B][31mred';

const HANDLERS = `
agent.queues=printing
task.sh.command=/bin/sh
task.sh.arguments=list
task.sh.fixedArguments=["-c"]
task.sh.concurrency=8
task.sh.graceSeconds=1
task.date.command=/bin/date
task.slow.command=/bin/sleep
task.slow.arguments=fixed
task.slow.fixedArguments=["600"]
`;

const cleanup = new Cleanup();
let central: CentralProcess;
let agent: AgentProcess;
let browser: Browser;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  const folders = await agentFolders(cleanup);
  await writeFile(join(folders.profile, 'conf/agent.local.conf'), HANDLERS);
  await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, NAME)]);
  agent = AgentProcess.start(cleanup, folders, NAME);
  await central.online(NAME);
  await until(async () => (await central.rest('GET', `/agents/${NAME}/task-handlers`)).body.items.length > 0);
  browser = await startBrowser(cleanup);
}, 120_000);
afterAll(() => cleanup.run());

async function opened(path: string, options: Parameters<typeof openPage>[3] = {}) {
  const found = await openPage(browser, central, path, options);
  await signIn(found.page, central.token);
  found.complaints.splice(0);
  return found;
}

async function begun(script: string): Promise<string> {
  const { body } = await central.rest('POST', '/tasks', { agent: NAME, handler: 'sh', arguments: [script] });
  return body.id;
}

async function inState(id: string, state: string): Promise<void> {
  await expect.poll(async () => (await central.rest('GET', `/tasks/${id}`)).body.state, SOON).toBe(state);
}

const head = (page: Page) => page.locator('.head');
const output = (page: Page) => page.locator('pre.output');

/** What the browser saved. */
async function downloaded(page: Page): Promise<Buffer> {
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download' }).click();
  return await readFile(await (await saved).path());
}

describe('a task', () => {
  it('is run with the keyboard alone, followed to its end, and its output saved', { timeout: 120_000 }, async () => {
    const flag = join(await cleanup.folder(), 'on');
    const { page, complaints } = await opened('/tasks');
    await page.getByRole('heading', { name: 'No tasks yet' }).waitFor(SOON);
    await pressOn(page.getByRole('button', { name: 'Run a task…' }));
    const dialog = page.getByRole('dialog');
    await tabTo(dialog.getByRole('combobox', { name: /^Agent/ }));
    await page.keyboard.type(NAME);
    await dialog.getByRole('combobox', { name: 'Handler' }).selectOption('sh');
    await tabTo(dialog.getByRole('textbox', { name: /^Arguments/ }));
    await page.keyboard.type(`echo one; until [ -e ${flag} ]; do sleep 0.1; done; echo two`);
    await tabTo(dialog.getByLabel('Ticket'));
    await page.keyboard.type('CHG-77');
    await dialog.getByText(`sh with 1 argument at ${NAME}`).waitFor(SOON);
    expect(await violationsOf(page)).toEqual([]);
    await shot(page, 'task-start-light');
    await pressOn(dialog.getByRole('button', { name: 'Run a task' }));
    await page.waitForURL(/\/tasks\/t-\d+$/);
    const id = /t-\d+$/.exec(page.url())?.[0] ?? '';
    await head(page).getByText('Running').waitFor(SOON);
    await output(page).getByText('one').waitFor(SOON);
    await page.getByText('Following; 4 bytes so far').waitFor(SOON);
    await page.getByText('the account of the agent').waitFor(SOON);
    await page.getByText('CHG-77').waitFor(SOON);
    await writeFile(flag, '');
    await output(page).getByText('two').waitFor(SOON);
    await head(page).getByText('Succeeded').waitFor(SOON);
    await page.getByText('8 bytes', { exact: true }).waitFor(SOON);
    expect((await downloaded(page)).toString()).toBe('one\ntwo\n');
    const { body } = await central.rest('GET', '/audit?text=CHG-77');
    expect(body.items[0]).toMatchObject({ action: 'tasks.run', ticket: 'CHG-77' });
    await shotEachWay(page, 'task-succeeded');
    await page.goto(`${originOf(central)}/tasks`);
    await page.getByRole('row', { name: new RegExp(`${id}.*branch-0042.*Succeeded`) }).waitFor(SOON);
    expect(complaints).toEqual([]);
  });

  it('that failed shows its exit code and what it wrote to standard error', async () => {
    const id = await begun('echo no space left >&2; exit 3');
    await inState(id, 'failed');
    const { page, complaints } = await opened(`/tasks/${id}`);
    await page.getByRole('heading', { name: 'Its program ended with exit code 3.' }).waitFor(SOON);
    await output(page).getByText('no space left').waitFor(SOON);
    await page.getByRole('button', { name: 'Standard output' }).click();
    await page.waitForURL(/channel=stdout/);
    await page.getByText('Nothing was written.').first().waitFor(SOON);
    await page.goBack();
    await output(page).getByText('no space left').waitFor(SOON);
    await shotEachWay(page, 'task-failed');
    expect(complaints).toEqual([]);
  });

  it('is canceled once that is confirmed', { timeout: 60_000 }, async () => {
    const id = await begun('sleep 600');
    await inState(id, 'running');
    const { page, complaints } = await opened(`/tasks/${id}`);
    await page.getByRole('button', { name: 'Cancel the task…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('canceling').waitFor(SOON);
    await dialog.getByRole('button', { name: 'Cancel the task' }).click();
    expect(await hasFocus(dialog.getByRole('checkbox'))).toBe(true);
    expect(await violationsOf(page)).toEqual([]);
    await dialog.getByLabel('Comment').fill('wrong host');
    await dialog.getByRole('checkbox').check();
    await dialog.getByRole('button', { name: 'Cancel the task' }).click();
    await dialog.waitFor({ state: 'detached' });
    await head(page).getByText('Canceled').waitFor(SOON);
    await page.getByRole('button', { name: 'Cancel the task…' }).waitFor({ state: 'detached' });
    const { body } = await central.rest('GET', '/audit?text=wrong%20host');
    expect(body.items[0]).toMatchObject({ action: 'tasks.cancel' });
    expect(complaints).toEqual([]);
  });

  it('for a queue waits there without an agent, and is canceled at once', { timeout: 60_000 }, async () => {
    await central.rest('POST', '/tasks', { agent: NAME, handler: 'slow' });
    const { page, complaints } = await opened('/tasks?queue=printing');
    await page.getByRole('heading', { name: 'No task matches these filters' }).waitFor(SOON);
    await page.getByRole('button', { name: 'Run a task…' }).click();
    const dialog = page.getByRole('dialog');
    expect(await dialog.getByRole('textbox', { name: /^Queue/ }).inputValue()).toBe('printing');
    await dialog.getByRole('textbox', { name: /^Handler/ }).fill('nothing');
    await dialog.getByRole('button', { name: 'Run a task' }).click();
    await dialog.getByRole('alert').getByText('printing').waitFor(SOON);
    await dialog.getByRole('textbox', { name: /^Handler/ }).fill('slow');
    await dialog.getByText('slow with no arguments at queue printing').waitFor(SOON);
    await dialog.getByRole('button', { name: 'Run a task' }).click();
    await page.waitForURL(/\/tasks\/t-\d+$/);
    await page.getByText('It waits for an agent of its queue').waitFor(SOON);
    await page.getByText('Nothing is written before the program is started.').waitFor(SOON);
    await page.getByRole('button', { name: 'Cancel the task…' }).click();
    await dialog.getByText('never runs').waitFor(SOON);
    await dialog.getByRole('button', { name: 'Cancel the task' }).click();
    await head(page).getByText('Canceled').waitFor(SOON);
    await page.getByText('none took it').waitFor(SOON);
    expect(complaints.filter((text) => !text.includes('422'))).toEqual([]);
  });
});

describe('what a program writes', () => {
  it('is text, with its control characters and those that turn the direction written out', async () => {
    const id = await begun(`printf '%s\\r\\n' '${HOSTILE}'`);
    await inState(id, 'succeeded');
    const { page, complaints } = await opened(`/tasks/${id}`);
    await output(page).getByText(SHOWN).waitFor(SOON);
    expect(await output(page).innerText()).toBe(`${SHOWN}\n`);
    expect(await page.locator('img, bdi b, #app script, #app style').count()).toBe(0);
    expect(await page.locator('.words code').innerText()).toContain(SHOWN.slice(0, 60));
    const shown = await page.locator('body').innerText();
    expect(['\u202E', '\u200B', '\u001B'].filter((sign) => shown.includes(sign))).toEqual([]);
    expect((await downloaded(page)).toString()).toBe(`${HOSTILE}\r\n`);
    expect(complaints).toEqual([]);
  });

  it('is shown from its end where it is long, and saved whole', { timeout: 60_000 }, async () => {
    const id = await begun('i=0; while [ $i -lt 60000 ]; do echo "line $i"; i=$((i+1)); done');
    await inState(id, 'succeeded');
    const { body } = await central.rest('GET', `/tasks/${id}`);
    const { page, complaints } = await opened(`/tasks/${id}`);
    await output(page).getByText('line 59999').waitFor(SOON);
    await page.getByText(/^Some \d+ kB before are not shown here/).waitFor(SOON);
    expect(await output(page).innerText()).not.toContain('line 12\n');
    const saved = await downloaded(page);
    expect([saved.length, createHash('sha256').update(saved).digest('hex')]).toEqual([
      body.stdout.keptBytes,
      body.stdout.sha256,
    ]);
    expect(complaints).toEqual([]);
  });

  it('is continued where it was when the line to Central was cut', { timeout: 60_000 }, async () => {
    const flag = join(await cleanup.folder(), 'on');
    const id = await begun(`echo before; until [ -e ${flag} ]; do sleep 0.1; done; echo after`);
    const { page } = await opened(`/tasks/${id}`);
    await output(page).getByText('before').waitFor(SOON);
    await page.context().setOffline(true);
    await page
      .getByText('it continues where it was')
      .or(page.getByText(/^Following/))
      .first()
      .waitFor(SOON);
    await writeFile(flag, '');
    await inState(id, 'succeeded');
    await page.context().setOffline(false);
    await output(page).getByText('after').waitFor(SOON);
    expect(await output(page).innerText()).toBe('before\nafter\n');
  });
});

describe('following', () => {
  it('is stopped and begun again; where too many follow, it waits for a place', { timeout: 90_000 }, async () => {
    const flag = join(await cleanup.folder(), 'on');
    const id = await begun(`echo before; until [ -e ${flag} ]; do sleep 0.1; done; echo after`);
    await inState(id, 'running');
    const { page } = await opened(`/tasks/${id}`);
    await page.getByText('Following; 7 bytes so far').waitFor(SOON);
    await page.getByRole('button', { name: 'Stop following' }).click();
    await page.getByText('As far as it was read: 7 bytes').waitFor(SOON);
    const end = new AbortController();
    const address = `${originOf(central)}/api/v1/tasks/${id}/output/stdout?follow=true`;
    const headers = { authorization: `Bearer ${central.token}` };
    // So many as one agent sends at once.
    const others = Array.from({ length: 8 }, async () => await fetch(address, { headers, signal: end.signal }));
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    await page.getByRole('button', { name: 'Follow', exact: true }).click();
    await page.getByRole('alert').getByText('Too many outputs of tasks are being read').waitFor(SOON);
    end.abort();
    await page.getByText('Following; 7 bytes so far').waitFor(SOON);
    expect(await page.getByRole('alert').count()).toBe(0);
    await writeFile(flag, '');
    await output(page).getByText('after').waitFor(SOON);
  });
});

describe('the list', () => {
  it('changes in place, and says how many are new', { timeout: 60_000 }, async () => {
    const flag = join(await cleanup.folder(), 'on');
    const wait = `until [ -e ${flag} ]; do sleep 0.1; done`;
    const first = await begun(wait);
    await inState(first, 'running');
    const { page, complaints } = await opened(`/tasks?state=open&agent=${NAME}&handler=sh`);
    const row = (id: string) => page.getByRole('row', { name: new RegExp(`^${id} `) });
    await row(first).getByText('Running').waitFor(SOON);
    const second = await begun(wait);
    await page.getByText('1 task more since then.').waitFor(SOON);
    expect(await row(second).count()).toBe(0);
    await page.getByRole('button', { name: 'Update the order' }).click();
    await row(second).getByText('Running').waitFor(SOON);
    await writeFile(flag, '');
    await row(first).getByText('Succeeded').waitFor(SOON);
    // It stays where it is, marked.
    await page.locator('tr.dim', { hasText: first }).waitFor(SOON);
    await page.getByRole('button', { name: 'Succeeded' }).click();
    await page.waitForURL(/state=succeeded/);
    await row(second).getByText('Succeeded').waitFor(SOON);
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL(new RegExp(`/tasks/${second}$`));
    expect(complaints).toEqual([]);
  });

  it('of an agent that is not known says so; one without tasks that fit offers to clear the filters', async () => {
    const { page } = await opened('/tasks?agent=branch-9999');
    await page.getByText('(agent_unknown)').waitFor(SOON);
    await page.getByLabel('Agent: name or id').fill('');
    await page.getByLabel('Agent: name or id').press('Enter');
    await page.getByLabel('State', { exact: true }).selectOption('Expired');
    await page.getByRole('heading', { name: 'No task matches these filters' }).waitFor(SOON);
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await page.getByRole('row', { name: /^t-1 / }).waitFor(SOON);
    await page.goto(`${originOf(central)}/tasks/t-999999`);
    await page.getByText('(task_unknown)').waitFor(SOON);
    expect(await page.getByRole('button', { name: 'Try again' }).count()).toBe(1);
  });

  it('is read page by page', { timeout: 60_000 }, async () => {
    for (let i = 0; i < 52; i += 1) await central.rest('POST', '/tasks', { agent: NAME, handler: 'date' });
    const { page } = await opened('/tasks?handler=date');
    const rows = page.locator('tbody tr.go');
    await expect.poll(() => rows.count(), SOON).toBe(50);
    await page.getByRole('button', { name: 'Older' }).click();
    await expect.poll(() => rows.count(), SOON).toBe(52);
    expect(await page.getByRole('button', { name: 'Older' }).count()).toBe(0);
  });
});

describe('the tab of an agent', () => {
  it('has what it can run and its tasks, and runs one', { timeout: 60_000 }, async () => {
    const id = await begun('true');
    await inState(id, 'succeeded');
    const { page, complaints } = await opened(`/agents/${NAME}?tab=tasks`);
    await page.getByRole('row', { name: /^sh those of the request is lost/ }).waitFor(SOON);
    await page.getByText('This agent takes tasks of: printing.').waitFor(SOON);
    await page.getByRole('row', { name: new RegExp(`^${id} sh true.*Succeeded`) }).waitFor(SOON);
    expect(await violationsOf(page)).toEqual([]);
    await shotEachWay(page, 'agent-tasks');
    await page.getByRole('button', { name: 'Run… date' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('This handler takes no arguments.').waitFor(SOON);
    await dialog.getByText(`date with no arguments at ${NAME}`).waitFor(SOON);
    await dialog.getByRole('button', { name: 'Run a task' }).click();
    await page.waitForURL(/\/tasks\/t-\d+$/);
    await head(page).getByText('Succeeded').waitFor(SOON);
    expect(complaints).toEqual([]);
  });
});

describe('a viewer', () => {
  it('sees tasks and what they wrote, and is offered no act; one with a scope sees those of its agents', async () => {
    for (const [scope, isSeen] of [
      [null, true],
      ['label:region=south', false],
    ] as const) {
      const { body } = await central.rest('POST', '/api-tokens', { name: `looks ${scope}`, role: 'viewer', scope });
      const { page } = await openPage(browser, central, '/tasks?handler=sh');
      await signIn(page, body.token);
      await page
        .getByRole(isSeen ? 'row' : 'heading', { name: isSeen ? /^t-1 / : 'No task matches these filters' })
        .first()
        .waitFor(SOON);
      expect(await page.getByRole('button', { name: /…$/ }).count()).toBe(0);
      await page.goto(`${originOf(central)}/tasks/t-1`);
      await (isSeen ? output(page).getByText('two') : page.getByText('(task_unknown)')).waitFor(SOON);
      expect(await page.getByRole('button', { name: /…$/ }).count()).toBe(0);
    }
  });
});

describe('every page', () => {
  it.each([
    ['light', 1440],
    ['dark', 1440],
    ['light', 390],
    ['dark', 390],
  ] as const)('has no violation that axe-core finds: %s, %i wide; nothing is wider', async (scheme, width) => {
    const { page, complaints } = await opened('/tasks', {
      colorScheme: scheme,
      reducedMotion: 'reduce',
      viewport: { width, height: 900 },
    });
    for (const path of ['/tasks', '/tasks?state=expired', '/tasks/t-1', '/tasks/t-2']) {
      await page.goto(`${originOf(central)}${path}`);
      await page.locator('main .card').first().waitFor();
      await expect.poll(() => page.locator('[aria-busy="true"]').count(), SOON).toBe(0);
      expect([path, await violationsOf(page)]).toEqual([path, []]);
      const widest = await page.evaluate<number>('document.documentElement.scrollWidth');
      expect([path, widest <= width]).toEqual([path, true]);
      await shot(page, `${path.replaceAll(/\W+/g, '-').slice(1)}-${scheme}-${width}`);
    }
    expect(complaints).toEqual([]);
  });
});

describe('an agent that is offline', () => {
  it('keeps the output, of which its report has the end; a task waits for it', { timeout: 90_000 }, async () => {
    const id = await begun('i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done');
    await inState(id, 'succeeded');
    await agent.stop();
    await until(async () => (await central.agent(NAME))?.['state'] === 'disconnected' || undefined);
    const { page } = await opened(`/tasks/${id}`);
    await page.getByRole('alert').getByText(NAME).first().waitFor(SOON);
    await page.getByText('The last 4.1 kB, as the agent reported them:').waitFor(SOON);
    await output(page).getByText('line 1999').waitFor(SOON);
    await page.getByRole('button', { name: 'Download' }).click();
    await expect.poll(() => page.getByRole('alert').count(), SOON).toBe(2);
    expect(await violationsOf(page)).toEqual([]);
    await shotEachWay(page, 'task-offline');
    await page.getByRole('button', { name: 'Run again…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText(`${NAME} is not online: it runs the task when it is back`).waitFor(SOON);
    await dialog.getByRole('button', { name: 'Run a task' }).click();
    await head(page).getByText('Sent').waitFor(SOON);
    await page.getByText('It is in the log of the agent').waitFor(SOON);
  });
});
