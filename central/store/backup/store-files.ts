// What backup and restore need of an engine: work on whole store files. The engine that keeps it is chosen in
// central/store/open-store.ts.
import type { AuditEntry } from '../audit-store.ts';
import type { KeyMaterialRow } from '../key-material-store.ts';

export interface StoreFiles {
  /** An upper bound, in bytes, of a copy of the store that is in use. */
  copyBytes(): Promise<number>;
  /**
   * Checks that a file is a store that this version can open, and returns its key material. Changes nothing.
   * Errors: backup_newer, backup_unsound, backup_failed.
   */
  validate(file: string): Promise<KeyMaterialRow[]>;
  /**
   * Replaces the store of a Central that has stopped. `lastCursor` is the newest cursor that the old store gave.
   * Errors: data_in_use, backup_failed, backup_unsound; then the old store is where it was.
   */
  replace(staged: StagedStore, lastCursor: number): Promise<Replacement>;
  /** Deletes stores that restores replaced more than a month ago; the newest stays. */
  pruneReplaced(now: number): Promise<void>;
}

/** A validated store that is ready to replace the current one. */
export interface StagedStore {
  readonly file: string;
  /** Holds the file; removed with what is left of it. */
  readonly folder: string;
  /** Private keys of the backup, sealed for this Central. */
  readonly keys: readonly KeyMaterialRow[];
  /** For the restored store, since the current one is replaced. */
  readonly audit: AuditEntry;
}

export interface Replacement {
  /** The store that was replaced. */
  readonly before: string;
  /** Puts that one back in its place. */
  rollBack(): Promise<void>;
}
