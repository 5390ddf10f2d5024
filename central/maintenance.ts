// Does what Central does at intervals: expires commands, prunes what outlived its retention, renews Central's
// certificate, and measures the metrics that are not counted as they happen.
import type { Logger } from 'pino';
import { textOf } from '../shared/errors.ts';
import type { Metrics } from './metrics.ts';
import type { ParameterValues } from './parameters/definitions.ts';
import type { OutboxBacklog } from './store/message-store.ts';
import type { Store } from './store/store.ts';

interface MaintenanceOptions {
  readonly store: Store;
  readonly values: () => ParameterValues;
  readonly metrics: Metrics;
  /** True when a new server certificate is shown. */
  readonly renewCertificate: () => Promise<boolean>;
  readonly revocationLists: { refresh(): Promise<void> };
  /** Pending enrollments. */
  readonly approvals: { measure(): Promise<void> };
  /** Agents whose id or name breaks a rule. */
  readonly names: { measure(): Promise<void> };
  /** Agents at their quota. */
  readonly quotas: { measure(): Promise<void> };
  readonly expiry: { measure(): Promise<void>; warn(): Promise<void> };
  readonly trust: { measure(metrics: Metrics): Promise<void> };
  readonly rollouts: { measure(metrics: Metrics): void };
  readonly downloads: { measure(metrics: Metrics): void };
  readonly subscriptions: { measure(metrics: Metrics): Promise<void> };
  /** True when the store should be pruned early. */
  readonly space: { check(): Promise<boolean> };
  /** Stores that restores replaced. */
  readonly backups: { pruneReplaced(): Promise<void> };
  readonly incidents: { flush(now: number): Promise<void> };
  readonly refusals: { readonly waiting: number };
  readonly eventConversion: { run(): Promise<void> };
  readonly auditVerification: { run(): Promise<void> };
  /** `queuegate-central create-administrator-token` while Central runs. */
  readonly tokenRequests: { check(): Promise<void> };
  readonly log: Logger;
  /** By which messages and records grow old (central/aging-clock.ts). */
  readonly aging: { now(): number; record(): Promise<void> };
  readonly sessions: { correctTime(): void };
  /** One node does what is done once for all. */
  readonly nodes: { leads(): boolean };
  readonly nodeReport: { measure(metrics: Metrics): void };
  readonly now: () => number;
}

const DAY_MS = 86_400_000;
const EXPIRE_MS = 10_000;
const PRUNE_MS = 600_000;
const RENEW_MS = 3_600_000;
const MEASURE_MS = 5_000;
/** Agents with a row of their own in the metrics of outboxes: their number does not grow with that of the agents. */
const LARGEST_OUTBOXES = 10;
/** Until the next run of steps; most stores have nothing to convert. */
const CONVERT_MS = 1_000;
const CERTIFICATES_MS = 60_000;
const SUBSCRIPTIONS_MS = 15_000;
/**
 * The store refuses new data on its own; this is how soon sessions and the status follow, also after space was freed.
 */
const SPACE_MS = 2_000;
/** How late the metrics say that the store is away. */
const NODES_MS = 1_000;
/** Somebody waits for the answer. */
const TOKEN_REQUESTS_MS = 1_000;
/** How much of the end of the audit log could be cut off unnoticed. */
const AUDIT_MS = 10_000;
/** How late a count of an incident may be. */
const INCIDENTS_MS = 10_000;
/** Incidents are few and small; a year of them answers most questions. */
const INCIDENT_DAYS = 365;

