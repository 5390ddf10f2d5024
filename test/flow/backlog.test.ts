// A hundred agents come back to a Central with a small heap, each with a backlog of four megabytes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backlogFrames, enrollMany, LoadAgent, residentBytes } from './backlogs.ts';
import { CentralProcess, Cleanup, until } from './processes.ts';
import type { HelloOrder } from './raw-agent.ts';

const AGENTS = 100;
const FRAMES = backlogFrames(4);
/**
 * What Central may grow by: the budget (a twelfth of the heap) as bytes, as text and once more for the writing thread,
 * and what V8 has not yet collected.
 */
const MAX_GROWTH_BYTES = 160 * 1024 * 1024;

const cleanup = new Cleanup();
let central: CentralProcess;
let orders: HelloOrder[];
beforeAll(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder(), [], {
    NODE_OPTIONS: '--max-old-space-size=96',
  });
  orders = await enrollMany(central, AGENTS + 1);
}, 120_000);
afterAll(() => cleanup.run());

describe('a hundred agents with a backlog of 4 MiB each, and a heap of 96 MB', () => {
  it('do not end Central; its memory is bounded; and the event of a fresh agent is acknowledged while less than a twentieth of the backlogs is', async () => {
    const { pid } = central.process.child;
    const before = (await residentBytes(pid)).now;
    const agents = await Promise.all(orders.slice(1).map((order) => LoadAgent.online(cleanup, central, order)));
    const [first] = orders;
    if (first === undefined) throw new Error('no agent');
    const total = (): number => agents.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    for (const agent of agents) agent.say(FRAMES);
    await until(
      () => (total() > 0 ? true : undefined),
      60_000,
      () =>
        `nothing of ${AGENTS} backlogs; ${JSON.stringify(agents.map(({ agent }) => agent.closed))} ${central.process.running} ${central.process.stderr.slice(-2000)}`,
    );
    const fresh = await LoadAgent.online(cleanup, central, first);
    const takenAtLogin = total();
    fresh.agent.send({
      type: 'messages',
      first: 1,
      items: [{ specversion: '1.0', id: 'fresh', source: '/fresh', type: 'small' }],
    });
    await fresh.agent.frame('ack');
    const all = AGENTS * FRAMES.length * 240;
    const share = (total() - takenAtLogin) / all;
    await until(
      () => (total() === all ? true : undefined),
      120_000,
      () =>
        `${total()} of ${all}; ${JSON.stringify(agents.find(({ agent }) => agent.closed !== undefined)?.agent.frames.at(-1))} ${central.process.stderr.slice(-2000)}`,
    );
    const { most } = await residentBytes(pid);
    process.stdout.write(
      `fresh after ${(share * 100).toFixed(1)} % of the backlog; ${Math.round(before / 2 ** 20)} MiB before, at most ${Math.round(most / 2 ** 20)} MiB\n`,
    );
    expect(central.process.running).toBe(true);
    expect(share).toBeLessThan(0.05);
    expect(most - before).toBeLessThan(MAX_GROWTH_BYTES);
  }, 240_000);
});
