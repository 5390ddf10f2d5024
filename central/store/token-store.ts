// The part of the store's interface for API tokens and enrollment tokens. The rules of store.ts apply.
import { createHash } from 'node:crypto';
import type { AuditEntry } from './audit-store.ts';

export type Role = 'viewer' | 'operator' | 'administrator';

export interface ApiTokenRecord {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
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
  /** Null: it does not expire. */
  readonly expiresAt?: number | null | undefined;
}

/** Another number for each other content: the ETag of a token, whose row has no counter. */
export function apiTokenVersion({
  name,
  role,
  expiresAt,
}: Pick<ApiTokenRecord, 'expiresAt' | 'name' | 'role'>): number {
  const content = JSON.stringify([name, role, expiresAt]);
  return Number.parseInt(createHash('sha256').update(content).digest('hex').slice(0, 12), 16);
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

export interface TokenStore {
  addApiToken(token: ApiTokenRecord, audit: AuditEntry): Promise<void>;
  getApiToken(id: string): Promise<ApiTokenRecord | undefined>;
  listApiTokens(): Promise<ApiTokenRecord[]>;
  /**
   * `version`: that of the record that the change was made for (apiTokenVersion); null: any. Errors: token_unknown,
   * version_conflict, last_administrator (the last administrator's token keeps its role, and does not expire sooner).
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
  /** Errors: agent_name_reserved. */
  addEnrollmentToken(token: EnrollmentTokenRecord, audit: AuditEntry): Promise<void>;
  getEnrollmentToken(id: string): Promise<EnrollmentTokenRecord | undefined>;
  listEnrollmentTokens(): Promise<EnrollmentTokenRecord[]>;
  /** Errors: token_unknown. */
  removeEnrollmentToken(id: string, audit: AuditEntry): Promise<void>;
}
