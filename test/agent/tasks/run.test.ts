// One task at a time with real programs that put into the folder of their task what they like, and one that cannot be
// started at all.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OwnPrograms } from '../../../agent/tasks/programs.ts';
import { TaskRun, type TaskPlace } from '../../../agent/tasks/run.ts';
import { TaskTokens } from '../../../agent/local-api/task-tokens.ts';
import type { TaskRow } from '../../../agent/store/tasks.ts';
import { bootId } from '../../../shared/platform/boot.ts';

const LIMITS = {
  timeoutSeconds: 60,
  graceSeconds: 1,
  maxOutputBytes: 65_536,
  onRestart: 'kill',
  rerun: false,
} as const;
const NEW = { task: 't-1', handler: 'sh', arguments: [], deadlineAt: 0, state: 'accepted', changedAt: 0 } as const;
const NONE = { startedAt: null, bootId: null, limits: null, cgroup: null, ending: null, exitCode: null } as const;
const NOTHING = { code: '', detail: '', hint: '', stdout: null, stderr: null } as const;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'queuegate-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function place(key: string): TaskPlace {
  const own = join(folder, key);
  return { folder: own, account: undefined, token: join(own, 'local-api.json') };
}

/** As it ended. */
async function ran(key: string, line: string, variables: Record<string, string> = {}): Promise<TaskRow> {
  const ended = Promise.withResolvers<TaskRow>();
  const run = new TaskRun(
    { ...NEW, ...NONE, ...NOTHING, key },
    {
      place: () => place(key),
      programs: new OwnPrograms(folder),
      bootId: bootId(),
      tokens: new TaskTokens(Date.now),
      save: () => Promise.resolve(),
      now: Date.now,
      log: { error: (_facts, text) => ended.reject(new Error(text)) },
      onEnd: ended.resolve,
    },
  );
  const environment = { PATH: '/usr/bin:/bin', ...variables };
  await run.start({ command: '/bin/sh', arguments: ['-c', line], environment, limits: LIMITS });
  return await ended.promise;
}

it('a program that puts pipes in the place of its output does not keep its task, or the agent, waiting', async () => {
  const pipes = 'rm ../stdout ../stderr; mkfifo ../stdout ../stderr';
  const rows = await Promise.all(['a', 'b', 'c'].map((key) => ran(key, pipes)));
  for (const row of rows) expect(row).toMatchObject({ state: 'succeeded', exitCode: 0, stdout: null, stderr: null });
});

it('a link that a program puts in the place of its output is not followed', async () => {
  const other = join(folder, 'other');
  await writeFile(other, 'of another program');
  const row = await ran('link', `rm ../stdout; ln -s ${other} ../stdout`);
  expect(row).toMatchObject({ state: 'succeeded', stdout: null, stderr: { keptBytes: 0 } });
  expect(await readFile(other, 'utf8')).toBe('of another program');
});

it('a task whose process cannot be made has failed, and says why', async () => {
  const row = await ran('large', 'exit 0', { LARGE: 'x'.repeat(200_000) });
  expect(row).toMatchObject({ state: 'failed', exitCode: null, code: 'task_not_started' });
  expect(row.detail).toContain('E2BIG');
});

it('a task whose supervisor begins while the agent looks for it goes on, and is not given up', async () => {
  const own = join(folder, 'late');
  mkdirSync(own);
  const supervisor = spawn('sleep', ['30'], { stdio: 'ignore' });
  const saved: Partial<TaskRow>[] = [];
  let looks = 0;
  const run = new TaskRun(
    {
      ...NEW,
      ...NONE,
      ...NOTHING,
      key: 'late',
      state: 'starting',
      bootId: bootId(),
      limits: { ...LIMITS, rerun: true },
    },
    {
      place: () => place('late'),
      programs: new OwnPrograms(folder),
      // Each look begins with it: behind the first one the supervisor claims the task.
      get bootId() {
        looks += 1;
        if (looks !== 2) return bootId();
        writeFileSync(join(own, 'supervisor'), readFileSync(`/proc/${supervisor.pid}/stat`));
        mkdirSync(join(own, 'claim'));
        return 'another one';
      },
      tokens: new TaskTokens(Date.now),
      save: (row) => Promise.resolve(void saved.push(row)),
      now: Date.now,
      log: { error: (_facts, text) => expect.unreachable(text) },
      onEnd: () => undefined,
    },
  );
  try {
    // False: it is not to be started again.
    expect(await run.recover()).toBe(false);
    expect(saved.map(({ state }) => state)).toEqual(['running']);
  } finally {
    run.leave();
    supervisor.kill();
  }
});
