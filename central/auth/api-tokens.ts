// Creates, lists, deletes and verifies the API tokens of administrators, operators and viewers. Each route declares the
// role that it needs (central/admin).
import { auditEntry, type Actor } from '../audit.ts';
import type {
  AddedApiToken,
  ApiTokenChange,
  ApiTokenRecord,
  Role,
  SignedInPerson,
  TokenStore,
} from '../store/token-store.ts';
import { authFault } from './errors.ts';
import { RememberedTokens } from './remembered-tokens.ts';
import { makeSecret } from './secrets.ts';
import type { WrongAttempts } from './wrong-attempts.ts';

/**
 * From the least to the most: each may do what those before it may. viewer reads, operator sends messages,
 * administrator the rest.
 */
export const ROLES = ['viewer', 'operator', 'administrator'] as const satisfies readonly Role[];

/** Who sends a request: by its API token, or by the session of a browser that has signed in. */
export interface Caller {
  /** Of a person: an id in its place (sign-in/sign-ins.ts). */
  readonly tokenId: string;
  readonly name: string;
  readonly role: Role;
  /** A selector of labels: it is for these agents only (central/agents/scope.ts). Null: for all. */
  readonly scope: string | null;
  readonly expiresAt: number | null;
  /** The session of the browser; absent: the request has the token itself. */
  readonly signInId?: string;
  /** Absent: it is an API token. */
  readonly person?: SignedInPerson;
}

interface ApiTokensOptions {
  readonly tokens: Pick<
    TokenStore,
    'addApiToken' | 'changeApiToken' | 'getApiToken' | 'listApiTokens' | 'noteApiTokenUse' | 'removeApiToken'
  >;
  /** What comes of a wrong token before it is answered. */
  readonly attempts: Pick<WrongAttempts, 'slow'>;
  readonly now: () => number;
}

interface NewApiToken {
  readonly name: string;
  readonly role: Role;
  /** Null, or absent: for all agents. */
  readonly scope?: string | null | undefined;
  /** Null: until it is removed. */
  readonly expiresAt: number | null;
}

/** A token without its hash. */
export type ApiTokenView = Omit<ApiTokenRecord, 'hash'>;

export interface ApiTokens {
  /**
   * Who sends a request with this Authorization header from this address. A wrong token is answered late, a right one
   * at once. `remembered`: while the store is away, one that it confirmed lately is enough.
   * Errors: unauthenticated, too_many_attempts.
   */
  authenticate(header: string | undefined, address: string, terms?: { readonly remembered: boolean }): Promise<Caller>;
  /** The same for the text of a token that came otherwise. Errors: unauthenticated, too_many_attempts. */
  authenticateText(token: string, address: string): Promise<Caller>;
  /** Makes a token; its text is in this answer only. */
  create(order: NewApiToken, actor: Actor): Promise<{ readonly token: string; readonly record: ApiTokenView }>;
  /** The token of a request that was authenticated, as it is now. Undefined: it expired or was removed. */
  present(tokenId: string): Promise<Caller | undefined>;
  /** The same, for a new request of the session that was begun with it: its last use is noted. */
  use(tokenId: string): Promise<Caller | undefined>;
  list(): Promise<ApiTokenView[]>;
  /** `version`: see TokenStore.changeApiToken. Errors: token_unknown, version_conflict, last_administrator. */
  change(id: string, change: ApiTokenChange, version: number | null, actor: Actor): Promise<ApiTokenView>;
  /** Errors: token_unknown, last_administrator. */
  remove(id: string, actor: Actor): Promise<void>;
  /**
   * Creates an administrator's token that does not expire. `keep` stores its text before the token becomes valid: a
   * process that is killed in between leaves no valid token whose text is unknown.
   */
  createAdministrator(
    name: string,
    actor: Actor,
    keep: (token: string) => Promise<void>,
    terms?: FirstTerms,
  ): Promise<string>;
  /** True for a token that `authenticate` accepts now; a wrong one is neither counted nor slowed down. */
  isValid(token: string): Promise<boolean>;
}

/** `isFirst`: only where the store has no token. Errors: first_token_elsewhere. */
type FirstTerms = Pick<AddedApiToken, 'isFirst'>;

const BEARER = /^Bearer +(\S+)$/i;
const TOKEN = /^qg_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/i;

/** How far `lastUsedAt` may be behind: a store write for each request would cost more than it tells. */
const NOTE_USE_MS = 60_000;

const KEPT_BY_CALLER = async (_token: string): Promise<void> => undefined;

