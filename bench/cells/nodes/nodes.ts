// Several Centrals on one PostgreSQL: events and what they cost beside one Central on SQLite, agents that reconnect over
// one node and over two, and a fleet over two nodes whose size grows, from which larger ones can be extrapolated.
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Installation } from '../../installation.ts';
import { embeddedPeer, moveTemplate, nodesPeer, type NodesPeer } from '../../peers/nodes.ts';
import type { Plan } from '../../plan.ts';
import type { Outcome, Series } from '../../result.ts';
import { Postgres } from '../../servers/postgres.ts';
import { agentsText } from '../throughput.ts';
import { events } from './events.ts';
import { fleet } from './fleet.ts';
import { reconnect } from './reconnect.ts';

/** The parts, each of which can be run by its name; `nodes` runs all. */
export const NODES_PARTS = ['nodes-events', 'nodes-reconnect', 'nodes-fleet'] as const;

type NodesPart = (typeof NODES_PARTS)[number];

/** As many agents as this part needs. */
export function nodesAgents(part: NodesPart, plan: Plan): number {
  return {
    'nodes-events': plan.nodeAgents,
    'nodes-reconnect': plan.nodeCrowd,
    'nodes-fleet': plan.nodeFleet.at(-1) ?? 0,
  }[part];
}

/** `enrolled`: all agents of the run. */
export async function nodes(
  part: NodesPart,
  installation: Installation,
  plan: Plan,
  enrolled: number,
): Promise<Outcome> {
  // The account of PostgreSQL has to enter its folder in there; what is beside it is closed to others.
  await chmod(tmpdir(), 0o711);
  const postgres = await Postgres.start(tmpdir());
  if (postgres === undefined) throw new Error('PostgreSQL >= 14 is not installed (Debian: postgresql)');
  try {
    const template = await moveTemplate(installation, postgres);
    const peer = (count: number): NodesPeer => nodesPeer(installation, postgres, template.database, count);
    const run = {
      'nodes-events': () => events([embeddedPeer(installation), peer(1), peer(2), peer(3)], plan),
      'nodes-reconnect': () => reconnect([peer(1), peer(2)], plan),
      'nodes-fleet': () => fleet(peer(2), plan),
    }[part];
    const { series, checks } = await run();
    const moved: Series = {
      measure: 'migrate-store',
      size: agentsText(enrolled),
      unit: 'ms',
      better: 'less',
      samples: { [postgres.version]: [template.ms] },
    };
    return { series: [...series, ...(part === 'nodes-fleet' ? [moved] : [])], checks };
  } finally {
    await postgres.stop();
  }
}
