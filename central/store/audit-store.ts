// The part of the store's interface for the audit log, and the hash chain that shows when an entry was changed or
// dropped; the chain is the same for every engine. The rules of store.ts apply.
import { createHash } from 'node:crypto';

export interface AuditEntry {
  readonly at: number;
  readonly who: string;
  readonly from: string;
  readonly action: string;
  /** What was changed, as JSON text without secrets. */
  readonly detail: string;
  readonly comment: string | null;
  readonly ticket: string | null;
}

export interface AuditStore {
  append(entry: AuditEntry): Promise<void>;
  /** Newest first; `hash` chains each entry to the one before it (SHA-256 over the hash before and the entry). */
  list(page: {
    readonly limit: number;
    readonly before?: number;
  }): Promise<(AuditEntry & { readonly number: number; readonly hash: string })[]>;
}

/** Stands for the hash before the first entry. */
export const CHAIN_START = '0'.repeat(64);

/**
 * The hash of the entry with this number: SHA-256, lower-case hex, over the hash before it, a line feed, and the JSON
 * array `[number, at, who, from, action, detail, comment, ticket]` as JSON.stringify writes it.
 */
export function chainHash(before: string, number: number, entry: AuditEntry): string {
  const { at, who, from, action, detail, comment, ticket } = entry;
  return createHash('sha256')
    .update(`${before}\n${JSON.stringify([number, at, who, from, action, detail, comment, ticket])}`)
    .digest('hex');
}
