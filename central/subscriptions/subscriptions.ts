// Subscriptions: what administrators decide about them, a worker for each active one, and how far each is.
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { CodedError } from '../../shared/errors.ts';
import type { AgentDirectory } from '../agents/directory.ts';
import { parseLabelFilters } from '../agents/selectors.ts';
import { auditEntry, CENTRAL, type Actor, type AuditAction } from '../audit.ts';
import type { EventHub } from '../messaging/event-hub.ts';
import type { WantedEvents } from '../messaging/event-pages.ts';
import type { Metrics } from '../metrics.ts';
import { problemOf, type Problem } from '../problems.ts';
import { storeFault } from '../store/errors.ts';
import type { InboxStore } from '../store/message-store.ts';
import type {
  DeliveryRecord,
  SubscriptionChange,
  SubscriptionFilter,
  SubscriptionRecord,
  SubscriptionSettings,
  SubscriptionStore,
} from '../store/subscriptions/subscription-store.ts';
import { subscriptionFault } from './errors.ts';
import { Lag, type SubscriptionLag } from './lag.ts';
import { sendBatch } from './sender.ts';
import { currentSecrets, newSeed, type WebhookSecrets } from './signature.ts';
import { assertAuthorities, readTarget } from './target.ts';
import { SubscriptionWorker, type WorkerNeeds, type WorkerState } from './worker.ts';

/** After a rotation both secrets sign for this time. */
const PREVIOUS_SECRET_MS = 24 * 3_600_000;
/** A receiver that starts again is not a problem yet. */
const FAILING_SHOWN_MS = 60_000;
const LOSS_SHOWN_MS = 24 * 3_600_000;

export interface SubscriptionsNeeds {
  readonly store: SubscriptionStore;
  readonly inbox: Pick<InboxStore, 'lastCursor' | 'prunedThrough' | 'read'>;
  readonly hub: Pick<EventHub, 'wait'>;
  readonly agents: Pick<AgentDirectory, 'idsWith'>;
  /** Loaded, or made, when there is a subscription. */
  readonly secrets: () => Promise<WebhookSecrets>;
  /** The parameter webhooks.allowedAddresses. */
  readonly allowed: () => readonly string[];
  readonly log: Pick<Logger, 'error'>;
  readonly now: () => number;
  /** How attempts wait, and how long for an answer; of itself unless set. */
  readonly timing?: { readonly sleep?: WorkerNeeds['sleep']; readonly timeoutMs?: number };
}

export interface SubscriptionView {
  readonly record: SubscriptionRecord;
  readonly state: 'active' | 'failing' | 'paused';
  readonly cursor: number;
  readonly lag: SubscriptionLag;
  readonly failing: WorkerState['failing'];
  readonly deliveredAt: number | null;
}

/** What an audit entry says of the act. */
type Detail = Readonly<Record<string, unknown>>;

interface Kept {
  record: SubscriptionRecord;
  worker: SubscriptionWorker | undefined;
  /** Changes one after the other: a worker has ended before the next one begins. */
  turn: Promise<unknown>;
  readonly lag: Lag;
}

export class Subscriptions {
  readonly #needs: SubscriptionsNeeds;
  readonly #kept = new Map<string, Kept>();
  #secrets: WebhookSecrets | undefined;
  #isRunning = false;

  constructor(needs: SubscriptionsNeeds) {
    this.#needs = needs;
  }

  /** Delivers from now on: one node does. */
  async start(): Promise<void> {
    this.#isRunning = true;
    await this.follow();
  }

  /** Requests that are under way are cut: their events are delivered again. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(
      Array.from(this.#kept.values(), async (kept) => {
        await kept.worker?.stop();
        kept.worker = undefined;
      }),
    );
  }

  /** Reads them again: another node may have changed them. */
  async follow(): Promise<void> {
    const records = await this.#needs.store.list();
    if (records.length > 0) this.#secrets ??= await this.#needs.secrets();
    const ids = new Set(records.map(({ id }) => id));
    for (const [id, { worker }] of this.#kept) {
      if (ids.has(id)) continue;
      this.#kept.delete(id);
      await worker?.stop();
    }
    for (const record of records) {
      const kept = this.#kept.get(record.id);
      if (kept === undefined) this.#keep(record);
      else await this.#replace(kept, record);
    }
  }

