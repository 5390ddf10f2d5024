// Owns how audit entries are chained, so that nobody can change or drop one unseen; the same for every engine of the store.
import { createHash } from 'node:crypto';
import type { AuditEntry } from './store.ts';

/** Stands for the hash before the first entry. */
export const CHAIN_START = '0'.repeat(64);

/**
 * The hash of the entry with this number: SHA-256, lower-case hex, over the hash before it, a line feed, and the JSON array
 * `[number, at, who, from, action, detail, comment, ticket]` as JSON.stringify writes it.
 */
export function chainHash(before: string, number: number, entry: AuditEntry): string {
  const { at, who, from, action, detail, comment, ticket } = entry;
  return createHash('sha256')
    .update(`${before}\n${JSON.stringify([number, at, who, from, action, detail, comment, ticket])}`)
    .digest('hex');
}
