// Converts a store into another format: keeps what both can hold, and reports the rest, or refuses when it is more
// than a date or a comment.
import {
  counted,
  DEFAULT_PASSWORD,
  FORMAT_NAMES,
  printableLine,
  type Store,
  type StoreEntry,
} from '../keystore/material.ts';
import { hasPemComments } from '../keystore/pem.ts';
import { refuseExisting, rekeyed } from './change.ts';
import { aliasKey, EntryIndex, namesOf } from './entries.ts';
import { truststoreFault } from './errors.ts';
import {
  checkNewPassword,
  formatOfNew,
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

/** Errors: truststore_exists, truststore_cannot_convert, truststore_would_be_empty, and those of opening, of keys and of writing. */
export async function convertStore(order: ConvertOrder): Promise<Converted> {
  const { to: file, password, leaveOut } = order;
  const opened = await openFile(order.from, password);
  await refuseExisting(file);
  const { store } = opened;
  const format = formatOfNew(file, order.type);
  const newPassword =
    order.newPassword ??
    (store.format === 'pem' || store.format === 'der' ? DEFAULT_PASSWORD : (password ?? DEFAULT_PASSWORD));
  if (format !== 'pem') checkNewPassword(newPassword);

  const kept = store.entries.filter((entry) => canHold(format, entry));
  const unheld = [...store.entries.filter((entry) => !canHold(format, entry)).map(kindOf), ...store.others];
  if (unheld.length > 0 && !leaveOut)
    throw truststoreFault('truststore_cannot_convert', {
      file: order.from,
      found: namesOf(unheld),
      format: FORMAT_NAMES[format],
    });
  if (format === 'pem' && kept.length === 0)
    throw truststoreFault('truststore_would_be_empty', { file, format: FORMAT_NAMES[format] });
  const { entries: named, renamed } = withFreeAliases(kept, format);
  const entries =
    format === 'pem'
      ? named
      : await rekeyed(named, {
          file: order.from,
          from: password ?? DEFAULT_PASSWORD,
          to: newPassword,
          protection: format === 'jks' ? 'jks' : 'pkcs8',
        });
  await writeEntries({ file, format, entries, password: newPassword });
  return {
    from: store.format,
    format,
    entries,
    lost: [
      ...(unheld.length === 0 ? [] : [`left out: ${namesOf(unheld)}`]),
      ...renamed,
      ...notesOf(opened, format, kept, order.newPassword),
    ],
  };
}

function canHold(format: WritableFormat, { kind }: StoreEntry): boolean {
  if (kind === 'trusted' || format === 'pkcs12') return true;
  // An untrusted certificate would become a trusted one: neither JKS nor PEM has another kind.
  return kind === 'key' && format === 'jks';
}

function kindOf({ kind, alias }: StoreEntry): string {
  return kind === 'key' ? `the private key "${alias}"` : `the certificate "${alias}" without the mark of trust`;
}

/** Aliases as the new format has them: no two alike to Java. */
function withFreeAliases(
  entries: readonly StoreEntry[],
  format: WritableFormat,
): { readonly entries: StoreEntry[]; readonly renamed: string[] } {
  const index = new EntryIndex([]);
  const renamed: string[] = [];
  const named = entries.map((entry) => {
    const alias = index.freeAlias(format === 'pem' ? printableLine(entry.alias) : entry.alias.toLowerCase());
    index.add({ ...entry, alias });
    if (aliasKey(alias) !== aliasKey(entry.alias))
      renamed.push(`the alias "${printableLine(entry.alias)}" is "${printableLine(alias)}" there`);
    return { ...entry, alias };
  });
  return { entries: named, renamed };
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
