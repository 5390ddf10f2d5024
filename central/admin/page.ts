// What lists have in common: their bound, and how they write a time.
import { Type } from 'typebox';

/** At most a thousand entries in one answer, a hundred unless asked for more. */
export const limit = Type.Integer({ minimum: 1, maximum: 1000, default: 100 });

/** RFC 3339, UTC. */
export function timeOf<T extends number | null>(at: T): T extends null ? null : string;
export function timeOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
