// Records refusals in the audit log: wrong, expired and deleted secrets, requests beyond a role, agents with a wrong
// key. Strangers cause them, and entries are kept for ever: one entry for each refusal and source per interval, with a
// count, and a bounded number of sources.
import type { Logger } from 'pino';
import type { CodedError } from '../../../shared/errors.ts';
import { auditEntry, type AuditAction } from '../../audit.ts';
import type { AuditStore } from '../../store/audit-store.ts';
import { addressBlock } from '../address-rules.ts';
import { CountedRecords, type Counted } from './counted-records.ts';
import { SECRET_WORDS } from '../wrong-attempts.ts';

export const REFUSAL_INTERVAL_MS = 3_600_000;
/** Of each action in an interval, beside one of all other sources together: some 100 MB a year under attack. */
export const MAX_REFUSALS_PER_INTERVAL = 10;
const MAX_WAITING = 100;
/** Ids and names are what a stranger claims. */
const MAX_TEXT = 255;
const MAX_MESSAGE = 1_024;

type RefusalAction =
  | 'addresses.refuse'
  | 'agents.recovery-code.refuse'
  | 'agents.refuse'
  | 'api-tokens.forbid'
  | 'api-tokens.refuse'
  | 'enrollment-tokens.refuse'
  | 'login.refuse'
  | 'services.refuse';

/** The errors that are recorded, by code. Others are daily business, or nothing that an intruder would try. */
const ACTIONS: Readonly<Record<string, RefusalAction>> = {
  address_denied: 'addresses.refuse',
  unauthenticated: 'api-tokens.refuse',
  forbidden: 'api-tokens.forbid',
  scope_too_narrow: 'api-tokens.forbid',
  csrf_required: 'api-tokens.forbid',
  oidc_answer_bad: 'login.refuse',
  oidc_denied: 'login.refuse',
  oidc_groups_missing: 'login.refuse',
  oidc_no_role: 'login.refuse',
  oidc_sign_in_unknown: 'login.refuse',
  service_access_denied: 'services.refuse',
  service_certificate_required: 'services.refuse',
  service_origin_denied: 'services.refuse',
  enrollment_refused: 'enrollment-tokens.refuse',
  enrollment_token_in_the_clear: 'enrollment-tokens.refuse',
  token_used: 'enrollment-tokens.refuse',
  token_expired: 'enrollment-tokens.refuse',
  recovery_code_unknown: 'agents.recovery-code.refuse',
  recovery_code_used: 'agents.recovery-code.refuse',
  recovery_code_expired: 'agents.recovery-code.refuse',
  recovery_certificate_mismatch: 'agents.recovery-code.refuse',
  agent_unknown: 'agents.refuse',
  agent_revoked: 'agents.refuse',
  agent_key_mismatch: 'agents.refuse',
  agent_key_revoked: 'agents.refuse',
  agent_id_taken: 'agents.refuse',
  agent_name_taken: 'agents.refuse',
  bad_signature: 'agents.refuse',
  replayed_hello: 'agents.refuse',
  wrong_transport: 'agents.refuse',
  binding_required: 'agents.refuse',
  binding_mismatch: 'agents.refuse',
  certificate_required: 'agents.refuse',
  certificate_foreign: 'agents.refuse',
  certificate_expired: 'agents.refuse',
  certificate_revoked: 'agents.refuse',
  authentication_kind: 'agents.refuse',
};

/** Beyond the answers that are delayed, a wrong secret is refused with one code for all kinds. */
const CODE_OF_SECRET: Readonly<Record<string, string>> = {
  [SECRET_WORDS['api-token']]: 'unauthenticated',
  [SECRET_WORDS['recovery-code']]: 'recovery_code_unknown',
  [SECRET_WORDS['enrollment-token']]: 'enrollment_refused',
};

/** An API or enrollment token that was typed in the place of a name. */
const TOKEN_TEXT = /qg[es]?_[0-9a-f]{16}_[\w-]*/gi;

/** Parameters of errors that may be in an entry: none of them is a secret, or holds what a stranger sent as one. */
const SHOWN = ['id', 'name', 'groups', 'needed', 'role', 'scope'] as const;

