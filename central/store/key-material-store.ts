// The part of the store's interface for Central's keys and certificates. The rules of store.ts apply.
import type { AuditEntry } from './audit-store.ts';

/**
 * Keys and certificates of Central, as opaque text by name. They are in the store so that one backup holds everything.
 * A name that ends in `.key` is a private key, which is sealed before it gets here (central/pki/keys/key-material.ts).
 */
export interface KeyMaterialRow {
  readonly name: string;
  readonly value: string;
}

export interface KeyMaterialStore {
  /** All names, in order. */
  names(): Promise<string[]>;
  get(name: string): Promise<string | undefined>;
  /** Writes all entries or none; a null value deletes one. */
  put(entries: readonly { readonly name: string; readonly value: string | null }[], audit: AuditEntry): Promise<void>;
}