export function createApiTokens({ tokens, attempts, now }: ApiTokensOptions): ApiTokens {
  async function create(order: NewApiToken, actor: Actor, keep = KEPT_BY_CALLER, terms: FirstTerms = {}) {
    const { id, token, hash } = makeSecret('qg');
    await keep(token);
    const { name, role, scope = null, expiresAt } = order;
    const record = { id, name, role, scope, createdAt: now(), createdBy: actor.who, expiresAt, lastUsedAt: null };
    const entry = auditEntry(actor, 'api-tokens.create', { id, name, role, scope, expiresAt }, now());
    await tokens.addApiToken({ ...record, ...terms, hash }, entry);
    return { token, record };
  }

  const known = new RememberedTokens(tokens, now);
  const uses = lastUses(tokens, now);

  async function refuse(found: string, address: string): Promise<never> {
    await attempts.slow({ secret: 'api-token', address });
    throw authFault('unauthenticated', { found });
  }

  async function authenticate(
    token: string,
    address: string,
    { place, remembered }: { readonly place: string; readonly remembered: boolean },
  ): Promise<Caller> {
    const [, written, secret] = TOKEN.exec(token) ?? [];
    if (written === undefined || secret === undefined)
      return await refuse(`${place} holds no token of the form qg_..._...`, address);
    const id = written.toLowerCase();
    const record = await (remembered ? known.findRemembered(id, secret) : known.find(id, secret));
    // One text for both: an answer must not reveal whether an id exists.
    if (record === undefined) return await refuse('this token is not known (it may have been removed)', address);
    if (isExpired(record, now()))
      throw authFault('unauthenticated', {
        found: `this token expired at ${new Date(record.expiresAt).toISOString()}`,
      });
    uses.note(record.id);
    return callerOf(record);
  }

  async function present(tokenId: string): Promise<Caller | undefined> {
    const record = await tokens.getApiToken(tokenId);
    return record === undefined || isExpired(record, now()) ? undefined : callerOf(record);
  }

  return {
    create: async (order, actor) => await create(order, actor),
    async authenticate(header, address, terms) {
      if (header === undefined) throw authFault('unauthenticated', { found: 'the Authorization header is missing' });
      const from = { place: 'the Authorization header', remembered: terms?.remembered === true };
      return await authenticate(BEARER.exec(header.trim())?.[1] ?? '', address, from);
    },
    authenticateText: async (token, address) =>
      await authenticate(token.trim(), address, { place: 'the member token', remembered: false }),
    present,
    async use(tokenId) {
      const caller = await present(tokenId);
      if (caller !== undefined) uses.note(tokenId);
      return caller;
    },
    list: async () => (await tokens.listApiTokens()).map(viewOf),
    async change(id, change, version, actor) {
      const entry = auditEntry(actor, 'api-tokens.set', { id, ...change }, now());
      return viewOf(await tokens.changeApiToken(id, change, version, entry));
    },
    async remove(id, actor) {
      await tokens.removeApiToken(id, auditEntry(actor, 'api-tokens.delete', { id }, now()));
      uses.forget(id);
      known.forget(id);
    },
    async createAdministrator(name, actor, keep, terms) {
      return (await create({ name, role: 'administrator', expiresAt: null }, actor, keep, terms)).token;
    },
    async isValid(token) {
      const [, id, secret] = TOKEN.exec(token) ?? [];
      if (id === undefined || secret === undefined) return false;
      const record = await known.find(id.toLowerCase(), secret);
      return record !== undefined && !isExpired(record, now());
    },
  };
}

function isExpired(record: ApiTokenRecord, at: number): record is ApiTokenRecord & { readonly expiresAt: number } {
  return record.expiresAt !== null && record.expiresAt <= at;
}

function lastUses(tokens: Pick<TokenStore, 'noteApiTokenUse'>, now: () => number) {
  /** When the last use of each token was noted: of valid tokens only, so that it is bounded as they are. */
  const notedAt = new Map<string, number>();
  return {
    note(id: string): void {
      const at = now();
      if (Math.abs(at - (notedAt.get(id) ?? Number.NEGATIVE_INFINITY)) < NOTE_USE_MS) return;
      notedAt.set(id, at);
      // A store that takes nothing now refuses no request for it: the next use is noted.
      tokens.noteApiTokenUse(id, at).catch(() => undefined);
    },
    forget: (id: string): void => void notedAt.delete(id),
  };
}

function viewOf({ id, name, role, scope, createdAt, createdBy, expiresAt, lastUsedAt }: ApiTokenRecord): ApiTokenView {
  return { id, name, role, scope, createdAt, createdBy, expiresAt, lastUsedAt };
}

function callerOf({ id: tokenId, name, role, scope, expiresAt }: ApiTokenRecord): Caller {
  return { tokenId, name, role, scope, expiresAt };
}

/** Errors: forbidden when the role of the caller is below `needed`. */
export function assertRole(caller: Caller, needed: Role): void {
  if (ROLES.indexOf(caller.role) < ROLES.indexOf(needed))
    throw authFault('forbidden', { needed, name: caller.name, role: caller.role });
}
