// Tasks under a second account, with two real ones: what a program of a task can do to the agent, and what is left of it
// when the runner, or the agent, is killed. Needs root, which makes the accounts and removes them.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentFlags, agentFolders, CentralProcess, Cleanup, ROOT, Running, runNode, until } from './processes.ts';

const isRoot = process.getuid?.() === 0 && process.platform === 'linux';
if (!isRoot) console.warn('SKIPPED: tests with other accounts need root.');

const NAME = 'branch-1';
const ACCOUNTS = { agent: `qga${process.pid}`, task: `qgt${process.pid}` } as const;
const HANDLERS = `
task.sh.command=/bin/sh
task.sh.arguments=list
task.sh.fixedArguments=["-c"]
task.sh.concurrency=8
task.sh.graceSeconds=1
`;
const FINAL = new Set(['succeeded', 'failed', 'canceled', 'timed-out', 'expired', 'lost']);
const cleanup = new Cleanup();
let central: CentralProcess;
let folders: Awaited<ReturnType<typeof agentFolders>>;
let socket: string;
/** Of the account of tasks. */
let shared: string;
let agent: Running;
let runner: Running | undefined;

function idOf(account: string): number {
  return Number(execFileSync('id', ['-u', account], { encoding: 'utf8' }));
}

/** The program becomes the account before it begins: its process id is that of the daemon. */
function startAs(account: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const become = [`--reuid=${account}`, `--regid=${account}`, '--init-groups', process.execPath];
  const started = new Running('setpriv', [...become, join(ROOT, 'agent/cli.ts'), ...words], { env });
  cleanup.add(() => started.stop());
  return started;
}

function startAgent(): Running {
  const words = ['start', ...agentFlags(folders, NAME), '--runner-socket', socket];
  return startAs(ACCOUNTS.agent, words, { SECRET_OF_THE_AGENT: 'hunter2' });
}

async function startRunner(): Promise<Running> {
  const started = startAs(ACCOUNTS.task, ['runner'], { QUEUE_AGENT_RUNNER_SOCKET: socket });
  await until(async () => {
    const { body } = await central.rest('GET', `/agents/${NAME}/task-handlers`);
    return body.items?.[0]?.accounts === 'two';
  });
  return started;
}

