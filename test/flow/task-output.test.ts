// The output of tasks, from a real agent behind a line of the test's: byte for byte, whatever happens on the way.
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LineProxy } from '../reliability/line-proxy.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  ROOT,
  run,
  runNode,
  until,
} from './processes.ts';

const cleanup = new Cleanup();
const NAME = 'branch-1';
const FINAL = new Set(['succeeded', 'failed', 'canceled', 'timed-out', 'expired', 'lost']);
let central: CentralProcess;
let line: LineProxy;
let agent: AgentProcess;
let folder: string;

const HANDLERS = `
task.sh.command=/bin/sh
task.sh.arguments=list
task.sh.fixedArguments=["-c"]
task.sh.concurrency=8
task.sh.maxOutputBytes=33554432
task.noisy.command=/usr/bin/head
task.noisy.arguments=fixed
task.noisy.fixedArguments=["-c", "1000000", "/dev/urandom"]
task.noisy.maxOutputBytes=65536
`;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  line = await LineProxy.to(central.ports.wss, cleanup);
  const folders = await agentFolders(cleanup);
  folder = await cleanup.folder();
  await writeFile(join(folders.profile, 'conf/agent.local.conf'), HANDLERS);
  await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, NAME)]);
  agent = start(folders);
  await central.online(NAME);
  await until(async () => (await central.rest('GET', `/agents/${NAME}/task-handlers`)).body.items.length > 0);
});
afterAll(() => cleanup.run());

function start(folders: AgentProcess['folders']): AgentProcess {
  return AgentProcess.start(cleanup, folders, NAME, ['--central-hosts', `localhost:${line.port}`]);
}

async function begun(handler: string, ...words: string[]): Promise<string> {
  const { body } = await central.rest('POST', '/tasks', { agent: NAME, handler, arguments: words });
  expect(body).toMatchObject({ state: 'sent' });
  return body.id;
}

// Answers have many members; what is expected of them is asserted.
// oxlint-disable-next-line typescript/no-explicit-any
async function inState(id: string, state: string): Promise<any> {
  return await until(
    async () => {
      const { body } = await central.rest('GET', `/tasks/${id}`);
      if (FINAL.has(body.state) && body.state !== state) throw new Error(JSON.stringify(body));
      return body.state === state ? body : undefined;
    },
    60_000,
    () => `${id} did not become ${state}`,
  );
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

function answerOf(path: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { headers: { authorization: `Bearer ${central.token}`, ...headers } };
    get(`http://127.0.0.1:${central.ports.http}/api/v1${path}`, options, resolve).once('error', reject);
  });
}

