// kill -9 of Central and of agents at random instants under load. With QUEUEGATE_KILLS=N it is another length, with
// QUEUEGATE_SEED=N the schedule of a run that printed it (npm run test:reliability -- test/reliability/kill.test.ts).
import { afterEach, describe, expect, it } from 'vitest';
import { Cleanup } from '../flow/processes.ts';
import { killOptions, killScenario } from './kill.ts';
import { killSchedule } from './schedule.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const options = killOptions({ kills: 20, agents: 3, pauseMs: 6 });

describe('kill -9 at random instants while both directions are loaded', () => {
  it(
    'loses nothing that was acknowledged, doubles nothing, and keeps the order',
    async () => {
      console.info(`QUEUEGATE_SEED=${options.seed} QUEUEGATE_KILLS=${options.kills}`);
      const { faults, story, recorded, figures } = await killScenario(cleanup, options);
      console.info(JSON.stringify(figures));
      expect(faults, story).toEqual([]);
      expect(recorded).toEqual([]);
      // The load was there when the kills came.
      expect(figures.messagesUp).toBeGreaterThan(options.kills * 10);
      expect(figures.messagesDown).toBeGreaterThan(options.kills * 5);
      expect(figures.unanswered).toBeGreaterThan(options.kills / 4);
      expect(figures.sessions).toBeGreaterThan(options.kills / 2);
    },
    120_000 + options.kills * 10_000,
  );

  it('follows a schedule that the seed alone decides', () => {
    const agents = ['a', 'b'];
    expect(killSchedule(7, 50, agents)).toEqual(killSchedule(7, 50, agents));
    expect(killSchedule(7, 50, agents)).not.toEqual(killSchedule(8, 50, agents));
    expect(new Set(killSchedule(7, 50, agents).map(({ victim }) => victim))).toEqual(new Set(['central', 'a', 'b']));
  });
});
