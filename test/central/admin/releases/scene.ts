// REST with rollouts on an engine, and agents that carry out what it sends.
import { onTestFinished } from 'vitest';
import { LeaderActs } from '../../../../central/rollouts/leader-acts.ts';
import { Rollouts } from '../../../../central/rollouts/rollouts.ts';
import type { ReleaseRecord } from '../../../../central/store/releases/release-store.ts';
import { agentRecord } from '../../fakes.ts';
import { Fleet } from '../../rollouts/fleet.ts';
import { PREVIOUS, RELEASE } from '../../rollouts/samples.ts';
import { startRest, type Rest } from '../rest.ts';

export const NAME = `branch@${RELEASE.slice(0, 8)}`;
const IDS = ['a1', 'a2', 'a3', 'a4'];

function releaseRecord(digest: string, number: number): ReleaseRecord {
  return {
    number,
    digest,
    kind: 'profile',
    name: 'branch',
    bytes: 1,
    fileCount: 1,
    preparedAt: 0,
    preparedBy: 'admin',
    comment: null,
    ticket: null,
    signature: null,
  };
}

/** Three agents that are connected, one of them degraded, and one that is disabled. */
export async function startRollouts(): Promise<{
  readonly fleet: Fleet;
  readonly rest: Rest;
  readonly rollouts: Rollouts;
}> {
  const fleet = new Fleet(IDS);
  await fleet.engine.start();
  onTestFinished(() => fleet.engine.stop());
  for (const id of IDS.slice(0, 3)) fleet.connect(id);
  await fleet.engine.settled();
  const releases = [releaseRecord(RELEASE, 2), releaseRecord(PREVIOUS, 1)];
  const rollouts = new Rollouts({
    engine: fleet.engine,
    acts: new LeaderActs({
      engine: fleet.engine,
      store: fleet.store,
      tell: undefined,
      nodes: { self: 'n1', leads: () => true, list: () => [] },
      log: { warn: () => undefined },
      now: () => fleet.now,
      after: () => () => undefined,
    }),
    measurements: {
      request: async (agent) => fleet.engine.requestMeasurement(agent),
      driftOf: async ({ id }) => fleet.engine.driftOf(id),
    },
    store: {
      rollouts: fleet.store,
      releases: {
        release: async (digest) => releases.find((release) => release.digest === digest),
        listReleases: async ({ prefix = '', name }) =>
          releases.filter((release) => release.digest.startsWith(prefix) && (name ?? 'branch') === release.name),
      },
    },
    now: () => fleet.now,
  });
  const rest = await startRest(async () => ({ rollouts }));
  const states = { a3: 'degraded', a4: 'disabled' } as Readonly<Record<string, 'degraded' | 'disabled'>>;
  for (const id of IDS) rest.agents.push({ ...agentRecord({ id, name: id }), state: states[id] ?? 'online' });
  return { fleet, rest, rollouts };
}
