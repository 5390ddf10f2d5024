import { describe, expect, it } from 'vitest';
import { AgentRate, LOGIN_BURST, SECONDS_PER_LOGIN } from '../../../../central/sessions/limits/agent-rate.ts';
import { CLONE_TURNS } from '../../../../central/store/agents/boot-history.ts';

function setUp() {
  const clock = { now: 1_000_000 };
  return { clock, rate: new AgentRate(LOGIN_BURST, SECONDS_PER_LOGIN, () => clock.now) };
}

const taken = (rate: AgentRate, agent: string, tries: number): number =>
  Array.from({ length: tries }, () => rate.take(agent)).filter(Boolean).length;

describe('logins of one agent', () => {
  it('are let through in a burst, then one every few seconds, whatever it tries', () => {
    const { clock, rate } = setUp();
    expect(taken(rate, 'a', 1_000)).toBe(LOGIN_BURST);
    expect(rate.secondsUntilAllowed('a')).toBe(SECONDS_PER_LOGIN);
    let through = 0;
    for (let second = 0; second < 600; second += 1) {
      clock.now += 1_000;
      through += taken(rate, 'a', 100);
    }
    expect(through).toBe(600 / SECONDS_PER_LOGIN);
  });

  it('the burst is more than clones need to be found', () => {
    expect(LOGIN_BURST).toBeGreaterThan(CLONE_TURNS + 3);
  });

  it('do not count for another agent; to ask takes nothing', () => {
    const { rate } = setUp();
    taken(rate, 'a', 1_000);
    for (let i = 0; i < 1_000; i += 1) expect(rate.secondsUntilAllowed('b')).toBe(0);
    expect([taken(rate, 'b', LOGIN_BURST), rate.size]).toEqual([LOGIN_BURST, 2]);
  });

  it('that are refused are reported once per minute', () => {
    const { clock, rate } = setUp();
    taken(rate, 'a', 1_000);
    const reports = Array.from({ length: 120 }, () => {
      clock.now += 1_000;
      return rate.isNews('a');
    });
    expect(reports.filter(Boolean)).toHaveLength(2);
  });

  it('are forgotten when they are long ago: what is kept does not grow', () => {
    const { clock, rate } = setUp();
    for (let i = 0; i < 50_000; i += 1) {
      clock.now += 100;
      rate.take(`agent ${i}`);
    }
    expect(rate.size).toBeLessThan(3_000);
  });

  it('one that is given back may be taken again; an agent without any has none', () => {
    const { rate } = setUp();
    expect(taken(rate, 'a', 1_000)).toBe(LOGIN_BURST);
    rate.giveBack('a');
    rate.giveBack('another');
    expect([taken(rate, 'a', 10), rate.size, rate.isNews('another')]).toEqual([1, 1, false]);
  });

  it('are remembered of every agent that has used some, however many there are', () => {
    const { rate } = setUp();
    const agents = Array.from({ length: 3_000 }, (_, i) => `agent ${i}`);
    for (const agent of agents) rate.take(agent);
    expect([rate.size, agents.reduce((sum, agent) => sum + taken(rate, agent, LOGIN_BURST), 0)]).toEqual([
      3_000,
      3_000 * (LOGIN_BURST - 1),
    ]);
  });

  it('a clock that is set back stops no one for ever', () => {
    const { clock, rate } = setUp();
    taken(rate, 'a', 1_000);
    clock.now -= 86_400_000;
    expect(rate.take('a')).toBe(false);
    clock.now += SECONDS_PER_LOGIN * 1_000;
    expect(rate.take('a')).toBe(true);
  });
});
