// Opens who may administer Central: API tokens, the count of wrong secrets, and the audit of what was refused.
import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';
import type { Store } from '../store/store.ts';
import { createApiTokens, type ApiTokens } from './api-tokens.ts';
import { openWrongAttempts, type AttemptIncident } from './attempt-records.ts';
import { RefusalAudit } from './refusal-audit.ts';
import type { WrongAttempts } from './wrong-attempts.ts';

interface AuthNeeds {
  readonly store: Pick<Store, 'audit' | 'tokens'>;
  readonly incidents: { record(incident: AttemptIncident): void };
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'error'>;
  readonly now: () => number;
}

interface Auth {
  readonly attempts: WrongAttempts;
  readonly apiTokens: ApiTokens;
  readonly refusals: RefusalAudit;
}

export function openAuth({ store, incidents, metrics, log, now }: AuthNeeds): Auth {
  const attempts = openWrongAttempts({
    record: (incident) => incidents.record(incident),
    onWrong: (secret) => metrics.instruments.queuegate_wrong_secrets_total.inc({ secret }),
    now,
  });
  const after = (ms: number, run: () => void) => setTimeout(run, ms).unref();
  const refusals = new RefusalAudit({ store: store.audit, log, now, after });
  return { attempts, apiTokens: createApiTokens({ tokens: store.tokens, attempts, now }), refusals };
}
