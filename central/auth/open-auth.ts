// Opens who may administer Central: API tokens, and the count of wrong secrets.
import type { Metrics } from '../metrics.ts';
import type { Store } from '../store/store.ts';
import { createApiTokens, type ApiTokens } from './api-tokens.ts';
import { openWrongAttempts, type AttemptIncident } from './attempt-records.ts';
import type { WrongAttempts } from './wrong-attempts.ts';

interface AuthNeeds {
  readonly store: Pick<Store, 'tokens'>;
  readonly incidents: { record(incident: AttemptIncident): void };
  readonly metrics: Metrics;
  readonly now: () => number;
}

interface Auth {
  readonly attempts: WrongAttempts;
  readonly apiTokens: ApiTokens;
}

export function openAuth({ store, incidents, metrics, now }: AuthNeeds): Auth {
  const attempts = openWrongAttempts({
    record: (incident) => incidents.record(incident),
    onWrong: (secret) => metrics.instruments.queuegate_wrong_secrets_total.inc({ secret }),
    now,
  });
  return { attempts, apiTokens: createApiTokens({ tokens: store.tokens, attempts, now }) };
}
