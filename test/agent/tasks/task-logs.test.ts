// What programs wrote, as the agent sends it: over streams in memory, from files on a real disk.
import { appendFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { expect, it, vi } from 'vitest';
import type { TaskRow } from '../../../agent/store/tasks.ts';
import { MAX_TASK_LOGS, TaskLogs } from '../../../agent/tasks/task-logs.ts';
import { StreamReset, type Stream } from '../../../shared/session/streams/stream.ts';
import type { Streams } from '../../../shared/session/streams/streams.ts';
import { streamsInMemory } from '../../shared/session/streams/in-memory.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const KEY = 'a'.repeat(32);
const OPEN = { kind: 'task-log', key: KEY, channel: 'stdout', offsetBytes: 0, follow: false };

async function scene(row: object = {}) {
  const dataFolder = temporaryFolder();
  const folder = join(dataFolder, 'tasks', KEY);
  await mkdir(folder, { recursive: true });
  const rows = new Map<string, object>([
    [
      KEY,
      { state: 'running', startedAt: 1, limits: { maxOutputBytes: 1_000_000 }, stdout: null, stderr: null, ...row },
    ],
  ]);
  const logs = new TaskLogs({
    place: (key) => ({ folder: join(dataFolder, 'tasks', key), account: undefined }),
    records: { get: async (key) => rows.get(key) as TaskRow | undefined },
    log: { debug: () => undefined },
  });
  const { central, agent } = streamsInMemory((stream, open) => logs.onStream(stream, open));
  const ended = (keptBytes: number) =>
    rows.set(KEY, {
      ...rows.get(KEY),
      state: 'succeeded',
      stdout: { keptBytes, sha256: '', truncated: false, tail: '' },
    });
  return { central, agent, folder, rows, ended, stdout: join(folder, 'stdout') };
}

function opened(streams: Streams, changes: object = {}): { stream: Stream; head: Promise<unknown> } {
  const stream = streams.open({ ...OPEN, ...changes }) as Stream;
  stream.end();
  const head = new Promise((resolve) => {
    stream.once('head', resolve);
    stream.once('error', (error) => resolve(error instanceof StreamReset ? error.reset : error));
  });
  return { stream, head };
}

it('comes from the byte that is asked for, and not beyond what the agent keeps', async () => {
  const { central, agent, stdout, rows, ended } = await scene();
  const bytes = Buffer.alloc(700_001, 'abcdefg');
  await writeFile(stdout, bytes);
  const whole = opened(central);
  expect(await whole.head).toEqual({ keptBytes: 700_001, hasEnded: false });
  expect(bytes.equals(await buffer(whole.stream))).toBe(true);
  const rest = opened(central, { offsetBytes: 699_990 });
  expect(await buffer(rest.stream)).toEqual(bytes.subarray(699_990));
  // The supervisor keeps one byte more than the bound where there was more.
  rows.set(KEY, { ...rows.get(KEY), limits: { maxOutputBytes: 700_000 } });
  expect((await buffer(opened(central).stream)).length).toBe(700_000);
  // As reported, though the file has grown.
  ended(10);
  const reported = opened(central);
  expect(await reported.head).toEqual({ keptBytes: 10, hasEnded: true });
  expect(await buffer(reported.stream)).toEqual(bytes.subarray(0, 10));
  expect(await opened(central, { offsetBytes: 11 }).head).toBe('task_log_offset');
  await vi.waitFor(() => expect([central.size, agent.size]).toEqual([0, 0]));
});

it('is followed as it is written, until the task has ended', async () => {
  const { central, stdout, ended } = await scene();
  await writeFile(stdout, 'one ');
  const { stream, head } = opened(central, { follow: true });
  const read: string[] = [];
  stream.on('data', (bytes: Buffer) => void read.push(bytes.toString()));
  expect(await head).toEqual({ keptBytes: 4, hasEnded: false });
  await vi.waitFor(() => expect(read.join('')).toBe('one '));
  await appendFile(stdout, 'two ');
  await vi.waitFor(() => expect(read.join('')).toBe('one two '));
  await appendFile(stdout, 'three');
  ended(13);
  await new Promise((resolve) => stream.once('end', resolve));
  expect(read.join('')).toBe('one two three');
});

it('of a file that the program made shorter ends with an error, not as if it were whole', async () => {
  const { central, stdout, ended } = await scene();
  await writeFile(stdout, 'short');
  ended(100);
  const { stream, head } = opened(central);
  expect(await head).toEqual({ keptBytes: 100, hasEnded: true });
  await expect(buffer(stream)).rejects.toMatchObject({ reset: 'task_log_failed' });
});

it('of an unknown task, of one that was not started, and in a folder that is gone is refused by name', async () => {
  const { central, folder, stdout, rows, ended } = await scene();
  expect(await opened(central, { key: 'b'.repeat(32) }).head).toBe('task_log_unknown');
  for (const wrong of [{ key: '../'.repeat(11) }, { channel: 'exit' }, { offsetBytes: -1 }, { follow: 1 }])
    expect([wrong, await opened(central, wrong).head]).toEqual([wrong, 'task_log_invalid']);
  await symlink('/etc/passwd', stdout);
  ended(100);
  expect(await opened(central).head).toBe('task_log_unknown');
  await rm(folder, { recursive: true });
  expect(await opened(central).head).toBe('task_log_unknown');
  rows.set(KEY, { state: 'accepted', startedAt: null });
  expect(await opened(central).head).toBe('task_log_unknown');
});

it('is sent for so many readers at once and no more, and one that leaves makes room', async () => {
  const { central, agent, stdout } = await scene();
  await writeFile(stdout, 'text');
  const readers = Array.from({ length: MAX_TASK_LOGS }, () => opened(central, { follow: true }));
  for (const { head } of readers) expect(await head).toMatchObject({ keptBytes: 4 });
  expect(await opened(central).head).toBe('task_log_busy');
  for (const { stream } of readers) stream.destroy();
  await vi.waitFor(() => expect([central.size, agent.size]).toEqual([0, 0]));
  expect(await buffer(opened(central).stream)).toEqual(Buffer.from('text'));
});
