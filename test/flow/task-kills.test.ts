// Tasks while Central and daemons are killed (kill -9): each is started at most once, ends, and its output is whole.
// With QUEUEGATE_SEED=N the schedule of a run that printed it. test/long/task-kills.test.ts has more of all.
import { afterEach, it } from 'vitest';
import { killOptions } from '../reliability/kill.ts';
import { tasksUnderKills } from '../reliability/tasks-under-kills.ts';
import { Cleanup } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

// The scenario asserts.
// oxlint-disable-next-line vitest/expect-expect
it('start at most once, end, and leave their whole output, through kills of Central and of daemons', async () => {
  const options = killOptions({ kills: 7, agents: 3, pauseMs: 300 });
  console.info(JSON.stringify(await tasksUnderKills(cleanup, { ...options, tasks: 60, harsh: false })));
}, 240_000);