export class Maintenance {
  readonly #options: MaintenanceOptions;
  readonly #timers: NodeJS.Timeout[] = [];
  #committed = 0;
  #dropped = 0;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#timers.length > 0) return;
    this.#leading(EXPIRE_MS, 'expiring commands', () => this.#expire());
    this.#leading(PRUNE_MS, 'pruning what outlived its retention', () => this.#prune());
    this.#every(RENEW_MS, 'deleting stores that restores replaced', () => this.#options.backups.pruneReplaced());
    // Every minute: after a clock that was wrong at the first start, it is out of date as soon as the clock is right.
    this.#leading(CERTIFICATES_MS, 'renewing the server certificate', () => this.#renew());
    this.#leading(CERTIFICATES_MS, 'recording the clock', () => this.#options.aging.record());
    this.#every(CERTIFICATES_MS, 'correcting the time of agents', async () => this.#options.sessions.correctTime());
    this.#leading(RENEW_MS, 'looking for certificates that expire', () => this.#options.expiry.warn());
    this.#every(CERTIFICATES_MS, 'creating the revocation lists', () => this.#options.revocationLists.refresh());
    this.#every(CERTIFICATES_MS, 'measuring certificates', () => this.#options.expiry.measure());
    this.#every(CERTIFICATES_MS, 'looking for agents at their quota', () => this.#options.quotas.measure());
    this.#every(CERTIFICATES_MS, 'counting pending enrollments', () => this.#options.approvals.measure());
    this.#every(CERTIFICATES_MS, 'looking for names that break a rule', () => this.#options.names.measure());
    this.#every(SUBSCRIPTIONS_MS, 'measuring subscriptions', () =>
      this.#options.subscriptions.measure(this.#options.metrics),
    );
    this.#every(CERTIFICATES_MS, 'measuring what agents trust', () =>
      this.#options.trust.measure(this.#options.metrics),
    );
    this.#every(SPACE_MS, 'measuring the disk space', () => this.#space());
    this.#every(TOKEN_REQUESTS_MS, 'looking for a request for an administrator token', () =>
      this.#options.tokenRequests.check(),
    );
    this.#leading(CONVERT_MS, 'converting the events of an older version', () => this.#options.eventConversion.run());
    this.#leading(AUDIT_MS, 'verifying the audit log', () => this.#options.auditVerification.run());
    this.#every(INCIDENTS_MS, 'counting incidents', () => this.#options.incidents.flush(this.#options.now()));
    // A Central that runs for a minute each day still reports what expires, and how much space is left.
    const first = [
      () => this.#space(),
      () => this.#options.revocationLists.refresh(),
      async () => (this.#options.nodes.leads() ? await this.#options.expiry.warn() : undefined),
      () => this.#options.expiry.measure(),
      () => this.#options.trust.measure(this.#options.metrics),
    ];
    for (const measure of first) {
      measure().catch((error: unknown) =>
        this.#options.log.error({ error: textOf(error) }, 'a measurement at the start failed'),
      );
    }
    this.#every(MEASURE_MS, 'measuring', () => this.#measure());
    // Apart from what reads the store, which has no answer for as long as that is away.
    this.#every(NODES_MS, 'measuring nodes', async () => this.#options.nodeReport.measure(this.#options.metrics));
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
  }

  /** What the node that leads does for all. */
  #leading(ms: number, what: string, run: () => Promise<void>): void {
    this.#every(ms, what, async () => (this.#options.nodes.leads() ? await run() : undefined));
  }

  /** One run at a time; a failure is logged, and the next interval retries. A store that fails ends Central. */
  #every(ms: number, what: string, run: () => Promise<void>): void {
    let running = false;
    const once = (): void => {
      if (running) return;
      running = true;
      run()
        .catch((error: unknown) => this.#options.log.error({ error: textOf(error) }, `${what} failed`))
        .finally(() => (running = false));
    };
    this.#timers.push(setInterval(once, ms));
  }

  async #expire(): Promise<void> {
    const { store, metrics, aging } = this.#options;
    metrics.instruments.queuegate_messages_expired_total.inc(
      { place: 'central' },
      await store.outbox.expire(aging.now()),
    );
  }

  /** `isLow`: disk space is more urgent than a subscription that is behind. */
  async #prune(isLow = false): Promise<void> {
    const at = this.#options.aging.now();
    const values = this.#options.values();
    await this.#options.store.prune({
      now: at,
      eventsOlderThan: at - values['events.retentionDays'] * DAY_MS,
      ...(isLow ? {} : { undeliveredOlderThan: at - values['events.undeliveredRetentionDays'] * DAY_MS }),
      deadLettersOlderThan: at - values['deadLetters.retentionDays'] * DAY_MS,
      deduplicationOlderThan: at - values['messages.deduplicationDays'] * DAY_MS,
      commandStatesOlderThan: at - values['commands.stateRetentionDays'] * DAY_MS,
      incidentsOlderThan: at - INCIDENT_DAYS * DAY_MS,
      tasksOlderThan: at - values['tasks.retentionDays'] * DAY_MS,
    });
  }

  async #space(): Promise<void> {
    if ((await this.#options.space.check()) && this.#options.nodes.leads()) await this.#prune(true);
  }

  async #renew(): Promise<void> {
    if (await this.#options.renewCertificate()) this.#options.log.info('the server certificate was renewed');
  }

  async #measure(): Promise<void> {
    const { store, metrics } = this.#options;
    const {
      queuegate_store_waiting: waiting,
      queuegate_events: events,
      queuegate_events_unconverted: unconverted,
      queuegate_dead_letters: deadLetters,
      queuegate_commits_total: commits,
    } = metrics.instruments;
    metrics.instruments.queuegate_audit_refusals_waiting.set(this.#options.refusals.waiting);
    this.#options.rollouts.measure(metrics);
    this.#options.downloads.measure(metrics);
    const stats = await store.stats();
    metrics.instruments.queuegate_store_bytes.set(stats.bytes);
    waiting.set(stats.waitingCalls);
    events.set(stats.events);
    unconverted.set(stats.unconvertedEvents);
    deadLetters.set(stats.deadLetters);
    metrics.instruments.queuegate_dead_letters_dropped_total.inc(stats.deadLettersDropped - this.#dropped);
    this.#dropped = stats.deadLettersDropped;
    for (const [state, count] of Object.entries(await store.agents.countByState()))
      metrics.instruments.queuegate_agents.set({ state }, count);
    commits.inc(stats.commits - this.#committed);
    this.#committed = stats.commits;
    this.#measureOutbox(await store.outbox.backlog(LARGEST_OUTBOXES));
  }

  #measureOutbox({ agents, messages, bytes, oldestAt, largest }: OutboxBacklog): void {
    const { instruments } = this.#options.metrics;
    const ageOf = (at: number | null): number => (at === null ? 0 : Math.max(0, this.#options.now() - at) / 1000);
    instruments.queuegate_outbox_messages.set(messages);
    instruments.queuegate_outbox_bytes.set(bytes);
    instruments.queuegate_outbox_agents.set(agents);
    instruments.queuegate_outbox_age_seconds.set(ageOf(oldestAt));
    instruments.queuegate_agent_outbox_messages.reset();
    instruments.queuegate_agent_outbox_age_seconds.reset();
    for (const one of largest) {
      instruments.queuegate_agent_outbox_messages.set({ agent: one.name }, one.messages);
      instruments.queuegate_agent_outbox_age_seconds.set({ agent: one.name }, ageOf(one.oldestAt));
    }
  }
}

/** Runs once after so many milliseconds; the answer cancels it. */
export function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}
