// The part of the store's interface for Central's keys and certificates. The rules of store.ts apply.
import type { AuditEntry } from './audit-store.ts';

/**
 * Keys and certificates of Central, as opaque text by name; they lie in the store so that one backup holds all. What ends in
 * `.key` is private and comes sealed (central/pki/keys/key-material.ts).
 */
export interface KeyMaterialRow {
  readonly name: string;
  readonly value: string;
}

export interface KeyMaterialStore {
  /** Of everything there is, in order. */
  names(): Promise<string[]>;
  get(name: string): Promise<string | undefined>;
  /** Writes all of them or none; null takes one away. */
  put(entries: readonly { readonly name: string; readonly value: string | null }[], audit: AuditEntry): Promise<void>;
}
