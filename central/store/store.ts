// The interface of Central's store, for any engine (SQLite here, PostgreSQL for several Centrals): the sum of the
// interfaces beside this file, and the rules that apply to all of them. Every call is asynchronous and shaped for
// batches. A call that resolves is on disk (synchronous FULL); a call that rejects with a CodedError changed nothing.
// An engine that can no longer write reports it once through `onFailure` and rejects every later call with
// `store_failed`, so that no caller retries a write whose outcome is unknown. Times are milliseconds since 1970.
// An act of an administrator takes its audit entry and writes it in its own transaction; what is refused leaves no
// entry. test/central/store/contract.ts is the suite that every engine passes.
import type { AgentStore } from './agent-store.ts';
import type { AuditEntry, AuditStore } from './audit-store.ts';
import type { CertificateStore } from './certificate-store.ts';
import type { EnrollmentStore } from './enrollment-store.ts';
import type { IdempotencyStore } from './idempotency/idempotency-store.ts';
import type { KeyMaterialStore } from './key-material-store.ts';
import type { InboxStore, OutboxStore } from './message-store.ts';
import type { NodeStore, StoreAway } from './nodes/node-store.ts';
import type { ParameterStore } from './parameter-store.ts';
import type { RolloutStore } from './rollouts/rollout-store.ts';
import type { ReleaseStore } from './releases/release-store.ts';
import type { ExposureStore } from './services/exposure-store.ts';
import type { StoreBounds, StoreSpace } from './space/bounds.ts';
import type { SubscriptionStore } from './subscriptions/subscription-store.ts';
import type { TaskStore } from './tasks/task-store.ts';
import type { TokenStore } from './token-store.ts';

export interface Store {
  readonly agents: AgentStore;
  readonly outbox: OutboxStore;
  readonly inbox: InboxStore;
  readonly parameters: ParameterStore;
  readonly tokens: TokenStore;
  readonly keyMaterial: KeyMaterialStore;
  readonly certificates: CertificateStore;
  readonly enrollments: EnrollmentStore;
  readonly rollouts: RolloutStore;
  readonly releases: ReleaseStore;
  readonly subscriptions: SubscriptionStore;
  readonly exposures: ExposureStore;
  readonly tasks: TaskStore;
  readonly audit: AuditStore;
  readonly idempotency: IdempotencyStore;
  readonly clock: ClockStore;
  readonly maintenance: MaintenanceStore;
  /** Undefined: this process has the store for itself. */
  readonly nodes: NodeStore | undefined;
  /** Undefined: the store works. */
  away(): StoreAway | undefined;
  /** Deletes rows past their retention, in small steps, each a transaction of its own. */
  prune(limits: RetentionLimits): Promise<void>;
  /**
   * One step of the conversion of events that an older version stored; gives how many are left. They are readable all
   * the time. A few milliseconds of a commit.
   */
  convert(): Promise<number>;
  /** Figures for metrics, cheap to read. */
  stats(): Promise<StoreStats>;
  /** Calls back after each commit with the time that it took, sync included. */
  onCommit(listener: (ms: number) => void): void;
  /** Sets what the store may keep of each agent, and the disk space that it leaves free, from the next call on. */
  bound(bounds: StoreBounds): Promise<void>;
  /** Measures the free space; below the reserve, calls that add data are refused with `store_reserve`. */
  space(): Promise<StoreSpace>;
  /**
   * Writes a copy of everything that is committed now into `file`, which must not exist, while other calls go on.
   * Errors: backup_unsound, backup_no_room, backup_failed; then no file is left.
   */
  snapshot(file: string): Promise<void>;
  /** Stops after every accepted call is committed. May be called twice. */
  stop(): Promise<void>;
}

export interface MaintenanceState {
  /** Null: it is disabled, and agents are admitted. */
  readonly enabledAt: number | null;
  readonly retryAfterSeconds: number;
}

/** Whether agents are sent away for maintenance (central/maintenance-mode.ts). */
export interface MaintenanceStore {
  load(): Promise<MaintenanceState>;
  save(state: MaintenanceState, audit: AuditEntry): Promise<void>;
}

/** The clock by which rows grow old (central/aging-clock.ts). */
export interface ClockStore {
  /** The time that was recorded last; null: none was. */
  recorded(): Promise<number | null>;
  record(at: number): Promise<void>;
  /** Records the time, whatever was recorded before, with the entry of the act. */
  accept(at: number, audit: AuditEntry): Promise<void>;
}

interface StoreStats {
  readonly engine: 'sqlite' | 'postgres';
  /** Version of the tables. */
  readonly schema: number;
  /** Size of the database, including its free pages. */
  readonly bytes: number;
  /** Events and dead letters kept. */
  readonly events: number;
  readonly deadLetters: number;
  /** Events that an older version stored, and `convert` has not converted yet. */
  readonly unconvertedEvents: number;
  /** Messages whose dead letters were dropped for newer ones of the same agent, since the store was created. */
  readonly deadLettersDropped: number;
  /** Calls accepted and not yet answered. */
  readonly waitingCalls: number;
  /** Commits since the start. */
  readonly commits: number;
}

export interface RetentionLimits {
  readonly now: number;
  readonly eventsOlderThan: number;
  /** Of events that are not delivered to each subscription; absent: as of the others. */
  readonly undeliveredOlderThan?: number;
  readonly deadLettersOlderThan: number;
  readonly deduplicationOlderThan: number;
  /** Of what became of commands, which is known for as long as repeats of them at least; absent: as long. */
  readonly commandStatesOlderThan?: number;
  readonly incidentsOlderThan: number;
  /** Of tasks that have ended; absent: they stay. */
  readonly tasksOlderThan?: number;
}
