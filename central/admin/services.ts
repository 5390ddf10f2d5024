// Names the services that the routes of the administration call, each narrowed to what they use.
import type { Socket } from 'node:net';
import type { AgingClock } from '../aging-clock.ts';
import type { AgentChanges } from '../agents/acts/changes.ts';
import type { Drains } from '../agents/acts/drains.ts';
import type { AgentDirectory } from '../agents/directory.ts';
import type { Revocations } from '../agents/revocation.ts';
import type { ApiTokens } from '../auth/api-tokens.ts';
import type { Oidc } from '../auth/oidc/oidc.ts';
import type { SignIns } from '../auth/sign-in/sign-ins.ts';
import type { RefusalAudit } from '../auth/records/refusal-audit.ts';
import type { OnlineAgents } from '../change/agents.ts';
import type { Changes } from '../change/changes.ts';
import type { AuditVerification } from '../composition/audit-verification.ts';
import type { Approvals } from '../enrollment/approvals.ts';
import type { OfflineEnrollment } from '../enrollment/offline.ts';
import type { Recoveries } from '../enrollment/recovery.ts';
import type { EnrollmentTokens } from '../enrollment/tokens.ts';
import type { OnUnexpected } from '../listeners/http.ts';
import type { RevocationListsPort } from '../listeners/revocation-routes.ts';
import type { MaintenanceMode } from '../agents/acts/maintenance-mode.ts';
import type { Commands } from '../messaging/commands.ts';
import type { EventCursors } from '../messaging/event-cursors.ts';
import type { EventHub } from '../messaging/event-hub.ts';
import type { OpenStreams } from '../messaging/open-streams.ts';
import type { Metrics } from '../metrics.ts';
import type { Problem } from '../problems.ts';
import type { AddressAccess } from '../parameters/address-access.ts';
import type { ParameterService } from '../parameters/service.ts';
import type { AuthorityService } from '../pki/authority/service.ts';
import type { SigningKey } from '../pki/authority/signing-key.ts';
import type { Expiry } from '../pki/expiry.ts';
import type { Profiles } from '../profiles/profiles.ts';
import type { ProfileReleases } from '../profiles/releases.ts';
import type { SoftwareReleases } from '../software/software-releases.ts';
import type { Rollouts } from '../rollouts/rollouts.ts';
import type { Rotation } from '../pki/rotation/rotation.ts';
import type { ServerCertificates } from '../pki/server/server-certificates.ts';
import type { ProfileFault } from '../pki/trust/profile-truststores.ts';
import type { TrustBundle } from '../pki/trust/trust-bundle.ts';
import type { HandshakeFailures } from '../sessions/handshake-failures.ts';
import type { Backups, RestoreOutcome, StagedRestore } from '../store/backup/backup.ts';
import type { AuditStore } from '../store/audit-store.ts';
import type { InboxStore } from '../store/message-store.ts';
import type { SpaceWatch } from '../store/space/watch.ts';
import type { NodeRecord } from '../store/nodes/node-store.ts';
import type { Store } from '../store/store.ts';
import type { Exposures } from '../services/exposures.ts';
import type { ServiceReports } from '../services/service-reports.ts';
import type { TaskOutputs } from '../tasks/outputs.ts';
import type { Tasks } from '../tasks/tasks.ts';
import type { Subscriptions } from '../subscriptions/subscriptions.ts';
import type { ResourceChanges } from '../watching/resource-changes.ts';
import type { WaitingRequests } from './changes/waiting.ts';

