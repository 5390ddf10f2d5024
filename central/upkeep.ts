// Owns what Central does by the clock: expiring commands, deleting what outlived its retention, renewing its certificate,
// and the figures of metrics that nobody counts as they happen.
import type { Logger } from 'pino';
import { textOf } from '../shared/errors.ts';
import type { Metrics } from './metrics.ts';
import type { ParameterValues } from './parameters/definitions.ts';
import type { Store } from './store/store.ts';

export interface UpkeepOptions {
  readonly store: Store;
  readonly values: () => ParameterValues;
  readonly metrics: Metrics;
  /** True when a new one is shown. */
  readonly renewCertificate: () => Promise<boolean>;
  readonly log: Logger;
  readonly now: () => number;
}

const DAY_MS = 86_400_000;
const EXPIRE_MS = 10_000;
const PRUNE_MS = 600_000;
const RENEW_MS = 3_600_000;
const MEASURE_MS = 5_000;
/** Incidents are few and small; a year of them answers most questions. */
const INCIDENT_DAYS = 365;

export interface Upkeep {
  stop(): void;
}

export function startUpkeep({ store, values, metrics, renewCertificate, log, now }: UpkeepOptions): Upkeep {
  const { queuegate_messages_expired_total: expired, queuegate_store_waiting: storeWaiting, queuegate_events: events, queuegate_dead_letters: deadLetters, queuegate_commits_total: commits } = metrics.instruments;
  const timers: NodeJS.Timeout[] = [];
  /** One run at a time; what fails is said and tried again. A store that fails ends Central by itself. */
  const every = (ms: number, what: string, run: () => Promise<void>): void => {
    let running = false;
    timers.push(
      setInterval(() => {
        if (running) return;
        running = true;
        run()
          .catch((error: unknown) => log.error({ error: textOf(error) }, `${what} failed`))
          .finally(() => (running = false));
      }, ms),
    );
  };
  every(EXPIRE_MS, 'expiring commands', async () => expired.inc(await store.outbox.expire(now())));
  every(PRUNE_MS, 'deleting what outlived its retention', () => {
    const at = now();
    const found = values();
    return store.prune({
      now: at,
      eventsOlderThan: at - found['events.retentionDays'] * DAY_MS,
      deadLettersOlderThan: at - found['deadLetters.retentionDays'] * DAY_MS,
      deduplicationOlderThan: at - found['messages.deduplicationDays'] * DAY_MS,
      incidentsOlderThan: at - INCIDENT_DAYS * DAY_MS,
    });
  });
  every(RENEW_MS, 'renewing the server certificate', async () => {
    if (await renewCertificate()) log.info('the server certificate was renewed');
  });
  let committed = 0;
  every(MEASURE_MS, 'measuring', async () => {
    const stats = await store.stats();
    storeWaiting.set(stats.waitingCalls);
    events.set(stats.events);
    deadLetters.set(stats.deadLetters);
    commits.inc(stats.commits - committed);
    committed = stats.commits;
  });
  return {
    stop(): void {
      for (const timer of timers) clearInterval(timer);
    },
  };
}
