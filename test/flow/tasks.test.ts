// Tasks with real processes: what runs, how it ends, and what is left of it, whatever the program does.
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { agentFlags, agentFolders, AgentProcess, CentralProcess, Cleanup, runNode, until } from './processes.ts';

const cleanup = new Cleanup();
const NAME = 'branch-1';
const FINAL = new Set(['succeeded', 'failed', 'canceled', 'timed-out', 'expired', 'lost']);
let central: CentralProcess;
let agent: AgentProcess;
let folder: string;

/** Each is run by sh, so that a test writes what it needs. */
const HANDLERS = `
agent.queues=printing, backup
task.sh.command=/bin/sh
task.sh.arguments=list
task.sh.fixedArguments=["-c"]
task.sh.concurrency=8
task.sh.graceSeconds=1
task.words.command=/usr/bin/printf
task.words.arguments=list
task.words.fixedArguments=["%s|"]
task.named.command=/bin/echo
task.named.arguments=list
task.named.argumentPattern=[a-z]{1,8}
task.short.command=/bin/sleep
task.short.fixedArguments=["60"]
task.short.arguments=fixed
task.short.timeoutSeconds=1
task.short.graceSeconds=1
task.noisy.command=/usr/bin/head
task.noisy.arguments=fixed
task.noisy.fixedArguments=["-c", "1000000000", "/dev/zero"]
task.noisy.maxOutputBytes=65536
task.missing.command=/nonexistent/program
task.environment.command=/usr/bin/env
task.environment.environment.REGION=north
`;

beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  const folders = await agentFolders(cleanup);
  folder = await cleanup.folder();
  await writeFile(join(folders.profile, 'conf/agent.local.conf'), HANDLERS);
  await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, NAME)]);
  agent = AgentProcess.start(cleanup, folders, NAME, [], { SECRET_OF_THE_AGENT: 'hunter2' });
  await central.online(NAME);
  await until(async () => (await central.rest('GET', `/agents/${NAME}/task-handlers`)).body.items.length > 0);
});
afterAll(() => cleanup.run());

async function begun(handler: string, ...words: string[]): Promise<string> {
  const { status, body } = await central.rest('POST', '/tasks', { agent: NAME, handler, arguments: words });
  expect(body).toMatchObject({ state: 'sent' });
  expect(status).toBe(202);
  return body.id;
}

// Answers have many members; what is expected of them is asserted.
// oxlint-disable-next-line typescript/no-explicit-any
async function inState(id: string, ...states: string[]): Promise<any> {
  return await until(
    async () => {
      const { body } = await central.rest('GET', `/tasks/${id}`);
      if (FINAL.has(body.state) && !states.includes(body.state)) throw new Error(JSON.stringify(body));
      return states.includes(body.state) ? body : undefined;
    },
    30_000,
    () => `${id} did not become ${states.join(' or ')}`,
  );
}

const text = ({ tail }: { tail: string }): string => Buffer.from(tail, 'base64').toString();

