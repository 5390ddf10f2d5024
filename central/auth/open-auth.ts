// Opens who may administer Central: API tokens, sign-ins of browsers by tokens and by the OpenID provider, the count of
// wrong secrets, and the audit of what was refused.
import type { Logger } from 'pino';
import type { CentralConfig } from '../config.ts';
import type { Metrics } from '../metrics.ts';
import type { NoteQueue } from '../store/nodes/note-queue.ts';
import type { Store } from '../store/store.ts';
import { createApiTokens, type ApiTokens } from './api-tokens.ts';
import { openWrongAttempts, type AttemptIncident } from './records/attempt-records.ts';
import { openOidc, type Oidc } from './oidc/oidc.ts';
import { RefusalAudit } from './records/refusal-audit.ts';
import { SharedAttempts } from './records/shared-attempts.ts';
import { createSignIns, type SignIns } from './sign-in/sign-ins.ts';
import type { WrongAttempts } from './wrong-attempts.ts';

interface AuthNeeds {
  readonly config: Pick<CentralConfig, 'oidc'>;
  readonly store: Pick<Store, 'audit' | 'tokens'>;
  readonly incidents: { record(incident: AttemptIncident): void };
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'error' | 'warn'>;
  readonly now: () => number;
  readonly nodeNotes: NoteQueue;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

interface Auth {
  readonly attempts: WrongAttempts;
  readonly sharedAttempts: SharedAttempts;
  readonly apiTokens: ApiTokens;
  readonly signIns: SignIns;
  /** Undefined: people cannot sign in. */
  readonly oidc: Oidc | undefined;
  readonly refusals: RefusalAudit;
}

/** Errors: those of the files that the settings of the OpenID provider name. */
export async function openAuth(needs: AuthNeeds): Promise<Auth> {
  const { config, store, incidents, metrics, log, now } = needs;
  const sharedAttempts = new SharedAttempts({ notes: needs.nodeNotes, after: needs.after });
  const attempts = openWrongAttempts({
    record: (incident) => incidents.record(incident),
    onWrong(secret, block) {
      metrics.instruments.queuegate_wrong_secrets_total.inc({ secret });
      sharedAttempts.add(block);
    },
    now,
  });
  const after = (ms: number, run: () => void) => setTimeout(run, ms).unref();
  const refusals = new RefusalAudit({ store: store.audit, log, now, after });
  const apiTokens = createApiTokens({ tokens: store.tokens, attempts, now });
  const oidc = config.oidc === undefined ? undefined : await openOidc(config.oidc, log, now);
  const signIns = createSignIns({ store: store.tokens, apiTokens, rules: oidc?.rules, now });
  return { attempts, sharedAttempts, apiTokens, signIns, oidc, refusals };
}
