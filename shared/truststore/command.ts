// Runs `queue-agent truststore` and `queuegate truststore`: manages trust stores on this machine without keytool and
// KeyStore Explorer. A command never prompts, prints no stack trace and no password, and never damages the old file.
import type { ParseArgsConfig } from 'node:util';
import { isCoded, printable } from '../errors.ts';
import { counted, DEFAULT_PASSWORD, FORMAT_NAMES, aliasLine, printableLine } from '../keystore/material.ts';
import { certificatesIn, checkFingerprints, partChain, purposeOf, readFingerprint } from './certificates.ts';
import { changePassword, createStore, deleteEntry } from './change.ts';
import { convertStore } from './convert.ts';
import { dateWarning, describeEntry } from './describe.ts';
import { namesOf, trustedEntries } from './entries.ts';
import { truststoreFault } from './errors.ts';
import { addTrusted } from './import.ts';
import { NEW_PASSWORD, Options, PASSWORD, passwordVariables, type CommandIo } from './options.ts';
import { openFile } from './write.ts';

export type { CommandIo } from './options.ts';

interface TruststoreCommand {
  /** Its flags, as node:util parseArgs takes them. */
  readonly options: NonNullable<ParseArgsConfig['options']>;
  run(options: Options, io: CommandIo): Promise<void>;
}

export const TRUSTSTORE_COMMANDS: Readonly<Record<string, TruststoreCommand>> = {
  list: { options: PASSWORD, run: list },
  import: {
    options: {
      ...PASSWORD,
      certificate: { type: 'string' },
      alias: { type: 'string' },
      fingerprint: { type: 'string', multiple: true },
      type: { type: 'string' },
      'allow-leaf': { type: 'boolean' },
    },
    run: importCertificates,
  },
  delete: {
    options: {
      ...PASSWORD,
      alias: { type: 'string' },
      fingerprint: { type: 'string' },
      'private-key': { type: 'boolean' },
    },
    run: deleteCertificate,
  },
  convert: {
    options: {
      ...PASSWORD,
      ...NEW_PASSWORD,
      to: { type: 'string' },
      type: { type: 'string' },
      'leave-out': { type: 'boolean' },
    },
    run: convert,
  },
  create: { options: { ...PASSWORD, type: { type: 'string' } }, run: create },
  'change-password': { options: { ...PASSWORD, ...NEW_PASSWORD }, run: changeStorePassword },
};

/** The help of one program. */
function truststoreUsage(program: CommandIo['program']): string {
  const variables = passwordVariables(program);
  return `Truststores (JKS, PKCS#12, PEM) on this machine, as keytool and KeyStore Explorer read and write them.

  ${program} truststore list FILE
      Entries with names, dates and fingerprints. The format is detected from the content, never from the name.
  ${program} truststore import FILE --certificate FILE.cer [--alias NAME] [--fingerprint sha256:...]
                                [--type jks|pkcs12|pem] [--allow-leaf]
      Trusts the certificates of a file (PEM, DER, PKCS#7 .p7b; a chain as well). Makes FILE if it is not there.
      --fingerprint refuses any other certificate (give it once for each); --allow-leaf trusts exactly this certificate,
      also when it is neither an authority's nor a server's.
  ${program} truststore delete FILE --alias NAME|--fingerprint sha256:... [--private-key]
      Deletes an entry, named by its alias, its fingerprint or both; a private key only with --private-key.
  ${program} truststore convert FILE --to NEW_FILE [--type jks|pkcs12|pem] [--leave-out]
      The same entries in another format. Refuses what the new format cannot hold; with --leave-out it goes without.
  ${program} truststore create FILE [--type jks|pkcs12]
      An empty store.
  ${program} truststore change-password FILE
      Another password, for the private keys in it too.

Password of FILE: --password-file, or ${variables.password}; else "${DEFAULT_PASSWORD}" is tried.
New one (convert, change-password): --new-password-file, or ${variables.newPassword}.
A password file is read up to its first line break; "-" reads the next line of the standard input. No flag takes the password itself:
other accounts on this machine see the arguments of a process (ps).
Exit status: 0 done, 1 refused, 2 not understood.
`;
}

/** Runs the command; the exit status is 0, 1 (refused) or 2 (not understood). `args` begin behind "truststore". */
export async function truststoreCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === 'help' || args.includes('--help') || args.includes('-h')) {
    io.stdout(truststoreUsage(io.program));
    return name === undefined ? 2 : 0;
  }
  try {
    const command = Object.hasOwn(TRUSTSTORE_COMMANDS, name) ? TRUSTSTORE_COMMANDS[name] : undefined;
    if (command === undefined)
      throw truststoreFault('truststore_usage', {
        found: `There is no "truststore ${printableLine(name)}"; there are ${Object.keys(TRUSTSTORE_COMMANDS).join(', ')}.`,
        program: io.program,
      });
    await command.run(new Options(rest, command.options, io), io);
    return 0;
  } catch (error) {
    io.stderr(`${printable(error)}\n`);
    return isCoded(error, 'truststore_usage') ? 2 : 1;
  }
}

