// What other accounts on the agent's host can make of its daemon and its commands: real processes, a terminal where one
// is meant.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endAll, openApi } from '../agent/local-api/parts.ts';
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
  type AgentFolders,
  type Ended,
} from './processes.ts';

const cleanup = new Cleanup();
afterEach(async () => {
  await endAll();
  await cleanup.run();
});

const CLI = join(ROOT, 'agent/cli.ts');
/** What a terminal acts on, and what reverses a line. */
const HOSTILE = 'a\u001b[2Jb\u009b31mc\u202ed\u2066e\r\nok      authentication';
// oxlint-disable-next-line no-control-regex
const UNESCAPED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

async function queueAgent(folders: AgentFolders, ...args: string[]): Promise<Ended> {
  return await runNode('agent/cli.ts', [...args, '--profile', folders.profile, '--data-folder', folders.data]);
}

async function localFile(folders: AgentFolders): Promise<{ socket: string | null; url: string | null; token: string }> {
  return JSON.parse(await readFile(join(folders.data, 'local-api.json'), 'utf8')) as Awaited<
    ReturnType<typeof localFile>
  >;
}

/** With `input` on stdin, through a pipe. */
async function piped(input: string, args: readonly string[]): Promise<Ended> {
  return await run('sh', ['-c', 'printf "%s\\n" "$INPUT" | "$0" "$@"', process.execPath, CLI, ...args], {
    env: { INPUT: input },
  });
}

/** On a terminal of its own: what a person types once `prompt` is there, and all that the terminal shows. */
async function typed(
  prompt: string,
  keys: string,
  args: readonly string[],
): Promise<{ code: number | null; shown: string }> {
  const command = [process.execPath, CLI, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  cleanup.add(() => child.kill('SIGKILL'));
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()));
  const ended = once(child, 'close') as Promise<[number | null]>;
  await until(
    () => shown.includes(prompt),
    30_000,
    () => `no prompt:\n${shown}`,
  );
  child.stdin.write(keys);
  const [code] = await ended;
  return { code, shown };
}

describe('the daemon', () => {
  it('starts beside a foreign process on its port, tells it in the status, hands it no token, and takes the port once it is free', async () => {
    let heard = '';
    const foreign = createServer((socket) => socket.on('data', (chunk: Buffer) => (heard += chunk.toString()))).listen(
      0,
      '127.0.0.1',
    );
    await once(foreign, 'listening');
    cleanup.add(() => foreign.close());
    const { port } = foreign.address() as AddressInfo;
    const folders = await agentFolders(cleanup);
    const agent = AgentProcess.start(cleanup, folders, 'branch-1', ['--local-api-port', String(port)]);
    await agent.process.printed(/local_port_taken/);
    await until(async () => (await queueAgent(folders, 'status')).stdout.includes('(local_port_taken)'));
    const status = await queueAgent(folders, 'status');
    expect(status).toMatchObject({ code: 1, stderr: '' });
    expect(status.stdout).toContain(`problem   Port ${port} on 127.0.0.1 is in use by another process`);
    expect(await localFile(folders)).toMatchObject({ url: null, socket: join(folders.data, 'local-api.sock') });
    expect((await queueAgent(folders, 'consumers', 'rotate-token')).code).toBe(0);
    expect((await queueAgent(folders, 'consumers', 'list', '-o', 'name')).stdout).toBe('default\n');
    expect(heard).toBe('');

    foreign.close();
    await until(async () => (await localFile(folders)).url === `http://127.0.0.1:${port}`);
    expect((await agent.local('GET', '/api/v1/status')).body).toMatchObject({
      problems: [],
      localApi: { url: `http://127.0.0.1:${port}` },
    });
    expect(await agent.stop()).toMatchObject({ code: 0 });
    expect(await localFile(folders)).toMatchObject({ url: null, socket: null });
    expect(await queueAgent(folders, 'status')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('does not answer'),
    });
    const asJson = await queueAgent(folders, 'consumers', 'list', '-o', 'json');
    expect(asJson).toMatchObject({ code: 3, stdout: '' });
    expect(JSON.parse(asJson.stderr)).toMatchObject({ code: 'daemon_not_answering', title: 'Daemon not answering' });
  });

  it('keeps the tokens of a rotation over a restart', async () => {
    const folders = await agentFolders(cleanup);
    const agent = AgentProcess.start(cleanup, folders, 'branch-1');
    await until(async () => (await queueAgent(folders, 'status')).stdout.includes('branch-1'));
    const { token: before } = await localFile(folders);
    const rotated = await queueAgent(folders, 'consumers', 'rotate-token', '--json');
    expect(rotated).toMatchObject({ code: 0, stderr: '' });
    const { token } = await localFile(folders);
    expect(rotated.stdout + agent.process.stdout).not.toContain(token);
    expect(JSON.parse(rotated.stdout)).toMatchObject({ tokenFile: join(folders.data, 'local-api.json') });
    await agent.stop('SIGKILL');
    const again = AgentProcess.start(cleanup, folders, 'branch-1');
    await again.process.printed(/queue agent started/);
    const { url, token: kept } = await localFile(folders);
    expect(kept).toBe(token);
    for (const each of [before, token])
      expect((await fetch(`${url}/api/v1/status`, { headers: { authorization: `Bearer ${each}` } })).status).toBe(200);
    expect((await fetch(`${url}/api/v1/status`, { headers: { authorization: `Bearer ${token}x` } })).status).toBe(401);
  });

  it('writes no raw control into its log, which may be a terminal', async () => {
    const folders = await agentFolders(cleanup);
    const agent = AgentProcess.start(cleanup, { ...folders, data: join(folders.data, 'x\u202ey') }, 'branch-1');
    await agent.process.printed(/queue agent started/);
    expect(agent.process.stdout).toContain(String.raw`x\u202ey`);
    expect(agent.process.stdout).not.toMatch(UNESCAPED);
  });
});

