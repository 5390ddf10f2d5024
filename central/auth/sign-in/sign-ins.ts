// The sessions of browsers: begun with an API token, or for a person whom an OpenID provider names. They are in the
// store, so that a restart of Central ends none. A session is never more than its owner is now: it ends with the API
// token, and when the role or the scope of that token changes; that of a person ends when the settings change that gave
// the person the role.
import { createHash } from 'node:crypto';
import { setNewest } from '../../../shared/recent-entries.ts';
import { auditEntry, type Actor } from '../../audit.ts';
import { MAX_SIGN_INS } from '../../store/space/bounds.ts';
import type { SignedInPerson, SignInRecord, TokenStore } from '../../store/token-store.ts';
import type { ApiTokens, Caller } from '../api-tokens.ts';
import { authFault } from '../errors.ts';
import { isSecret, makeSecret } from '../secrets.ts';

/** A working day: a stolen cookie is of use for no longer. */
export const MAX_SESSION_MS = 12 * 3_600_000;
/** Each sign-in is an entry of the audit log, which is kept: some 150 kB an hour of one owner at most. */
export const MAX_SIGN_INS_PER_HOUR = 60;
const HOUR_MS = 3_600_000;

type SignInMethod = 'oidc' | 'token';

interface SignInsOptions {
  readonly store: Pick<TokenStore, 'addSignIn' | 'getSignIn' | 'removeSignIn'>;
  readonly apiTokens: Pick<ApiTokens, 'present' | 'use'>;
  /** Of the settings by which people get their roles; undefined: people cannot sign in. */
  readonly rules?: string | undefined;
  readonly now: () => number;
}

export interface SignIns {
  /** How a browser can sign in here. */
  readonly methods: readonly SignInMethod[];
  /**
   * Begins a session of an API token or of a person; `replaced`: the session that the browser had. Gives the text of
   * the cookie, which is in this answer only. Errors: too_many_sign_ins.
   */
  begin(
    owner: Caller,
    actor: Actor,
    replaced: string | undefined,
  ): Promise<{ readonly session: string; readonly caller: Caller }>;
  /** Whose session this text is, now. Undefined: of no one. */
  find(session: string): Promise<Caller | undefined>;
  /** The caller of a session that was found before, as it is now. Undefined: it has ended. */
  present(signInId: string): Promise<Caller | undefined>;
  /** Ends the session of this caller; without one, nothing. */
  end(caller: Caller, actor: Actor): Promise<void>;
}

const SESSION = /^qgs_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

export function createSignIns({ store, apiTokens, rules, now }: SignInsOptions): SignIns {
  const rate = new SignInRate(now);

  async function ownerOf({ owner, person }: SignInRecord, isUse: boolean): Promise<Caller | undefined> {
    if (person === null) return await (isUse ? apiTokens.use(owner) : apiTokens.present(owner));
    return person.rules === rules ? callerOf(person) : undefined;
  }

  async function callerWith(record: SignInRecord | undefined, isUse: boolean): Promise<Caller | undefined> {
    if (record === undefined || record.expiresAt <= now()) return undefined;
    const owner = await ownerOf(record, isUse);
    return owner === undefined ? undefined : withSession(owner, record);
  }

  async function find(session: string): Promise<SignInRecord | undefined> {
    const [, id, secret] = SESSION.exec(session) ?? [];
    if (id === undefined || secret === undefined) return undefined;
    const record = await store.getSignIn(id);
    return isSecret(secret, record?.hash) ? record : undefined;
  }

  return {
    methods: rules === undefined ? ['token'] : ['token', 'oidc'],
    async begin(owner, actor, replaced) {
      rate.take(owner);
      const { id, token: session, hash } = makeSecret('qgs');
      const { tokenId, name, role, scope, person = null } = owner;
      const createdAt = now();
      const expiresAt = Math.min(createdAt + MAX_SESSION_MS, owner.expiresAt ?? Number.POSITIVE_INFINITY);
      const record = { id, hash, owner: tokenId, person, createdAt, expiresAt };
      const { issuer, subject, group } = person ?? {};
      const who = person === null ? { tokenId, name } : { issuer, subject, name: person.name, group };
      const detail = { id, ...who, role, scope, expiresAt };
      const before = replaced === undefined ? undefined : await find(replaced);
      await store.addSignIn(record, before?.id ?? null, auditEntry(actor, 'login', detail, createdAt));
      return { session, caller: withSession(owner, record) };
    },
    find: async (session) => await callerWith(await find(session), true),
    present: async (signInId) => await callerWith(await store.getSignIn(signInId), false),
    async end({ signInId }, actor) {
      if (signInId === undefined) return;
      await store.removeSignIn(signInId, auditEntry(actor, 'logout', { id: signInId }, now()));
    },
  };
}

/** A person as who sends a request. */
export function callerOf(person: SignedInPerson): Caller {
  const { issuer, subject, name, role, scope } = person;
  // The name alone is what the person or the provider chose; it may be that of an API token.
  const shown = `${name} (${subject} of ${issuer})`;
  return { tokenId: ownerId(issuer, subject), name: shown, role, scope, expiresAt: null, person };
}

/** Like the id of an API token: bounds and keys of requests are counted by it. */
function ownerId(issuer: string, subject: string): string {
  return `p${createHash('sha256')
    .update(JSON.stringify([issuer, subject]))
    .digest('hex')
    .slice(0, 32)}`;
}

function withSession(owner: Caller, { id, expiresAt }: SignInRecord): Caller {
  return { ...owner, signInId: id, expiresAt: Math.min(expiresAt, owner.expiresAt ?? Number.POSITIVE_INFINITY) };
}

/** The sign-ins of the last hour, by owner. */
class SignInRate {
  readonly #now: () => number;
  readonly #times = new Map<string, number[]>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Errors: too_many_sign_ins. */
  take({ tokenId, name }: Caller): void {
    const at = this.#now();
    const times = (this.#times.get(tokenId) ?? []).filter((time) => Math.abs(at - time) < HOUR_MS);
    if (times.length >= MAX_SIGN_INS_PER_HOUR) throw authFault('too_many_sign_ins', { name, count: times.length });
    setNewest(this.#times, tokenId, [...times, at], MAX_SIGN_INS);
  }
}