/** A process that was not reaped has ended all the same. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !stat.includes(') Z ');
}

async function written(name: string): Promise<string> {
  return await until(async () => (await readFile(join(folder, name), 'utf8').catch(() => '')) || undefined);
}

it('a task runs, and Central has its exit code, sizes, digests and the end of both channels', async () => {
  const id = await begun('sh', 'echo to stdout; echo to stderr >&2; exit 3');
  const task = await inState(id, 'failed');
  expect(task).toMatchObject({ exitCode: 3, stateReason: null, stateDeadlineAt: null, lateResult: null });
  expect([text(task.stdout), text(task.stderr)]).toEqual(['to stdout\n', 'to stderr\n']);
  expect(task.stdout).toMatchObject({ keptBytes: 10, truncated: false });
  const { stdout } = await central.cli('tasks', 'show', id);
  expect(stdout).toMatch(/exit code +3\n/);
  expect(stdout).toMatch(/\nstdout:\nto stdout\n/);
  const listed = await central.cli('tasks', 'list', '--agent', NAME, '--state', 'failed', '-o', 'name');
  expect(listed.stdout.split('\n')).toContain(id);
  const shown = await central.cli('tasks', 'run', NAME, 'words', '--wait', '--', 'a b', '$(id)', "'; rm -rf /", '-x');
  expect(shown).toMatchObject({ code: 0 });
  expect(shown.stdout).toContain("a b|$(id)|'; rm -rf /|-x|");
});

it('a task for a queue runs at an agent that serves it, and waits while it is offline or without room', async () => {
  expect((await central.rest('GET', `/agents/${NAME}`)).body.queues).toEqual(['printing', 'backup']);
  const shown = await central.cli('tasks', 'run', '--queue', 'printing', 'words', '--wait', '--', '-x');
  expect(shown).toMatchObject({ code: 0 });
  expect(shown.stdout).toMatch(new RegExp(`agent +${NAME}\\nqueue +printing\\n`));
  const order = { queue: 'backup', handler: 'short', arguments: [] };
  for (const body of [
    { ...order, agent: NAME },
    { ...order, queue: undefined },
  ])
    expect(await central.rest('POST', '/tasks', body)).toMatchObject({
      status: 400,
      body: { code: 'request_invalid' },
    });
  expect((await central.rest('POST', '/tasks', { ...order, queue: 'other' })).body.code).toBe('queue_unserved');
  const first = (await central.rest('POST', '/tasks', order)).body;
  const second = (await central.rest('POST', '/tasks', order)).body;
  const third = (await central.rest('POST', '/tasks', order)).body;
  expect([first.state, first.agent, first.queue]).toEqual(['queued', null, 'backup']);
  await inState(first.id, 'running');
  expect((await central.rest('GET', `/tasks/${second.id}`)).body).toMatchObject({ state: 'queued', agent: null });
  const canceled = await central.cli('tasks', 'cancel', second.id, '-o', 'json');
  expect(JSON.parse(canceled.stdout)).toMatchObject({ state: 'canceled', agent: null });
  expect(await inState(third.id, 'timed-out')).toMatchObject({ agent: { name: NAME }, queue: 'backup' });
  const listed = await central.cli('tasks', 'list', '--queue', 'backup', '-o', 'name');
  expect(listed.stdout.trim().split('\n')).toEqual([third.id, second.id, first.id]);
});

it('arguments are checked at the agent, and a missing program and an unknown handler are named', async () => {
  expect(await inState(await begun('named', 'north'), 'succeeded')).toMatchObject({ exitCode: 0 });
  for (const word of ['North', 'a;b', 'abcdefghi', 'a\nb', ''])
    expect(await inState(await begun('named', word), 'failed')).toMatchObject({
      exitCode: null,
      startedAt: null,
      stateReason: { code: 'task_arguments_invalid' },
    });
  expect(await inState(await begun('short', 'x'), 'failed')).toMatchObject({
    stateReason: { code: 'task_arguments_invalid' },
  });
  expect(await inState(await begun('missing'), 'failed')).toMatchObject({
    stateReason: { code: 'task_program_missing', detail: expect.stringContaining('/nonexistent/program') },
  });
  const refused = await central.rest('POST', '/tasks', { agent: NAME, handler: 'nothing' });
  expect(refused).toMatchObject({ status: 422, body: { code: 'handler_unknown' } });
});

it('a program gets its own environment, and nothing of the agent', async () => {
  const { stdout } = await inState(await begun('environment'), 'succeeded');
  const lines = text(stdout).split('\n');
  expect(lines).toContain('REGION=north');
  expect(lines).toContain(`QUEUEGATE_AGENT=${NAME}`);
  expect(text(stdout)).not.toMatch(/SECRET|hunter2|QUEUE_AGENT_|NODE_/);
});

it('output beyond the bound is dropped where it arises, and the task goes on', async () => {
  const { stdout } = await inState(await begun('noisy'), 'succeeded');
  expect(stdout).toMatchObject({ keptBytes: 65_536, truncated: true });
  // One byte more says that there was more.
  const tasks = join(agent.folders.data, 'tasks');
  const sizes = await Promise.all(
    (await readdir(tasks)).map(
      async (key) => (await stat(join(tasks, key, 'stdout')).catch(() => undefined))?.size ?? 0,
    ),
  );
  expect(Math.max(...sizes)).toBe(65_537);
});

/** How many processes have this task in their environment. */
async function processesOf(id: string): Promise<number> {
  const environments = (await readdir('/proc'))
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''));
  return (await Promise.all(environments)).filter(
    (text) => text.includes(`QUEUEGATE_TASK=${id}\0`) && text.includes(agent.folders.data),
  ).length;
}

