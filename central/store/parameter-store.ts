// The part of the store's interface for parameters and the change that waits for confirmation. The rules of store.ts
// apply.
import type { PendingChange } from '../change/pending.ts';
import type { AuditEntry } from './audit-store.ts';

/** A stored value. A parameter that was reset to its default keeps who reset it and when (`value` null). */
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
  readonly pending: PendingParameters | null;
}

/** A change that is rolled back unless it is confirmed. */
export interface PendingParameters extends PendingChange {
  /** Values before the change; null: the default. */
  readonly before: readonly { readonly name: string; readonly value: string | null }[];
}

export interface ParameterStore {
  load(): Promise<ParameterSnapshot>;
  /**
   * Writes all values, the pending mark (or its end) and the audit entry in one transaction, if `expectedVersion` is
   * still the version. Errors: version_conflict.
   */
  save(change: {
    readonly expectedVersion: number;
    readonly rows: readonly ParameterRow[];
    readonly pending: PendingParameters | null;
    readonly audit: AuditEntry;
  }): Promise<ParameterSnapshot>;
}
