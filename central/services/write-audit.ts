// Records in the audit log who changes something through an exposed service. Some callers do it every second, and
// entries are kept for ever: one entry for each caller and method per interval, with the count.
import type { Logger } from 'pino';
import { textOf } from '../../shared/errors.ts';
import { auditEntry } from '../audit.ts';
import { CountedRecords, type Counted } from '../auth/records/counted-records.ts';
import type { AuditStore } from '../store/audit-store.ts';

const INTERVAL_MS = 3_600_000;
/** Beside one of all other callers together. */
const MAX_PER_INTERVAL = 100;
const MAX_WAITING = 500;

interface ServiceWrite {
  /** Null: the port of all services. */
  readonly exposure: string | null;
  readonly agent: string;
  readonly service: string;
  readonly method: string;
  /** The name in the certificate, or the address. */
  readonly who: string;
  readonly from: string;
}

interface WriteAuditOptions {
  readonly store: Pick<AuditStore, 'append'>;
  readonly log: Pick<Logger, 'error'>;
  readonly now: () => number;
  /** Calls `run` once, later. */
  readonly after: (ms: number, run: () => void) => unknown;
}

export class WriteAudit {
  readonly #options: WriteAuditOptions;
  readonly #records: CountedRecords<ServiceWrite | null>;

  constructor(options: WriteAuditOptions) {
    this.#options = options;
    const { now, after } = options;
    this.#records = new CountedRecords<ServiceWrite | null>({
      intervalMs: INTERVAL_MS,
      maxPerInterval: MAX_PER_INTERVAL,
      maxWaiting: MAX_WAITING,
      keyOf: (write) => JSON.stringify(write),
      othersOf: () => null,
      isOthers: (write) => write === null,
      record: (counted) => this.#write(counted),
      now,
      after,
    });
  }

  record(write: ServiceWrite): void {
    this.#records.count(write);
  }

  /** Writes what waits; called before the store stops. */
  async flush(): Promise<void> {
    await this.#records.flush();
  }

  async #write({ facts, count, since, at }: Counted<ServiceWrite | null>): Promise<void> {
    const { who = 'several callers', from = 'several addresses', ...write } = facts ?? {};
    const detail = { ...write, count, since: new Date(since).toISOString() };
    try {
      await this.#options.store.append(auditEntry({ who, from }, 'services.request', detail, at));
    } catch (error) {
      this.#options.log.error({ error: textOf(error) }, 'calls of services could not be recorded in the audit log');
      throw error;
    }
  }
}