it('a program that doubles its processes without end is ended with all of them', async () => {
  // Seven times, so that the machine survives a defect: 127 shells, of which each leaves one more process.
  const id = await begun(
    'sh',
    'bomb() { [ $1 -eq 0 ] || { bomb $(($1 - 1)) & bomb $(($1 - 1)) & }; sleep 300; }; bomb 6',
  );
  await until(async () => (await processesOf(id)) >= 200);
  expect(await central.cli('tasks', 'cancel', id, '--wait=30s')).toMatchObject({ code: 0 });
  await until(async () => (await processesOf(id)) === 0);
});

it('a program that ignores SIGTERM and a grandchild with a session of its own end when the task is canceled', async () => {
  const pids = join(folder, 'pids');
  const line = `trap '' TERM; setsid sh -c 'trap "" TERM; echo $$ >>${pids}; while :; do sleep 1; done' & echo $$ >>${pids}; while :; do sleep 1; done`;
  const id = await begun('sh', line);
  await inState(id, 'running');
  const started = await until(async () => {
    const found = (await readFile(pids, 'utf8').catch(() => '')).trim().split('\n');
    return found.length === 2 ? found.map(Number) : undefined;
  });
  const canceled = await central.cli('tasks', 'cancel', id, '--wait=30s');
  expect(canceled).toMatchObject({ code: 0, stdout: expect.stringMatching(/state +canceled/) });
  expect(await inState(id, 'canceled')).toMatchObject({ exitCode: 137 });
  const { body } = await central.rest('GET', `/agents/${NAME}/task-handlers`);
  const [grandchild = 0, program = 0] = started;
  // Where there is no cgroup v2, the grandchild is not found, and the agent says so.
  const isContained = body.items[0].containment === 'cgroup';
  expect([await isAlive(program), await isAlive(grandchild)]).toEqual([false, !isContained]);
  if (!isContained) process.kill(grandchild, 'SIGKILL');
  // A second time changes nothing.
  expect(await central.rest('POST', `/tasks/${id}/cancel`)).toMatchObject({ status: 202, body: { state: 'canceled' } });
});

it('a task ends when its time is over', async () => {
  expect(await inState(await begun('short'), 'timed-out')).toMatchObject({ exitCode: 143 });
});

it('a task goes on while the agent is killed and started again, and its result is known', async () => {
  const go = join(folder, 'go');
  const id = await begun(
    'sh',
    `echo one >>${folder}/adopted; while [ ! -e ${go} ]; do sleep 0.1; done; echo done; exit 7`,
  );
  await inState(id, 'running');
  await written('adopted');
  await agent.stop('SIGKILL');
  const { folders } = agent;
  agent = AgentProcess.start(cleanup, folders, NAME);
  await central.online(NAME);
  await writeFile(go, '');
  const task = await inState(id, 'failed');
  expect(task).toMatchObject({ exitCode: 7 });
  expect(text(task.stdout)).toBe('done\n');
  // And one that ended while no agent ran.
  const second = await begun('sh', `while [ ! -e ${go}2 ]; do sleep 0.1; done; exit 8`);
  await inState(second, 'running');
  await agent.stop('SIGKILL');
  await writeFile(`${go}2`, '');
  await delay(1_000);
  agent = AgentProcess.start(cleanup, folders, NAME);
  expect(await inState(second, 'failed')).toMatchObject({ exitCode: 8 });
  expect(await written('adopted')).toBe('one\n');
});

it('a task of which neither a process nor a result is left is lost, and never runs again', async () => {
  const id = await begun('sh', `echo one >>${folder}/lost; sleep 100`);
  await inState(id, 'running');
  await written('lost');
  await agent.stop('SIGKILL');
  const tasks = join(agent.folders.data, 'tasks');
  // What a power cut does: all of its processes are gone.
  for (const key of await readdir(tasks)) {
    const stat = await readFile(join(tasks, key, 'supervisor'), 'utf8').catch(() => '');
    const program = await readFile(join(tasks, key, 'pid'), 'utf8').catch(() => '');
    const isOver = (await readFile(join(tasks, key, 'exit'), 'utf8').catch(() => '')) !== '';
    if (isOver) continue;
    process.kill(-Number(stat.split(' ')[0]), 'SIGKILL');
    process.kill(-Number(program), 'SIGKILL');
  }
  await delay(300);
  agent = AgentProcess.start(cleanup, agent.folders, NAME);
  expect(await inState(id, 'lost')).toMatchObject({ stateReason: { code: 'task_result_unknown' }, exitCode: null });
  expect(await written('lost')).toBe('one\n');
});

