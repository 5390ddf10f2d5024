// Creates, lists, deletes and verifies the API tokens of administrators, operators and viewers. Each route declares the
// role that it needs (central/admin).
import { auditEntry, type Actor } from '../audit.ts';
import type { ApiTokenChange, ApiTokenRecord, Role, TokenStore } from '../store/token-store.ts';
import { authFault } from './errors.ts';
import { isSecret, makeSecret } from './secrets.ts';
import type { WrongAttempts } from './wrong-attempts.ts';

/**
 * From the least to the most: each may do what those before it may. viewer reads, operator sends messages,
 * administrator the rest.
 */
export const ROLES = ['viewer', 'operator', 'administrator'] as const satisfies readonly Role[];

/** Who sends a request, by its API token. */
export interface Caller {
  readonly tokenId: string;
  readonly name: string;
  readonly role: Role;
  readonly expiresAt: number | null;
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
  /** Null: until it is removed. */
  readonly expiresAt: number | null;
}

/** A token without its hash. */
export type ApiTokenView = Omit<ApiTokenRecord, 'hash'>;

export interface ApiTokens {
  /**
   * Who sends a request with this Authorization header from this address. A wrong token is answered late, a right one
   * at once.
   * Errors: unauthenticated, too_many_attempts.
   */
  authenticate(header: string | undefined, address: string): Promise<Caller>;
  /** Makes a token; its text is in this answer only. */
  create(order: NewApiToken, actor: Actor): Promise<{ readonly token: string; readonly record: ApiTokenView }>;
  list(): Promise<ApiTokenView[]>;
  /** `version`: see TokenStore.changeApiToken. Errors: token_unknown, version_conflict, last_administrator. */
  change(id: string, change: ApiTokenChange, version: number | null, actor: Actor): Promise<ApiTokenView>;
  /** Errors: token_unknown, last_administrator. */
  remove(id: string, actor: Actor): Promise<void>;
  /**
   * Creates an administrator's token that does not expire. `keep` stores its text before the token becomes valid: a
   * process that is killed in between leaves no valid token whose text is unknown.
   */
  createAdministrator(name: string, actor: Actor, keep: (token: string) => Promise<void>): Promise<string>;
  /** True for a token that `authenticate` accepts now; a wrong one is neither counted nor slowed down. */
  isValid(token: string): Promise<boolean>;
}

const BEARER = /^Bearer +qg_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/i;

/** How far `lastUsedAt` may be behind: a store write for each request would cost more than it tells. */
const NOTE_USE_MS = 60_000;

const KEPT_BY_CALLER = async (): Promise<void> => undefined;

export function createApiTokens({ tokens, attempts, now }: ApiTokensOptions): ApiTokens {
  async function create(
    order: NewApiToken,
    actor: Actor,
    keep: (token: string) => Promise<void> = KEPT_BY_CALLER,
  ): Promise<{ token: string; record: ApiTokenView }> {
    const { id, token, hash } = makeSecret('qg');
    await keep(token);
    const { name, role, expiresAt } = order;
    const record = { id, name, role, createdAt: now(), createdBy: actor.who, expiresAt, lastUsedAt: null };
    const entry = auditEntry(actor, 'api-tokens.create', { id, name, role, expiresAt }, now());
    await tokens.addApiToken({ ...record, hash }, entry);
    return { token, record };
  }

  /** The record of a token with the right secret, expired or not. */
  async function find(id: string, secret: string): Promise<ApiTokenRecord | undefined> {
    const record = await tokens.getApiToken(id.toLowerCase());
    return isSecret(secret, record?.hash) ? record : undefined;
  }

  const uses = lastUses(tokens, now);

  async function refuse(found: string, address: string): Promise<never> {
    await attempts.slow({ secret: 'api-token', address });
    throw authFault('unauthenticated', { found });
  }

  return {
    create: async (order, actor) => await create(order, actor),
    async authenticate(header, address) {
      if (header === undefined) throw authFault('unauthenticated', { found: 'the Authorization header is missing' });
      const [, id, secret] = BEARER.exec(header.trim()) ?? [];
      if (id === undefined || secret === undefined)
        return await refuse('the Authorization header holds no token of the form qg_..._...', address);
      const record = await find(id, secret);
      // One text for both: an answer must not reveal whether an id exists.
      if (record === undefined) return await refuse('this token is not known (it may have been removed)', address);
      if (record.expiresAt !== null && record.expiresAt <= now())
        throw authFault('unauthenticated', {
          found: `this token expired at ${new Date(record.expiresAt).toISOString()}`,
        });
      uses.note(record.id);
      const { id: tokenId, name, role, expiresAt } = record;
      return { tokenId, name, role, expiresAt };
    },
    async list() {
      return (await tokens.listApiTokens()).map(viewOf);
    },
    async change(id, change, version, actor) {
      const entry = auditEntry(actor, 'api-tokens.set', { id, ...change }, now());
      return viewOf(await tokens.changeApiToken(id, change, version, entry));
    },
    async remove(id, actor) {
      await tokens.removeApiToken(id, auditEntry(actor, 'api-tokens.delete', { id }, now()));
      uses.forget(id);
    },
    async createAdministrator(name, actor, keep) {
      return (await create({ name, role: 'administrator', expiresAt: null }, actor, keep)).token;
    },
    async isValid(token) {
      const [, id, secret] = BEARER.exec(`Bearer ${token}`) ?? [];
      if (id === undefined || secret === undefined) return false;
      const record = await find(id, secret);
      return record !== undefined && (record.expiresAt === null || record.expiresAt > now());
    },
  };
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

function viewOf({ id, name, role, createdAt, createdBy, expiresAt, lastUsedAt }: ApiTokenRecord): ApiTokenView {
  return { id, name, role, createdAt, createdBy, expiresAt, lastUsedAt };
}

/** Errors: forbidden when the role of the caller is below `needed`. */
export function assertRole(caller: Caller, needed: Role): void {
  if (ROLES.indexOf(caller.role) < ROLES.indexOf(needed))
    throw authFault('forbidden', { needed, name: caller.name, role: caller.role });
}
