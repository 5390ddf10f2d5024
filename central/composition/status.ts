// Reports the status of Central: what listens, with which certificate, and what is wrong.
import type { LostLines } from '../../shared/terminal/log-output.ts';
import { VERSION } from '../../shared/version.ts';
import type { StatusReport } from '../admin/services.ts';
import type { AgingClock } from '../aging-clock.ts';
import type { ConsumerReports } from '../agents/consumer-reports.ts';
import type { NameReport } from '../agents/name-faults.ts';
import type { QuotaReport } from '../agents/quota-report.ts';
import type { CentralConfig } from '../config.ts';
import type { Descriptors } from '../listeners/limits/descriptors.ts';
import type { OpenedListeners } from '../listeners/open-listeners.ts';
import type { MaintenanceMode } from '../agents/acts/maintenance-mode.ts';
import type { ParameterService } from '../parameters/service.ts';
import type { Expiry } from '../pki/expiry.ts';
import type { Pki } from '../pki/open-pki.ts';
import type { ServerCredentials } from '../pki/server/slots.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import type { RestoreOutcome } from '../store/backup/backup.ts';
import type { NodeReport } from '../nodes/node-report.ts';
import type { NodeService } from '../nodes/node-service.ts';
import { storeFault } from '../store/errors.ts';
import type { StoreAway } from '../store/nodes/node-store.ts';
import type { Store } from '../store/store.ts';
import type { Exposures } from '../services/exposures.ts';
import type { SpaceWatch } from '../store/space/watch.ts';
import type { Subscriptions } from '../subscriptions/subscriptions.ts';
import type { AuditVerification } from './audit-verification.ts';

/** A log that was read meanwhile shows the gap itself. */
const LOST_LINES_SHOWN_MS = 3_600_000;

interface StatusNeeds {
  readonly config: Pick<CentralConfig, 'centralName' | 'nodeName'>;
  readonly startedAt: number;
  readonly now: () => number;
  /** The restore that caused this start; null: none did. */
  readonly restored: RestoreOutcome | null;
  readonly pki: Pick<Pki, 'identity' | 'problems'>;
  readonly parameters: Pick<ParameterService, 'problems'>;
  readonly nodes: Pick<NodeService, 'list' | 'problems'>;
  readonly nodeReport: Pick<NodeReport, 'problems'>;
  readonly store: Pick<Store, 'away'>;
  readonly listeners: OpenedListeners['listeners'];
  readonly localSocket: OpenedListeners['localSocket'];
  readonly space: Pick<SpaceWatch, 'problems'>;
  readonly auditVerification: Pick<AuditVerification, 'problems'>;
  readonly names: Pick<NameReport, 'problems'>;
  readonly quotas: Pick<QuotaReport, 'problems'>;
  readonly consumerReports: Pick<ConsumerReports, 'problems'>;
  readonly expiry: Pick<Expiry, 'problems'>;
  readonly descriptors: Pick<Descriptors, 'problems'>;
  readonly aging: Pick<AgingClock, 'problems'>;
  readonly maintenanceMode: Pick<MaintenanceMode, 'problems'>;
  readonly subscriptions: Pick<Subscriptions, 'problems'>;
  readonly exposures: Pick<Exposures, 'problems'>;
  readonly lostLines: () => LostLines;
}

export function openStatus(needs: StatusNeeds): () => StatusReport {
  const {
    config,
    startedAt,
    restored,
    pki,
    parameters,
    listeners,
    localSocket,
    space,
    names,
    quotas,
    consumerReports,
    expiry,
    descriptors,
    aging,
    auditVerification,
    maintenanceMode,
    nodes,
    nodeReport,
    store,
    subscriptions,
    exposures,
  } = needs;
  return () => ({
    central: config.centralName,
    node: config.nodeName,
    nodes: {
      alive: nodes.list().filter(({ state }) => state === 'alive').length,
      leader: nodes.list().find(({ leads }) => leads)?.name ?? null,
    },
    version: VERSION,
    startedAt,
    listeners: listeners.listening(),
    certificate: certificateStatus(pki.identity.current()),
    restore: restored,
    problems: [
      ...listeners.stopping(),
      ...listeners.problems(['ws', 'wss', 'https']),
      ...parameters.problems(),
      ...nodes.problems(),
      ...storeProblems(store.away()),
    ],
    // What the traffic of an agent, a name or any account of the host can cause must not make a load balancer drop
    // Central.
    advice: [
      ...[
        maintenanceMode,
        auditVerification,
        space,
        aging,
        pki,
        expiry,
        names,
        quotas,
        consumerReports,
        descriptors,
        subscriptions,
        exposures,
        nodeReport,
      ].flatMap((part) => part.problems()),
      ...listeners.problems(['http', 'services']),
      ...localSocket.problems(),
      ...logProblems(needs.lostLines(), needs.now()),
    ],
  });
}

/** Sessions stay open; no agent can connect. */
function storeProblems(away: StoreAway | undefined): Problem[] {
  if (away === undefined) return [];
  const since = new Date(away.since).toISOString();
  return [problemOf(storeFault('store_away', { since, found: away.reason }), away.since)];
}

function logProblems({ lines, at, code }: LostLines, now: number): Problem[] {
  if (lines === 0 || now - at > LOST_LINES_SHOWN_MS) return [];
  return [problemOf(problemFault('log_lines_lost', { lines, error: code }), at)];
}

/** The server certificate without its key. */
function certificateStatus(credentials: ServerCredentials | undefined): StatusReport['certificate'] {
  if (credentials === undefined) return null;
  const { subject, names, notAfter, thumbprint } = credentials;
  return { subject, names, notAfter, thumbprint };
}
