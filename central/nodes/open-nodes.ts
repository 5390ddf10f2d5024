// Opens what this node says of itself and hears of others, and applies what they changed.
import type { Logger } from 'pino';
import type { SharedAttempts } from '../auth/records/shared-attempts.ts';
import type { WrongAttempts } from '../auth/wrong-attempts.ts';
import type { CentralConfig } from '../config.ts';
import type { CentralEvents, Events } from '../events.ts';
import type { ParameterService } from '../parameters/service.ts';
import type { Drains } from '../agents/acts/drains.ts';
import type { DrainsElsewhere } from '../agents/acts/drains-elsewhere.ts';
import type { SessionsOfAll } from '../sessions/online/sessions-of-all.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { SharedChange, SharedSubject } from '../store/nodes/node-store.ts';
import type { Store } from '../store/store.ts';
import type { ResourceChanges } from '../watching/resource-changes.ts';
import { Followers } from './followers.ts';
import { NodeService } from './node-service.ts';

interface Follows {
  follow(): Promise<void>;
}

interface OpenNeeds {
  readonly config: Pick<CentralConfig, 'nodeAddress' | 'nodeName'>;
  readonly store: Pick<Store, 'nodes'>;
  readonly log: Logger;
  readonly now: () => number;
}

interface FollowNeeds {
  readonly nodes: NodeService;
  readonly store: Pick<Store, 'agents'>;
  readonly sessions: Sessions;
  readonly sessionsOfAll: Pick<SessionsOfAll, 'followAgents' | 'hear'>;
  readonly attempts: Pick<WrongAttempts, 'heard'>;
  readonly sharedAttempts: SharedAttempts;
  readonly drains: Drains;
  readonly drainsElsewhere: DrainsElsewhere;
  readonly resourceChanges: Pick<ResourceChanges, 'note'>;
  readonly streams: { look(): void };
  readonly parameters: Follows & Pick<ParameterService, 'appliedVersion' | 'values'>;
  readonly pki: Follows & { readonly revocationLists: { touch(): void } };
  readonly maintenanceMode: Follows;
  readonly tasks: Follows;
  readonly subscriptions: Follows;
  readonly exposures: Follows;
  followRollouts(changes: readonly SharedChange[]): Promise<void>;
  readonly trustPublication: { follow(changes: readonly SharedChange[]): Promise<void> };
  readonly measurements: { follow(changes: readonly SharedChange[]): Promise<void> };
  readonly events: Events<CentralEvents>;
  readonly log: Logger;
  readonly now: () => number;
}

/** This node is one of several from now on, or the only one. */
export async function openNodes({ config, store, log, now }: OpenNeeds): Promise<NodeService> {
  const { nodeName: name, nodeAddress: address } = config;
  const nodes = new NodeService({ nodes: store.nodes, name, address, log, now });
  await nodes.start();
  return nodes;
}

/** From now on this node follows the others. */
export function followNodes(needs: FollowNeeds): void {
  const { nodes, store, sessions, sessionsOfAll, resourceChanges, events, streams, log, now } = needs;
  const parts: Partial<Record<SharedSubject, (changes: readonly SharedChange[]) => Promise<void>>> = {
    parameters: () => needs.parameters.follow(),
    keys: () => needs.pki.follow(),
    maintenance: () => needs.maintenanceMode.follow(),
    tasks: () => needs.tasks.follow(),
    subscriptions: () => needs.subscriptions.follow(),
    exposures: () => needs.exposures.follow(),
    rollouts: (changes) => needs.followRollouts(changes),
    'rollout-notes': (changes) => needs.followRollouts(changes),
    tokens: async () => streams.look(),
    agents: (changes) => sessionsOfAll.followAgents(changes),
    attempts: (changes) => needs.sharedAttempts.follow(changes, needs.attempts),
    drains: (changes) => needs.drainsElsewhere.follow(changes, needs.drains),
    measurements: (changes) => needs.measurements.follow(changes),
    trust: (changes) => needs.trustPublication.follow(changes),
    'session-notes': (changes) => sessionsOfAll.hear(changes),
  };
  const { revocationLists } = needs.pki;
  const followers = new Followers({ agents: store.agents, sessions, resourceChanges, revocationLists, parts, now });
  events.on('agentOnline', (session) => followers.onOpened(session));
  nodes.onDrained(() => {
    log.info({ node: nodes.self, sessions: sessions.size }, 'this node is drained: its agents reconnect to others');
    sessions.requestReconnect(() => true, needs.parameters.values()['agents.drain.spreadSeconds']);
  });
  needs.drainsElsewhere.start();
  nodes.follow(followers, { sessions: () => sessions.size, parameters: () => needs.parameters.appliedVersion });
}