async function list(options: Options, io: CommandIo): Promise<void> {
  const { file, store } = await openFile(options.file, await options.password());
  io.stdout(`${file}: ${FORMAT_NAMES[store.format]}, ${counted(store.entries.length, 'entry', 'entries')}\n`);
  for (const entry of store.entries) io.stdout(`\n${describeEntry(entry)}`);
  if (store.others.length > 0) io.stdout(`\nand beside these: ${namesOf(store.others)}\n`);
  for (const warning of store.warnings) io.stderr(`warning: ${warning}\n`);
  // After the list, so that one sees what there is instead.
  const now = new Date();
  for (const {
    certificates: [der],
  } of trustedEntries(store, file))
    warn(io, dateWarning(der, now));
}

async function importCertificates(options: Options, io: CommandIo): Promise<void> {
  const { file } = options;
  const origin = options.needed('certificate', 'Which certificate? --certificate FILE is missing.');
  const order = {
    file,
    origin,
    alias: options.alias(),
    type: options.type(),
    allowLeaf: options.flag('allow-leaf'),
    password: await options.password(),
  };
  const fingerprints = options.list('fingerprint').map(readFingerprint);
  const { certificates: found, warnings } = await certificatesIn(origin);
  for (const warning of warnings) warn(io, warning);
  const { kept, vouched } = order.allowLeaf ? { kept: found, vouched: [] } : partChain(found);
  if (fingerprints.length > 0) checkFingerprints(kept, fingerprints, origin);
  const { added, present, format, notes } = await addTrusted({ ...order, certificates: kept });
  for (const entry of added) io.stdout(`imported into ${file} (${FORMAT_NAMES[format]}):\n${describeEntry(entry)}`);
  for (const note of notes) warn(io, note);
  for (const { alias } of present) io.stdout(`trusted already, as "${aliasLine(alias)}"\n`);
  for (const { subject, by } of vouched)
    io.stdout(`left out: ${subject}, which ${by} issued; --allow-leaf trusts it by itself too\n`);
  const now = new Date();
  for (const {
    alias,
    certificates: [der],
  } of added) {
    warn(io, dateWarning(der, now));
    if (purposeOf(der) !== 'authority')
      io.stderr(
        `warning: "${aliasLine(alias)}" is not an authority: exactly this certificate is trusted, and when Central renews it, the new one is not.\n`,
      );
  }
}

async function deleteCertificate(options: Options, io: CommandIo): Promise<void> {
  const { file } = options;
  const fingerprint = options.text('fingerprint');
  // Aliases that cannot be typed (empty, of thousands of characters, with control characters) are named by their certificate.
  if (fingerprint === undefined)
    options.needed('alias', 'Which entry? --alias NAME is missing; --fingerprint names it too.');
  const { deleted, left, notes } = await deleteEntry({
    file,
    alias: options.text('alias'),
    fingerprint: fingerprint === undefined ? undefined : readFingerprint(fingerprint),
    password: await options.password(),
    privateKey: options.flag('private-key'),
  });
  io.stdout(`deleted from ${file}:\n${describeEntry(deleted)}`);
  for (const note of notes) warn(io, note);
  if (!left.some(({ kind }) => kind === 'trusted'))
    io.stderr(`warning: ${file} holds no trusted certificate any more: an agent that uses it makes no connection.\n`);
}

async function convert(options: Options, io: CommandIo): Promise<void> {
  const to = options.needed('to', 'Into which file? --to NEW_FILE is missing.');
  const { from, format, entries, lost } = await convertStore({
    from: options.file,
    to,
    type: options.type(),
    password: await options.password(),
    newPassword: await options.newPassword(),
    leaveOut: options.flag('leave-out'),
  });
  io.stdout(
    `converted ${options.file} (${FORMAT_NAMES[from]}) to ${to} (${FORMAT_NAMES[format]}): ${counted(entries.length, 'entry', 'entries')}\n`,
  );
  for (const note of lost) io.stdout(`  ${printableLine(note)}\n`);
}

async function create(options: Options, io: CommandIo): Promise<void> {
  const password = await options.password();
  const format = await createStore(options.file, options.type(), password);
  io.stdout(
    `made ${options.file} (${FORMAT_NAMES[format]}), with no entry yet${password === undefined ? ` and the password "${DEFAULT_PASSWORD}"` : ''}\n`,
  );
  io.stdout(`next: ${io.program} truststore import ${options.file} --certificate FILE.cer\n`);
}

async function changeStorePassword(options: Options, io: CommandIo): Promise<void> {
  const password = await options.password();
  const newPassword = await options.newPassword();
  if (newPassword === undefined)
    throw options.complain(
      `Which password? --new-password-file or ${passwordVariables(io.program).newPassword} is missing.`,
    );
  const { format, keys, notes } = await changePassword({ file: options.file, password, newPassword });
  io.stdout(
    `${options.file} (${FORMAT_NAMES[format]}) has the new password${keys === 0 ? '' : `, and ${keys === 1 ? 'its private key' : `its ${keys} private keys`} too`}\n`,
  );
  for (const note of notes) warn(io, note);
}

function warn(io: CommandIo, text: string | undefined): void {
  if (text !== undefined) io.stderr(`warning: ${text}\n`);
}