  /** In order of name. */
  async list(): Promise<SubscriptionView[]> {
    // How far each is, the node that delivers them writes down.
    if (!this.#isRunning) await this.follow();
    const all = Array.from(this.#kept.values()).toSorted((a, b) =>
      a.record.name.toLowerCase() < b.record.name.toLowerCase() ? -1 : 1,
    );
    return await Promise.all(all.map((kept) => this.#view(kept)));
  }

  /** By id or name. Errors: subscription_unknown. */
  async find(reference: string): Promise<SubscriptionView> {
    return await this.#view(this.#find(reference));
  }

  /**
   * `after`: the events behind it are delivered. The secret is in this answer only. Errors: subscription_target_invalid,
   * subscription_ca_invalid, subscription_name_taken, subscriptions_full, selector_invalid.
   */
  async create(
    settings: SubscriptionSettings,
    after: number | 'newest' | 'oldest',
    actor: Actor,
  ): Promise<{ readonly view: SubscriptionView; readonly secret: string }> {
    this.#assertSettings(settings);
    const { store, now } = this.#needs;
    const secrets = (this.#secrets ??= await this.#needs.secrets());
    const id = randomBytes(8).toString('hex');
    const seed = newSeed();
    const record = await store.create(
      {
        ...settings,
        id,
        kind: 'webhook',
        state: 'active',
        stateChangedAt: now(),
        stateReason: null,
        secret: { seed, previous: null },
        createdAt: now(),
        createdBy: actor.who,
        cursor: await this.#position(after),
      },
      this.#entry('subscriptions.create', { id, name: settings.name, target: settings.target }, actor),
    );
    return { view: await this.#view(this.#keep(record)), secret: secrets.secretOf(id, seed) };
  }

  /** Errors: those of `create`, subscription_unknown, version_conflict. */
  async set(
    reference: string,
    change: Partial<SubscriptionSettings>,
    version: number | null,
    actor: Actor,
  ): Promise<SubscriptionView> {
    const kept = this.#find(reference);
    this.#assertSettings({ ...kept.record, ...change });
    const { ca, ...shown } = change;
    const detail = { ...shown, ...(ca === undefined ? {} : { ca: ca === null ? null : 'set' }) };
    return await this.#change(kept, change, 'subscriptions.set', { version, detail, actor });
  }

  async pause(reference: string, actor: Actor): Promise<SubscriptionView> {
    const change = { state: 'paused', stateChangedAt: this.#needs.now(), stateReason: null } as const;
    return await this.#change(this.#find(reference), change, 'subscriptions.pause', { actor });
  }

  async resume(reference: string, actor: Actor): Promise<SubscriptionView> {
    const change = { state: 'active', stateChangedAt: this.#needs.now(), stateReason: null } as const;
    return await this.#change(this.#find(reference), change, 'subscriptions.resume', { actor });
  }

  /** Delivers from there, again or not at all. Errors: subscription_unknown. */
  async replay(reference: string, after: number | 'newest' | 'oldest', actor: Actor): Promise<SubscriptionView> {
    const cursor = await this.#position(after);
    const detail = { after: cursor };
    return await this.#change(this.#find(reference), { cursor }, 'subscriptions.replay', { detail, actor });
  }

  /** The previous secret signs beside the new one for a day. Errors: subscription_unknown. */
  async rotateSecret(
    reference: string,
    actor: Actor,
  ): Promise<{ readonly view: SubscriptionView; readonly secret: string }> {
    const kept = this.#find(reference);
    const { now } = this.#needs;
    const secrets = (this.#secrets ??= await this.#needs.secrets());
    const { id, secret } = kept.record;
    const seed = newSeed();
    const previous = { seed: secret.seed, expiresAt: now() + PREVIOUS_SECRET_MS };
    const change = { secret: { seed, previous } };
    const view = await this.#change(kept, change, 'subscriptions.rotate-secret', { actor });
    return { view, secret: secrets.secretOf(id, seed) };
  }

  /** Errors: subscription_unknown. */
  async remove(reference: string, actor: Actor): Promise<void> {
    const kept = this.#find(reference);
    const { id, name } = kept.record;
    await this.#needs.store.remove(id, this.#entry('subscriptions.delete', { id, name }, actor));
    this.#kept.delete(id);
    await kept.worker?.stop();
  }

  /** The last attempts, newest first. Errors: subscription_unknown. */
  async deliveries(
    reference: string,
    page: { readonly before?: number; readonly limit: number },
  ): Promise<DeliveryRecord[]> {
    return await this.#needs.store.deliveries({ id: this.#find(reference).record.id, ...page });
  }

  problems(): Problem[] {
    const now = this.#needs.now();
    return Array.from(this.#kept.values()).flatMap(({ record, worker }): Problem[] => {
      const { id, name, stateReason, stateChangedAt, lostCount: count, lostAt } = record;
      const subject = { kind: 'subscription', id, name } as const;
      const found: Problem[] = [];
      if (record.state === 'paused' && stateReason !== null)
        found.push(
          problemOf(
            subscriptionFault('subscription_paused', { name, found: stateReason.detail }),
            stateChangedAt,
            subject,
          ),
        );
      const failing = worker?.state.failing;
      if (failing !== undefined && failing !== null && now - failing.since >= FAILING_SHOWN_MS) {
        const at = { startedAt: new Date(failing.since).toISOString(), found: failing.failure.message };
        found.push(problemOf(subscriptionFault('subscription_failing', { name, ...at }), failing.since, subject));
      }
      if (lostAt !== null && now - lostAt < LOSS_SHOWN_MS) {
        const lost = { name, count, lostAt: new Date(lostAt).toISOString() };
        found.push(problemOf(subscriptionFault('subscription_events_lost', lost), lostAt, subject));
      }
      return found;
    });
  }

  async measure(metrics: Metrics): Promise<void> {
    const { instruments } = metrics;
    const views = await this.list();
    instruments.queuegate_subscription_lag_events.reset();
    instruments.queuegate_subscription_lag_seconds.reset();
    instruments.queuegate_subscription_failing.reset();
    for (const { record, lag, state } of views) {
      const subscription = record.name;
      instruments.queuegate_subscription_lag_events.set({ subscription }, lag.count);
      instruments.queuegate_subscription_lag_seconds.set({ subscription }, lag.seconds);
      instruments.queuegate_subscription_failing.set({ subscription }, state === 'active' ? 0 : 1);
    }
  }

  /** In the turn of the changes that are made here: the record may be newer by then. */
  async #replace(kept: Kept, { id }: SubscriptionRecord): Promise<void> {
    const act = async (): Promise<void> => {
      const record = (await this.#needs.store.list()).find((one) => one.id === id);
      if (record === undefined || this.#kept.get(id) !== kept) return;
      const isWorking = !this.#isRunning || kept.worker !== undefined || kept.record.state === 'paused';
      const { epoch, version } = kept.record;
      if (isWorking && record.epoch === epoch && record.version === version) {
        if (!this.#isRunning) kept.record = record;
        return;
      }
      await kept.worker?.stop();
      kept.record = record;
      this.#work(kept);
    };
    const turn = kept.turn.then(act, act);
    kept.turn = turn.catch(() => undefined);
    await turn;
  }

  #find(reference: string): Kept {
    const wanted = reference.toLowerCase();
    const found =
      this.#kept.get(wanted) ??
      Array.from(this.#kept.values()).find(({ record }) => record.name.toLowerCase() === wanted);
    if (found === undefined) throw storeFault('subscription_unknown', { id: reference.slice(0, 128) });
    return found;
  }

  #keep(record: SubscriptionRecord): Kept {
    const kept: Kept = { record, worker: undefined, turn: Promise.resolve(), lag: new Lag(this.#needs) };
    this.#kept.set(record.id, kept);
    this.#work(kept);
    return kept;
  }

  /** A new worker for the record as it is now. */
  #work(kept: Kept): void {
    const { record } = kept;
    kept.worker = undefined;
    const secrets = this.#secrets;
    if (!this.#isRunning || record.state !== 'active' || secrets === undefined) return;
    const { store, inbox, hub, now, allowed, timing: { sleep, timeoutMs } = {} } = this.#needs;
    kept.worker = new SubscriptionWorker(record, {
      inbox,
      hub,
      wanted: this.#wanted(record.filter),
      secrets: () => currentSecrets(secrets, kept.record, now()),
      send: (batch, signal) =>
        sendBatch({
          ...batch,
          subscription: record,
          allowed,
          signal,
          ...(timeoutMs === undefined ? {} : { timeoutMs }),
        }),
      ...(sleep === undefined ? {} : { sleep }),
      record: async (progress) => {
        await store.record(record.id, record.epoch, progress);
        const { cursor, lost } = progress;
        kept.record = {
          ...kept.record,
          ...(cursor === undefined ? {} : { cursor }),
          ...(lost === undefined ? {} : { lostCount: kept.record.lostCount + lost.count, lostAt: lost.at }),
        };
      },
      pause: (failure) => void this.#pauseFor(kept, failure),
      now,
    });
    kept.worker.start();
  }

  async #pauseFor(kept: Kept, { code, message: detail, hint }: CodedError): Promise<void> {
    const { log, now } = this.#needs;
    const change = { state: 'paused', stateChangedAt: now(), stateReason: { code, detail, hint } } as const;
    await this.#change(kept, change, 'subscriptions.pause', { actor: CENTRAL, detail: { code } }).catch(
      (error: unknown) => log.error({ subscription: kept.record.name, error }, 'a subscription could not be paused'),
    );
  }

  /** One change after the other; the next worker begins when the one before has ended. */
  async #change(
    kept: Kept,
    change: SubscriptionChange,
    action: AuditAction,
    { actor, detail = {}, version = null }: { actor: Actor; detail?: Detail; version?: number | null },
  ): Promise<SubscriptionView> {
    const { id, name } = kept.record;
    const act = async (): Promise<SubscriptionView> => {
      const entry = this.#entry(action, { id, name, ...detail }, actor);
      const record = await this.#needs.store.change(id, change, version, entry);
      await kept.worker?.stop();
      const { cursor } = change.cursor === undefined ? kept.record : record;
      kept.record = { ...record, cursor };
      if (this.#kept.get(id) === kept) this.#work(kept);
      return await this.#view(kept);
    };
    const turn = kept.turn.then(act, act);
    kept.turn = turn.catch(() => undefined);
    return await turn;
  }

  #wanted({ type, source, agentId, label }: SubscriptionFilter): WantedEvents {
    const { agents } = this.#needs;
    const labels = label === null ? undefined : parseLabelFilters([label], () => ({ pointer: '#/filter/label' }));
    return {
      ...(type === null ? {} : { type }),
      ...(source === null ? {} : { source }),
      ...(agentId === null ? {} : { agentId }),
      ...(labels === undefined ? {} : { agents: () => agents.idsWith(labels) }),
    };
  }

  async #view({ record, worker, lag }: Kept): Promise<SubscriptionView> {
    const { cursor, failing, deliveredAt } = worker?.state ?? {
      cursor: record.cursor,
      failing: null,
      deliveredAt: null,
    };
    const state = record.state === 'paused' ? 'paused' : failing === null ? 'active' : 'failing';
    return { record, state, cursor, failing, deliveredAt, lag: await lag.find(record.filter, cursor) };
  }

  /** Errors: subscription_target_invalid, subscription_ca_invalid, selector_invalid. */
  #assertSettings({ target, ca, filter }: SubscriptionSettings): void {
    readTarget(target, this.#needs.allowed());
    if (ca !== null) assertAuthorities(ca);
    this.#wanted(filter);
  }

  async #position(after: number | 'newest' | 'oldest'): Promise<number> {
    const { inbox } = this.#needs;
    const newest = await inbox.lastCursor();
    if (after === 'newest') return newest;
    if (after === 'oldest') return (await inbox.prunedThrough(0)) ?? 0;
    return Math.min(after, newest);
  }

  #entry(action: AuditAction, detail: Detail, actor: Actor) {
    return auditEntry(actor, action, detail, this.#needs.now());
  }
}
