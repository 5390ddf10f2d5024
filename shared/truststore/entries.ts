// Queries the entries of an open store: the trusted ones, the one with an alias, a free alias.
import { keystoreFault } from '../keystore/errors.ts';
import {
  counted,
  FORMAT_NAMES,
  parseCertificate,
  printableLine,
  thumbprint,
  type Store,
  type StoreEntry,
  type TrustedEntry,
} from '../keystore/material.ts';

/** The trusted entries, of which there is at least one. Throws when the store is empty or of another kind. */
export function trustedEntries(store: Store, file: string): TrustedEntry[] {
  const format = FORMAT_NAMES[store.format];
  const trusted = store.entries.filter((entry) => entry.kind === 'trusted');
  if (trusted.length > 0) return trusted;
  const keys =
    store.entries.filter(({ kind }) => kind === 'key').length +
    store.others.filter((label) => label.endsWith('PRIVATE KEY')).length;
  if (keys > 0)
    throw keystoreFault('keystore_only_private_keys', { file, format, found: counted(keys, 'private key') });
  if (store.entries.length === 0 && store.others.length === 0)
    throw keystoreFault('keystore_no_entries', { file, format });
  const found =
    store.entries.length > 0
      ? `${counted(store.entries.length, 'certificate')} without the mark of trust`
      : [...new Set(store.others)].join(', ');
  throw keystoreFault('keystore_no_certificate', { file, format, found });
}

/** An alias as Java looks it up. */
export function aliasKey(alias: string): string {
  return alias.toLowerCase();
}

/** An alias from the common name: small letters, digits and dashes. */
export function aliasFromSubject(der: Buffer): string {
  const subject = parseCertificate(der)?.subject ?? '';
  const name = /(?:^|\n)CN=([^\n]+)/.exec(subject)?.[1] ?? subject;
  return (
    name
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '')
      .slice(0, 64) || 'certificate'
  );
}

/**
 * The entries of a store that others join: which certificates it trusts and which aliases are taken, at one price each.
 */
export class EntryIndex {
  readonly #trusted = new Map<string, TrustedEntry>();
  readonly #taken = new Set<string>();
  /** The next number to try behind an alias: thousands of certificates may have one name. */
  readonly #numbers = new Map<string, number>();

  constructor(entries: readonly StoreEntry[]) {
    for (const entry of entries) this.add(entry);
  }

  add(entry: StoreEntry): void {
    this.#taken.add(aliasKey(entry.alias));
    if (entry.kind !== 'trusted') return;
    const key = thumbprint(entry.certificates[0]);
    if (!this.#trusted.has(key)) this.#trusted.set(key, entry);
  }

  isTaken(alias: string): boolean {
    return this.#taken.has(aliasKey(alias));
  }

  /** The entry that trusts this certificate already. */
  twinOf(der: Buffer): TrustedEntry | undefined {
    return this.#trusted.get(thumbprint(der));
  }

  /** `wanted`, or with a number behind it (from 2) if that is taken. */
  freeAlias(wanted: string): string {
    let number = this.#numbers.get(wanted) ?? 1;
    let alias = wanted;
    for (; this.isTaken(alias); alias = `${wanted}-${number}`) number += 1;
    this.#numbers.set(wanted, number);
    return alias;
  }
}

/** What a store holds beside `entries`, for messages: "2 private keys, a bag of another type". */
export function namesOf(labels: readonly string[]): string {
  return [...Map.groupBy(labels, (label) => label)]
    .map(([label, { length }]) => (length === 1 ? printableLine(label) : `${printableLine(label)} (${length} times)`))
    .join(', ');
}

/** The date in UTC, as keytool cannot show it and everybody can read it. */
export function day(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'an unreadable date' : (date.toISOString().split('T')[0] ?? '');
}