async function read(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Buffer> {
  return await buffer(await answerOf(path, headers));
}

/** `queuegate` in a shell, as a script would run it: its standard output has any bytes. */
async function inShell(command: string) {
  const words = `queuegate() { '${process.execPath}' '${join(ROOT, 'central/cli.ts')}' "$@"; }; ${command}`;
  return await run('/bin/bash', ['-c', words], { env: central.environment });
}

it('both channels come as the program wrote them, whole, in parts and by the command line', async () => {
  const [out, error] = [join(folder, 'out'), join(folder, 'error')];
  const id = await begun(
    'sh',
    `head -c 3000001 /dev/urandom | tee ${out}; head -c 2000001 /dev/urandom | tee ${error} >&2; exit 3`,
  );
  const task = await inState(id, 'failed');
  const [stdout, stderr] = [await readFile(out), await readFile(error)];
  const path = `/tasks/${id}/output/stdout`;
  const whole = await read(path);
  expect([sha256(whole), whole.length]).toEqual([sha256(stdout), task.stdout.keptBytes]);
  expect(sha256(whole)).toBe(task.stdout.sha256);
  expect(sha256(await read(`/tasks/${id}/output/stderr`))).toBe(sha256(stderr));

  const part = await answerOf(path, { range: 'bytes=1000-500999' });
  expect([part.statusCode, part.headers['content-range']]).toEqual([206, 'bytes 1000-500999/3000001']);
  expect(stdout.subarray(1000, 501_000).equals(await buffer(part))).toBe(true);
  expect(await read(path, { range: 'bytes=-5' })).toEqual(stdout.subarray(-5));
  expect(await read(`${path}?offsetBytes=2999000`)).toEqual(stdout.subarray(2_999_000));
  expect(await read(`${path}?offsetBytes=3000001`)).toEqual(Buffer.alloc(0));
  const beyond = await answerOf(path, { range: 'bytes=3000001-' });
  expect([beyond.statusCode, beyond.headers['content-range']]).toEqual([416, 'bytes */3000001']);
  expect(JSON.parse((await buffer(beyond)).toString())).toMatchObject({ code: 'task_output_offset_invalid' });
  expect(await central.rest('GET', `/tasks/${id}/output/exit`)).toMatchObject({
    status: 404,
    body: { code: 'task_channel_unknown' },
  });

  const piped = await inShell(`queuegate tasks output ${id} | sha256sum; exit \${PIPESTATUS[0]}`);
  expect(piped).toMatchObject({ code: 0, stderr: '', stdout: `${sha256(stdout)}  -\n` });
  const file = join(folder, 'copy');
  await central.cli('tasks', 'output', id, '--channel', 'stderr', '--out', file);
  expect(sha256(await readFile(file))).toBe(sha256(stderr));
});

it('output beyond the bound ends at the bound, and the command says that there was more', async () => {
  const id = await begun('noisy');
  const { stdout } = await inState(id, 'succeeded');
  expect(stdout).toMatchObject({ keptBytes: 65_536, truncated: true });
  const bytes = await read(`/tasks/${id}/output/stdout`);
  expect([bytes.length, sha256(bytes)]).toEqual([65_536, stdout.sha256]);
  const { stderr } = await central.cli('tasks', 'output', id, '--out', join(folder, 'noisy'));
  expect(stderr).toContain('The program wrote more to stdout: the agent keeps 65536 bytes.');
});

it('a running program is followed line by line, through cuts of the line and a kill of the agent', async () => {
  const [written, go] = [join(folder, 'followed'), join(folder, 'go')];
  const program = `i=0; while [ ! -e ${go} ]; do i=$((i + 1)); { echo "line $i"; head -c 20000 /dev/urandom; } | tee -a ${written}; sleep 0.1; done; echo end | tee -a ${written}; echo bad >&2; exit 4`;
  const got = join(folder, 'got');
  const following = inShell(`queuegate tasks run ${NAME} sh --follow -- '${program}' >${got} 2>${got}-error; echo $?`);
  const size = async (): Promise<number> => (await readFile(got).catch(() => Buffer.alloc(0))).length;
  const grown = async (before: number): Promise<number> =>
    await until(
      async () => ((await size()) > before ? await size() : undefined),
      60_000,
      () => `no more than ${before}`,
    );
  await grown(0);
  for (let cuts = 0; cuts < 3; cuts += 1) {
    line.cut();
    await grown(await size());
  }
  await agent.stop('SIGKILL');
  agent = start(agent.folders);
  await grown(await size());
  await writeFile(go, '');
  const { stdout } = await following;
  expect(stdout).toBe('1\n');
  expect(sha256(await readFile(got))).toBe(sha256(await readFile(written)));
  const said = await readFile(`${got}-error`, 'utf8');
  expect(said).toMatch(/^bad$/m);
  expect(said).toMatch(/^The task t-\d+ is failed, exit code 4\.$/m);
});

it('a reader that stops holds up nothing else, and one whose agent dies is cut', async () => {
  const id = await begun('sh', 'head -c 20000000 /dev/zero');
  const { stdout } = await inState(id, 'succeeded');
  const path = `/tasks/${id}/output/stdout`;
  const slow = [await answerOf(path), await answerOf(path)];
  for (const answer of slow) expect(answer.headers['content-length']).toBe('20000000');
  const began = performance.now();
  expect(sha256(await read(path))).toBe(stdout.sha256);
  await inState(await begun('sh', 'true'), 'succeeded');
  expect(performance.now() - began).toBeLessThan(15_000);
  const [first, second] = slow;
  expect(sha256(await buffer(first as IncomingMessage))).toBe(stdout.sha256);
  await agent.stop('SIGKILL');
  await expect(buffer(second as IncomingMessage)).rejects.toThrow('aborted');
  // Larger than the end that Central has.
  const away = await answerOf(path);
  expect([away.statusCode, away.headers['retry-after']]).toEqual([503, '60']);
  expect(JSON.parse((await buffer(away)).toString())).toMatchObject({ code: 'agent_offline' });
  agent = start(agent.folders);
  await central.online(NAME);
  expect(sha256(await read(path))).toBe(stdout.sha256);
});

it('a short output is there without the agent; one whose folder is gone, or has changed, is not passed off as whole', async () => {
  const short = await begun('sh', 'echo short');
  const long = await begun('sh', 'head -c 1000000 /dev/urandom');
  await inState(short, 'succeeded');
  const { stdout } = await inState(long, 'succeeded');
  const tasks = join(agent.folders.data, 'tasks');
  const keyOf = async (sum: string): Promise<string> => {
    for (const key of await readdir(tasks))
      if (sha256(await readFile(join(tasks, key, 'stdout')).catch(() => Buffer.alloc(0))) === sum) return key;
    throw new Error('no folder has it');
  };
  const key = await keyOf(stdout.sha256);
  await writeFile(join(tasks, key, 'stdout'), Buffer.alloc(1_000_000, 'x'));
  await expect(read(`/tasks/${long}/output/stdout`)).rejects.toThrow('aborted');
  await rm(join(tasks, key), { recursive: true });
  expect(await central.rest('GET', `/tasks/${long}/output/stdout`)).toMatchObject({
    status: 410,
    body: { code: 'task_output_gone' },
  });
  await agent.stop();
  expect((await read(`/tasks/${short}/output/stdout`)).toString()).toBe('short\n');
  const waiting = await begun('sh', 'true');
  expect(await central.rest('GET', `/tasks/${waiting}/output/stdout`)).toMatchObject({
    status: 409,
    body: { code: 'task_output_not_started' },
  });
});

it('a token reads the output of tasks within its scope', async () => {
  const id = await begun('sh', 'true');
  const { body } = await central.rest('POST', '/api-tokens', {
    name: 'north',
    role: 'viewer',
    scope: 'label:region=north',
  });
  const answer = await answerOf(`/tasks/${id}/output/stdout`, { authorization: `Bearer ${body.token}` });
  expect(answer.statusCode).toBe(404);
  expect(JSON.parse((await buffer(answer)).toString())).toMatchObject({ code: 'task_unknown' });
});
