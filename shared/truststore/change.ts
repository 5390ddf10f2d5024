// Creates an empty store, deletes an entry, changes the password of a store. Private keys are kept, or the change is
// refused: none is ever lost.
import { isCoded } from '../errors.ts';
import {
  DEFAULT_PASSWORD,
  FORMAT_NAMES,
  aliasLine,
  thumbprint,
  type KeyEntry,
  type StoreEntry,
} from '../keystore/material.ts';
import { removeFromPem } from '../keystore/pem.ts';
import { WRITE_ITERATIONS } from '../keystore/pkcs12/crypto.ts';
import { MAX_TOTAL_ITERATIONS, TooMuchWork, workBudget } from '../keystore/pkcs12/derivation.ts';
import { openKey, protectKey } from '../keystore/private-key.ts';
import { aliasKey } from './entries.ts';
import { truststoreFault } from './errors.ts';
import { prepareEntries } from './prepare.ts';
import {
  checkNewPassword,
  formatOfNew,
  openFile,
  readStoreFile,
  writableFormat,
  writeEntries,
  writeStore,
  type OpenedFile,
  type WritableFormat,
} from './write.ts';

/**
 * Makes an empty store. Errors: truststore_exists, truststore_type_unknown, truststore_would_be_empty (PEM),
 * truststore_password_unfit.
 */
export async function createStore(
  file: string,
  type: WritableFormat | undefined,
  password: string | undefined,
): Promise<WritableFormat> {
  await refuseExisting(file);
  const format = formatOfNew(file, type);
  if (format === 'pem') throw truststoreFault('truststore_would_be_empty', { file, format: FORMAT_NAMES[format] });
  checkNewPassword(password ?? DEFAULT_PASSWORD);
  await writeEntries({ file, format, entries: [], password });
  return format;
}

/** Throws truststore_exists. */
export async function refuseExisting(file: string): Promise<void> {
  if ((await readStoreFile(file, 'ignore')) !== undefined) throw truststoreFault('truststore_exists', { file });
}

interface DeleteOrder {
  readonly file: string;
  /** Undefined: the fingerprint names the entry. */
  readonly alias: string | undefined;
  /** SHA-256, where several entries have the alias (PEM, PKCS#12). */
  readonly fingerprint: string | undefined;
  readonly password: string | undefined;
  /** Also when it is a private key. */
  readonly privateKey: boolean;
}

/**
 * Deletes one entry. Errors: truststore_alias_unknown, truststore_alias_ambiguous, truststore_is_private_key, and those
 * of writing.
 */
export async function deleteEntry(order: DeleteOrder): Promise<{
  readonly deleted: StoreEntry;
  readonly left: readonly StoreEntry[];
  /** What else is not as it was. */
  readonly notes: readonly string[];
}> {
  const { file, password } = order;
  const opened = await openFile(file, password);
  const { store, bytes } = opened;
  const deleted = entryCalled(opened, order);
  if (deleted.kind === 'key' && !order.privateKey)
    throw truststoreFault('truststore_is_private_key', { alias: aliasLine(deleted.alias), file });
  const left = store.entries.filter((entry) => entry !== deleted);
  if (store.format === 'der' || (store.format === 'pem' && left.length === 0))
    throw truststoreFault('truststore_would_be_empty', { file, format: FORMAT_NAMES[store.format] });
  const format = writableFormat(opened);
  // A PKCS#12 file with neither key nor mark is one in which every certificate is meant (openssl pkcs12 -nokeys).
  if (left.length > 0 && left.every(({ kind }) => kind === 'loose'))
    throw truststoreFault('truststore_would_lose', {
      file,
      found: 'certificates that are not trusted, which would then be trusted; that difference',
    });
  if (format === 'pem') {
    const without = removeFromPem(bytes, file, new Set([store.entries.indexOf(deleted)]));
    // Entries without their own name are numbered, and the numbers change.
    await writeStore(file, without, renumbered(left, store.entries), password);
    return { deleted, left, notes: [] };
  }
  const { entries, notes } = prepareEntries(file, left, format);
  await writeEntries({ file, format, entries, password: password ?? store.password });
  return { deleted, left, notes };
}

function entryCalled({ file, store }: OpenedFile, { alias, fingerprint }: DeleteOrder): StoreEntry {
  const called = store.entries.filter((entry) => alias === undefined || aliasKey(entry.alias) === aliasKey(alias));
  const meant =
    fingerprint === undefined
      ? called
      : called.filter(({ certificates: [der] }) => der !== undefined && thumbprint(der) === fingerprint);
  const [entry, ...more] = meant;
  if (entry === undefined) {
    const names = store.entries
      .slice(0, 20)
      .map((one) => `"${aliasLine(one.alias)}"`)
      .join(', ');
    const found =
      names === ''
        ? 'no entries at all'
        : store.entries.length > 20
          ? `${names} and ${store.entries.length - 20} more`
          : names;
    throw alias === undefined
      ? truststoreFault('truststore_fingerprint_unknown', { file, found })
      : truststoreFault('truststore_alias_unknown', { file, alias: aliasLine(alias), found });
  }
  if (more.length > 0)
    throw truststoreFault('truststore_alias_ambiguous', {
      file,
      alias: aliasLine(entry.alias),
      count: meant.length,
    });
  return entry;
}