it('a task for an agent that is offline waits, and is canceled before it is sent', async () => {
  await agent.stop();
  const waiting = await begun('sh', `echo one >>${folder}/waited`);
  const withdrawn = await begun('sh', `echo one >>${folder}/withdrawn`);
  expect(await central.rest('POST', `/tasks/${withdrawn}/cancel`)).toMatchObject({ body: { state: 'canceled' } });
  agent = AgentProcess.start(cleanup, agent.folders, NAME);
  await inState(waiting, 'succeeded');
  expect(await written('waited')).toBe('one\n');
  await expect(readFile(join(folder, 'withdrawn'))).rejects.toThrow('ENOENT');
});

it('commands of the type that starts tasks are refused, and no consumer gets a task', async () => {
  const { status, body } = await central.rest('POST', `/agents/${NAME}/commands`, {
    type: 'queuegate.task.start',
    data: {},
  });
  expect(status).toBe(400);
  expect(body.errors).toMatchObject([{ pointer: '#/type' }]);
  const local = await agent.local('GET', '/api/v1/commands');
  expect(local.body.items).toEqual([]);
});

it('the audit log has who ran and canceled what', async () => {
  const { body } = await central.rest('GET', '/audit?action=tasks.*');
  const actions = (body.items as { action: string; detail: { task: string } }[]).map(({ action }) => action);
  expect(actions).toContain('tasks.run');
  expect(actions).toContain('tasks.cancel');
});

const POST = `
const { readFileSync, writeFileSync } = require('node:fs');
const [, , folder, ...paths] = process.argv;
const call = async (path, body) => {
  const { url, token } = JSON.parse(readFileSync(process.env.QUEUEGATE_LOCAL_API_FILE, 'utf8'));
  const headers = { authorization: 'Bearer ' + token, 'content-type': 'application/json' };
  const answer = await fetch(url + path, { method: body === undefined ? 'GET' : 'POST', headers, body });
  return { status: answer.status, token, code: (await answer.json()).code };
};
const main = async () => {
  const results = [];
  results.push(await call('/api/v1/events', JSON.stringify({ type: 'task.posts', id: 'first-' + process.env.QUEUEGATE_TASK })));
  results.push(await call('/api/v1/events', JSON.stringify({ type: 'task.posts', queuegatetask: 't-1' })));
  for (const path of paths) results.push(await call(path));
  writeFileSync(folder + '/first', JSON.stringify(results));
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      readFileSync(folder + '/go');
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  results.push(await call('/api/v1/events', JSON.stringify({ type: 'task.posts', id: 'second-' + process.env.QUEUEGATE_TASK })));
  writeFileSync(folder + '/second', JSON.stringify(results));
};
main();
`;

it('a program posts events by a token of its task, which is for nothing else, and ends with the task', async () => {
  const own = await cleanup.folder();
  await writeFile(join(own, 'post.cjs'), POST);
  const others = ['/api/v1/commands', '/api/v1/status', '/api/v1/consumers', '/api/v1/incidents'];
  const id = await begun('sh', `exec '${process.execPath}' '${own}/post.cjs' '${own}' ${others.join(' ')}`);
  const read = async (name: string): Promise<{ status: number; token: string; code?: string }[]> =>
    JSON.parse(await until(async () => (await readFile(join(own, name), 'utf8').catch(() => '')) || undefined));
  const first = await read('first');
  expect(first.map(({ status, code }) => [status, code])).toEqual([
    [202, undefined],
    [400, 'local_body_bad'],
    ...others.map(() => [403, 'local_task_events_only']),
  ]);
  // The agent goes and comes back; the task goes on, and so does its token.
  await agent.stop();
  agent = AgentProcess.start(cleanup, agent.folders, NAME, [], { SECRET_OF_THE_AGENT: 'hunter2' });
  await central.online(NAME);
  await writeFile(join(own, 'go'), '');
  const second = await read('second');
  const { token } = first[0] ?? { token: '' };
  expect(second.at(-1)).toEqual({ status: 202, token });
  await inState(id, 'succeeded');
  const items = await until(async () => {
    const { body } = await central.rest('GET', '/events?type=task.posts');
    return body.items.length === 2 ? body.items : undefined;
  });
  expect(items.map(({ event }: { event: object }) => event)).toMatchObject([
    { id: `first-${id}`, queuegatetask: id },
    { id: `second-${id}`, queuegatetask: id },
  ]);
  const { url } = JSON.parse(await readFile(join(agent.folders.data, 'local-api.json'), 'utf8'));
  const answer = await fetch(`${url}/api/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"type":"t"}',
  });
  expect(answer.status).toBe(401);
});
