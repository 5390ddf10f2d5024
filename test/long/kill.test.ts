// kill -9 for minutes: the scenario of test/reliability/kill.test.ts with more agents and more kills. With
// QUEUEGATE_KILLS=N it is another length, with QUEUEGATE_SEED=N the schedule of a run that printed it.
import { afterEach, expect, it } from 'vitest';
import { Cleanup } from '../flow/processes.ts';
import { killOptions, killScenario } from '../reliability/kill.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const options = killOptions({ kills: 200, agents: 5, pauseMs: 200 });

it(
  `loses nothing, doubles nothing and keeps the order through ${options.kills} kills`,
  { timeout: 120_000 + options.kills * 6_000 },
  async () => {
    console.info(`QUEUEGATE_SEED=${options.seed} QUEUEGATE_KILLS=${options.kills}`);
    const { faults, story, recorded, figures } = await killScenario(cleanup, options);
    console.info(JSON.stringify(figures));
    expect(faults, story).toEqual([]);
    expect(recorded).toEqual([]);
    expect(figures.sessions).toBeGreaterThan(options.kills / 2);
  },
);
