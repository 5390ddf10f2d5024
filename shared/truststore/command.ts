// Runs `queue-agent truststore` and `queuegate truststore`: manages trust stores on this machine without keytool and
// KeyStore Explorer. A command never prompts, prints no stack trace and no password, and never damages the old file.
import { printable } from '../errors.ts';
import { counted, DEFAULT_PASSWORD, FORMAT_NAMES, aliasLine, printableLine } from '../keystore/material.ts';
import { EXIT_CANCELED, EXIT_DONE, EXIT_USAGE, exitStatusOf } from '../terminal/exit-status.ts';
import { readProgram } from '../terminal/program.ts';
import { PromptCanceled } from '../terminal/secret-input.ts';
import { certificatesIn, checkFingerprints, partChain, purposeOf, readFingerprint } from './certificates.ts';
import { changePassword, createStore, deleteEntry } from './change.ts';
import { convertStore } from './convert.ts';
import { dateWarning, nameWarnings, describeEntry } from './describe.ts';
import { namesOf, trustedEntries } from './entries.ts';
import { addTrusted } from './import.ts';
import {
  NEW_PASSWORD,
  Options,
  PASSWORD,
  passwordVariables,
  type CommandIo,
  type TruststoreCommand,
} from './options.ts';
import { openFile } from './write.ts';

export type { CommandIo } from './options.ts';

const TYPE = { type: 'string', value: 'jks|pkcs12|pem', doc: 'format of a new file; else its ending decides' } as const;
const FINGERPRINT = { type: 'string', value: 'sha256:...' } as const;
const ONE = { least: 1, most: 1 } as const;

export const TRUSTSTORE_COMMANDS: readonly TruststoreCommand[] = [
  {
    name: 'list',
    usage: 'FILE',
    summary: 'entries with names, dates and fingerprints',
    help: 'The format is detected from the content, never from the name.',
    options: PASSWORD,
    words: ONE,
    run: list,
  },
  {
    name: 'import',
    usage: 'FILE --certificate FILE.cer [--alias NAME] [--fingerprint sha256:...]',
    summary: 'trust the certificates of a file (PEM, DER, PKCS#7 .p7b; a chain as well)',
    help: 'Creates FILE if it does not exist.',
    options: {
      certificate: { type: 'string', value: 'FILE.cer', doc: 'the certificates' },
      alias: { type: 'string', value: 'NAME', doc: 'the name of the entry' },
      fingerprint: { ...FINGERPRINT, isList: true, doc: 'refuse any other certificate; once for each' },
      type: TYPE,
      'allow-leaf': {
        type: 'boolean',
        doc: 'trust exactly this certificate, even if it belongs to neither an authority nor a server',
      },
      ...PASSWORD,
    },
    words: ONE,
    run: importCertificates,
  },
  {
    name: 'delete',
    usage: 'FILE --alias NAME|--fingerprint sha256:... [--private-key]',
    summary: 'delete an entry, named by its alias, its fingerprint or both',
    options: {
      alias: { type: 'string', value: 'NAME', doc: 'the name of the entry' },
      fingerprint: { ...FINGERPRINT, doc: 'the fingerprint of its certificate' },
      'private-key': { type: 'boolean', doc: 'also if it is a private key, which is lost' },
      ...PASSWORD,
    },
    words: ONE,
    run: deleteCertificate,
  },
  {
    name: 'convert',
    usage: 'FILE --to NEW_FILE [--type jks|pkcs12|pem] [--leave-out]',
    summary: 'the same entries in another format',
    help: 'Refuses what the new format cannot hold.',
    options: {
      to: { type: 'string', value: 'NEW_FILE', doc: 'the file to write; it must not exist' },
      type: TYPE,
      'leave-out': { type: 'boolean', doc: 'leave out what the new format cannot hold' },
      ...PASSWORD,
      ...NEW_PASSWORD,
    },
    words: ONE,
    run: convert,
  },
  {
    name: 'create',
    usage: 'FILE [--type jks|pkcs12]',
    summary: 'an empty store',
    options: { type: TYPE, ...PASSWORD },
    words: ONE,
    run: create,
  },
  {
    name: 'change-password',
    usage: 'FILE',
    summary: 'another password, for the private keys in it too',
    options: { ...PASSWORD, ...NEW_PASSWORD },
    words: ONE,
    run: changeStorePassword,
  },
];

function footerOf(program: CommandIo['program']): string {
  const variables = passwordVariables(program);
  return `Password of FILE: --password-file, or ${variables.password}; else "${DEFAULT_PASSWORD}" is tried.
New one (convert, change-password): --new-password-file, or ${variables.newPassword}.
A password file is read up to its first line break; "-" reads the next line of the standard input. No flag takes the password itself:
other accounts on this machine see the arguments of a process (ps).
Exit status: 0 done, 1 failed, 2 not understood, 4 wrong or missing password, 5 file or entry not found, 6 refused, 7 exists already.
"${program} truststore COMMAND --help" explains one.`;
}

/** Runs the command; the exit status. `args` begin behind "truststore". */
export async function truststoreCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const program = {
    name: `${io.program} truststore`,
    description:
      'Truststores (JKS, PKCS#12, PEM) on this machine, as keytool and KeyStore Explorer read and write them.',
    commands: TRUSTSTORE_COMMANDS,
    options: {},
    about: {},
    others: [],
    footer: footerOf(io.program),
  };
  try {
    const line = readProgram(args, program, {
      out: (text) => io.stdout(`${text}\n`),
      error: (text) => io.stderr(`${text}\n`),
    });
    if (line.kind !== 'command') return line.kind === 'shown' ? line.status : EXIT_USAGE;
    await line.command.run(new Options(line, io), io);
    return EXIT_DONE;
  } catch (error) {
    if (error instanceof PromptCanceled) return EXIT_CANCELED;
    io.stderr(`${printable(error)}\n`);
    return exitStatusOf(error);
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
  const trusted = trustedEntries(store, file);
  for (const {
    certificates: [der],
  } of trusted)
    warn(io, dateWarning(der, now));
  for (const warning of nameWarnings(trusted)) warn(io, warning);
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
  // Aliases that cannot be typed (empty, of thousands of characters, with control characters) are named by their
  // certificate.
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
