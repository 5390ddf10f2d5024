// Opens what all parts of Central need before any of them: the state after the previous run, parameters, changes, the
// clock by which things expire, and the authentication of administrators.
import type { Log } from '../../shared/terminal/log.ts';
import { AgingClock } from '../aging-clock.ts';
import { Incidents } from '../agents/incidents.ts';
import { openAuth } from '../auth/open-auth.ts';
import { Changes } from '../change/changes.ts';
import type { CentralConfig } from '../config.ts';
import { Events, type CentralEvents } from '../events.ts';
import { openDescriptors } from '../listeners/limits/descriptors.ts';
import { MaintenanceMode } from '../agents/acts/maintenance-mode.ts';
import { after } from '../maintenance.ts';
import { NodeReport } from '../nodes/node-report.ts';
import { openNodes } from '../nodes/open-nodes.ts';
import { EventCursors } from '../messaging/event-cursors.ts';
import { EventHub } from '../messaging/event-hub.ts';
import { OpenStreams } from '../messaging/open-streams.ts';
import { createMetrics } from '../metrics.ts';
import { AddressAccess } from '../parameters/address-access.ts';
import { ParameterState } from '../parameters/state.ts';
import { storeBounds } from './store-bounds.ts';
import { stateReason } from '../store/agents/state-reasons.ts';
import { removeLeftovers } from '../store/backup/backup.ts';
import { NoteQueue } from '../store/nodes/note-queue.ts';
import type { Store } from '../store/store.ts';
import { noteStoreChanges } from '../watching/noted-store.ts';
import { ResourceChanges } from '../watching/resource-changes.ts';

/** `isRestored`: this start follows a restore. */
export async function openCore(
  config: CentralConfig,
  { log, lostLines }: Pick<Log, 'log' | 'lostLines'>,
  opened: Store,
  isRestored: boolean,
) {
  const resourceChanges = new ResourceChanges();
  const store = noteStoreChanges(opened, resourceChanges);
  const now = (): number => Date.now();
  // The others count it before anything of it can be in their way.
  const nodes = await openNodes({ config, store, log, now });
  const nodeNotes = new NoteQueue({ tell: store.nodes?.tell.bind(store.nodes), log });
  await store.agents.endAbandonedSessions(config.nodeName, Date.now(), stateReason('central_ended', {}));
  await removeLeftovers(config.dataFolder);

  const events = new Events<CentralEvents>();
  const metrics = createMetrics(undefined, { queuegate_log_lines_lost_total: () => lostLines().lines });
  store.onCommit((ms) => metrics.instruments.queuegate_commit_seconds.observe(ms / 1000));
  const base = { config, store, events, metrics, log, now, after };
  const changes = new Changes({
    ...base,
    node: config.nodeName,
    leads: () => nodes.leads(),
    storeTime: () => nodes.storeTime(),
    onChanged: (id) => resourceChanges.note('changes', id),
  });
  const parameters = await ParameterState.open({
    ...base,
    store: store.parameters,
    overrides: config.overrides,
    onRolledBack: (pending) => changes.recordRollback('parameters', pending),
    isShared: store.nodes !== undefined,
  });
  await store.bound(storeBounds(parameters.values()));

  const incidents = new Incidents(store.agents, log);
  return {
    ...base,
    nodes,
    nodeNotes,
    nodeReport: new NodeReport({ nodes, store, resourceChanges, now }),
    resourceChanges,
    aging: await AgingClock.open(base, isRestored),
    maintenanceMode: await MaintenanceMode.open(base),
    descriptors: openDescriptors(log, parameters.values()['agents.max']),
    changes,
    parameters,
    addressAccess: new AddressAccess(() => parameters.values()),
    incidents,
    hub: new EventHub(store.inbox),
    streams: new OpenStreams(),
    cursors: new EventCursors(await store.inbox.incarnations()),
    ...(await openAuth({ ...base, nodeNotes, incidents })),
  };
}
