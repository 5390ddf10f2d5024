// The part of the store's interface for subscriptions: who gets the events of agents pushed, how far each is, and its
// last attempts. The rules of store.ts apply.
import type { AuditEntry } from '../audit-store.ts';

/** Which events it gets: all conditions hold, null is none. `label`: terms such as region=north,tier!=test. */
export interface SubscriptionFilter {
  readonly type: string | null;
  readonly source: string | null;
  readonly agentId: string | null;
  readonly label: string | null;
}

/** What an administrator sets. */
export interface SubscriptionSettings {
  /** No other subscription has it, compared case-insensitively. */
  readonly name: string;
  /** URL. */
  readonly target: string;
  /** PEM of the authorities that may sign the certificate of the target; null: those of the system. */
  readonly ca: string | null;
  readonly filter: SubscriptionFilter;
}

/** Why it is paused. */
interface PauseReason {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
}

/** Of what the secret is derived (central/subscriptions/signature.ts); not a secret itself. */
interface SecretSeed {
  readonly seed: string;
  /** The one before, which also signs until then. */
  readonly previous: { readonly seed: string; readonly expiresAt: number } | null;
}

export interface SubscriptionRecord extends SubscriptionSettings {
  /** 16 hexadecimal digits. */
  readonly id: string;
  readonly kind: 'webhook';
  readonly state: 'active' | 'paused';
  readonly stateChangedAt: number;
  /** Null: active, or paused by an administrator. */
  readonly stateReason: PauseReason | null;
  readonly secret: SecretSeed;
  readonly createdAt: number;
  readonly createdBy: string;
  /** Grows with each change by an administrator; the ETag. */
  readonly version: number;
  /** Grows with each replay: progress of an attempt that began before counts no more. */
  readonly epoch: number;
  /** The events through this one are delivered, or not for it. */
  readonly cursor: number;
  /** Events that were pruned before they were delivered, at most; and when that was found last. */
  readonly lostCount: number;
  readonly lostAt: number | null;
}

export type NewSubscription = Omit<SubscriptionRecord, 'epoch' | 'lostAt' | 'lostCount' | 'version'>;

/** What is absent stays. `cursor`: deliver from there, again or not at all. */
export type SubscriptionChange = Partial<
  Omit<SubscriptionSettings, 'filter'> &
    Pick<SubscriptionRecord, 'cursor' | 'filter' | 'secret' | 'state' | 'stateChangedAt' | 'stateReason'>
>;

/** One attempt to deliver a batch. */
export interface DeliveryAttempt {
  readonly at: number;
  /** The same for each attempt with this batch. */
  readonly webhookId: string;
  /** Of this batch, from 1 on. */
  readonly attempt: number;
  readonly eventCount: number;
  readonly firstCursor: number;
  readonly lastCursor: number;
  readonly durationMs: number;
  /** Of HTTP; null: no answer came. */
  readonly status: number | null;
  /** Null: delivered. */
  readonly failure: PauseReason | null;
}

export interface DeliveryRecord extends DeliveryAttempt {
  /** Of this subscription, from 1 on. */
  readonly number: number;
}

/** What a worker has done. */
export interface SubscriptionProgress {
  readonly attempt?: DeliveryAttempt | undefined;
  /** Delivered through here; absent: as before. */
  readonly cursor?: number | undefined;
  /** So many more events were pruned before they were delivered, found at this time. */
  readonly lost?: { readonly count: number; readonly at: number } | undefined;
}

/** Attempts that are kept of each subscription. */
export const MAX_DELIVERIES = 1_000;
/** Each has a worker with a connection and a batch in memory. */
export const MAX_SUBSCRIPTIONS = 100;

export interface SubscriptionStore {
  /** Errors: subscription_name_taken, subscriptions_full, store_reserve. */
  create(subscription: NewSubscription, audit: AuditEntry): Promise<SubscriptionRecord>;
  /** All, in order of name. */
  list(): Promise<SubscriptionRecord[]>;
  /**
   * `version`: of the record that the change was made for; null: any. Errors: subscription_unknown,
   * subscription_name_taken, version_conflict.
   */
  change(
    id: string,
    change: SubscriptionChange,
    version: number | null,
    audit: AuditEntry,
  ): Promise<SubscriptionRecord>;
  /** Its attempts are deleted with it. Errors: subscription_unknown. */
  remove(id: string, audit: AuditEntry): Promise<void>;
  /**
   * May wait for the next commit: what is lost with a crash is delivered again. Nothing is recorded when the
   * subscription is gone, or was replayed since `epoch`.
   */
  record(id: string, epoch: number, progress: SubscriptionProgress): Promise<void>;
  /** The newest first; `before`: a number. */
  deliveries(page: {
    readonly id: string;
    readonly before?: number;
    readonly limit: number;
  }): Promise<DeliveryRecord[]>;
}
