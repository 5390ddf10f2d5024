// Creates, lists, deletes and verifies enrollment tokens. The store consumes their uses, in the transaction that
// registers the agent; the proofs for plain lines are in shared/wire/enrollment.ts.
import { readEnrollmentToken } from '../../shared/wire/enrollment.ts';
import { auditEntry, CENTRAL, type Actor } from '../audit.ts';
import { CENTRAL_AGENT_NAME } from '../store/agent-names.ts';
import { storeFault } from '../store/errors.ts';
import type { EnrollmentTokenRecord, TokenStore } from '../store/token-store.ts';
import { isSecret, makeSecret } from '../auth/secrets.ts';

/** Long enough to walk to the machine, too short to lie about in a mailbox. */
export const DEFAULT_ENROLLMENT_SECONDS = 30 * 60;
/** A week: for a roll-out by parcel. */
export const MAX_ENROLLMENT_SECONDS = 7 * 86_400;
export const MAX_ENROLLMENT_USES = 10_000;

interface EnrollmentTokensOptions {
  readonly tokens: Pick<
    TokenStore,
    'addEnrollmentToken' | 'getEnrollmentToken' | 'listEnrollmentTokens' | 'removeEnrollmentToken'
  >;
  readonly now: () => number;
}

interface NewEnrollmentToken {
  readonly lifetimeSeconds: number;
  /** How many machines may use it. */
  readonly maxUses: number;
  /** The only agent name it is good for; null: any. */
  readonly agentName: string | null;
}

export type EnrollmentTokenView = Omit<EnrollmentTokenRecord, 'hash'>;

export interface EnrollmentTokens {
  /** Makes a token; its text is in this answer only. Errors: agent_name_reserved. */
  create(
    order: NewEnrollmentToken,
    actor: Actor,
  ): Promise<{ readonly token: string; readonly record: EnrollmentTokenView }>;
  list(): Promise<EnrollmentTokenView[]>;
  /** Errors: token_unknown. */
  remove(id: string, actor: Actor): Promise<void>;
  /** The record behind a token whose secret is right. Uses and expiry are checked when it is used. */
  verify(token: string): Promise<EnrollmentTokenRecord | undefined>;
  get(id: string): Promise<EnrollmentTokenRecord | undefined>;
  withdraw(id: string, reason: string): Promise<void>;
}

export function createEnrollmentTokens({ tokens, now }: EnrollmentTokensOptions): EnrollmentTokens {
  return {
    async create({ lifetimeSeconds, maxUses, agentName }, actor) {
      // With it somebody else's agent would be Central's own.
      if (agentName?.toLowerCase() === CENTRAL_AGENT_NAME && actor !== CENTRAL)
        throw storeFault('agent_name_reserved', {
          name: agentName,
          found: "it is kept for the agent on Central's own host",
        });
      const { id, token, hash } = makeSecret('qge');
      const record = {
        id,
        createdAt: now(),
        createdBy: actor.who,
        expiresAt: now() + lifetimeSeconds * 1000,
        uses: 0,
        maxUses,
        agentName,
      };
      await tokens.addEnrollmentToken(
        { ...record, hash },
        auditEntry(actor, 'enrollment-tokens.create', { id, expiresAt: record.expiresAt, maxUses, agentName }, now()),
      );
      return { token, record };
    },
    async list() {
      return (await tokens.listEnrollmentTokens()).map(
        ({ id, createdAt, createdBy, expiresAt, uses, maxUses, agentName }) => ({
          id,
          createdAt,
          createdBy,
          expiresAt,
          uses,
          maxUses,
          agentName,
        }),
      );
    },
    async remove(id, actor) {
      await tokens.removeEnrollmentToken(id, auditEntry(actor, 'enrollment-tokens.delete', { id }, now()));
    },
    async verify(token) {
      const parts = readEnrollmentToken(token);
      if (parts === undefined) return undefined;
      const record = await tokens.getEnrollmentToken(parts.id);
      return isSecret(parts.secret, record?.hash) ? record : undefined;
    },
    async get(id) {
      return await tokens.getEnrollmentToken(id);
    },
    async withdraw(id, reason) {
      await tokens.removeEnrollmentToken(id, auditEntry(CENTRAL, 'enrollment-tokens.withdraw', { id, reason }, now()));
    },
  };
}
