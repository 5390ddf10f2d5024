// Subscribes the parts of Central to each other's events. No other file does that.
import type { Logger } from 'pino';
import { textOf } from '../../shared/errors.ts';
import type { ExpiredCommands } from '../agents/expired-commands.ts';
import type { ConsumerReports } from '../agents/consumer-reports.ts';
import type { Renewals } from '../agents/renewal.ts';
import type { CentralAgent } from '../central-agent.ts';
import type { Changes } from '../change/changes.ts';
import type { CentralEvents, Events } from '../events.ts';
import type { Forwarding } from '../forwarding/open-forwarding.ts';
import type { OpenedListeners } from '../listeners/open-listeners.ts';
import { storeBounds } from './store-bounds.ts';
import { PARAMETER_NAMES } from '../parameters/definitions.ts';
import { differs, sameValue } from '../parameters/values.ts';
import type { TrustPublication } from '../pki/trust/publication.ts';
import type { RolloutEngine } from '../rollouts/engine.ts';
import type { MaintenanceMode } from '../agents/acts/maintenance-mode.ts';
import { createControl } from '../sessions/control.ts';
import type { Exposures } from '../services/exposures.ts';
import type { ServiceReports } from '../services/service-reports.ts';
import type { DeviceCertificates } from '../agents/devices/certificates.ts';
import type { ServicesPort } from '../services/services-port.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { OpenStreams } from '../messaging/open-streams.ts';
import type { Tasks } from '../tasks/tasks.ts';
import type { Store } from '../store/store.ts';
import type { ResourceChanges } from '../watching/resource-changes.ts';

interface Subscribers {
  readonly events: Events<CentralEvents>;
  readonly store: Pick<Store, 'bound'>;
  readonly sessions: Pick<Sessions, 'each' | 'endWhere'>;
  readonly forwarding: Pick<Forwarding, 'follow'>;
  readonly streams: Pick<OpenStreams, 'look'>;
  readonly maintenanceMode: Pick<MaintenanceMode, 'refusal' | 'state'>;
  readonly renewals: Renewals;
  readonly trustPublication: TrustPublication;
  readonly consumerReports: ConsumerReports;
  readonly expiredCommands: ExpiredCommands;
  readonly deviceCertificates: DeviceCertificates;
  readonly rolloutEngine: RolloutEngine;
  readonly tasks: Tasks;
  readonly apps: OpenedListeners['apps'];
  readonly exposures: Pick<Exposures, 'show'>;
  readonly servicesPort: Pick<ServicesPort, 'onParametersChanged' | 'show'>;
  readonly serviceReports: ServiceReports;
  readonly onParametersChanged: OpenedListeners['onParametersChanged'];
  readonly centralAgent: CentralAgent | undefined;
  readonly changes: Pick<Changes, 'pendingIds'>;
  readonly resourceChanges: Pick<ResourceChanges, 'note'>;
  readonly log: Pick<Logger, 'error'>;
}

export function subscribe({ events, ...parts }: Subscribers): void {
  const { store, apps, centralAgent, log, sessions, maintenanceMode, changes, resourceChanges } = parts;
  const control = createControl({
    renewal: parts.renewals,
    trust: parts.trustPublication,
    consumers: parts.consumerReports,
    expired: parts.expiredCommands,
    releases: parts.rolloutEngine,
    services: parts.serviceReports,
    tasks: parts.tasks,
    devices: parts.deviceCertificates,
  });
  events.on('agentOnline', (session) => {
    const refusal = maintenanceMode.refusal();
    if (refusal === undefined) return control.onOpened(session);
    // Its handshake had begun before.
    session.end(refusal, { retryAfterSeconds: maintenanceMode.state.retryAfterSeconds });
  });
  // One more agent is back after each of them.
  events.on('agentOnline', () => {
    for (const id of changes.pendingIds()) resourceChanges.note('changes', id);
  });
  events.on('agentOffline', (facts) => parts.rolloutEngine.onClosed(facts));
  events.on('agentOffline', (facts) => parts.tasks.onClosed(facts));
  events.on('agentControl', (session, frame) => control.onFrame(session, frame));
  events.on('maintenanceEnabled', () => {
    const { retryAfterSeconds } = maintenanceMode.state;
    sessions.endWhere(() => maintenanceMode.refusal(), { retryAfterSeconds });
  });
  events.on('certificateReplaced', (credentials) => {
    apps.show(credentials);
    parts.exposures.show(credentials);
    parts.servicesPort.show(credentials);
  });
  events.on('signerReplaced', () => {
    sessions.each((session) => parts.renewals.askToRenew(session));
    parts.forwarding.follow();
  });
  events.on('parametersChanged', (values, before) => {
    if (sameValue(storeBounds(values), storeBounds(before))) return;
    store
      .bound(storeBounds(values))
      .catch((error: unknown) => log.error({ error: textOf(error) }, 'the bounds of the store could not be set'));
  });
  events.on('parametersChanged', (values, before) => parts.onParametersChanged(values, before));
  events.on('parametersChanged', (values, before) => parts.servicesPort.onParametersChanged(values, before));
  // Their address rules may be others.
  events.on('parametersChanged', () => parts.streams.look());
  events.on('parametersChanged', (values, before) => {
    for (const name of PARAMETER_NAMES) if (differs(values, before, name)) resourceChanges.note('parameters', name);
  });
  events.on('parametersChanged', (values, before) => {
    if (!differs(values, before, 'websocket.port')) return;
    centralAgent
      ?.writeProfile()
      .catch((error: unknown) =>
        log.error({ error: textOf(error) }, 'the configuration of the Central agent could not be written'),
      );
  });
}
