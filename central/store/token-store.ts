// The part of the store's interface for API tokens, the sign-ins of browsers and enrollment tokens. The rules of
// store.ts apply.
import { createHash } from 'node:crypto';
import type { AuditEntry } from './audit-store.ts';

export type Role = 'viewer' | 'operator' | 'administrator';

export interface ApiTokenRecord {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** A selector of labels, `label:region=north`: it is for these agents only. Null: for all. */
  readonly scope: string | null;
  /** SHA-256 of the secret, lower-case hex. */
  readonly hash: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt: number | null;
  /** The last use that was noted; null: none. */
  readonly lastUsedAt: number | null;
}

/** What is absent stays. */
export interface ApiTokenChange {
  readonly name?: string | undefined;
  readonly role?: Role | undefined;
  /** Null: for all agents. */
  readonly scope?: string | null | undefined;
  /** Null: it does not expire. */
  readonly expiresAt?: number | null | undefined;
}

/** Another number for each other content: the ETag of a token, whose row has no counter. */
export function apiTokenVersion({
  name,
  role,
  scope,
  expiresAt,
}: Pick<ApiTokenRecord, 'expiresAt' | 'name' | 'role' | 'scope'>): number {
  const content = JSON.stringify([name, role, scope, expiresAt]);
  return Number.parseInt(createHash('sha256').update(content).digest('hex').slice(0, 12), 16);
}

/** A person whom an OpenID provider names. */
export interface SignedInPerson {
  readonly issuer: string;
  readonly subject: string;
  readonly name: string;
  readonly role: Role;
  /** As of an API token. */
  readonly scope: string | null;
  /** The one that gave the role. */
  readonly group: string;
  /** A hash of the settings by which the role was determined. */
  readonly rules: string;
}

/** The session of a browser (central/auth/sign-in/sign-ins.ts). */
export interface SignInRecord {
  readonly id: string;
  /** SHA-256 of the secret in the cookie, lower-case hex. */
  readonly hash: string;
  /** The id of an API token, or one that is made of issuer and subject. */
  readonly owner: string;
  /** Null: the owner is an API token. */
  readonly person: SignedInPerson | null;
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface EnrollmentTokenRecord {
  readonly id: string;
  readonly hash: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly expiresAt: number;
  readonly uses: number;
  readonly maxUses: number;
  /** The only agent name that it enrolls; null: any. */
  readonly agentName: string | null;
}

export interface AddedApiToken extends ApiTokenRecord {
  /** Added only where there is no token yet. */
  readonly isFirst?: boolean;
}

export interface TokenStore {
  /** Errors: api_tokens_full, first_token_elsewhere. */
  addApiToken(token: AddedApiToken, audit: AuditEntry): Promise<void>;
  getApiToken(id: string): Promise<ApiTokenRecord | undefined>;
  listApiTokens(): Promise<ApiTokenRecord[]>;
  /**
   * `version`: that of the record that the change was made for (apiTokenVersion); null: any. Errors: token_unknown,
   * version_conflict, last_administrator (the last administrator's token keeps its role, gets no scope, and does not
   * expire sooner).
   */
  changeApiToken(
    id: string,
    change: ApiTokenChange,
    version: number | null,
    audit: AuditEntry,
  ): Promise<ApiTokenRecord>;
  /** Sets `lastUsedAt`. A token that was deleted meanwhile is left out. */
  noteApiTokenUse(id: string, at: number): Promise<void>;
  /** Errors: token_unknown, last_administrator (the last administrator's token stays). */
  removeApiToken(id: string, audit: AuditEntry): Promise<void>;
  /**
   * Replaces the sign-in with the id `replaced`, deletes what has expired, and the oldest ones of the owner, and then of
   * all, beyond the bounds (space/bounds.ts).
   */
  addSignIn(signIn: SignInRecord, replaced: string | null, audit: AuditEntry): Promise<void>;
  /** Those of an API token end with it, and when its role or its scope changes. */
  getSignIn(id: string): Promise<SignInRecord | undefined>;
  /** One that is gone stays so; the entry is written in any case. */
  removeSignIn(id: string, audit: AuditEntry): Promise<void>;
  /** Errors: agent_name_reserved. */
  addEnrollmentToken(token: EnrollmentTokenRecord, audit: AuditEntry): Promise<void>;
  getEnrollmentToken(id: string): Promise<EnrollmentTokenRecord | undefined>;
  listEnrollmentTokens(): Promise<EnrollmentTokenRecord[]>;
  /** Errors: token_unknown. */
  removeEnrollmentToken(id: string, audit: AuditEntry): Promise<void>;
}
