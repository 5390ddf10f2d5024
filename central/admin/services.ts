// Owns the narrow ports that the administration needs of the rest of Central; the composition root fills them.
import type { Socket } from 'node:net';
import type { Actor, Reason } from '../audit.ts';
import type { EnrollmentTokens } from '../enrollment/tokens.ts';
import type { Operators } from '../auth/api-tokens.ts';
import type { FailureFilter, HandshakeFailure } from '../sessions/handshake-failures.ts';
import type { Changes } from '../change/changes.ts';
import type { Metrics } from '../metrics.ts';
import type { ParameterService } from '../parameters/service.ts';
import type { RevocationListsPort } from '../listeners/revocation-routes.ts';
import type { AuthorityService } from '../pki/authority/service.ts';
import type { Approvals } from '../enrollment/approvals.ts';
import type { Expiry } from '../pki/expiry.ts';
import type { Issuing } from '../enrollment/offline.ts';
import type { ProfileFault } from '../pki/trust/profile-truststores.ts';
import type { Recoveries } from '../enrollment/recovery.ts';
import type { Rotation } from '../pki/rotation/rotation.ts';
import type { ServerCertificates } from '../pki/server/server-certificates.ts';
import type { Backups, RestoreOutcome, StagedRestore } from '../store/backup/backup.ts';
import type { RevocationReason } from '../store/certificate-store.ts';
import type { StoreSpace } from '../store/space/bounds.ts';
import type { AgentRecord, AgentState, Incident } from '../store/agent-store.ts';
import type { DeadLetter, EventFilter, StoredEvent } from '../store/message-store.ts';
import type { StoreStats } from '../store/store.ts';
import type { Appended } from '../../shared/delivery/log-interfaces.ts';
import type { Message } from '../../shared/delivery/message.ts';

export interface AdminServices {
  readonly operators: Operators;
  readonly enrollmentTokens: EnrollmentTokens;
  readonly parameters: Pick<ParameterService, 'change' | 'describe' | 'values' | 'version'>;
  /** Changes that wait for a confirmation. */
  readonly changes: Pick<Changes, 'confirm' | 'get' | 'list' | 'pendingChange' | 'rollBack'>;
  readonly agents: AgentsPort;
  readonly messages: MessagesPort;
  readonly events: EventsPort;
  readonly backups: BackupsPort;
  /** What agents are to trust (PEM, what Central shows by it first), and the pin of that first one; the fingerprint of the signing key. */
  readonly authority: { readonly pem: string; readonly pin: string; readonly signingKey: string };
  readonly authorityService: Pick<AuthorityService, 'export' | 'generations' | 'import'>;
  readonly serverCertificates: Pick<
    ServerCertificates,
    'activate' | 'discard' | 'generate' | 'import' | 'install' | 'request' | 'restore' | 'slots'
  >;
  readonly expiry: Pick<Expiry, 'list'>;
  readonly revocationLists: RevocationListsPort;
  readonly approvals: Pick<Approvals, 'accept' | 'counts' | 'list' | 'reject'>;
  readonly issuing: Issuing;
  readonly recoveries: Pick<Recoveries, 'make'>;
  readonly rotation: Pick<Rotation, 'back' | 'forget' | 'prepare' | 'publish' | 'retire' | 'status' | 'switch'>;
  /** Profiles on this host whose truststore could not follow. */
  readonly profileFaults: () => readonly ProfileFault[];
  /** Where agents enroll, for the line to copy. The port is the one that is bound. */
  readonly advertised: () => { readonly host: string; readonly port: number };
  readonly status: () => StatusReport;
  readonly store: StorePort;
  readonly handshakeFailures: HandshakeFailuresPort;
  readonly metrics: Metrics;
  /** Did this connection come over the socket in Central's data folder? Absent where there is none. */
  readonly isLocal?: (socket: Socket) => boolean;
  readonly now: () => number;
  /** An error that nobody foresaw: for the log. */
  readonly onUnexpected: (error: unknown, url: string) => void;
}

export interface StorePort {
  stats(): Promise<StoreStats>;
  /** As it was measured last. */
  space(): StoreSpace;
}

export interface BackupsPort extends Pick<Backups, 'make' | 'stage'> {
  /** Makes Central end its sessions, put the staged store in the place of its own, and start again. */
  apply(staged: StagedRestore): void;
}

export interface HandshakeFailuresPort {
  list(filter: FailureFilter): HandshakeFailure[];
  readonly forgotten: number;
}

export interface AgentsPort {
  /** The agent that a word means (central/agents/lookup.ts). Errors: agent_unknown, agent_ambiguous. */
  find(reference: string): Promise<AgentRecord>;
  /** The same, for a filter: an agent that was removed since is found by its whole id. Errors: agent_unknown, agent_ambiguous. */
  findId(reference: string): Promise<string>;
  list(page: { readonly after?: string; readonly limit: number; readonly state?: AgentState }): Promise<AgentRecord[]>;
  /** Ends its session too, and writes the audit entry. Errors: agent_unknown. */
  remove(id: string, actor: Actor): Promise<void>;
  /** Ends its session, revokes its certificates, publishes that, and writes the audit entry. Errors: agent_unknown. */
  revoke(id: string, reason: RevocationReason, terms: Reason, actor: Actor): Promise<AgentRecord>;
  incidents(page: { readonly limit: number; readonly agentId?: string }): Promise<Incident[]>;
}

export interface MessagesPort {
  /** On disk when it resolves. Errors: agent_unknown, outbox_full. */
  append(agentId: string, messages: readonly Message[]): Promise<Appended[]>;
  deadLetters(page: { readonly limit: number; readonly agentId?: string }): Promise<DeadLetter[]>;
}

export interface EventsPort {
  /** Ends early, with nothing, when `gone` is aborted: nobody wants the answer any more. */
  read(after: number, filter: EventFilter, limit: number, gone?: AbortSignal): Promise<StoredEvent[]>;
  lastCursor(): Promise<number>;
  /** Resolves when there may be an event behind `cursor`, and when `signal` is aborted; never rejects. */
  wait(cursor: number, signal: AbortSignal): Promise<void>;
}

export interface ListenerStatus {
  readonly listener: string;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly encrypted: boolean;
  /** In words: who is served here, and how encrypted. */
  readonly text: string;
}

export interface StatusReport {
  readonly central: string;
  readonly node: string;
  readonly version: string;
  readonly startedAt: number;
  readonly listeners: readonly ListenerStatus[];
  readonly certificate: {
    readonly subject: string;
    readonly names: readonly string[];
    readonly notAfter: number;
    readonly thumbprint: string;
  } | null;
  /** The restore that this start of Central came from; null when it came from none. */
  readonly restore: RestoreOutcome | null;
  /** What is wrong right now; empty when nothing is. */
  readonly problems: readonly string[];
  /** What an administrator should look at, beside the problems; Central is healthy with it. */
  readonly advice: readonly string[];
}
