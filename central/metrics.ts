// Defines the metrics of Central in one table, and creates their instruments in a registry of prom-client. The parts
// that count get the instruments from the composition root.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

interface MetricDefinition {
  readonly kind: 'gauge' | 'counter' | 'histogram';
  readonly labels: readonly string[];
  /** What it measures, and what an operator looks for in it. */
  readonly help: string;
}

export const METRICS = {
  queuegate_sessions: {
    kind: 'gauge',
    labels: ['transport'],
    help: 'Authenticated sessions that are open, by transport (ws, wss).',
  },
  queuegate_messages_received_total: {
    kind: 'counter',
    labels: [],
    help: 'Messages from agents that are on disk and acknowledged, duplicates and rejected ones included.',
  },
  queuegate_messages_accepted_total: {
    kind: 'counter',
    labels: ['outcome'],
    help: 'Messages for agents that were taken from REST, by outcome (stored, duplicate).',
  },
  queuegate_messages_expired_total: {
    kind: 'counter',
    labels: ['place'],
    help: 'Commands that expired, by place: central (before the agent took them), agent (before a program on its host acknowledged them). They are in the dead letters.',
  },
  queuegate_outbox_full_total: {
    kind: 'counter',
    labels: [],
    help: 'Requests refused because the outbox of an agent was full.',
  },
  queuegate_outbox_messages: {
    kind: 'gauge',
    labels: [],
    help: 'Commands that wait for their agents, of all agents together.',
  },
  queuegate_outbox_bytes: { kind: 'gauge', labels: [], help: 'Bytes of the commands that wait, of all agents.' },
  queuegate_outbox_agents: { kind: 'gauge', labels: [], help: 'Agents for which commands wait.' },
  queuegate_outbox_age_seconds: {
    kind: 'gauge',
    labels: [],
    help: 'Seconds since the oldest command that waits was accepted; 0 when none waits.',
  },
  queuegate_agent_outbox_messages: {
    kind: 'gauge',
    labels: ['agent'],
    help: 'Commands that wait, of the 10 agents for which most wait; the others have no row.',
  },
  queuegate_agent_outbox_age_seconds: {
    kind: 'gauge',
    labels: ['agent'],
    help: 'Seconds since the oldest command that waits was accepted, of the same agents.',
  },
  queuegate_commit_seconds: {
    kind: 'histogram',
    labels: [],
    help: 'How long the commits of the store took, each with its sync to the disk.',
  },
  queuegate_commits_total: { kind: 'counter', labels: [], help: 'Transactions of the store; many messages share one.' },
  queuegate_events: { kind: 'gauge', labels: [], help: 'Events in the store.' },
  queuegate_events_unconverted: {
    kind: 'gauge',
    labels: [],
    help: 'Events that an older version stored and that are still to be converted to the present layout, which continues while Central works; 0 afterwards.',
  },
  queuegate_dead_letters: {
    kind: 'gauge',
    labels: [],
    help: 'Dead letters in the store: messages that could not be delivered, with the reason; one may represent several messages of one batch.',
  },
  queuegate_dead_letters_dropped_total: {
    kind: 'counter',
    labels: [],
    help: 'Messages whose dead letters were replaced by newer ones because their agent reached its quota (deadLetters.maxPerAgent, deadLetters.maxBytesPerAgent), since the store was created. The incident dead_letters_dropped names the agent.',
  },
  queuegate_store_bytes: {
    kind: 'gauge',
    labels: [],
    help: 'Size of the store, with the pages that are free in it.',
  },
  queuegate_store_free_bytes: {
    kind: 'gauge',
    labels: [],
    help: 'Free bytes of the file system that holds the store.',
  },
  queuegate_store_available_bytes: {
    kind: 'gauge',
    labels: [],
    help: 'Bytes that the store can still take: the free ones, with those that are free inside its file and without those that its log still has to copy. Alert below twice the reserve.',
  },
  queuegate_store_reserve_bytes: {
    kind: 'gauge',
    labels: [],
    help: 'Bytes below which only essential writes continue (store.reserveBytes, at most a quarter of the file system); 0 when there is no reserve.',
  },
  queuegate_store_away: {
    kind: 'gauge',
    labels: [],
    help: '1 while PostgreSQL cannot be reached: sessions stay open and nothing is acknowledged; otherwise 0. GET /health/ready and the log have the reason.',
  },
  queuegate_store_away_seconds_total: {
    kind: 'counter',
    labels: [],
    help: 'Seconds during which PostgreSQL could not be reached, since the start; 0 with the store in the data folder.',
  },
  queuegate_nodes: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Nodes by state (alive, dead, stopped); one with the store in the data folder.',
  },
  queuegate_node_sessions: {
    kind: 'gauge',
    labels: ['node'],
    help: 'Sessions that are open at each node that is alive, as this node heard last; of 100 nodes at most.',
  },
  queuegate_node_clock_offset_seconds: {
    kind: 'gauge',
    labels: ['node'],
    help: 'How far the clock of each node that is alive is ahead of that of PostgreSQL.',
  },
  queuegate_node_leads: {
    kind: 'gauge',
    labels: ['node'],
    help: '1 for the node that leads, 0 for the others that are alive. No 1 for some seconds: another node takes over.',
  },
  queuegate_store_waiting: {
    kind: 'gauge',
    labels: [],
    help: 'Calls that wait for the store. A slow disk shows here first.',
  },
  queuegate_waiting_requests: {
    kind: 'gauge',
    labels: [],
    help: 'Requests of the events API that wait for the next event.',
  },
  queuegate_intake_bytes: {
    kind: 'gauge',
    labels: [],
    help: 'Bytes that were accepted from the sessions of agents and are not yet committed. All sessions share one budget, a twelfth of the heap, at most 64 MiB.',
  },
  queuegate_intake_waiting_sessions: {
    kind: 'gauge',
    labels: [],
    help: 'Sessions whose socket is not read until that budget has room for them. Above 0 for long: the disk or the processor cannot keep up.',
  },
  queuegate_outflow_bytes: {
    kind: 'gauge',
    labels: [],
    help: 'Bytes of commands that were read for agents and wait in sockets; a budget of the same size. High for long: many agents do not read.',
  },
  queuegate_refusals_total: {
    kind: 'counter',
    labels: ['code'],
    help: 'Sessions that were refused or ended by Central, by code (docs/ERRORS.md).',
  },
  queuegate_handshake_failures_total: {
    kind: 'counter',
    labels: ['listener', 'cause'],
    help: 'Connections and enrollments that failed, by listener and cause (docs/ERRORS.md); GET /api/v1/handshake-failures shows from where.',
  },
  queuegate_wrong_secrets_total: {
    kind: 'counter',
    labels: ['secret'],
    help: 'Wrong secrets that were sent to Central, by kind (api-token, recovery-code, enrollment-token); incidents show from where.',
  },
  queuegate_audit_refusals_waiting: {
    kind: 'gauge',
    labels: [],
    help: 'Refusals that are counted and have no entry in the audit log yet: each source has one entry an hour, and none is written while the disk reserve is reached.',
  },
  queuegate_certificate_expiry_seconds: {
    kind: 'gauge',
    labels: ['kind', 'slot'],
    help: 'Seconds until a certificate expires, negative once it has expired, by kind (authority, server, signing, trust, agent) and slot (prepared, next, current, previous, staged; for trust the beginning of the thumbprint; for agents only the certificate that expires soonest).',
  },
  queuegate_agent_certificates: {
    kind: 'gauge',
    labels: ['expires_within_days'],
    help: 'Registered agents whose certificate expires within so many days (60, 30, 14, 7, 1), and has expired (0).',
  },
  queuegate_device_certificates_total: {
    kind: 'counter',
    labels: ['outcome'],
    help: 'Requests of agents for the certificate of their port for devices: issued or refused.',
  },
  queuegate_certificate_renewals_total: {
    kind: 'counter',
    labels: ['outcome'],
    help: 'Requests of agents for another certificate, by outcome (issued, repeated after a lost answer, refused).',
  },
  queuegate_agents: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Registered agents by state (docs/AGENTS.md).',
  },
  queuegate_subscription_lag_events: {
    kind: 'gauge',
    labels: ['subscription'],
    help: 'Events that are not yet delivered to a subscription, by its name; those that do not fit its filter are counted until they are passed.',
  },
  queuegate_subscription_lag_seconds: {
    kind: 'gauge',
    labels: ['subscription'],
    help: 'Age of the oldest event that is not yet delivered to a subscription, by its name; 0 if there is none.',
  },
  queuegate_subscription_failing: {
    kind: 'gauge',
    labels: ['subscription'],
    help: '1 while a subscription is paused or its last attempt failed, by its name.',
  },
  queuegate_service_requests_total: {
    kind: 'counter',
    labels: ['service', 'status'],
    help: 'Calls of services by the name of the service and the status of the answer; none: the caller left before. On the port of all services, other: the service has not answered, or 200 other names have.',
  },
  queuegate_service_refusals_total: {
    kind: 'counter',
    labels: ['code'],
    help: 'Calls of services that Central refused, by code (docs/ERRORS.md), such as service_access_denied, service_agent_offline and streams_full; also those that the agent refused or the service did not answer.',
  },
  queuegate_service_streams: {
    kind: 'gauge',
    labels: [],
    help: 'Calls of services that are open, at most 1,000, and 64 of one agent.',
  },
  queuegate_tasks: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Tasks that have not ended, by state (queued, sent, accepted, running, canceling).',
  },
  queuegate_tasks_ended_total: {
    kind: 'counter',
    labels: ['state'],
    help: 'Tasks that ended since Central started, by state (succeeded, failed, canceled, timed-out, expired, lost). What is lost may have run.',
  },
  queuegate_task_refusals_total: {
    kind: 'counter',
    labels: ['code'],
    help: 'Requests to run a task that were refused, by code (docs/ERRORS.md), such as handler_unknown, queue_unserved, task_queue_full and tasks_full.',
  },
  queuegate_queue_tasks: {
    kind: 'gauge',
    labels: ['queue'],
    help: 'Tasks that wait for an agent, of the 10 queues in which most wait; the others have no row.',
  },
  queuegate_queue_age_seconds: {
    kind: 'gauge',
    labels: ['queue'],
    help: 'Seconds since the task that waits for longest came into its queue, of the same queues.',
  },
  queuegate_rollouts: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Rollouts that have not ended, by state (running, paused, halted, rolling-back). A halted one waits for an administrator.',
  },
  queuegate_rollout_agents: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Agents of the rollouts that have not ended, by their state in it (waiting, offered, synchronizing, synchronized, trying, succeeded, rolled-back, failed, skipped, canceled, timed-out).',
  },
  queuegate_downloads: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Downloads of releases by agents that are open, by state: sending, throttled (they wait for agents.downloads.bytesPerSecond or agents.downloads.bytesPerSecondInAll). At most 128.',
  },
  queuegate_download_bytes_total: {
    kind: 'counter',
    labels: ['content'],
    help: 'Bytes of releases that were sent to agents, by content: manifest, signature, file, compressed (files as zstd).',
  },
  queuegate_download_refusals_total: {
    kind: 'counter',
    labels: ['code'],
    help: 'Downloads of releases that were refused, by code (docs/ERRORS.md), such as downloads_full, too_many_downloads and ticket_invalid.',
  },
  queuegate_enrollment_requests: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Enrollment requests without a token by state (pending, accepted, rejected). The pending ones wait for an administrator (agents.enrollment is approve).',
  },
  queuegate_trust_agents: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Registered agents by their trust in the root of the next authority, or of the latest one: acknowledged, missing (they would refuse what it signs, or accept it by the previous one), unencrypted (they speak ws: they need no root, and have none).',
  },
  queuegate_log_lines_lost_total: {
    kind: 'counter',
    labels: [],
    help: 'Lines of the log that were lost because it could not be written: its disk is full, or its reader has stopped.',
  },
  queuegate_http_requests_total: {
    kind: 'counter',
    labels: ['method', 'route', 'status'],
    help: 'Requests to the administration, by route and status.',
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

type MetricName = keyof typeof METRICS;

type InstrumentOf<D extends MetricDefinition> = D extends { kind: 'gauge' }
  ? Gauge<D['labels'][number]>
  : D extends { kind: 'counter' }
    ? Counter<D['labels'][number]>
    : Histogram<D['labels'][number]>;

/** The instruments by name: `metrics.instruments.queuegate_sessions.set({ transport: 'wss' }, 3)`. */
type Instruments = { readonly [N in MetricName]: InstrumentOf<(typeof METRICS)[N]> };

export interface Metrics {
  readonly registry: Registry;
  readonly instruments: Instruments;
}

/** From a RAM disk to a failing disk. */
const COMMIT_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

/** Gauges of prom-client with names that Prometheus keeps for counters ("promtool check metrics"). */
const NOT_COUNTERS = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** `sampled`: counters that something else counts; each is read when the metrics are. */
export function createMetrics(
  registry: Registry = new Registry(),
  sampled: Partial<Readonly<Record<MetricName, () => number>>> = {},
): Metrics {
  collectDefaultMetrics({ register: registry });
  for (const name of NOT_COUNTERS) registry.removeSingleMetric(name);
  const instruments: Record<string, unknown> = {};
  for (const [name, { kind, labels, help }] of Object.entries(METRICS)) {
    const common = { name, help, labelNames: [...labels], registers: [registry] };
    instruments[name] =
      kind === 'gauge'
        ? new Gauge(common)
        : kind === 'counter'
          ? new Counter({ ...common, ...collectFrom(sampled[name as MetricName]) })
          : new Histogram({ ...common, buckets: COMMIT_BUCKETS_SECONDS });
  }
  // Made from the table just above, name by name and kind by kind.
  const made = instruments as Instruments;
  // Alerts are about values that are there from the start.
  for (const transport of ['ws', 'wss']) made.queuegate_sessions.set({ transport }, 0);
  return { registry, instruments: made };
}

function collectFrom(read: (() => number) | undefined): { collect?: (this: Counter) => void } {
  if (read === undefined) return {};
  return {
    collect() {
      this.reset();
      this.inc(read());
    },
  };
}

/** The whole of docs/METRICS.md. */
export function metricsMarkdown(): string {
  const rows = Object.entries(METRICS).map(
    ([name, { kind, labels, help }]) =>
      `| \`${name}\` | ${kind} | ${labels.length === 0 ? '' : labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  return `${['# Metrics', '', 'Prometheus text format at `GET /metrics` of the administration (role viewer). The usual metrics of the Node.js process are', 'there too: processor time, memory and open files (`process_*`), and the event loop, heap and garbage collection', '(`nodejs_*`). This page is generated from `central/metrics.ts`.', '', 'Ready for use: `deploy/prometheus/prometheus.yml` (how Prometheus reads them, with a token from a file),', '`deploy/prometheus/alerts.yml` (alerts, each with a section of [TROUBLESHOOTING.md](TROUBLESHOOTING.md) as its runbook), and', '`deploy/grafana/queuegate.json` (a dashboard).', '', '| metric | kind | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')}\n`;
}
