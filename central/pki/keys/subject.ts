// Reads the key material of one subject once, and writes changes of it from the version that was read: a writer that
// does not know the present state changes nothing.
import { isCoded } from '../../../shared/errors.ts';
import type { AuditEntry } from '../../store/audit-store.ts';
import type { KeyMaterialEntry, KeyMaterialStore } from '../../store/key-material-store.ts';

/** Another node that writes at the same time is done by then. */
const ATTEMPTS = 5;

/**
 * Runs an act on what the store has now (`look` reads it), and again where another node changed it before the act wrote.
 * The act has written nothing when it fails for that reason, or goes on from what it wrote. Errors: those of the act,
 * key_material_conflict.
 */
export async function onNewest<T>(look: () => Promise<void>, act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    await look();
    try {
      return await act();
    } catch (error) {
      if (attempt === ATTEMPTS || !isCoded(error, 'key_material_conflict')) throw error;
    }
  }
}

export class KeyMaterialSubject {
  readonly #store: KeyMaterialStore;
  readonly #subject: string;
  #values: Map<string, string>;
  #version: number;

  private constructor(store: KeyMaterialStore, subject: string, version: number, values: Map<string, string>) {
    this.#store = store;
    this.#subject = subject;
    this.#version = version;
    this.#values = values;
  }

  /** Errors: those of opening what is encrypted (central/pki/keys/key-material.ts). */
  static async open(store: KeyMaterialStore, subject: string): Promise<KeyMaterialSubject> {
    const { version, rows } = await store.load(subject);
    return new KeyMaterialSubject(store, subject, version, new Map(rows.map(({ name, value }) => [name, value])));
  }

  /** Reads it again: another node may have changed it. True when it did. */
  async load(): Promise<boolean> {
    const { version, rows } = await this.#store.load(this.#subject);
    if (version === this.#version) return false;
    this.#version = version;
    this.#values = new Map(rows.map(({ name, value }) => [name, value]));
    return true;
  }

  names(): string[] {
    return [...this.#values.keys()];
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** Writes all entries or none. Errors: key_material_conflict. */
  async put(entries: readonly KeyMaterialEntry[], audit: AuditEntry): Promise<void> {
    const version = this.#version;
    await this.#store.put([{ subject: this.#subject, version, entries }], audit);
    this.#version = version + 1;
    for (const { name, value } of entries) {
      if (value === null) this.#values.delete(name);
      else this.#values.set(name, value);
    }
  }
}
