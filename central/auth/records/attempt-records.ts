// Records wrong secrets for administrators: one incident for each secret's kind, agent and address block per interval,
// with a count. The rows and log lines that strangers can cause are bounded; what goes beyond is counted together,
// without an address.
import { CountedRecords, type Counted } from './counted-records.ts';
import {
  createWrongAttempts,
  SECRET_KINDS,
  unheldDelay,
  type SecretKind,
  type WrongAttempt,
  type WrongAttempts,
} from '../wrong-attempts.ts';

/** Incident kinds. */
const WRONG_SECRETS = {
  'api-token': 'wrong_api_tokens',
  'recovery-code': 'wrong_recovery_codes',
  'enrollment-token': 'wrong_enrollment_tokens',
} as const satisfies Record<SecretKind, string>;

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

interface Attempted {
  readonly secret: SecretKind;
  readonly agentId: string | null;
  /** Null: of all others together. */
  readonly block: string | null;
}

export class AttemptRecords {
  readonly #records: CountedRecords<Attempted>;

  constructor({ record, now, after }: AttemptRecordsOptions) {
    this.#records = new CountedRecords({
      intervalMs: RECORD_INTERVAL_MS,
      maxPerInterval: MAX_RECORDS_PER_INTERVAL,
      maxWaiting: MAX_WAITING,
      keyOf: ({ secret, agentId, block }) => JSON.stringify([secret, agentId, block]),
      othersOf: ({ secret }) => ({ secret, agentId: null, block: null }),
      isOthers: ({ block }) => block === null,
      record: (counted) => record(incidentOf(counted)),
      now,
      after,
    });
  }

  count({ secret, agentId }: WrongAttempt, block: string): void {
    this.#records.count({ secret, agentId: agentId ?? null, block });
  }
}

function incidentOf({ facts: { secret, agentId, block }, count, since, at }: Counted<Attempted>): AttemptIncident {
  const others = block === null ? { others: 'of addresses without a record of their own' } : {};
  return {
    kind: WRONG_SECRETS[secret],
    agentId,
    address: block,
    at,
    detail: { attempts: count, since: new Date(since).toISOString(), ...others },
  };
}

/** So many records an interval can have at most. */
export const MOST_RECORDS = MAX_RECORDS_PER_INTERVAL + SECRET_KINDS.length;

interface WrongAttemptsNeeds {
  readonly record: (incident: AttemptIncident) => void;
  /** For metrics. */
  readonly onWrong: (secret: SecretKind, block: string) => void;
  readonly now: () => number;
}

/** What Central uses: slows wrong secrets down and records them. */
export function openWrongAttempts({ record, onWrong, now }: WrongAttemptsNeeds): WrongAttempts {
  const records = new AttemptRecords({ record, now, after: (ms, run) => setTimeout(run, ms).unref() });
  return createWrongAttempts({
    now,
    wait: unheldDelay,
    onWrong(attempt, block) {
      onWrong(attempt.secret, block);
      records.count(attempt, block);
    },
  });
}
