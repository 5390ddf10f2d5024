// Owns changing a truststore: certificates are added in the file's own format, and the old file stays whole whatever happens.
// What is printed about it is truststore-command.ts; what an agent trusts by it, truststore.ts.
import { basename, extname } from 'node:path';
import { replaceFile } from '../shared/atomic-file.ts';
import { readBoundedFile } from '../shared/bounded-file.ts';
import { defineErrors } from '../shared/errors.ts';
import { keystoreFault } from '../shared/keystore/errors.ts';
import { DEFAULT_PASSWORD, FORMAT_NAMES, nameLine, parseCertificate, printableLine, type Store, type StoreEntry, type StoreFormat, type TrustedEntry } from '../shared/keystore/material.ts';
import { encodeStore, MAX_STORE_BYTES, openStore } from '../shared/keystore/open.ts';
import { appendPem } from '../shared/keystore/pem.ts';
import { trustedEntries } from './truststore.ts';

export const TRUSTSTORE_ERRORS = {
  truststore_usage: { text: '{found}', hint: 'See: queue-agent truststore --help' },
  truststore_type_unknown: {
    text: 'Nothing tells which format the new store {file} is to have; allowed are .jks, .p12, .pfx, .pem and .crt, or --type jks|pkcs12|pem.',
    hint: 'Add --type, or give the file one of these endings.',
  },
  truststore_type_differs: {
    text: '{file} is {found}, but --type asks for {allowed}: an existing store keeps its format.',
    hint: 'Leave --type out, or name a new file.',
  },
  truststore_alias_taken: { text: 'The alias "{alias}" is taken in {file}.', hint: 'Choose another with --alias; "queue-agent truststore list" shows those that are there.' },
  truststore_already_trusted: { text: '{subject} is already trusted in {file}, as "{alias}".', hint: 'Nothing to do.' },
  truststore_not_an_authority: {
    text: '{subject} in {certificate} is no certificate of an authority (basicConstraints CA is not true).',
    hint: 'Import the root that signed it ("queuegate ca export" writes the one of Central). To trust exactly this one certificate, add --allow-leaf.',
  },
  truststore_not_certificates: {
    text: '{certificate} is {found}; allowed is a file with certificates alone (PEM or DER).',
    hint: 'Export the certificate: keytool -exportcert -rfc -keystore "{certificate}" -alias NAME -file certificate.cer',
  },
  truststore_would_lose: {
    text: '{file} holds {found}, which would be lost if it were written again.',
    hint: 'Import with keytool -importcert, or into a new file.',
  },
} as const;

export const truststoreFault = defineErrors(TRUSTSTORE_ERRORS);

export interface TrustOrder {
  readonly file: string;
  /** DER. */
  readonly certificates: readonly Buffer[];
  /** Where they come from, for messages. */
  readonly origin: string;
  readonly alias?: string | undefined;
  readonly password?: string | undefined;
  /** Format of a new store; else the ending of its name tells. */
  readonly type?: StoreFormat | undefined;
  /** Trust a certificate that is no authority's: exactly that one. */
  readonly allowLeaf?: boolean;
  /** Leave out what is trusted already, instead of refusing. */
  readonly skipPresent?: boolean;
}

/** Adds trusted certificates to a store, or makes it. Errors: truststore, keystore and file faults; then nothing is written. */
export async function addTrusted(order: TrustOrder): Promise<{ readonly added: readonly TrustedEntry[]; readonly format: StoreFormat }> {
  const { file, password, type } = order;
  const old = await readBoundedFile({ path: file, what: 'The truststore', maxBytes: MAX_STORE_BYTES, mend: 'Name the truststore.', ifMissing: 'ignore' });
  const store = old === undefined ? newStore(file, type) : await openStore({ bytes: old, file, password });
  if (type !== undefined && type !== store.format) throw truststoreFault('truststore_type_differs', { file, found: FORMAT_NAMES[store.format], allowed: FORMAT_NAMES[type] });
  const added: TrustedEntry[] = [];
  for (const der of order.certificates) {
    checkAuthority(der, order.origin, order.allowLeaf === true);
    const present = [...store.entries, ...added];
    if (order.skipPresent === true && twinOf(der, present) !== undefined) continue;
    added.push(newEntry(der, order.alias, present, file));
  }
  // 0644: what an agent trusts is no secret, and the account that runs tasks may read it too.
  if (added.length > 0) await replaceFile(file, await withEntries(store, added, old, file, password ?? DEFAULT_PASSWORD), 0o644);
  return { added, format: store.format };
}

