// Owns `queue-agent truststore`: what keytool and KeyStore Explorer are used for on trust stores, without either.
// A command never prompts, prints no stack trace, and leaves the old file whole whatever happens.
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { readBoundedFile } from '../shared/bounded-file.ts';
import { isCoded, printable, textOf } from '../shared/errors.ts';
import { counted, DEFAULT_PASSWORD, FORMAT_NAMES, nameLine, parseCertificate, printableLine, thumbprint, type Store, type StoreEntry, type StoreFormat } from '../shared/keystore/material.ts';
import { MAX_STORE_BYTES, openStore } from '../shared/keystore/open.ts';
import { addTrusted, certificatesIn, truststoreFault } from './truststore-edit.ts';
import { day, trustedEntries } from './truststore.ts';

const PASSWORD_VARIABLE = 'QUEUE_AGENT_TRUSTSTORE_PASSWORD';

export const TRUSTSTORE_USAGE = `Usage:
  queue-agent truststore list FILE [--password PASSWORD]
  queue-agent truststore import FILE --certificate FILE.cer [--alias NAME] [--password PASSWORD]
                                [--type jks|pkcs12|pem] [--allow-leaf]
Password: --password, else ${PASSWORD_VARIABLE}, else "${DEFAULT_PASSWORD}".
`;

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
  const { added, format } = await addTrusted({
    file,
    certificates: await certificatesIn(values.certificate),
    origin: values.certificate,
    alias,
    password: passwordOf(values.password, io),
    type: typeOf(values.type),
    allowLeaf: values['allow-leaf'] === true,
  });
  for (const entry of added) io.stdout(`imported into ${file} (${FORMAT_NAMES[format]}):\n${describe(entry)}`);
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
