// Outputs of tasks as Central asks for them: over streams in memory, from an agent of the test.
import { buffer } from 'node:stream/consumers';
import { expect, it, vi } from 'vitest';
import type { TaskRecord } from '../../../central/store/tasks/task-store.ts';
import { MAX_OUTPUTS_OF_AGENT, MAX_OUTPUTS_OF_TOKEN, TaskOutputs } from '../../../central/tasks/outputs.ts';
import type { Stream } from '../../../shared/session/streams/stream.ts';
import { streamsInMemory } from '../../shared/session/streams/in-memory.ts';
import { streamsHere } from '../forwarding/streams-here.ts';
import { RUNNING_TASK } from './running-task.ts';

const WANTED = {
  channel: 'stdout',
  offsetBytes: 0,
  follow: false,
  tokenId: 'token',
  caller: { who: 't', from: '127.0.0.1' },
} as const;

/** `answer`: what the agent of the test does with a stream. */
function scene(answer: (stream: Stream, open: Readonly<Record<string, unknown>>) => void, answerMs = 10_000) {
  const { central } = streamsInMemory((stream, open) => {
    stream.resume();
    answer(stream, open);
  });
  const session = { isOpen: true, hasStreams: true, openStream: (head: object) => central.open(head), facts: {} };
  const outputs = new TaskOutputs({
    agentStreams: streamsHere((id) => (id === 'gone' ? undefined : session)),
    answerMs,
  });
  return { central, session, outputs };
}

it('is what the agent sends, from the byte on that is wanted', async () => {
  const opens: object[] = [];
  const { outputs } = scene((stream, open) => {
    opens.push(open);
    stream.sendHead({ keptBytes: 12, hasEnded: true });
    stream.end('output');
  });
  const output = await outputs.open(RUNNING_TASK, { ...WANTED, offsetBytes: 6 });
  expect(output).toMatchObject({ keptBytes: 12, hasEnded: true });
  expect((await buffer(output.content)).toString()).toBe('output');
  expect(opens).toEqual([
    { kind: 'task-log', key: RUNNING_TASK.key, channel: 'stdout', offsetBytes: 6, follow: false },
  ]);
});

it.each<[string, (stream: Stream) => void, string]>([
  ['has no such folder', (stream) => stream.reset('task_log_unknown'), 'task_output_gone'],
  ['has fewer bytes', (stream) => stream.reset('task_log_offset'), 'task_output_offset_invalid'],
  ['sends too many', (stream) => stream.reset('task_log_busy'), 'task_outputs_full'],
  ['does not know the kind', (stream) => stream.reset('kind_unknown'), 'task_output_unsupported'],
  ['fails', (stream) => stream.reset('anything'), 'task_output_failed'],
  ['says another form', (stream) => void stream.sendHead({ keptBytes: -1 }), 'task_output_failed'],
  [
    'has fewer bytes than it sends from',
    (stream) => void stream.sendHead({ keptBytes: 1, hasEnded: true }),
    'task_output_failed',
  ],
])('of an agent that %s is refused by name, and holds no place', async (_name, answer, code) => {
  const { central, outputs } = scene(answer);
  for (let count = 0; count <= MAX_OUTPUTS_OF_AGENT; count += 1)
    await expect(outputs.open(RUNNING_TASK, { ...WANTED, offsetBytes: 2 })).rejects.toMatchObject({ code });
  await vi.waitFor(() => expect(central.size).toBe(0));
});

it('of an agent that is silent is refused after a time, and holds no place', async () => {
  const { central, outputs } = scene(() => undefined, 10);
  for (let count = 0; count <= MAX_OUTPUTS_OF_AGENT; count += 1)
    await expect(outputs.open(RUNNING_TASK, WANTED)).rejects.toMatchObject({ code: 'task_output_failed' });
  await vi.waitFor(() => expect(central.size).toBe(0));
});

it('of a task that has not started, and of an agent that is away or too old, is refused without a stream', async () => {
  const { session, outputs } = scene(() => expect.unreachable());
  const codeOf = async (change: Partial<TaskRecord>): Promise<unknown> =>
    await outputs.open({ ...RUNNING_TASK, ...change }, WANTED).then(
      () => 'opened',
      (error: { code: string }) => error.code,
    );
  expect(await codeOf({ startedAt: null, state: 'accepted' })).toBe('task_output_not_started');
  expect(await codeOf({ startedAt: null, state: 'expired' })).toBe('task_output_missing');
  expect(await codeOf({ agent: { id: 'gone', name: 'gone' } })).toBe('agent_offline');
  session.hasStreams = false;
  expect(await codeOf({})).toBe('task_output_unsupported');
  session.isOpen = false;
  expect(await codeOf({})).toBe('agent_offline');
});

it('is read so often at once of one agent and with one token, and a reader that leaves makes room', async () => {
  const { central, outputs } = scene((stream) => void stream.sendHead({ keptBytes: 0, hasEnded: false }));
  const open = async (agentId: string, tokenId: string) =>
    await outputs.open({ ...RUNNING_TASK, agent: { id: agentId, name: agentId } }, { ...WANTED, tokenId });
  const full = { code: 'task_outputs_full' };
  const readers = [];
  for (let count = 0; count < MAX_OUTPUTS_OF_AGENT; count += 1) readers.push(await open('a1', 'one'));
  await expect(open('a1', 'other')).rejects.toMatchObject(full);
  for (let count = MAX_OUTPUTS_OF_AGENT; count < MAX_OUTPUTS_OF_TOKEN; count += 1)
    readers.push(await open('a2', 'one'));
  await expect(open('a3', 'one')).rejects.toMatchObject(full);
  readers.push(await open('a3', 'other'));
  for (const { content } of readers) content.destroy();
  await vi.waitFor(() => expect(central.size).toBe(0));
  (await open('a1', 'one')).content.destroy();
});
