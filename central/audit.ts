// Owns how an act of an administrator becomes an audit entry. The store chains the entries; nothing here keeps any.
import type { AuditEntry } from './store/audit-store.ts';

/** Who acts, and over which connection. */
export interface Actor {
  /** Name of the API token, or `central` for what Central does by itself. */
  readonly who: string;
  /** Remote address; `local socket` for the administration's socket on Central's host, `local` for Central itself. */
  readonly from: string;
  /** The admin connection the request came over; absent for what is no request. */
  readonly via?: { readonly listener: 'http' | 'https' | 'local'; readonly connectedAt: number };
}

/** What Central does by itself: first start, deadlines, undoing at start. */
export const CENTRAL: Actor = { who: 'central', from: 'local' };

/** Why somebody did it, in his words. */
export interface Reason {
  readonly comment?: string | undefined;
  readonly ticket?: string | undefined;
}

/** An audit entry; `detail` must hold no secret. */
export function auditEntry(
  actor: Actor,
  action: string,
  detail: Readonly<Record<string, unknown>>,
  at: number,
  reason: Reason = {},
): AuditEntry {
  return {
    at,
    who: actor.who,
    from: actor.from,
    action,
    detail: JSON.stringify(detail),
    comment: reason.comment ?? null,
    ticket: reason.ticket ?? null,
  };
}
