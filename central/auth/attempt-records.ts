// Records wrong secrets for administrators: one incident for each secret's kind, agent and address block per interval,
// with a count. The rows and log lines that strangers can cause are bounded; what goes beyond is counted together,
// without an address.
import {
  createWrongAttempts,
  SECRET_KINDS,
  unheldDelay,
  type SecretKind,
  type WrongAttempt,
  type WrongAttempts,
} from './wrong-attempts.ts';

/** Incident kinds. */
const WRONG_SECRETS = {
  'api-token': 'wrong_api_tokens',
  'recovery-code': 'wrong_recovery_codes',
  'enrollment-token': 'wrong_enrollment_tokens',
} as const satisfies Record<SecretKind, string>;

/** The first record of a block collects this long, so that a burst shows with its size. */
export const FIRST_RECORD_MS = 5_000;
/** As long as it goes on: one record per interval. */
export const RECORD_INTERVAL_MS = 300_000;
/** In an interval, beside one for each kind of secret of all others together. */
export const MAX_RECORDS_PER_INTERVAL = 10;
const MAX_WAITING = 200;

export interface AttemptIncident {
  readonly kind: string;
  readonly agentId: string | null;
  readonly address: string | null;
  readonly at: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

interface AttemptRecordsOptions {
  readonly record: (incident: AttemptIncident) => void;
  readonly now: () => number;
  /** Calls `run` once, later. */
  readonly after: (ms: number, run: () => void) => unknown;
}

interface Waiting {
  readonly secret: SecretKind;
  readonly agentId: string | null;
  /** Null: of all others together. */
  readonly block: string | null;
  readonly since: number;
  readonly dueAt: number;
  attempts: number;
}

export class AttemptRecords {
  readonly #options: AttemptRecordsOptions;
  readonly #waiting = new Map<string, Waiting>();
  /** Of this interval: when each was recorded. At most as many as are recorded in one. */
  readonly #recordedAt = new Map<string, number>();
  #intervalAt = Number.NEGATIVE_INFINITY;
  #recorded = 0;
  #armed = false;

  constructor(options: AttemptRecordsOptions) {
    this.#options = options;
  }

  count({ secret, agentId }: WrongAttempt, block: string): void {
    this.#add(secret, agentId ?? null, block, 1);
    if (this.#armed) return;
    this.#armed = true;
    this.#options.after(FIRST_RECORD_MS, () => this.#sweep());
  }

  #add(secret: SecretKind, agentId: string | null, block: string | null, attempts: number): void {
    const key = JSON.stringify([secret, agentId, block]);
    const known = this.#waiting.get(key);
    if (known !== undefined) known.attempts += attempts;
    else if (block !== null && this.#waiting.size >= MAX_WAITING) this.#add(secret, null, null, attempts);
    else {
      const since = this.#options.now();
      const recordedAt = this.#recordedAt.get(key);
      const dueAt =
        block === null
          ? since + RECORD_INTERVAL_MS
          : Math.max(since + FIRST_RECORD_MS, (recordedAt ?? Number.NEGATIVE_INFINITY) + RECORD_INTERVAL_MS);
      this.#waiting.set(key, { secret, agentId, block, since, dueAt, attempts });
    }
  }

  #sweep(): void {
    const at = this.#options.now();
    if (at - this.#intervalAt >= RECORD_INTERVAL_MS) [this.#intervalAt, this.#recorded] = [at, 0];
    for (const [key, recordedAt] of this.#recordedAt)
      if (at - recordedAt >= RECORD_INTERVAL_MS) this.#recordedAt.delete(key);
    for (const [key, waiting] of this.#waiting) {
      if (waiting.dueAt > at) continue;
      this.#waiting.delete(key);
      if (waiting.block !== null && this.#recorded >= MAX_RECORDS_PER_INTERVAL) {
        this.#add(waiting.secret, null, null, waiting.attempts);
        continue;
      }
      if (waiting.block !== null) this.#recorded += 1;
      this.#recordedAt.set(key, at);
      this.#record(waiting, at);
    }
    this.#armed = this.#waiting.size > 0;
    if (this.#armed) this.#options.after(FIRST_RECORD_MS, () => this.#sweep());
  }

  #record({ secret, agentId, block, since, attempts }: Waiting, at: number): void {
    const others = block === null ? { others: 'of addresses without a record of their own' } : {};
    this.#options.record({
      kind: WRONG_SECRETS[secret],
      agentId,
      address: block,
      at,
      detail: { attempts, since: new Date(since).toISOString(), ...others },
    });
  }
}

/** So many records an interval can have at most. */
export const MOST_RECORDS = MAX_RECORDS_PER_INTERVAL + SECRET_KINDS.length;

interface WrongAttemptsNeeds {
  readonly record: (incident: AttemptIncident) => void;
  /** For metrics. */
  readonly onWrong: (secret: SecretKind) => void;
  readonly now: () => number;
}

/** What Central uses: slows wrong secrets down and records them. */
export function openWrongAttempts({ record, onWrong, now }: WrongAttemptsNeeds): WrongAttempts {
  const records = new AttemptRecords({ record, now, after: (ms, run) => setTimeout(run, ms).unref() });
  return createWrongAttempts({
    now,
    wait: unheldDelay,
    onWrong(attempt, block) {
      onWrong(attempt.secret);
      records.count(attempt, block);
    },
  });
}