async function begun(line: string): Promise<string> {
  const { status, body } = await central.rest('POST', '/tasks', { agent: NAME, handler: 'sh', arguments: [line] });
  expect(status, JSON.stringify(body)).toBe(202);
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

async function status(): Promise<string> {
  const words = ['status', '--profile', folders.profile, '--data-folder', folders.data];
  return (await runNode('agent/cli.ts', words)).stdout;
}

describe.skipIf(!isRoot)('with two accounts', () => {
  beforeAll(async () => {
    for (const account of Object.values(ACCOUNTS))
      execFileSync('useradd', ['--system', '--user-group', '--no-create-home', account]);
    execFileSync('usermod', ['--append', '--groups', ACCOUNTS.task, ACCOUNTS.agent]);
    central = await CentralProcess.start(cleanup, await cleanup.folder());
    folders = await agentFolders(cleanup);
    await chmod(join(folders.data, '..'), 0o755);
    await writeFile(join(folders.profile, 'conf/agent.local.conf'), HANDLERS);
    await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, NAME)]);
    // As the packages have it.
    await chmod(folders.profile, 0o700);
    execFileSync('chown', ['-R', `${ACCOUNTS.agent}:${ACCOUNTS.agent}`, folders.data, folders.profile]);
    const base = await cleanup.folder();
    await chmod(base, 0o755);
    const own = join(base, 'runner');
    shared = join(base, 'shared');
    for (const [folder, mode] of [[own, 0o750] as const, [shared, 0o700] as const]) {
      await mkdir(folder);
      await chown(folder, idOf(ACCOUNTS.task), idOf(ACCOUNTS.task));
      await chmod(folder, mode);
    }
    execFileSync('chgrp', [ACCOUNTS.task, own]);
    socket = join(own, 'runner.sock');
    agent = startAgent();
    await central.online(NAME);
  });
  afterAll(async () => {
    await cleanup.run();
    for (const account of Object.values(ACCOUNTS)) {
      // Tasks outlive the runner.
      for (const pid of execFileSync('sh', ['-c', `pgrep -u ${account} || :`], { encoding: 'utf8' }).split('\n'))
        if (Number(pid) > 1) process.kill(Number(pid), 'SIGKILL');
      await until(() => spawnSync('userdel', [account]).status === 0);
    }
  });

  it('tasks wait while the runner is away, with a reason at Central and a problem in the status', async () => {
    await until(async () => (await central.rest('GET', `/agents/${NAME}/task-handlers`)).body.items.length > 0);
    const { body } = await central.rest('GET', `/agents/${NAME}/task-handlers`);
    expect(body.items[0].accounts).toBe('one');
    const id = await begun('id -un');
    const waiting = await until(async () => {
      const task = (await central.rest('GET', `/tasks/${id}`)).body;
      return task.stateReason === null ? undefined : task;
    });
    expect(waiting).toMatchObject({ state: 'accepted', stateReason: { code: 'task_runner_away' } });
    expect(await status()).toMatch(/problem .*the runner does not answer.*\(task_runner_away\)/);
    runner = await startRunner();
    const task = await inState(id, 'succeeded');
    expect([text(task.stdout), task.stateReason]).toEqual([`${ACCOUNTS.task}\n`, null]);
    expect(await status()).toMatch(/^ {2}accounts {2}two/m);
    expect(await status()).not.toContain('task_runner_away');
  });

  it('a program can read neither key, configuration, environment nor descriptors of the agent, nor signal or trace it', async () => {
    const { pid } = agent.child;
    const attempts = [
      `cat ${folders.data}/*.key ${folders.data}/identity.json`,
      `ls ${folders.data}`,
      `cat ${folders.profile}/conf/agent.local.conf`,
      `cat /proc/${pid}/environ`,
      `ls /proc/${pid}/fd/`,
      `cat /proc/${pid}/maps`,
      `readlink /proc/${pid}/exe`,
      `kill -0 ${pid}`,
      `kill -KILL ${pid}`,
      `kill -USR1 ${pid}`,
    ];
    const lines = attempts.map((attempt) => `if (${attempt}) >/dev/null 2>&1; then echo "can: ${attempt}"; fi`);
    const ptrace = `python3 -c 'import ctypes; l=ctypes.CDLL(None, use_errno=True); exit(0 if l.ptrace(16, ${pid}, 0, 0) == 0 else 1)'`;
    lines.push(`if command -v python3 >/dev/null && ${ptrace}; then echo "can: ptrace"; fi`);
    const task = await inState(await begun([...lines, 'env; echo done'].join('\n')), 'succeeded');
    expect(text(task.stdout)).toMatch(/\ndone\n$/);
    expect(text(task.stdout)).not.toMatch(/can: |hunter2|QUEUE_AGENT_/);
    expect(text(task.stdout)).toMatch(new RegExp(`^USER=${ACCOUNTS.task}$`, 'm'));
    // The same attempts succeed for the account of the agent: they are attempts.
    const own = execFileSync('setpriv', [
      `--reuid=${ACCOUNTS.agent}`,
      `--regid=${ACCOUNTS.agent}`,
      '--init-groups',
      '/bin/sh',
      '-c',
      lines.filter((line) => !/kill -(KILL|USR1)|ptrace/.test(line)).join('\n'),
    ]);
    expect(String(own).match(/can: /g)?.length).toBe(attempts.length - 2);
    expect((await central.rest('GET', `/agents/${NAME}`)).body.state).toBe('online');
  });

  it('a link in the place of a folder leads the agent to nothing that the account of tasks cannot read', async () => {
    for (const [name, content] of Object.entries({ stdout: 'of the agent', exit: '0\n' })) {
      const secret = join(folders.data, name);
      await writeFile(secret, content, { mode: 0o600 });
      await chown(secret, idOf(ACCOUNTS.agent), idOf(ACCOUNTS.agent));
    }
    const line = `d=$(dirname "$PWD"); mv "$d" "$d.away"; ln -s ${folders.data} "$d"`;
    const task = await inState(await begun(line), 'lost');
    expect(task).toMatchObject({ exitCode: null, stdout: null, stderr: null });
  });

  it('a task goes on while the runner is killed, its result is known, and another runner ends what still runs', async () => {
    const ended = await begun(`echo one >>${shared}/killed; while [ ! -e ${shared}/go ]; do sleep 0.05; done; exit 7`);
    const hanging = await begun("trap '' TERM; while :; do sleep 1; done");
    await inState(ended, 'running');
    await inState(hanging, 'running');
    await until(async () => (await readFile(join(shared, 'killed'), 'utf8').catch(() => '')) !== '');
    await runner?.stop('SIGKILL');
    await writeFile(join(shared, 'go'), '');
    expect(await inState(ended, 'failed')).toMatchObject({ exitCode: 7 });
    await central.rest('POST', `/tasks/${hanging}/cancel`);
    runner = await startRunner();
    expect(await inState(hanging, 'canceled')).toMatchObject({ exitCode: 137 });
    expect(await readFile(join(shared, 'killed'), 'utf8')).toBe('one\n');
  });

  it('each task is started at most once while agent and runner are killed at any time', async () => {
    const ids = [];
    for (let number = 0; number < 16; number += 1) {
      ids.push(await begun(`echo ${number} >>${shared}/once; sleep 0.2`));
      if (number % 6 === 2) {
        await runner?.stop('SIGKILL');
        if (number % 4 === 0) await agent.stop('SIGKILL').then(() => (agent = startAgent()));
        runner = startAs(ACCOUNTS.task, ['runner'], { QUEUE_AGENT_RUNNER_SOCKET: socket });
      } else if (number % 6 === 5) {
        await agent.stop('SIGKILL');
        agent = startAgent();
      }
    }
    for (const id of ids) await inState(id, 'succeeded', 'lost');
    const lines = (await readFile(join(shared, 'once'), 'utf8')).trim().split('\n');
    expect(new Set(lines).size).toBe(lines.length);
  }, 60_000);

  it('the runner refuses to start as root, and in a folder that others can enter', async () => {
    const asRoot = await runNode('agent/cli.ts', ['runner', '--runner-socket', socket]);
    expect(asRoot).toMatchObject({ code: 1, stderr: expect.stringContaining('runner_account_unsafe') });
    const open = join(shared, 'open');
    await mkdir(open);
    await chown(open, idOf(ACCOUNTS.task), idOf(ACCOUNTS.task));
    await chmod(open, 0o755);
    const refused = startAs(ACCOUNTS.task, ['runner'], { QUEUE_AGENT_RUNNER_SOCKET: join(open, 'runner.sock') });
    await until(() => refused.stderr.includes('runner_folder_unsafe'));
  });
});
