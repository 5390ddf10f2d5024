// What the agent makes of a runner that is away, lies, or floods it: a program of a task has the same account, and can
// listen in its place.
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { RunnerAway, RunnerClient } from '../../../../agent/tasks/runner/client.ts';
import { MAX_ANSWER_BYTES, readRequest } from '../../../../agent/tasks/runner/requests.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const KEY = 'a'.repeat(32);
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Gives each request this answer. */
async function answering(answer: string | Buffer): Promise<RunnerClient> {
  const path = join(temporaryFolder(), 's');
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.resume().once('end', () => socket.end(answer));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closing.push(async () => await new Promise((resolve) => server.close(resolve)));
  return new RunnerClient(path, () => 7);
}

it('a runner that is not there is away, since the first look, and what it was asked is unknown', async () => {
  const client = new RunnerClient(join(temporaryFolder(), 'missing'), () => 7);
  await client.look();
  expect(client.away).toMatchObject({ since: 7, found: expect.stringContaining('ENOENT') });
  expect(client.account).toBeUndefined();
  await expect(client.claim(KEY)).rejects.toThrow(RunnerAway);
});

it('its account is that of the socket, and its answers count', async () => {
  const client = await answering('{"containment":"cgroup","yes":true,"cgroup":"/c"}');
  await client.look();
  expect([client.away, client.account, client.containment()]).toEqual([undefined, process.geteuid?.(), 'cgroup']);
  expect([await client.claim(KEY), await client.isAlive(KEY, null), await client.prepare(KEY)]).toEqual([
    true,
    true,
    '/c',
  ]);
});

it.each([
  ['nothing', ''],
  ['half an answer', '{"yes":tr'],
  ['another type', '{"yes":"true"}'],
  ['a text that is too long', JSON.stringify({ error: 'x'.repeat(5_000) })],
  ['more than an answer has', Buffer.alloc(MAX_ANSWER_BYTES + 1, ' ')],
])('%s from the socket does not count as an answer', async (_name, answer) => {
  const client = await answering(answer);
  await expect(client.isAlive(KEY, null)).rejects.toThrow(RunnerAway);
});

it('what the runner says of a failure is an error, and not that it is away', async () => {
  const client = await answering('{"error":"ENOENT: no such file"}');
  const failed = client.check('/nonexistent');
  await expect(failed).rejects.toThrow('ENOENT');
  await expect(failed).rejects.not.toThrow(RunnerAway);
  // The file of a task waits for the next runner, and holds up nothing.
  await client.put(KEY, 'token');
});

it.each([
  '{"act":"remove","key":"../../etc","cgroup":null}',
  '{"act":"remove","key":"","cgroup":null}',
  '{"act":"shell","command":"id"}',
  '[]',
  '{"act":"start","order":{}}',
])('the runner does not understand %s', (request) => {
  expect(readRequest(Buffer.from(request))).toBeUndefined();
});
