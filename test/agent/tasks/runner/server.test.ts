// The runner over its real socket: which folders and accounts it refuses, and that it does what it is asked, and nothing
// else. Its account is played where the tests are root; as a process of another account: test/flow/task-accounts.test.ts.
import { chmodSync, chownSync, existsSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { RunnerClient } from '../../../../agent/tasks/runner/client.ts';
import { MAX_REQUEST_BYTES, receiveAll, runnerTasks } from '../../../../agent/tasks/runner/requests.ts';
import { startRunner } from '../../../../agent/tasks/runner/server.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const KEY = 'b'.repeat(32);
const NOT_ROOT = 65_534;
const isRoot = process.geteuid?.() === 0;
afterEach(() => void vi.restoreAllMocks());

/** A folder of the account that the runner has. */
function runnerFolder(mode = 0o750): string {
  const folder = temporaryFolder();
  chmodSync(folder, mode);
  if (!isRoot) return folder;
  chownSync(folder, NOT_ROOT, 0);
  vi.spyOn(process, 'geteuid').mockReturnValue(NOT_ROOT);
  return folder;
}

async function started() {
  // The umask is of the whole process, and that of a worker cannot be set.
  vi.spyOn(process, 'umask').mockReturnValue(0o022);
  const socket = join(runnerFolder(), 's');
  const runner = await startRunner(socket);
  onTestFinished(() => runner.stop());
  return { socket, tasks: runnerTasks(socket), client: new RunnerClient(socket, () => 7) };
}

async function ask(socket: string, request: string): Promise<unknown> {
  const client = connect({ path: socket, allowHalfOpen: true });
  client.end(request);
  return JSON.parse((await receiveAll(client, 65_536, 5_000)).toString());
}

it('does not start without a socket, or as root', async () => {
  await expect(startRunner('')).rejects.toMatchObject({ code: 'runner_socket_unset' });
  vi.spyOn(process, 'geteuid').mockReturnValue(0);
  await expect(startRunner('/nonexistent/s')).rejects.toMatchObject({ code: 'runner_account_unsafe' });
});

it('does not use a folder that others can enter, that belongs to another account, or that is missing', async () => {
  for (const mode of [0o755, 0o770]) {
    const socket = join(runnerFolder(mode), 's');
    await expect(startRunner(socket)).rejects.toThrow(`its mode is 0${mode.toString(8)}`);
    expect(existsSync(socket)).toBe(false);
  }
  const socket = join(runnerFolder(), 's');
  vi.spyOn(process, 'geteuid').mockReturnValue(4_242);
  await expect(startRunner(socket)).rejects.toMatchObject({ code: 'runner_folder_unsafe' });
  await expect(startRunner(join(socket, 'missing', 's'))).rejects.toThrow('ENOENT');
});

it('runs a program once, whose end and output are in its folder, and removes both', async () => {
  const { tasks, client } = await started();
  await client.look();
  expect(client.away).toBeUndefined();
  await client.check('/bin/sh');
  await expect(client.check('/nonexistent')).rejects.toThrow('ENOENT');
  const cgroup = await client.prepare(KEY);
  expect(statSync(join(tasks, KEY)).isDirectory()).toBe(true);
  await client.put(KEY, 'token');
  const order = { key: KEY, cgroup, command: '/bin/sh', maxOutputBytes: 1_000 };
  await client.start({ ...order, arguments: ['-c', 'printf "%s" "$WORD"'], environment: { WORD: 'a=b c' } });
  const output = join(tasks, KEY, 'stdout');
  await vi.waitFor(() => expect(readFileSync(output, 'utf8')).toBe('a=b c'), { timeout: 5_000 });
  await vi.waitFor(async () => expect(await client.isAlive(KEY, cgroup)).toBe(false), { timeout: 5_000 });
  // It was started: none claims that it was not.
  expect(await client.claim(KEY)).toBe(false);
  await client.kill(KEY, cgroup);
  await client.clean(KEY, cgroup);
  await client.remove(KEY);
  expect(existsSync(join(tasks, KEY))).toBe(false);
});

it('answers that it does not understand what is not a request, and goes on', async () => {
  const { socket, client } = await started();
  for (const request of ['', 'x', '{"act":"shell","command":"id"}', '{"act":"remove","key":"../../etc","cgroup":null}'])
    expect(await ask(socket, request)).toEqual({ error: 'the request is not understood' });
  await expect(ask(socket, 'x'.repeat(MAX_REQUEST_BYTES + 1))).rejects.toThrow(/EPIPE|ECONNRESET|JSON/);
  await client.look();
  expect(client.away).toBeUndefined();
});
