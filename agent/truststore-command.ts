// Owns `queue-agent truststore`: what keytool and KeyStore Explorer are used for on trust stores, without either.
// A command never prompts, prints no stack trace, and leaves the old file whole whatever happens.
import { basename, extname } from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { replaceFile } from '../shared/atomic-file.ts';
import { readBoundedFile } from '../shared/bounded-file.ts';
import { defineErrors, isCoded, printable, textOf } from '../shared/errors.ts';
import { keystoreFault } from '../shared/keystore/errors.ts';
import { counted, DEFAULT_PASSWORD, FORMAT_NAMES, nameLine, parseCertificate, printableLine, thumbprint, type Store, type StoreEntry, type StoreFormat, type TrustedEntry } from '../shared/keystore/material.ts';
import { encodeStore, MAX_STORE_BYTES, openStore } from '../shared/keystore/open.ts';
import { appendPem } from '../shared/keystore/pem.ts';
import { day, trustedEntries } from './truststore.ts';

const PASSWORD_VARIABLE = 'QUEUE_AGENT_TRUSTSTORE_PASSWORD';

export const TRUSTSTORE_USAGE = `Usage:
  queue-agent truststore list FILE [--password PASSWORD]
  queue-agent truststore import FILE --certificate FILE.cer [--alias NAME] [--password PASSWORD]
                                [--type jks|pkcs12|pem] [--allow-leaf]
Password: --password, else ${PASSWORD_VARIABLE}, else "${DEFAULT_PASSWORD}".
`;

export const truststoreFault = defineErrors({
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
});

export interface CommandIo {
  stdout(text: string): void;
  stderr(text: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Runs the command; the exit status is 0, 1 (refused) or 2 (not understood). `args` begin behind "truststore". */
export async function truststoreCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === 'help' || args.includes('--help') || args.includes('-h')) {
    io.stdout(TRUSTSTORE_USAGE);
    return name === undefined ? 2 : 0;
  }
  try {
    if (name === 'list') await list(rest, io);
    else if (name === 'import') await importCertificates(rest, io);
    else throw truststoreFault('truststore_usage', { found: `There is no "truststore ${printableLine(name)}"; allowed are list and import.` });
    return 0;
  } catch (error) {
    io.stderr(`${printable(error)}\n`);
    return isCoded(error, 'truststore_usage') ? 2 : 1;
  }
}

async function list(args: string[], io: CommandIo): Promise<void> {
  const { file, values } = parse(args, { password: { type: 'string' } });
  const store = await openExisting(file, passwordOf(values.password, io));
  io.stdout(`${file}: ${FORMAT_NAMES[store.format]}, ${store.entries.length === 1 ? '1 entry' : `${store.entries.length} entries`}\n`);
  for (const entry of store.entries) io.stdout(`\n${describe(entry)}`);
  for (const warning of store.warnings) io.stderr(`warning: ${warning}\n`);
  // After the list, so that one sees what there is instead.
  trustedEntries(store, file);
}

async function importCertificates(args: string[], io: CommandIo): Promise<void> {
  const { file, values } = parse(args, {
    certificate: { type: 'string' },
    alias: { type: 'string' },
    password: { type: 'string' },
    type: { type: 'string' },
    'allow-leaf': { type: 'boolean' },
  });
  if (typeof values.certificate !== 'string') throw truststoreFault('truststore_usage', { found: 'Which certificate? --certificate FILE is missing.' });
  const alias = typeof values.alias === 'string' ? values.alias.toLowerCase() : undefined;
  if (alias !== undefined && !/^[^\p{Cc}]{1,255}$/u.test(alias)) throw truststoreFault('truststore_usage', { found: 'The alias is empty, too long or holds control characters; allowed are 1 to 255 characters.' });
  const type = typeOf(values.type);
  const password = passwordOf(values.password, io);
  const old = await readBoundedFile({ path: file, what: 'The truststore', maxBytes: MAX_STORE_BYTES, mend: 'Name the truststore.', ifMissing: 'ignore' });
  const store = old === undefined ? newStore(file, type) : await openStore({ bytes: old, file, password });
  if (type !== undefined && type !== store.format) throw truststoreFault('truststore_type_differs', { file, found: FORMAT_NAMES[store.format], allowed: FORMAT_NAMES[type] });

  const added: TrustedEntry[] = [];
  for (const der of await certificatesIn(values.certificate)) {
    checkAuthority(der, values.certificate, values['allow-leaf'] === true);
    added.push(newEntry(der, alias, [...store.entries, ...added], file));
  }
  // 0644: what an agent trusts is no secret, and the account that runs tasks may read it too.
  await replaceFile(file, await withEntries(store, added, old, file, password ?? DEFAULT_PASSWORD), 0o644);
  for (const entry of added) io.stdout(`imported into ${file} (${FORMAT_NAMES[store.format]}):\n${describe(entry)}`);
}

