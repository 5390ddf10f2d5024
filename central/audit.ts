// Creates the audit entry of an administrator's act. The store keeps and chains the entries.
import type { AuditEntry } from './store/audit-store.ts';

/** Why the administrator did it, in their words. */
export interface Reason {
  readonly comment?: string | undefined;
  readonly ticket?: string | undefined;
}

/** Who acts, over which connection, and why. */
export interface Actor extends Reason {
  /** Name of the API token, or `central` for what Central does on its own. */
  readonly who: string;
  /** Remote address; `local socket` for the administration's socket on Central's host, `local` for Central itself. */
  readonly from: string;
  /** The connection of the request; absent where there is no request. */
  readonly via?: { readonly listener: 'http' | 'https' | 'local'; readonly connectedAt: number };
}

/** The actor of what Central does on its own: the first start, deadlines, rollbacks at a start. */
export const CENTRAL: Actor = { who: 'central', from: 'local' };

/** An audit entry; `detail` must hold no secret. */
export function auditEntry(
  actor: Actor,
  action: string,
  detail: Readonly<Record<string, unknown>>,
  at: number,
  reason: Reason = actor,
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
