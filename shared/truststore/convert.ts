// Converts a store into another format: keeps what both can hold, and reports the rest, or refuses when it is more
// than a date or a comment.
import {
  counted,
  DEFAULT_PASSWORD,
  FORMAT_NAMES,
  aliasLine,
  type Store,
  type StoreEntry,
} from '../keystore/material.ts';
import { hasPemComments } from '../keystore/pem.ts';
import { refuseExisting, rekeyed } from './change.ts';
import { aliasKey, namesOf } from './entries.ts';
import { truststoreFault } from './errors.ts';
import { chainFault, prepareEntries } from './prepare.ts';
import {
  checkNewPassword,
  formatOfNew,
  MIN_PASSWORD,
  openFile,
  writeEntries,
  type OpenedFile,
  type WritableFormat,
} from './write.ts';

interface ConvertOrder {
  readonly from: string;
  readonly to: string;
  /** Of the new store; else the ending of its name tells. */
  readonly type: WritableFormat | undefined;
  readonly password: string | undefined;
  /** Absent: the old one. */
  readonly newPassword: string | undefined;
  /** Without what the new format cannot hold. */
  readonly leaveOut: boolean;
}

interface Converted {
  readonly from: Store['format'];
  readonly format: WritableFormat;
  readonly entries: readonly StoreEntry[];
  /** Sentences: what the new store does not have. */
  readonly lost: readonly string[];
}

/**
 * Errors: truststore_exists, truststore_cannot_convert, truststore_would_be_empty, and those of opening, of keys and of
 * writing.
 */
export async function convertStore(order: ConvertOrder): Promise<Converted> {
  const { to: file, password, leaveOut } = order;
  const opened = await openFile(order.from, password);
  await refuseExisting(file);
  const { store } = opened;
  const format = formatOfNew(file, order.type);
  const newPassword =
    order.newPassword ??
    (store.password !== undefined && store.password.length >= MIN_PASSWORD ? store.password : DEFAULT_PASSWORD);
  if (format !== 'pem') checkNewPassword(newPassword);

  const holds = (entry: StoreEntry): boolean => canHold(format, entry, leaveOut);
  const kept = store.entries.filter(holds);
  const unheld = [...store.entries.filter((entry) => !holds(entry)).map(kindOf), ...store.others];
  if (unheld.length > 0 && !leaveOut)
    throw truststoreFault('truststore_cannot_convert', {
      file: order.from,
      found: namesOf(unheld),
      format: FORMAT_NAMES[format],
    });
  if (format === 'pem' && kept.length === 0)
    throw truststoreFault('truststore_would_be_empty', { file, format: FORMAT_NAMES[format] });
  const { entries: named, notes } = prepareEntries(order.from, kept, format);
  const entries =
    format === 'pem'
      ? named
      : await rekeyed(named, {
          file: order.from,
          from: password ?? store.password,
          to: newPassword,
          protection: format === 'jks' ? 'jks' : 'pkcs8',
        });
  const written = await writeEntries({ file, format, entries, password: newPassword });
  return {
    from: store.format,
    format,
    entries,
    lost: [
      ...(unheld.length === 0 ? [] : [`left out: ${namesOf(unheld)}`]),
      ...notes,
      ...grownChains(entries, written),
      ...notesOf(opened, format, kept, order.newPassword),
    ],
  };
}

function canHold(format: WritableFormat, entry: StoreEntry, leaveOut: boolean): boolean {
  const { kind } = entry;
  // Without --leave-out prepareEntries refuses a key whose chain is not valid, with the cause.
  if (format === 'pkcs12') return !(leaveOut && kind === 'key' && chainFault(entry) !== undefined);
  if (kind === 'trusted') return true;
  // An untrusted certificate would become a trusted one: neither JKS nor PEM has another kind.
  return kind === 'key' && format === 'jks';
}

function kindOf({ kind, alias }: StoreEntry): string {
  return kind === 'key' ? `the private key "${alias}"` : `the certificate "${alias}" without the mark of trust`;
}

/** PKCS#12 links a key with every issuer that the file holds, as keytool -importkeystore does: its chain may grow. */
function grownChains(entries: readonly StoreEntry[], written: readonly StoreEntry[]): string[] {
  const before = new Map(entries.map((entry) => [aliasKey(entry.alias), entry.certificates.length]));
  return written
    .filter((entry) => entry.kind === 'key' && entry.certificates.length > (before.get(aliasKey(entry.alias)) ?? 0))
    .map(
      ({ alias, certificates: { length } }) =>
        `the chain of "${aliasLine(alias)}" is ${counted(length, 'certificate')} there`,
    );
}

function notesOf(
  { file, bytes, store }: OpenedFile,
  format: WritableFormat,
  kept: readonly StoreEntry[],
  newPassword: string | undefined,
): string[] {
  const notes: string[] = [];
  const dated = kept.filter(
    (entry) => entry.created !== undefined && (format === 'pem' || (format === 'pkcs12' && entry.kind !== 'key')),
  ).length;
  if (dated > 0)
    notes.push(
      `${FORMAT_NAMES[format]} keeps no date of ${format === 'pem' ? 'a certificate' : 'a trusted certificate'}: lost for ${counted(dated, 'entry', 'entries')}`,
    );
  const undated = kept.filter((entry) => entry.created === undefined).length;
  if (format === 'jks' && undated > 0)
    notes.push(`${FORMAT_NAMES[store.format]} has no dates: the entries are dated today`);
  if (format !== 'jks' && format !== 'pkcs12' && store.format !== 'pem' && store.format !== 'der')
    notes.push('PEM has no password: nothing tells whether the new file is changed');
  if (format === 'pem' && newPassword !== undefined) notes.push('the new password was not used');
  if (store.format === 'pem' && hasPemComments(bytes, file)) notes.push('the text around the certificates is left out');
  return notes;
}
