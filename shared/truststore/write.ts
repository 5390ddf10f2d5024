// Writes a store without ever damaging the old one: encodes it, reads it back, compares, and only then replaces the
// file (temporary file, fsync, rename: shared/files/atomic-file.ts).
import { extname } from 'node:path';
import { replaceFile } from '../files/atomic-file.ts';
import { readBoundedFile } from '../files/bounded-file.ts';
import { textOf } from '../errors.ts';
import { keystoreFault } from '../keystore/errors.ts';
import {
  DEFAULT_PASSWORD,
  MAX_STORE_BYTES,
  type Store,
  type StoreEntry,
  type StoreFormat,
} from '../keystore/material.ts';
import { encodeStore, openStore } from '../keystore/open.ts';
import { replaceSecretFile } from '../files/secret-file.ts';
import { appendPem } from '../keystore/pem.ts';
import { aliasKey, namesOf } from './entries.ts';
import { truststoreFault } from './errors.ts';

/** The list of trusted certificates is not a secret, and the account that runs tasks may read it too. */
const TRUST_MODE = 0o644;
/** keytool makes no store with a shorter one. */
export const MIN_PASSWORD = 6;
const MAX_PASSWORD = 128;

export type WritableFormat = Exclude<StoreFormat, 'der'>;

export interface OpenedFile {
  readonly file: string;
  readonly bytes: Buffer;
  readonly store: Store;
}

/** Opens an existing store. Throws file and keystore faults. */
export async function openFile(file: string, password: string | undefined, passwordHint?: string): Promise<OpenedFile> {
  const bytes = await readStoreFile(file);
  if (bytes === undefined) throw new TypeError('a file that must be there was ignored');
  return { file, bytes, store: await openStore({ bytes, file, password, passwordHint }) };
}

export async function readStoreFile(
  file: string,
  ifMissing: 'refuse' | 'ignore' = 'refuse',
): Promise<Buffer | undefined> {
  return await readBoundedFile({
    path: file,
    what: 'The truststore',
    maxBytes: MAX_STORE_BYTES,
    hint: 'Name the truststore.',
    ifMissing,
  });
}

/** The format of a file that does not exist yet: what was asked for, else what its ending says. */
export function formatOfNew(file: string, type: WritableFormat | undefined): WritableFormat {
  const format = type ?? formatByEnding(file);
  if (format === undefined) throw truststoreFault('truststore_type_unknown', { file });
  return format;
}

export function formatByEnding(file: string): WritableFormat | undefined {
  const byEnding: Readonly<Record<string, WritableFormat>> = {
    '.jks': 'jks',
    '.p12': 'pkcs12',
    '.pfx': 'pkcs12',
    '.pem': 'pem',
    '.crt': 'pem',
  };
  return byEnding[extname(file).toLowerCase()];
}

/** A password that a store gets for the first time. Throws truststore_password_unfit. */
export function checkNewPassword(password: string): void {
  const found =
    password.length < MIN_PASSWORD
      ? `too short (${password.length} characters)`
      : password.length > MAX_PASSWORD
        ? `too long (${password.length} characters)`
        : /^[\x20-\x7e]*$/.test(password)
          ? undefined
          : 'not in printable ASCII';
  if (found !== undefined) throw truststoreFault('truststore_password_unfit', { found });
}

/**
 * The format in which the store may be written again: nothing in it would vanish. Throws truststore_would_lose,
 * keystore_cannot_hold.
 */
export function writableFormat({ file, store }: Pick<OpenedFile, 'file' | 'store'>): WritableFormat {
  if (store.format === 'der')
    throw keystoreFault('keystore_cannot_hold', { format: 'DER', found: 'anything but its one certificate' });
  if (store.format !== 'pem' && store.others.length > 0)
    throw truststoreFault('truststore_would_lose', { file, found: namesOf(store.others) });
  return store.format;
}

interface Writing {
  readonly file: string;
  readonly format: WritableFormat;
  readonly entries: readonly StoreEntry[];
  readonly password: string | undefined;
}

/**
 * Encodes the entries and puts them into the place of the file; a PEM bundle is written from scratch. What is there
 * then.
 */
export async function writeEntries({
  file,
  format,
  entries,
  password = DEFAULT_PASSWORD,
}: Writing): Promise<readonly StoreEntry[]> {
  const trusted = entries.filter((entry) => entry.kind === 'trusted');
  const bytes = format === 'pem' ? appendPem(Buffer.alloc(0), trusted) : await encodeStore(format, entries, password);
  return await writeStore(file, bytes, entries, password);
}

/**
 * Puts `bytes` into the place of the file when they read back as `entries`, and returns what was read. An existing
 * truststore keeps its mode; a store with a private key is for this account only.
 */
export async function writeStore(
  file: string,
  bytes: Buffer,
  entries: readonly StoreEntry[],
  password: string | undefined,
): Promise<readonly StoreEntry[]> {
  let found: string | undefined;
  let read: readonly StoreEntry[] = [];
  try {
    read = (await openStore({ bytes, file, password })).entries;
    const [expected, got] = [outline(entries), outline(withoutGrowth(read, entries))];
    if (expected.join('\n') !== got.join('\n'))
      found = `${entries.length} entries were meant, ${read.length} are there or they differ`;
  } catch (error) {
    found = textOf(error);
  }
  if (found !== undefined) throw truststoreFault('truststore_not_read_back', { file, found });
  if (entries.some(({ kind }) => kind === 'key')) await replaceSecretFile(file, bytes);
  else await replaceFile(file, bytes, TRUST_MODE);
  return read;
}

/** The chain of a key of PKCS#12 ends where the file has no further issuer: it may be longer than it was. */
function withoutGrowth(read: readonly StoreEntry[], entries: readonly StoreEntry[]): StoreEntry[] {
  const lengths = new Map(
    entries.filter(({ kind }) => kind === 'key').map((entry) => [aliasKey(entry.alias), entry.certificates.length]),
  );
  return read.map((entry) =>
    entry.kind === 'key'
      ? { ...entry, certificates: entry.certificates.slice(0, lengths.get(aliasKey(entry.alias))) }
      : entry,
  );
}

/** What must be the same before and behind. PKCS#12 hands keys out first. */
function outline(entries: readonly StoreEntry[]): string[] {
  return entries
    .map(
      ({ kind, alias, certificates }) =>
        `${kind} ${aliasKey(alias)} ${certificates.map((der) => der.toString('base64')).join(' ')}`,
    )
    .toSorted();
}
