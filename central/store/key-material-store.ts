// The part of the store's interface for Central's keys and certificates. The rules of store.ts apply.
import type { AuditEntry } from './audit-store.ts';

/**
 * Keys and certificates of Central, as opaque text by name. They are in the store so that one backup holds everything.
 * A name that ends in `.key` is a private key, which is encrypted before it gets here
 * (central/pki/keys/key-material.ts). The part of a name before its first dot is the subject: `authority`, `server`,
 * `signing`.
 */
export interface KeyMaterialRow {
  readonly name: string;
  readonly value: string;
}

/** What the store has of one subject at one moment. */
export interface KeyMaterialSnapshot {
  /** Grows with each change of the subject, also when an entry is deleted; 0: it was never written. */
  readonly version: number;
  readonly rows: readonly KeyMaterialRow[];
}

/** An entry to write; a null value deletes it. */
export interface KeyMaterialEntry {
  readonly name: string;
  readonly value: string | null;
}

/** A change of one subject, made from its `version`. */
export interface KeyMaterialChange {
  readonly subject: string;
  readonly version: number;
  readonly entries: readonly KeyMaterialEntry[];
}

export interface KeyMaterialStore {
  /** All names, in order. */
  names(): Promise<string[]>;
  load(subject: string): Promise<KeyMaterialSnapshot>;
  /**
   * Writes all changes or none, and raises the version of each subject by one. Errors: key_material_conflict (another
   * writer changed a subject since it was loaded).
   */
  put(changes: readonly KeyMaterialChange[], audit: AuditEntry): Promise<void>;
}