/** The certificates of a PEM or DER file, as DER. */
export async function certificatesIn(path: string): Promise<Buffer[]> {
  const bytes = await readBoundedFile({ path, what: 'The certificate', maxBytes: MAX_STORE_BYTES, mend: 'Name the file of the certificate (.cer, .crt, .pem).' });
  const store = await openStore({ bytes, file: path });
  if (store.format !== 'pem' && store.format !== 'der') throw truststoreFault('truststore_not_certificates', { certificate: path, found: `a ${FORMAT_NAMES[store.format]} store` });
  return trustedEntries(store, path).map(({ certificates: [der] }) => der);
}

async function withEntries(store: Store, added: readonly TrustedEntry[], old: Buffer | undefined, file: string, password: string): Promise<Buffer> {
  if (store.format === 'pem') return appendPem(old ?? Buffer.alloc(0), added);
  if (store.format === 'der') throw keystoreFault('keystore_cannot_hold', { format: 'DER', found: 'a second certificate' });
  if (store.others.length > 0) throw truststoreFault('truststore_would_lose', { file, found: store.others.join(', ') });
  return await encodeStore(store.format, [...store.entries, ...added], password);
}

function checkAuthority(der: Buffer, path: string, allowLeaf: boolean): void {
  const certificate = parseCertificate(der);
  if (certificate?.ca === true || allowLeaf) return;
  throw truststoreFault('truststore_not_an_authority', { subject: nameLine(certificate?.subject ?? ''), certificate: path });
}

function newEntry(der: Buffer, wanted: string | undefined, present: readonly StoreEntry[], file: string): TrustedEntry {
  const subject = parseCertificate(der)?.subject ?? '';
  const twin = twinOf(der, present);
  if (twin !== undefined) throw truststoreFault('truststore_already_trusted', { subject: nameLine(subject), file, alias: printableLine(twin.alias) });
  const taken = new Set(present.map((entry) => entry.alias.toLowerCase()));
  if (wanted !== undefined && taken.has(wanted)) throw truststoreFault('truststore_alias_taken', { alias: printableLine(wanted), file });
  return { kind: 'trusted', alias: wanted ?? freeAlias(subject, taken), created: new Date(), certificates: [der] };
}

function twinOf(der: Buffer, present: readonly StoreEntry[]): StoreEntry | undefined {
  return present.find((entry) => entry.kind === 'trusted' && entry.certificates[0].equals(der));
}

/** The common name in small letters, digits and dashes; a number behind it if that is taken. */
function freeAlias(subject: string, taken: ReadonlySet<string>): string {
  const name = /(?:^|\n)CN=([^\n]+)/.exec(subject)?.[1] ?? subject;
  const base = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-|-$/g, '').slice(0, 64) || 'certificate';
  let alias = base;
  for (let number = 2; taken.has(alias); number += 1) alias = `${base}-${number}`;
  return alias;
}

function newStore(file: string, type: StoreFormat | undefined): Store {
  const byEnding: Readonly<Record<string, StoreFormat>> = { '.jks': 'jks', '.p12': 'pkcs12', '.pfx': 'pkcs12', '.pem': 'pem', '.crt': 'pem' };
  const format = type ?? byEnding[extname(basename(file)).toLowerCase()];
  if (format === undefined) throw truststoreFault('truststore_type_unknown', { file });
  return { format, entries: [], warnings: [], others: [] };
}
