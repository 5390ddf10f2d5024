// Hundreds of agents come back at once, each with a backlog, and a new agent sends one small event after the other
// meanwhile: what it waits for, and what Central needs for all of them. Only Queuegate: raw sockets have no backlog,
// and brokers no agents.
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from '../child.ts';
import { percentile } from '../figures.ts';
import type { LoadDriver } from '../load/driver.ts';
import type { Peer } from '../peers/peer.ts';
import type { Plan } from '../plan.ts';
import { pause, peakResidentOf } from '../process.ts';
import type { Check, Outcome, Series } from '../result.ts';
import { Line } from './line.ts';

const POLL_MS = 100;
const WATCH_MS = 500;
const STANDSTILL_MS = 60_000;

export async function backlog(peers: readonly Peer[], plan: Plan): Promise<Outcome> {
  const acks: Record<string, number[]> = {};
  const peak: Record<string, number[]> = {};
  const delay: Record<string, number[]> = {};
  const checks: Check[] = [];
  for (const peer of peers) {
    const delayFile = join(tmpdir(), `loop-delay-${checks.length}`);
    const line = await Line.start(peer, plan.backlogAgents, { loopDelayFile: delayFile });
    const fresh = new Child<LoadDriver>('load/main.ts', { args: [peer.driver] });
    await line.open();
    await line.close();
    await line.all((load) => load.call('addBacklog', plan.backlogEvents));
    const expected = plan.backlogAgents * plan.backlogEvents;
    process.kill(line.running.pid, 'SIGUSR2');
    const opened = line.open();
    // Awaited below; should the new agent fail first, that error is the one to report.
    opened.catch(() => undefined);
    await fresh.call('open', line.running.target, plan.backlogAgents, 1);
    const acksMs: number[] = [];
    const found = await drained(line, expected, async () => {
      acksMs.push(...(await fresh.call('watch', WATCH_MS)).acksMs);
    });
    await opened;
    process.kill(line.running.pid, 'SIGUSR2');
    await pause(POLL_MS);
    acks[peer.name] = [percentile(acksMs, 0.99)];
    peak[peer.name] = [((await peakResidentOf(line.running.pid)) ?? Number.NaN) / 2 ** 20];
    delay[peer.name] = [Number(await readFile(delayFile, 'utf8'))];
    checks.push({ peer: peer.name, what: 'events of the backlogs that were acknowledged', expected, found });
    await fresh.stop();
    await line.stop();
  }
  const size = `${plan.backlogAgents} agents with ${plan.backlogEvents.toLocaleString('en-US')} events each`;
  const series: Series[] = [
    { measure: 'backlogs: acknowledgement of a new agent, p99', size, unit: 'ms', better: 'less', samples: acks },
    { measure: 'backlogs: peak memory of the server', size, unit: 'MiB', better: 'less', samples: peak },
    { measure: 'backlogs: delay of its event loop, p99', size, unit: 'ms', better: 'less', samples: delay },
  ];
  return { series, checks };
}

/** Calls `meanwhile` until all of it is acknowledged, or nothing more is. */
async function drained(line: Line, expected: number, meanwhile: () => Promise<void>): Promise<number> {
  let [last, changedAt] = [-1, performance.now()];
  for (;;) {
    const counts = await line.all((load) => load.call('acknowledged'));
    const found = counts.reduce((sum, { count }) => sum + count, 0);
    if (found !== last) [last, changedAt] = [found, performance.now()];
    if (found >= expected || performance.now() - changedAt > STANDSTILL_MS) return found;
    await meanwhile();
  }
}
