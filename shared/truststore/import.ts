// Adds trusted certificates to a store, or creates it: all of them or none, in the format of the file.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  DEFAULT_PASSWORD,
  FORMAT_NAMES,
  parseCertificate,
  aliasLine,
  nameLine,
  printableLine,
  subjectLine,
  type Store,
  type TrustedEntry,
} from '../keystore/material.ts';
import { encodeStore, openStore } from '../keystore/open.ts';
import { appendPem } from '../keystore/pem.ts';
import { certificateFields } from '../x509/fields.ts';
import { purposeOf } from './certificates.ts';
import { aliasFromSubject, EntryIndex } from './entries.ts';
import { truststoreFault } from './errors.ts';
import { prepareEntries } from './prepare.ts';
import {
  checkNewPassword,
  formatOfNew,
  readStoreFile,
  writableFormat,
  writeStore,
  type WritableFormat,
} from './write.ts';

interface TrustOrder {
  readonly file: string;
  /** DER. */
  readonly certificates: readonly Buffer[];
  /** Where they come from, for messages. */
  readonly origin: string;
  /** Of the first one; the others get a number behind it. */
  readonly alias?: string | undefined;
  readonly password?: string | undefined;
  /** Where the password is set; else the flag of the commands. */
  readonly passwordHint?: string | undefined;
  /** Format of a new store; else the ending of its name tells. */
  readonly type?: WritableFormat | undefined;
  /** Trust a certificate that is neither an authority's nor a server's: exactly that one. */
  readonly allowLeaf?: boolean;
  /** Leave out what is trusted already, instead of refusing when all of it is. */
  readonly skipPresent?: boolean;
}

interface Trusted {
  readonly added: readonly TrustedEntry[];
  /** What was trusted already, by alias. */
  readonly present: readonly TrustedEntry[];
  readonly format: WritableFormat;
  /** What an operator should know of the store. */
  readonly notes: readonly string[];
}

/**
 * Adds trusted certificates to a store, or makes it. Errors: truststore, keystore and file faults; then nothing is
 * written.
 */
export async function addTrusted(order: TrustOrder): Promise<Trusted> {
  const { file, password, type } = order;
  const old = await readStoreFile(file, 'ignore');
  const store: Store =
    old === undefined
      ? { format: formatOfNew(file, type), entries: [], warnings: [], others: [] }
      : await openStore({ bytes: old, file, password, passwordHint: order.passwordHint });
  if (old === undefined && store.format !== 'pem' && password !== undefined) checkNewPassword(password);
  if (type !== undefined && type !== store.format)
    throw truststoreFault('truststore_type_differs', {
      file,
      found: FORMAT_NAMES[store.format],
      allowed: FORMAT_NAMES[type],
    });
  const format = writableFormat({ file, store });
  const added: TrustedEntry[] = [];
  const present: TrustedEntry[] = [];
  const index = new EntryIndex(store.entries);
  for (const der of order.certificates) {
    checkPurpose(der, order);
    const twin = index.twinOf(der);
    if (twin !== undefined) present.push(twin);
    else added.push(newEntry(der, order, index, format));
  }
  const [first] = present;
  if (added.length === 0 && first !== undefined && order.skipPresent !== true) {
    throw truststoreFault('truststore_already_trusted', {
      subject: subjectOf(first.certificates[0]),
      file,
      alias: aliasLine(first.alias),
    });
  }
  if (added.length > 0) {
    const all = [...store.entries, ...added];
    // PEM keeps the text of what is there.
    const { entries, notes } = format === 'pem' ? { entries: all, notes: [] } : prepareEntries(file, all, format);
    const secret = password ?? store.password;
    // A new store may be the first file of its folder. Who may write to the folder says whom its users trust, whatever
    // the umask.
    if (old === undefined) await mkdir(dirname(file), { recursive: true, mode: 0o755 });
    const bytes =
      format === 'pem'
        ? appendPem(old ?? Buffer.alloc(0), added)
        : await encodeStore(format, entries, secret ?? DEFAULT_PASSWORD);
    await writeStore(file, bytes, entries, secret);
    return { added, present, format, notes: [...store.warnings, ...notes] };
  }
  return { added, present, format, notes: store.warnings };
}

function checkPurpose(der: Buffer, { origin, allowLeaf }: TrustOrder): void {
  const purpose = purposeOf(der);
  if (allowLeaf === true || typeof purpose === 'string') return;
  throw truststoreFault('truststore_purpose', { subject: subjectOf(der), certificate: origin, found: purpose.other });
}

/** Makes an entry and notes it in `index`. Throws truststore_alias_taken. */
export function newEntry(
  der: Buffer,
  { alias, file, certificates }: Pick<TrustOrder, 'alias' | 'certificates' | 'file'>,
  index: EntryIndex,
  format: WritableFormat,
): TrustedEntry {
  const wanted =
    alias === undefined ? undefined : (format === 'pem' ? printableLine(alias).trim() : alias).toLowerCase();
  // The name that somebody chose is that of the first certificate, or of none.
  if (wanted !== undefined && der === certificates[0] && index.isTaken(wanted))
    throw truststoreFault('truststore_alias_taken', { alias: printableLine(wanted), file });
  const entry: TrustedEntry = {
    kind: 'trusted',
    alias: index.freeAlias(wanted ?? aliasFromSubject(der)),
    created: new Date(),
    certificates: [der],
  };
  index.add(entry);
  return entry;
}

function subjectOf(der: Buffer): string {
  // What OpenSSL does not read may have a name all the same.
  const certificate = parseCertificate(der);
  return certificate === undefined ? nameLine(certificateFields(der)?.subject ?? '') : subjectLine(certificate);
}