/** What readPem calls the entries that are left: `certificate-N` by place, or their own name. */
export function renumbered(left: readonly StoreEntry[], before: readonly StoreEntry[]): StoreEntry[] {
  const places = new Map(before.map((entry, place) => [entry, place]));
  return left.map((entry, place) =>
    entry.alias === `certificate-${(places.get(entry) ?? -1) + 1}`
      ? { ...entry, alias: `certificate-${place + 1}` }
      : entry,
  );
}

interface PasswordOrder {
  readonly file: string;
  readonly password: string | undefined;
  readonly newPassword: string;
}

/**
 * Gives a store another password: the digest of a JKS, MAC and encryption of a PKCS#12, and the private keys in both.
 * Errors: truststore_no_password, truststore_key_password_other, truststore_password_unfit, and those of writing.
 */
export async function changePassword({ file, password, newPassword }: PasswordOrder): Promise<{
  readonly format: WritableFormat;
  readonly keys: number;
  /** What else is not as it was. */
  readonly notes: readonly string[];
}> {
  const opened = await openFile(file, password);
  const { store } = opened;
  if (store.format === 'pem' || store.format === 'der')
    throw truststoreFault('truststore_no_password', {
      file,
      format: store.format === 'der' ? `a ${FORMAT_NAMES.der}` : FORMAT_NAMES.pem,
    });
  checkNewPassword(newPassword);
  const format = writableFormat(opened);
  const { entries: prepared, notes } = prepareEntries(file, store.entries, format);
  const entries = await rekeyed(prepared, {
    file,
    from: password ?? store.password,
    to: newPassword,
    protection: format === 'jks' ? 'jks' : 'pkcs8',
  });
  await writeEntries({ file, format, entries, password: newPassword });
  return { format, keys: entries.filter(({ kind }) => kind === 'key').length, notes };
}

/**
 * keytool changes the password of a key in JKS only; PKCS#12 it asks for that password only when it takes the file for
 * JKS (tried).
 */
function samePassword({ alias, protection }: KeyEntry, file: string): string {
  return protection === 'jks'
    ? `Set the password of the key to that of the store first: keytool -keypasswd -keystore "${file}" -alias "${aliasLine(alias)}"`
    : `Convert it with keytool, which asks for the password of each key (-srcstoretype JKS is right, although the file is PKCS#12): keytool -importkeystore -srckeystore "${file}" -srcstoretype JKS -destkeystore "${file}.new.p12" -deststoretype PKCS12`;
}

interface Rekeying {
  readonly file: string;
  /** Undefined: those are tried that a store opens with. */
  readonly from: string | undefined;
  readonly to: string;
  readonly protection: 'jks' | 'pkcs8';
}

/**
 * The entries with their private keys under another password or protection. A key is some 20,000 iterations of PBKDF2:
 * those of all keys together are bounded as for opening a store. Throws truststore_key_password_other,
 * truststore_too_much_work.
 */
export async function rekeyed(
  entries: readonly StoreEntry[],
  { file, from, to, protection }: Rekeying,
): Promise<StoreEntry[]> {
  const all: StoreEntry[] = [];
  const budget = workBudget();
  for (const entry of entries) {
    if (entry.kind !== 'key') {
      all.push(entry);
      continue;
    }
    try {
      const opened = await openKey(entry, from, budget);
      if (protection === 'pkcs8') budget(WRITE_ITERATIONS);
      all.push({ ...entry, protection, key: await protectKey(opened, protection, to) });
    } catch (error) {
      if (error instanceof TooMuchWork || (isCoded(error) && error.cause instanceof TooMuchWork))
        throw truststoreFault(
          'truststore_too_much_work',
          {
            file,
            count: entries.filter(({ kind }) => kind === 'key').length,
            allowed: MAX_TOTAL_ITERATIONS,
            type: protection === 'jks' ? 'JKS' : 'PKCS12',
          },
          error,
        );
      if (!isCoded(error, 'keystore_key_password_wrong', 'keystore_key_unsupported')) throw error;
      const alias = aliasLine(entry.alias);
      throw truststoreFault('truststore_key_password_other', { file, alias, hint: samePassword(entry, file) }, error);
    }
  }
  return all;
}
