// Creates, lists, deletes and verifies the API tokens of administrators, operators and viewers. Each route declares the
// role that it needs (central/admin).
import { auditEntry, CENTRAL, type Actor } from '../audit.ts';
import type { AuditStore } from '../store/audit-store.ts';
import type { ApiTokenRecord, Role, TokenStore } from '../store/token-store.ts';
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
}

interface ApiTokensOptions {
  readonly tokens: Pick<TokenStore, 'addApiToken' | 'getApiToken' | 'listApiTokens' | 'removeApiToken'>;
  readonly audit: AuditStore;
  /** What comes of a wrong token before it is answered. */
  readonly attempts: WrongAttempts;
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
  /** Errors: token_unknown, last_administrator. */
  remove(id: string, actor: Actor): Promise<void>;
  /** On a store without tokens: the first administrator's, to be shown once; undefined when there are any. */
  first(): Promise<string | undefined>;
}

const BEARER = /^Bearer +qg_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/i;

export function createApiTokens({ tokens, audit, attempts, now }: ApiTokensOptions): ApiTokens {
  async function create(order: NewApiToken, actor: Actor): Promise<{ token: string; record: ApiTokenView }> {
    const { id, token, hash } = makeSecret('qg');
    const record = {
      id,
      name: order.name,
      role: order.role,
      createdAt: now(),
      createdBy: actor.who,
      expiresAt: order.expiresAt,
    };
    await tokens.addApiToken({ ...record, hash });
    await audit.append(
      auditEntry(
        actor,
        'api-tokens.create',
        { id, name: order.name, role: order.role, expiresAt: order.expiresAt },
        now(),
      ),
    );
    return { token, record };
  }

  async function refuse(found: string, address: string): Promise<never> {
    await attempts.slow({ secret: 'api-token', address });
    throw authFault('unauthenticated', { found });
  }

  return {
    create,
    async authenticate(header, address) {
      if (header === undefined) throw authFault('unauthenticated', { found: 'the Authorization header is missing' });
      const [, id, secret] = BEARER.exec(header.trim()) ?? [];
      if (id === undefined || secret === undefined)
        return await refuse('the Authorization header holds no token of the form qg_..._...', address);
      const record = await tokens.getApiToken(id.toLowerCase());
      // One text for both: an answer must not reveal whether an id exists.
      if (!isSecret(secret, record?.hash) || record === undefined)
        return await refuse('this token is not known (it may have been removed)', address);
      if (record.expiresAt !== null && record.expiresAt <= now())
        throw authFault('unauthenticated', {
          found: `this token expired at ${new Date(record.expiresAt).toISOString()}`,
        });
      return { tokenId: record.id, name: record.name, role: record.role };
    },
    async list() {
      return (await tokens.listApiTokens()).map(({ id, name, role, createdAt, createdBy, expiresAt }) => ({
        id,
        name,
        role,
        createdAt,
        createdBy,
        expiresAt,
      }));
    },
    async remove(id, actor) {
      await tokens.removeApiToken(id);
      await audit.append(auditEntry(actor, 'api-tokens.delete', { id }, now()));
    },
    async first() {
      if ((await tokens.listApiTokens()).length > 0) return undefined;
      return (await create({ name: 'first administrator', role: 'administrator', expiresAt: null }, CENTRAL)).token;
    },
  };
}

/** Errors: forbidden when the role of the caller is below `needed`. */
export function assertRole(caller: Caller, needed: Role): void {
  if (ROLES.indexOf(caller.role) < ROLES.indexOf(needed))
    throw authFault('forbidden', { needed, name: caller.name, role: caller.role });
}
