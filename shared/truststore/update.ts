// Changes what a store trusts in one step: adds and removes certificates, writes once or not at all, in the format of
// the file. The caller decides which ones: an agent that follows Central, or Central for the profiles it keeps.
import {
  DEFAULT_PASSWORD,
  FORMAT_NAMES,
  thumbprint,
  type Store,
  type StoreEntry,
  type TrustedEntry,
} from '../keystore/material.ts';
import { encodeStore, openStore } from '../keystore/open.ts';
import { appendPem, removeFromPem } from '../keystore/pem.ts';
import { renumbered } from './change.ts';
import { EntryIndex } from './entries.ts';
import { truststoreFault } from './errors.ts';
import { newEntry } from './import.ts';
import { prepareEntries } from './prepare.ts';
import { checkNewPassword, formatOfNew, readStoreFile, writableFormat, writeStore } from './write.ts';

interface UpdateOrder {
  readonly file: string;
  readonly password: string | undefined;
  /** Where it is set; else the flag of the commands. */
  readonly passwordHint?: string | undefined;
  /** DER. */
  readonly add: readonly Buffer[];
  /** SHA-256 of the certificates, lower-case hex. Private keys stay, whatever their certificate. */
  readonly remove: ReadonlySet<string>;
  /** Called before a change is written; rejects when it may not be. */
  accept?(next: Updated): Promise<void>;
}

interface Updated {
  readonly added: readonly TrustedEntry[];
  readonly removed: readonly TrustedEntry[];
  /** What the store trusts now (DER). */
  readonly trusted: readonly Buffer[];
}

/**
 * Changes the store, or makes it. Errors: truststore, keystore and file faults, and those of `accept`; then nothing is
 * written.
 */
export async function updateTrusted(order: UpdateOrder): Promise<Updated> {
  const { file, password, add, remove } = order;
  const old = await readStoreFile(file, 'ignore');
  const store: Store =
    old === undefined
      ? { format: formatOfNew(file, undefined), entries: [], warnings: [], others: [] }
      : await openStore({ bytes: old, file, password, passwordHint: order.passwordHint });
  if (old === undefined && store.format !== 'pem' && password !== undefined) checkNewPassword(password);
  const removed = store.entries
    .filter((entry) => entry.kind === 'trusted')
    .filter(({ certificates: [der] }) => remove.has(fingerprintOf(der)));
  const gone = new Set<StoreEntry>(removed);
  const kept = store.entries.filter((entry) => !gone.has(entry));
  const index = new EntryIndex(kept);
  const missing = add.filter((der) => index.twinOf(der) === undefined);
  const trustedIn = (entries: readonly StoreEntry[]): Buffer[] =>
    entries.filter((entry) => entry.kind === 'trusted').map(({ certificates: [der] }) => der);
  if (missing.length === 0 && removed.length === 0)
    return { added: [], removed: [], trusted: trustedIn(store.entries) };

  const format = writableFormat({ file, store });
  const added: TrustedEntry[] = [];
  for (const der of missing) added.push(newEntry(der, { file, certificates: missing }, index, format));
  const entries =
    format === 'pem'
      ? [...renumbered(kept, store.entries), ...added]
      : prepareEntries(file, [...kept, ...added], format).entries;
  const trusted = trustedIn(entries);
  if (trusted.length === 0) throw truststoreFault('truststore_would_be_empty', { file, format: FORMAT_NAMES[format] });
  await order.accept?.({ added, removed, trusted });
  const places = new Set([...store.entries.entries()].filter(([, entry]) => gone.has(entry)).map(([place]) => place));
  const secret = password ?? store.password;
  const bytes =
    format === 'pem'
      ? appendPem(removeFromPem(old ?? Buffer.alloc(0), file, places), added)
      : await encodeStore(format, entries, secret ?? DEFAULT_PASSWORD);
  await writeStore(file, bytes, entries, secret);
  return { added, removed, trusted };
}

/** As Central names certificates: SHA-256, lower-case hex without colons. */
export function fingerprintOf(der: Buffer): string {
  return thumbprint(der).replaceAll(':', '').toLowerCase();
}
