// A command to an agent and its answer, one at a time: what one person waits for. Each peer both ways durable as it is.
import { percentile, median } from '../figures.ts';
import type { Peer, StartOptions } from '../peers/peer.ts';
import type { Plan } from '../plan.ts';
import type { Outcome } from '../result.ts';
import { inRounds } from './line.ts';

export async function commandAndAnswer(
  peers: readonly Peer[],
  plan: Plan,
  options: StartOptions = {},
): Promise<Outcome> {
  const medians: Record<string, number[]> = {};
  const late: Record<string, number[]> = {};
  await inRounds(
    peers,
    1,
    plan.rounds,
    async (line) => {
      await line.all((load) => load.call('answer', true));
      const taken = await line.producer.call('roundTrips', line.running.target, plan.roundTrips);
      // The first ones pay for connections and for code that is not yet compiled.
      const steady = taken.slice(Math.floor(taken.length / 5));
      (medians[line.peer.name] ??= []).push(median(steady));
      (late[line.peer.name] ??= []).push(percentile(steady, 0.99));
    },
    options,
  );
  return {
    series: [
      { measure: 'command and answer', size: 'median', unit: 'ms', better: 'less', samples: medians },
      { measure: 'command and answer', size: 'p99', unit: 'ms', better: 'less', samples: late },
    ],
    checks: [],
  };
}

/** One durable event at a time, from the agent's send to Central's acknowledgement: one commit and nothing else. */
export async function eventAndAck(peers: readonly Peer[], plan: Plan): Promise<Outcome> {
  const medians: Record<string, number[]> = {};
  await inRounds(peers, 1, plan.rounds, async (line) => {
    const [watched] = await line.all((load) => load.call('watch', plan.burstMs));
    (medians[line.peer.name] ??= []).push(median(watched?.acksMs ?? []));
  });
  return {
    series: [{ measure: 'event and acknowledgement', size: 'median', unit: 'ms', better: 'less', samples: medians }],
    checks: [],
  };
}
