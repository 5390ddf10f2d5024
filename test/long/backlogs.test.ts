// Six hundred agents come back at once, each with a backlog: Central takes it as fast as it can and no faster, and an
// agent that has only one small event does not wait behind it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backlogFrames, enrollMany, LoadAgent, residentBytes } from '../flow/backlogs.ts';
import { CentralProcess, Cleanup, until } from '../flow/processes.ts';
import type { HelloOrder } from '../flow/raw-agent.ts';

const AGENTS = 600;
const FRAMES = backlogFrames(2);
const ITEMS = 240 * FRAMES.length;
/**
 * The budget of 64 MiB as bytes, as text, and once more for the writing thread, and what V8 has not yet collected.
 * Without it: 1.2 GiB.
 */
const MAX_GROWTH_BYTES = 500 * 1024 * 1024;
const EVENTS = 20;

const cleanup = new Cleanup();
let central: CentralProcess;
let orders: HelloOrder[];
beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
  orders = await enrollMany(central, AGENTS + 1);
}, 600_000);
afterAll(() => cleanup.run());

describe('six hundred agents that come back with a backlog each', () => {
  it('take no more of Central than its budget, and each event of a fresh agent is acknowledged while a fiftieth of it is', async () => {
    const { pid } = central.process.child;
    const [first, ...others] = orders;
    if (first === undefined) throw new Error('no agent');
    const agents: LoadAgent[] = [];
    for (const order of others) agents.push(await LoadAgent.online(cleanup, central, order));
    const fresh = await LoadAgent.online(cleanup, central, first);
    const before = (await residentBytes(pid)).now;
    const total = (): number => agents.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    for (const agent of agents) agent.say(FRAMES);
    const shares: number[] = [];
    for (let number = 1; number <= EVENTS + 1; number += 1) {
      const at = total();
      fresh.agent.send({
        type: 'messages',
        first: number,
        items: [{ specversion: '1.0', id: String(number), source: '/fresh', type: 'small' }],
      });
      await until(
        () => (fresh.acknowledged >= number ? true : undefined),
        120_000,
        () => `event ${number}: ${JSON.stringify(fresh.agent.frames.at(-1))}`,
      );
      // What was acknowledged while this process filled the sockets is not the first one's.
      if (number > 1) shares.push((total() - at) / (AGENTS * ITEMS));
    }
    await until(
      () => (total() === AGENTS * ITEMS ? true : undefined),
      300_000,
      () => `${total()} of ${AGENTS * ITEMS}`,
    );
    const { most } = await residentBytes(pid);
    process.stdout.write(
      `shares of the backlog per event: ${shares.map((share) => (share * 100).toFixed(1)).join(' ')} %; ${Math.round(before / 2 ** 20)} MiB before, at most ${Math.round(most / 2 ** 20)} MiB\n`,
    );
    expect(central.process.running).toBe(true);
    expect(agents.every(({ agent }) => agent.closed === undefined)).toBe(true);
    expect(shares.toSorted((a, b) => a - b)[EVENTS / 2]).toBeLessThan(0.02);
    expect(most - before).toBeLessThan(MAX_GROWTH_BYTES);
  }, 600_000);
});