export interface AdminServices {
  readonly apiTokens: ApiTokens;
  readonly signIns: SignIns;
  /** Undefined: people cannot sign in with an OpenID provider. */
  readonly oidc: Oidc | undefined;
  readonly refusals: Pick<RefusalAudit, 'record'>;
  readonly enrollmentTokens: EnrollmentTokens;
  readonly parameters: Pick<ParameterService, 'change' | 'describe' | 'values' | 'version'>;
  /** Changes that wait for a confirmation. */
  readonly changes: Pick<Changes, 'confirm' | 'get' | 'list' | 'pendingChange' | 'rollBack'>;
  /** Routes read them through `Access.agentsOf`: within the scope of the token. */
  readonly agents: Pick<AgentDirectory, 'within'>;
  readonly agentChanges: AgentChanges;
  readonly drains: Pick<Drains, 'cancel' | 'create' | 'get' | 'list'>;
  readonly revocations: Pick<Revocations, 'remove' | 'revoke'>;
  readonly messages: Pick<
    Commands,
    'append' | 'deadLetters' | 'find' | 'list' | 'online' | 'rehearseWithdrawal' | 'statesOf' | 'waiting' | 'withdraw'
  >;
  readonly inbox: Pick<InboxStore, 'lastCursor' | 'prunedThrough' | 'read'>;
  readonly cursors: EventCursors;
  readonly hub: Pick<EventHub, 'wait'>;
  readonly streams: Pick<OpenStreams, 'enter' | 'isStopping' | 'look'>;
  readonly subscriptions: Pick<
    Subscriptions,
    'create' | 'deliveries' | 'find' | 'list' | 'pause' | 'remove' | 'replay' | 'resume' | 'rotateSecret' | 'set'
  >;
  readonly serviceReports: Pick<ServiceReports, 'of'>;
  readonly exposures: Pick<Exposures, 'create' | 'find' | 'list' | 'remove' | 'set'>;
  readonly tasks: Pick<Tasks, 'cancel' | 'find' | 'handlersOf' | 'list' | 'run' | 'runInQueue'>;
  readonly taskOutputs: Pick<TaskOutputs, 'open'>;
  readonly backups: Pick<Backups, 'make' | 'stage'>;
  /** Makes Central end its sessions, replace its store with the staged one, and start again. */
  readonly applyRestore: (staged: StagedRestore) => void;
  readonly pki: {
    readonly trust: Pick<TrustBundle, 'pem'>;
    readonly signingKey: Pick<SigningKey, 'fingerprint'>;
    /** `sha256:<hex>` over the key of the top certificate that Central shows now. */
    pin(): string;
  };
  readonly authorityService: Pick<AuthorityService, 'export' | 'generations' | 'import'>;
  readonly serverCertificates: Pick<
    ServerCertificates,
    'activate' | 'discard' | 'discardRequest' | 'generate' | 'import' | 'install' | 'request' | 'restore' | 'slots'
  >;
  readonly expiry: Pick<Expiry, 'list'>;
  readonly profiles: Profiles;
  readonly profileReleases: ProfileReleases;
  readonly software: SoftwareReleases;
  readonly revocationLists: RevocationListsPort;
  readonly approvals: Pick<
    Approvals,
    | 'accept'
    | 'counts'
    | 'get'
    | 'list'
    | 'rehearseAccept'
    | 'rehearseReject'
    | 'rehearseReplace'
    | 'reject'
    | 'replace'
  >;
  readonly offlineEnrollment: OfflineEnrollment;
  readonly recoveries: Pick<Recoveries, 'get' | 'make' | 'remove'>;
  readonly rotation: Pick<Rotation, 'forget' | 'prepare' | 'publish' | 'retire' | 'rollBack' | 'status' | 'switch'>;
  /** Profiles on this host whose truststore could not be updated. */
  readonly profileFaults: () => readonly ProfileFault[];
  /** Where agents enroll, for the line to copy. The port is the one that is bound. */
  readonly advertised: (transport?: 'ws' | 'wss') => { readonly host: string; readonly port: number };
  readonly status: () => StatusReport;
  readonly rollouts: Pick<
    Rollouts,
    | 'act'
    | 'agentsOf'
    | 'agentsPerRelease'
    | 'begin'
    | 'find'
    | 'list'
    | 'profileOf'
    | 'repair'
    | 'requestMeasurement'
    | 'upgrade'
  >;
  readonly store: Pick<Store, 'idempotency' | 'nodes' | 'stats'>;
  /** As this process heard of them last. */
  readonly nodes: { list(): readonly NodeRecord[] };
  /** The clock by which messages and records grow old. */
  readonly aging: Pick<AgingClock, 'accept'>;
  readonly maintenanceMode: Pick<MaintenanceMode, 'change' | 'state'>;
  readonly onlineAgents: OnlineAgents;
  readonly resourceChanges: Pick<ResourceChanges, 'newest' | 'read' | 'wait'>;
  readonly waiting: WaitingRequests;
  readonly audit: Pick<AuditStore, 'find' | 'head'>;
  readonly auditVerification: Pick<AuditVerification, 'verify'>;
  /** The disk space as it was measured last. */
  readonly space: Pick<SpaceWatch, 'current'>;
  readonly handshakeFailures: Pick<HandshakeFailures, 'dropped' | 'list'>;
  readonly metrics: Metrics;
  /** True for a connection over the socket in Central's data folder. Absent where there is none. */
  readonly addressAccess: AddressAccess;
  readonly isLocal?: (socket: Socket) => boolean;
  readonly now: () => number;
  readonly onUnexpected: OnUnexpected;
}

interface ListenerStatus {
  readonly listener: string;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly encrypted: boolean;
  /** A sentence: who is served here, and how encrypted. */
  readonly text: string;
}

export interface StatusReport {
  readonly central: string;
  readonly node: string;
  /** Of all nodes: how many are alive, and which one leads (null: none does at the moment). */
  readonly nodes: { readonly alive: number; readonly leader: string | null };
  readonly version: string;
  readonly startedAt: number;
  readonly listeners: readonly ListenerStatus[];
  readonly certificate: {
    readonly subject: string;
    readonly names: readonly string[];
    readonly notAfter: number;
    readonly thumbprint: string;
  } | null;
  /** The restore that caused this start of Central; null: none did. */
  readonly restore: RestoreOutcome | null;
  /** What is wrong right now; empty when nothing is. */
  readonly problems: readonly Problem[];
  /** What an administrator should look at, beside the problems; it does not make Central unhealthy. */
  readonly advice: readonly Problem[];
}
