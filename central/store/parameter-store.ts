// The part of the store's interface for parameters and the change that waits for confirmation. The rules of store.ts apply.
import type { AuditEntry } from './audit-store.ts';

/** A stored value; parameters at their default have no row, but keep who restored it and when (`value` null). */
export interface ParameterRow {
  readonly name: string;
  /** JSON text of the value; null: the default. */
  readonly value: string | null;
  readonly changedBy: string;
  readonly changedAt: number;
}

export interface ParameterSnapshot {
  /** Grows with every committed change; the ETag of the parameters. */
  readonly version: number;
  readonly rows: ParameterRow[];
  readonly pending: PendingChange | null;
}

/** A change that will be undone unless it is confirmed (commit-confirm). */
export interface PendingChange {
  readonly id: string;
  readonly deadline: number;
  /** Values before the change; null: the default. */
  readonly before: { readonly name: string; readonly value: string | null }[];
  /** JSON text with what the confirmation needs (share, agents that were online, ...). */
  readonly terms: string;
  readonly changedBy: string;
}

export interface ParameterStore {
  load(): Promise<ParameterSnapshot>;
  /**
   * Writes all values, the pending mark (or its end) and the audit entry in one transaction, if `expectedVersion` is still
   * the version. Errors: version_conflict.
   */
  save(change: {
    readonly expectedVersion: number;
    readonly rows: readonly ParameterRow[];
    readonly pending: PendingChange | null;
    readonly audit: AuditEntry;
  }): Promise<ParameterSnapshot>;
}
