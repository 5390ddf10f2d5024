// An agent whose inbox is full, because one of its programs does not run: the agent, Central and the administrator's
// command line name that program, and Central knows how far each program is.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  runNode,
  until,
  type AgentFolders,
} from './processes.ts';

interface Consumer {
  readonly name: string;
  readonly waitingCount: number;
}

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** As the program of the consumer: takes everything, and acknowledges it. */
async function takeAll({ data }: AgentFolders, consumer: string): Promise<number> {
  const { url, token } = JSON.parse(await readFile(join(data, 'consumers', `${consumer}.json`), 'utf8')) as {
    url: string;
    token: string;
  };
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const taken = await fetch(`${url}/api/v1/commands`, { headers });
  const { items } = (await taken.json()) as { items: { cursor: number }[] };
  const body = JSON.stringify({ through: items.at(-1)?.cursor });
  const answer = await fetch(`${url}/api/v1/commands/ack`, { method: 'POST', headers, body });
  expect(answer.status).toBe(200);
  return items.length;
}

it('is named with the consumer that fills it, at the agent and at Central, until that one acknowledges', async () => {
  const folders = await agentFolders(cleanup);
  const central = await CentralProcess.start(cleanup, await cleanup.folder());
  await writeFile(
    join(folders.profile, 'conf', 'agent.local.conf'),
    'consumer.printer.types = print.*\nconsumer.display.types = show.*\ninbox.maxMessages = 3\n',
  );
  const enrolled = await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, 'branch-1')]);
  expect(enrolled).toMatchObject({ code: 0 });
  // A kill left them behind; tokens and keys are in them.
  const left = ['.agent-key.pem.0123456789ab.tmp', 'consumers/.printer.json.0123456789ab.tmp'];
  await mkdir(join(folders.data, 'consumers'), { mode: 0o700 });
  for (const name of left) await writeFile(join(folders.data, name), 'secret');
  const agent = AgentProcess.start(cleanup, folders, 'branch-1');
  const { id } = await central.online('branch-1');
  const names = await readdir(folders.data, { recursive: true });
  expect(names).toContain('consumers/printer.json');
  expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  const types = ['print.a', 'show.a', 'print.b', 'print.c', 'print.d'];
  for (const type of types)
    expect(await central.rest('POST', `/agents/${String(id)}/commands`, { type })).toMatchObject({ status: 202 });

  const atAgent = async () => (await agent.local('GET', '/api/v1/status')).body['problems'] as { code: string }[];
  const atCentral = async () => (await central.rest('GET', '/status')).body['problems'] as { code: string }[];
  const shownAgent = async () =>
    (await central.rest('GET', `/agents/${String(id)}`)).body as { inboxFull: boolean | null; consumers: Consumer[] };
  const [local] = await until(async () => {
    const found = (await atAgent()).filter(({ code }) => code === 'inbox_full');
    return found.length > 0 ? found : undefined;
  });
  expect(local).toMatchObject({
    detail: expect.stringMatching(/^The inbox is full: 3 commands .* "printer" has not acknowledged 2 of them\.$/),
    hint: expect.stringContaining('consumer.printer.*'),
  });
  const [remote] = await until(async () => {
    const found = (await atCentral()).filter(({ code }) => code === 'agent_inboxes_full');
    return found.length > 0 ? found : undefined;
  });
  expect(remote).toMatchObject({ detail: expect.stringContaining('branch-1 (2 commands of the consumer printer)') });
  const reported = await until(async () => {
    const { inboxFull, consumers } = await shownAgent();
    return inboxFull === true ? consumers : undefined;
  });
  const [incarnation, reportedAt] = [expect.any(String), expect.stringMatching(/Z$/)] as unknown[];
  expect(reported).toEqual([
    { name: 'default', types: [], acknowledged: { incarnation, number: 3 }, waitingCount: 0, reportedAt },
    { name: 'printer', types: ['print.*'], acknowledged: { incarnation, number: 0 }, waitingCount: 2, reportedAt },
    { name: 'display', types: ['show.*'], acknowledged: { incarnation, number: 1 }, waitingCount: 1, reportedAt },
  ]);
  const shown = await central.cli('agents', 'show', 'branch-1');
  expect(shown.stdout).toMatch(/^consumers +as of .*; the inbox of the agent is full$/m);
  expect(shown.stdout).toMatch(/^ +printer +acknowledged: none; 2 not acknowledged$/m);

  expect(await takeAll(folders, 'printer')).toBe(2);
  expect(await until(async () => ((await atAgent()).length === 0 ? true : undefined))).toBe(true);
  await until(async () => ((await atCentral()).some(({ code }) => code === 'agent_inboxes_full') ? undefined : true));
  // The display's and those that had no room before.
  await until(async () => {
    const { consumers } = await shownAgent();
    return consumers.map(({ waitingCount }) => waitingCount).join() === '0,2,1' || undefined;
  });
});