interface Place {
  readonly address: string;
  readonly listener?: string;
  /** The pattern of the route, and never its path. */
  readonly route?: string;
  /** The name of the API token, or of the person, where it was a valid one. */
  readonly caller?: string;
}

interface Refusal {
  readonly code: string;
  /** Null: of all others together. */
  readonly source: { readonly who: string; readonly from: string } | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

const OTHERS: Refusal = {
  code: '',
  source: null,
  detail: { text: 'of sources without an entry of their own' },
};

interface RefusalAuditOptions {
  readonly store: Pick<AuditStore, 'appendRefusals'>;
  readonly log: Pick<Logger, 'error'>;
  readonly now: () => number;
  /** Calls `run` once, later. */
  readonly after: (ms: number, run: () => void) => unknown;
}

export class RefusalAudit {
  readonly #options: RefusalAuditOptions;
  readonly #records = new Map<RefusalAction, CountedRecords<Refusal>>();

  constructor(options: RefusalAuditOptions) {
    this.#options = options;
  }

  /** Counts a refusal that an entry is about; ignores all other errors. Never throws, and costs no I/O. */
  record(fault: CodedError, { address, listener, route, caller }: Place): void {
    const words = fault.parameters['secret'];
    const code = fault.code === 'too_many_attempts' ? CODE_OF_SECRET[String(words)] : fault.code;
    const known = code === undefined ? undefined : ACTIONS[code];
    // Of a valid token, whatever strangers do.
    const action = isOfToken(known) && caller !== undefined ? 'api-tokens.forbid' : known;
    if (code === undefined || action === undefined) return;
    this.#of(action).count({
      code,
      source: {
        who: caller ?? 'unauthenticated',
        from: caller === undefined ? addressBlock(address) : address,
      },
      detail: { code, listener, route, ...shownOf(fault) },
    });
  }

  /** How many refusals are counted and have no entry yet. */
  get waiting(): number {
    return [...this.#records.values()].reduce((sum, { waiting }) => sum + waiting, 0);
  }

  /** Writes what waits; called before the store stops. */
  async flush(): Promise<void> {
    await Promise.all(Array.from(this.#records.values(), (records) => records.flush()));
    const { waiting } = this;
    if (waiting > 0) this.#options.log.error({ refusals: waiting }, 'refusals are missing in the audit log');
  }

  #of(action: RefusalAction): CountedRecords<Refusal> {
    const known = this.#records.get(action);
    if (known !== undefined) return known;
    const { now, after } = this.#options;
    const made = new CountedRecords<Refusal>({
      intervalMs: REFUSAL_INTERVAL_MS,
      maxPerInterval: MAX_REFUSALS_PER_INTERVAL,
      maxWaiting: MAX_WAITING,
      keyOf: ({ code, source }) => JSON.stringify(source === null ? null : [code, source.who, source.from]),
      othersOf: () => OTHERS,
      isOthers: ({ source }) => source === null,
      record: (counted) => this.#write(action, counted),
      now,
      after,
    });
    this.#records.set(action, made);
    return made;
  }

  async #write(action: AuditAction, { facts, count, since, at }: Counted<Refusal>): Promise<void> {
    const { who, from } = facts.source ?? { who: 'unauthenticated', from: 'several addresses' };
    const detail = { ...facts.detail, count, since: new Date(since).toISOString() };
    await this.#options.store.appendRefusals(auditEntry({ who, from }, action, detail, at));
  }
}

function isOfToken(action: RefusalAction | undefined): boolean {
  return action !== undefined && action !== 'login.refuse';
}

function shownOf({ parameters, code, message }: CodedError): Readonly<Record<string, unknown>> {
  const shown = SHOWN.filter((name) => parameters[name] !== undefined).map((name) => [
    name,
    String(parameters[name]).slice(0, MAX_TEXT).replaceAll(TOKEN_TEXT, '(a token)'),
  ]);
  // Its text is one of a few, with the time of expiry at most, or what the OpenID provider said.
  const hasText = code === 'unauthenticated' || code === 'oidc_answer_bad' || code === 'oidc_denied';
  return { ...Object.fromEntries(shown), ...(hasText ? { text: message.slice(0, MAX_MESSAGE) } : {}) };
}