async function withEntries(store: Store, added: readonly TrustedEntry[], old: Buffer | undefined, file: string, password: string): Promise<Buffer> {
  if (store.format === 'pem') return appendPem(old ?? Buffer.alloc(0), added);
  if (store.format === 'der') throw keystoreFault('keystore_cannot_hold', { format: 'DER', found: 'a second certificate' });
  if (store.others.length > 0) throw truststoreFault('truststore_would_lose', { file, found: store.others.join(', ') });
  return await encodeStore(store.format, [...store.entries, ...added], password);
}

async function certificatesIn(path: string): Promise<Buffer[]> {
  const bytes = await readBoundedFile({ path, what: 'The certificate', maxBytes: MAX_STORE_BYTES, mend: 'Name the file of the certificate (.cer, .crt, .pem).' });
  const store = await openStore({ bytes, file: path });
  if (store.format !== 'pem' && store.format !== 'der') throw truststoreFault('truststore_not_certificates', { certificate: path, found: `a ${FORMAT_NAMES[store.format]} store` });
  return trustedEntries(store, path).map(({ certificates: [der] }) => der);
}

function checkAuthority(der: Buffer, path: string, allowLeaf: boolean): void {
  const certificate = parseCertificate(der);
  if (certificate?.ca === true || allowLeaf) return;
  throw truststoreFault('truststore_not_an_authority', { subject: nameLine(certificate?.subject ?? ''), certificate: path });
}

function newEntry(der: Buffer, wanted: string | undefined, present: readonly StoreEntry[], file: string): TrustedEntry {
  const subject = parseCertificate(der)?.subject ?? '';
  const twin = present.find((entry) => entry.kind === 'trusted' && entry.certificates[0].equals(der));
  if (twin !== undefined) throw truststoreFault('truststore_already_trusted', { subject: nameLine(subject), file, alias: printableLine(twin.alias) });
  const taken = new Set(present.map((entry) => entry.alias.toLowerCase()));
  if (wanted !== undefined && taken.has(wanted)) throw truststoreFault('truststore_alias_taken', { alias: printableLine(wanted), file });
  return { kind: 'trusted', alias: wanted ?? freeAlias(subject, taken), created: new Date(), certificates: [der] };
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

function typeOf(value: string | boolean | undefined): StoreFormat | undefined {
  if (value === undefined || value === 'jks' || value === 'pkcs12' || value === 'pem') return value;
  throw truststoreFault('truststore_usage', { found: `--type is "${printableLine(String(value))}"; allowed are jks, pkcs12 and pem.` });
}

async function openExisting(path: string, password: string | undefined): Promise<Store> {
  const bytes = await readBoundedFile({ path, what: 'The truststore', maxBytes: MAX_STORE_BYTES, mend: 'Name the truststore.' });
  return await openStore({ bytes, file: path, password });
}

function passwordOf(flag: string | boolean | undefined, io: CommandIo): string | undefined {
  if (typeof flag === 'string') return flag;
  const variable = io.env[PASSWORD_VARIABLE];
  return variable === '' ? undefined : variable;
}

function parse(args: string[], options: NonNullable<ParseArgsConfig['options']>): { file: string; values: Readonly<Record<string, string | boolean | undefined>> } {
  let parsed: { positionals: string[]; values: Record<string, unknown> };
  try {
    parsed = parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw truststoreFault('truststore_usage', { found: textOf(error) }, error);
  }
  const [file, ...more] = parsed.positionals;
  if (file === undefined || more.length > 0) throw truststoreFault('truststore_usage', { found: file === undefined ? 'Which truststore? FILE is missing.' : `One FILE is allowed, ${more.length + 1} were found.` });
  return { file, values: parsed.values as Record<string, string | boolean | undefined> };
}

function describe(entry: StoreEntry): string {
  const kinds = { trusted: 'trusted certificate', loose: 'certificate (not trusted)', key: `private key, chain of ${counted(entry.certificates.length, 'certificate')}` } as const;
  const lines = [printableLine(entry.alias), `  kind         ${kinds[entry.kind]}`, ...(entry.created === undefined ? [] : [`  created      ${day(entry.created)}`])];
  const [der] = entry.certificates;
  if (der === undefined) return `${lines.join('\n')}\n`;
  const certificate = parseCertificate(der);
  if (certificate === undefined) lines.push('  certificate  not readable');
  else lines.push(`  subject      ${nameLine(certificate.subject)}`, `  issuer       ${nameLine(certificate.issuer)}`, `  valid        ${day(certificate.validFromDate)} until ${day(certificate.validToDate)}`);
  lines.push(`  SHA-256      ${thumbprint(der)}`);
  return `${lines.join('\n')}\n`;
}
