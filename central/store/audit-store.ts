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
  /** An entry about what strangers were refused, which must not use up the reserve. Errors: store_reserve. */
  appendRefusals(entry: AuditEntry): Promise<void>;
  /** Newest first; `hash` chains each entry to the one before it (SHA-256 over the hash before and the entry). */
  list(page: { readonly limit: number; readonly before?: number }): Promise<StoredAuditEntry[]>;
  /**
   * The entries behind `after` that the filter lets through. One call looks at a bounded number of entries: a page may
   * be short, or empty, and `next` (null at the end) leads on.
   */
  find(query: {
    readonly limit: number;
    readonly order: 'newest' | 'oldest';
    readonly after: number | null;
    readonly filter: AuditFilter;
  }): Promise<{ readonly entries: readonly StoredAuditEntry[]; readonly next: number | null }>;
  /** The newest entry. */
  head(): Promise<AuditHead | null>;
  /** Checks that `from` is there, and the chain of so many entries behind it. `lookFor`: a hash. */
  check(from: AuditHead, limit: number, lookFor?: string): Promise<AuditCheck>;
}

export type StoredAuditEntry = AuditEntry & { readonly number: number; readonly hash: string };

/** An entry by its number and its hash, which stands for all entries up to it. */
export interface AuditHead {
  readonly number: number;
  readonly hash: string;
}

/** `refused`: what somebody tried and Central refused; its action ends in ".refuse" or ".forbid". */
type AuditResult = 'done' | 'refused';

/** Null: all. `*` in a text stands for any text; several of one member mean one of them. */
export interface AuditFilter {
  readonly actors: readonly string[] | null;
  readonly actions: readonly string[] | null;
  /** A text in the detail: an id, a name, a thumbprint. */
  readonly targets: readonly string[] | null;
  readonly number: number | null;
  /** From this time on. */
  readonly from: number | null;
  /** Before this time. */
  readonly to: number | null;
  /** Anywhere in actor, address, action, detail, comment or ticket, in any case of its ASCII letters. */
  readonly text: string | null;
  readonly result: AuditResult | null;
}

/** `head`: the entry from which on is checked is not the one that was there. */
export type AuditFault =
  | { readonly kind: 'head' }
  | { readonly kind: 'altered'; readonly number: number }
  | { readonly kind: 'missing'; readonly number: number; readonly through: number };

export interface AuditCheck {
  readonly faults: readonly AuditFault[];
  /** The last entry that was looked at. */
  readonly last: AuditHead;
  readonly count: number;
  /** Was the hash that is looked for among them? */
  readonly found: boolean;
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
