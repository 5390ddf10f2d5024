// 500 tasks over 20 agents, half of them for queues, while Central, daemons and the supervisors of programs are killed
// (kill -9) and all lines are cut: each is started at most once, ends, and its output is whole. With QUEUEGATE_SEED=N the
// schedule of a run that printed it.
import { afterEach, it } from 'vitest';
import { Cleanup } from '../flow/processes.ts';
import { killOptions } from '../reliability/kill.ts';
import { tasksUnderKills } from '../reliability/tasks-under-kills.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

// The scenario asserts.
// oxlint-disable-next-line vitest/expect-expect
it('500 tasks start at most once, end, and leave their whole output, through kills of all processes and cut lines', async () => {
  const options = killOptions({ kills: 12, agents: 20, pauseMs: 60 });
  console.info(JSON.stringify(await tasksUnderKills(cleanup, { ...options, tasks: 500, harsh: true })));
}, 400_000);