describe('a secret of a command', () => {
  const CODE = 'ABCDE-FGHJK';

  it('is read from a prompt that shows nothing of it, from stdin and from a file; the recovery code is refused as an argument', async () => {
    const folders = await agentFolders(cleanup);
    const flags = agentFlags(folders, 'branch-1');
    const onTerminal = await typed('Recovery code: ', `${CODE}\r`, ['recover', ...flags]);
    expect(onTerminal).toMatchObject({ code: 4, shown: expect.stringContaining('it has 11 characters') });
    expect(onTerminal.shown).not.toContain('ABCDE');
    expect(await typed('Recovery code: ', '\u0003', ['recover', ...flags])).toMatchObject({ code: 130 });

    const file = join(await cleanup.folder(), 'code');
    await writeFile(file, `${CODE}\r\nanother line\n`);
    for (const ended of [
      await piped(CODE, ['recover', '--code-file', '-', ...flags]),
      await runNode('agent/cli.ts', ['recover', '--code-file', file, ...flags]),
    ]) {
      expect(ended).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('it has 11 characters') });
      expect(ended.stderr).not.toContain('ABCDE');
    }
    const asArgument = await runNode('agent/cli.ts', ['recover', CODE, ...flags]);
    expect(asArgument).toMatchObject({ code: 2, stderr: expect.stringContaining('--code-file FILE') });
    expect(asArgument.stderr).not.toContain('ABCDE');
    expect(await runNode('agent/cli.ts', ['recover', ...flags])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('it cannot prompt without a terminal'),
    });
  });

  it('that is an enrollment token comes from a file, stdin or a prompt; a line of before, with --token, works too', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const words = async () => {
      const line = await central.enrollment();
      const at = line.indexOf('--token');
      return { token: line[at + 1] ?? '', rest: line.toSpliced(at, 2) };
    };
    const [first, second, third, fourth] = [await words(), await words(), await words(), await words()];
    const file = join(await cleanup.folder(), 'token');
    await writeFile(file, `${first.token}\n`, { mode: 0o600 });
    const enrolled = async (name: string, act: (flags: string[]) => Promise<Ended>): Promise<Ended> =>
      await act(agentFlags(await agentFolders(cleanup), name));
    expect(
      await enrolled('branch-1', (flags) => runNode('agent/cli.ts', [...first.rest, '--token-file', file, ...flags])),
    ).toMatchObject({ code: 0, stderr: '' });
    expect(
      await enrolled('branch-2', (flags) => piped(second.token, [...second.rest, '--token-file', '-', ...flags])),
    ).toMatchObject({ code: 0, stderr: '' });
    expect(
      await enrolled('branch-3', (flags) => runNode('agent/cli.ts', [...third.rest, '--token', third.token, ...flags])),
    ).toMatchObject({ code: 0 });
    const shown = await typed('Enrollment token: ', `${fourth.token}\r`, [
      ...fourth.rest,
      '--token-file',
      '-',
      ...agentFlags(await agentFolders(cleanup), 'branch-4'),
    ]);
    expect(shown.code).toBe(0);
    expect(shown.shown).not.toContain(fourth.token);
    expect(await runNode('agent/cli.ts', [...fourth.rest, '--token', 'x', '--token-file', file])).toMatchObject({
      code: 2,
    });
  });
});

