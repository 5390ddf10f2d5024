// Durable acknowledged events up and commands down, messages per second in steady state.
import type { Count } from '../load/driver.ts';
import { pause } from '../process.ts';
import type { Peer, StartOptions } from '../peers/peer.ts';
import type { Plan } from '../plan.ts';
import type { Check, Outcome, Series } from '../result.ts';
import { inRounds, type Line } from './line.ts';

const UNIT = 'messages/s';
/** Microseconds of all threads of the server per message: less of a machine's noise is in it than in a rate. */
export const PROCESSOR_UNIT = 'us/message';
const POLL_MS = 20;
/** Nothing has arrived for so long: the rest is lost. */
const STANDSTILL_MS = 10_000;

/**
 * A burst of so many seconds, and the time until all of it is acknowledged: with full windows acknowledgements come in
 * waves, and some brokers accept far more than they deliver meanwhile, so what is counted while the burst goes on says
 * little.
 */
export async function eventsUp(
  peers: readonly Peer[],
  plan: Plan,
  agents: number,
  options: StartOptions = {},
): Promise<Outcome> {
  const samples: Record<string, number[]> = {};
  const processor: Record<string, number[]> = {};
  const acknowledged = new Map<Line, number>();
  const stored = await inRounds(
    peers,
    agents,
    plan.rounds,
    async (line) => {
      const before = acknowledged.get(line) ?? 0;
      const { total, ms, serverMs } = await burstUp(line, plan.burstMs);
      (samples[line.peer.name] ??= []).push(((total - before) * 1000) / ms);
      (processor[line.peer.name] ??= []).push((serverMs * 1000) / (total - before));
      acknowledged.set(line, total);
    },
    options,
  );
  const checks: Check[] = [];
  for (const [line, found] of stored) {
    if (found !== undefined)
      checks.push({
        peer: line.peer.name,
        what: `events of ${agents} agents that were acknowledged are in the store`,
        expected: acknowledged.get(line) ?? 0,
        found,
      });
  }
  return { series: seriesOf('events up', agentsText(agents), samples, processor), checks };
}

/** All agents send for so long; then all that they sent is acknowledged. `total`: of all bursts of this line. */
export async function burstUp(
  line: Line,
  burstMs: number,
): Promise<{ readonly total: number; readonly ms: number; readonly serverMs: number }> {
  const [startedAt, usedBefore] = [performance.now(), await line.serverMs()];
  await line.all((load) => load.call('flowUp', true));
  await pause(burstMs);
  const counts = await line.all((load) => load.call('flowUp', false));
  const ms = performance.now() - startedAt;
  return { total: counts.reduce((sum, count) => sum + count, 0), ms, serverMs: (await line.serverMs()) - usedBefore };
}

/** The same downwards, until all of it has arrived. */
export async function commandsDown(
  peers: readonly Peer[],
  plan: Plan,
  agents: number,
  options: StartOptions = {},
): Promise<Outcome> {
  const samples: Record<string, number[]> = {};
  const processor: Record<string, number[]> = {};
  const produced = new Map<Line, number>();
  const received = new Map<Line, number>();
  await inRounds(
    peers,
    agents,
    plan.rounds,
    async (line) => {
      const { flowDown, target } = line.running;
      const before = await arrived(line);
      const usedBefore = await line.serverMs();
      await (flowDown === undefined ? line.producer.call('produce', true, target, agents) : flowDown(true));
      await pause(plan.burstMs);
      const sent =
        flowDown === undefined ? await line.producer.call('produce', false, target, agents) : await flowDown(false);
      const after = await settled(line, before.count + sent);
      const count = after.count - before.count;
      (samples[line.peer.name] ??= []).push((count * 1000) / (after.atMs - before.atMs));
      (processor[line.peer.name] ??= []).push((((await line.serverMs()) - usedBefore) * 1000) / count);
      produced.set(line, (produced.get(line) ?? 0) + sent);
      received.set(line, after.count);
    },
    options,
  );
  const checks: Check[] = Array.from(produced, ([line, expected]) => ({
    peer: line.peer.name,
    what: `commands to ${agents} agents that were accepted arrived`,
    expected,
    found: received.get(line) ?? 0,
  }));
  return { series: seriesOf('commands down', agentsText(agents), samples, processor), checks };
}

/** Messages per second, and what they cost the server. */
function seriesOf(measure: string, size: string, samples: Series['samples'], processor: Series['samples']): Series[] {
  return [
    { measure, size, unit: UNIT, better: 'more', samples },
    {
      measure: `${measure}: processor time of the server`,
      size,
      unit: PROCESSOR_UNIT,
      better: 'less',
      samples: processor,
    },
  ];
}

async function arrived(line: Line): Promise<Count> {
  const counts = await line.all((load) => load.call('received'));
  return {
    count: counts.reduce((sum, { count }) => sum + count, 0),
    atMs: Math.max(...counts.map(({ atMs }) => atMs)),
  };
}

/** Waits until so many have arrived, or nothing more comes. */
async function settled(line: Line, expected: number): Promise<Count> {
  let last = await arrived(line);
  while (last.count < expected) {
    await pause(POLL_MS);
    const now = await arrived(line);
    if (now.count > last.count) last = now;
    else if (now.atMs - last.atMs > STANDSTILL_MS) return last;
  }
  return last;
}

export function agentsText(agents: number): string {
  return agents === 1 ? '1 agent' : `${agents} agents`;
}
