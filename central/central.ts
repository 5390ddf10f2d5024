// Central's composition root: opens every part once, in the order in which they need each other. Nothing else
// constructs services.
import type { CodedError } from '../shared/errors.ts';
import { freshFolder } from '../shared/sqlite/fresh-folder.ts';
import type { Log } from '../shared/terminal/log.ts';
import { openAdministration } from './admin/open-administration.ts';
import { openAgents } from './agents/open-agents.ts';
import { openCentralAgent } from './central-agent.ts';
import type { CentralConfig } from './config.ts';
import { openForwarding } from './forwarding/open-forwarding.ts';
import { openEnrollment } from './enrollment/open-enrollment.ts';
import { openTokenRequests } from './composition/administrator-token.ts';
import { openAudit } from './composition/audit-verification.ts';
import { beginFirstStart } from './composition/first-start.ts';
import { openCore } from './composition/open-core.ts';
import { Lifecycle, type RunningCentral } from './composition/lifecycle.ts';
import { openListeners } from './listeners/open-listeners.ts';
import { Maintenance } from './maintenance.ts';
import { followNodes } from './nodes/open-nodes.ts';
import { Agreement } from './parameters/nodes/agreement.ts';
import { ParameterService } from './parameters/service.ts';
import { openPkiServices } from './pki/open-pki-services.ts';
import { openPki } from './pki/open-pki.ts';
import { SoftwareReleases } from './software/software-releases.ts';
import { openProfiles } from './profiles/open-profiles.ts';
import { openRollouts } from './rollouts/open-rollouts.ts';
import { openServices } from './services/open-services.ts';
import { openTasks } from './tasks/open-tasks.ts';
import { openSubscriptions } from './subscriptions/open-subscriptions.ts';
import { openSessions } from './sessions/open-sessions.ts';
import { EventConversion } from './composition/event-conversion.ts';
import { openStatus } from './composition/status.ts';
import type { RestoreOutcome, StagedRestore } from './store/backup/backup.ts';
import { openBackups, openCentralStore } from './store/open-store.ts';
import { SpaceWatch } from './store/space/watch.ts';
import type { Store } from './store/store.ts';
import { subscribe } from './composition/event-wiring.ts';

type CentralLog = Pick<Log, 'log' | 'lostLines'>;

/**
 * Starts Central; `restored`: the restore that caused this start. Throws what the operator must fix; then nothing runs.
 */
export async function startCentral(
  config: CentralConfig,
  log: CentralLog,
  restored: RestoreOutcome | null,
): Promise<RunningCentral> {
  const { promise: failed, resolve: fail } = Promise.withResolvers<CodedError>();
  const fresh = freshFolder(config.dataFolder);
  try {
    const store = await openCentralStore(config, fail);
    try {
      return await compose(config, log, store, failed, restored);
    } catch (error) {
      await store.stop();
      throw error;
    }
  } catch (error) {
    fresh?.takeBack();
    throw error;
  }
}

async function compose(
  config: CentralConfig,
  { log, lostLines }: CentralLog,
  store: Store,
  failed: Promise<CodedError>,
  restored: RestoreOutcome | null,
): Promise<RunningCentral> {
  const startedAt = Date.now();
  const core = await openCore(config, { log, lostLines }, store, restored !== null);
  const { events, changes, parameters: state } = core;
  const pki = await openPki(core);
  const online = openSessions({ ...core, pki });
  const space = new SpaceWatch({ ...core, hold: (on) => online.sessions.each((session) => session.hold(on)) });
  const agents = await openAgents({ ...core, ...online, pki });
  const pkiServices = openPkiServices({ ...core, ...online, ...agents, pki });
  const enrollment = openEnrollment({ ...core, ...online, pki });
  const profiles = await openProfiles({ ...core, pki });
  const rollouts = openRollouts({ ...core, ...online, ...agents, ...profiles, pki });
  const forwarded = await openForwarding({ ...core, ...online, pki, nodes: () => core.nodes.list() });
  const tasks = openTasks({ ...core, ...online, ...forwarded });
  const subscriptions = openSubscriptions({ ...core, ...agents, pki });
  const ofServices = openServices({ ...core, ...forwarded, pki });
  const opened = await openListeners({ ...core, ...online, ...agents, ...enrollment, ...profiles, ...ofServices, pki });
  const parameters = new ParameterService({
    ...core,
    state,
    changes,
    applier: opened.listeners,
    agents: online.onlineAgents,
    agreement: new Agreement({ ...core, store: store.nodes, clock: () => performance.now() }),
    node: config.nodeName,
    onChanged: (values, before) => events.emit('parametersChanged', values, before),
  });
  const found = { ...openAudit(core), ...openTokenRequests(core), inbox: store.inbox, pki, space, parameters };
  const backups = { backups: openBackups({ ...core, pki }), revocationLists: pki.revocationLists };
  const software = new SoftwareReleases({ ...core, store: store.releases });
  const parts = {
    ...core,
    software,
    ...online,
    ...agents,
    ...pkiServices,
    ...enrollment,
    ...profiles,
    ...rollouts,
    ...subscriptions,
    ...ofServices,
    ...tasks,
    ...forwarded,
    ...opened,
  };
  const services = { ...parts, ...found, ...backups };
  const { promise: restore, resolve: applyRestore } = Promise.withResolvers<StagedRestore>();
  const status = openStatus({ ...services, lostLines, startedAt, restored });
  await openAdministration({ ...services, applyRestore, status });
  const centralAgent = openCentralAgent(services);
  const maintenance = new Maintenance({
    ...services,
    values: () => state.values(),
    renewCertificate: () => pki.renew(),
    trust: pkiServices.rotation,
    eventConversion: new EventConversion({ ...core, clock: () => performance.now() }),
  });
  subscribe({ ...services, centralAgent });
  followNodes(services);
  const begun = { pkiServices, opened, maintenance, centralAgent, firstStart: () => beginFirstStart(services) };
  const lifecycle = new Lifecycle({ ...services, ...begun });
  return {
    firstStart: await lifecycle.start(),
    listens: [...opened.listeners.words(), ...opened.localSocket.words()],
    problems: [...status().problems, ...status().advice],
    port: (listener) => opened.listeners.port(listener),
    failed,
    restore,
    lastCursor: () => lifecycle.lastCursor(),
    stop: () => lifecycle.stop(),
  };
}