describe('text from elsewhere', () => {
  it('is escaped in status, --json and doctor: no control reaches the terminal, and no line can be forged', async () => {
    const folders = await agentFolders(cleanup);
    const connection = {
      state: 'waiting',
      stateChangedAt: '2026-11-22T04:12:40.220Z',
      stateReason: { code: 'refused', detail: HOSTILE, hint: HOSTILE },
      central: { name: HOSTILE, url: HOSTILE, sessionId: null, epoch: 1 },
      connectedAt: null,
    };
    const instruction = {
      generation: 1,
      stage: 'upgrade' as const,
      release: 'a'.repeat(64),
      state: 'failed' as const,
      stateReason: { code: 'x', detail: HOSTILE, hint: HOSTILE },
      receivedBytes: 0,
      totalBytes: 0,
    };
    await openApi({
      dataFolder: folders.data,
      ports: {
        status: async () => ({
          name: HOSTILE,
          version: HOSTILE,
          connection,
          outbox: { messageCount: 0, bytes: 0, oldestAt: null },
          inbox: { messageCount: 0, bytes: 0, oldestAt: null },
          releases: {
            profile: {
              release: 'a'.repeat(64),
              previousRelease: null,
              instruction,
              changedFiles: [HOSTILE],
            },
            software: {
              program: null,
              runtime: null,
              isOnTrial: false,
              previous: null,
              instruction,
              changedFiles: [HOSTILE],
            },
          },
        }),
        consumers: async () => [
          { name: 'default', types: [HOSTILE], delivered: 0, acknowledged: 0, messages: 1, bytes: 1, oldestAt: null },
        ],
      },
    });
    const [text, json] = [await queueAgent(folders, 'status'), await queueAgent(folders, 'status', '-o', 'json')];
    const [list, listJson] = [
      await queueAgent(folders, 'consumers', 'list'),
      await queueAgent(folders, 'consumers', 'list', '-o', 'json'),
    ];
    expect([text.stderr, list.stderr]).toEqual(['', '']);
    for (const line of ['changed', 'reason', 'hint'])
      expect(text.stdout).toMatch(new RegExp(String.raw`^  ${line} +a\\u001b\[2J`, 'm'));
    expect(list.stdout).toContain(String.raw`types     a\u001b[2J`);
    expect(text.stdout).toContain(String.raw`a\u001b[2Jb\u009b31mc\u202ed\u2066e\u000d\u000aok      authentication`);
    expect(JSON.parse(json.stdout)).toMatchObject({ name: HOSTILE, connection });
    const profile = join(folders.profile, '..', HOSTILE);
    await cp(folders.profile, profile, { recursive: true });
    const [doctor, doctorJson] = [
      await queueAgent({ ...folders, profile }, 'doctor'),
      await queueAgent({ ...folders, profile }, 'doctor', '--json'),
    ];
    expect(doctor.stdout).toContain(String.raw`a\u001b[2Jb\u009b31mc\u202ed\u2066e\u000d\u000aok      authentication`);
    expect(JSON.parse(doctorJson.stdout)).toMatchObject({
      steps: [{ found: expect.arrayContaining([`profile ${profile}`]) }, { step: 'identity' }],
    });
    for (const { stdout } of [text, json, list, listJson, doctor, doctorJson]) {
      expect(stdout).not.toMatch(UNESCAPED);
      expect(stdout).not.toMatch(/^ok +authentication/m);
    }
  });

  it('is escaped in the refusal of an enrollment, and in an error about an argument', async () => {
    const server = createHttpServer((_request, response) => {
      response.writeHead(403, { 'content-type': 'application/problem+json' }).end(
        JSON.stringify({
          type: 'urn:queuegate:error:token_used',
          title: HOSTILE,
          detail: HOSTILE,
          hint: HOSTILE,
          status: 403,
        }),
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanup.add(() => server.close());
    const { port } = server.address() as AddressInfo;
    const folders = await agentFolders(cleanup);
    const token = join(await cleanup.folder(), 'token');
    await writeFile(token, `qge_${'0'.repeat(16)}_${'x'.repeat(43)}\n`);
    const refused = await queueAgent(folders, 'enroll', `http://127.0.0.1:${port}`, '--token-file', token);
    expect(refused).toMatchObject({ code: 4, stderr: expect.stringContaining(String.raw`a\u001b[2Jb`) });
    for (const { stdout, stderr } of [
      refused,
      await queueAgent(folders, HOSTILE),
      await queueAgent(folders, 'start', HOSTILE),
      await queueAgent(folders, 'enroll', HOSTILE),
    ]) {
      expect(stdout + stderr).not.toMatch(UNESCAPED);
      expect(stderr).not.toMatch(/^ok /m);
    }
  });
});
