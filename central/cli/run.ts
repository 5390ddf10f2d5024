// Runs one command line of `queuegate`: finds the command, reads its options, gives it a client, prints its answer or its error.
// central/cli.ts is the executable; tests call this.
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { isCoded, printable, textOf } from '../../shared/errors.ts';
import { findLocalSocket } from '../../shared/platform/local-socket.ts';
import { wrongDash } from '../../shared/terminal/dashes.ts';
import { PromptCanceled, type SecretInput } from '../../shared/terminal/secret-input.ts';
import { escapeLine, escapeLines } from '../../shared/terminal/escape.ts';
import { agentCommands } from './commands/agents.ts';
import { caCommands } from './commands/ca.ts';
import { changeCommands } from './commands/changes.ts';
import { createClient, RestError, type Target } from './client.ts';
import type { Command, CommandCall } from './command.ts';
import { cliFault, EXIT_CANCELED, EXIT_FAILED, EXIT_USAGE } from './errors.ts';
import { enrollmentCommands } from './commands/enrollments.ts';
import { eventCommands } from './commands/events.ts';
import { failureCommands } from './commands/failures.ts';
import { parameterCommands } from './commands/parameters.ts';
import { rotationCommands } from './commands/rotation.ts';
import { serverCertificateCommands } from './commands/server-certificate.ts';
import { statusCommands } from './commands/status.ts';
import { storeCommands } from './commands/store.ts';
import { tokenCommands } from './commands/tokens.ts';
import { ADMINISTRATOR_TOKEN_FILE, DEFAULT_DATA_FOLDER } from '../config.ts';
import { secondsOf, shareOf, wholeNumberOf } from './quantities.ts';
import { LOCAL_SOCKET } from '../listeners/local-socket.ts';

const COMMANDS: readonly Command[] = [
  ...statusCommands,
  ...parameterCommands,
  ...changeCommands,
  ...agentCommands,
  ...enrollmentCommands,
  ...failureCommands,
  ...eventCommands,
  ...tokenCommands,
  ...caCommands,
  ...rotationCommands,
  ...serverCertificateCommands,
  ...storeCommands,
];

/** Works on files of this machine and asks no Central: it reads its own line (shared/truststore/command.ts). */
const TRUSTSTORE = {
  name: 'truststore',
  summary: 'truststores on this machine, such as those of profiles, without keytool',
} as const;

const COMMON = {
  url: {
    type: 'string',
    doc: 'https://HOST:8443, where Central is on another host (QUEUEGATE_URL); else its socket in the data folder',
  },
  'ca-file': { type: 'string', doc: 'PEM file of the root to trust (QUEUEGATE_CA_FILE)' },
  'token-file': {
    type: 'string',
    doc: 'file with the API token (QUEUEGATE_TOKEN_FILE; or the token itself in QUEUEGATE_TOKEN)',
  },
  json: { type: 'boolean', doc: 'the answer as JSON' },
  help: { type: 'boolean', doc: 'this text' },
} as const;

/** The words of every command, as "agents list". */
export const COMMAND_NAMES: readonly string[] = [...COMMANDS, TRUSTSTORE].map(({ name }) => name);

const MAX_TOKEN_BYTES = 1024;
const MAX_CA_BYTES = 1024 * 1024;

interface CliSurroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  readonly readStdin: () => Promise<string>;
  /** Is the standard output a terminal? */
  readonly terminal: boolean;
  readonly secrets: SecretInput;
  /** Is there a person at the terminal who can be asked? */
  readonly canPrompt: boolean;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Runs one command line; the exit status. */
export async function runCli(argv: readonly string[], given: CliSurroundings): Promise<number> {
  // Names, refusals and hints come from Central and from agents: nothing in them may act on the terminal, whichever command prints them.
  const surroundings = {
    ...given,
    out: (text: string) => given.out(escapeLines(text)),
    error: (text: string) => given.error(escapeLines(text)),
  };
  try {
    return await run(argv, surroundings);
  } catch (error) {
    if (surroundings.signal.aborted) return EXIT_FAILED;
    if (error instanceof PromptCanceled) return EXIT_CANCELED;
    surroundings.error(printable(error));
    // What the message contains already is not repeated.
    if (error instanceof RestError)
      for (const text of error.errors) if (!error.message.includes(text)) surroundings.error(`  - ${escapeLine(text)}`);
    return isCoded(error, 'usage', 'command_unknown') ? EXIT_USAGE : EXIT_FAILED;
  }
}

/** Lists the commands that `asked` begins, or all. Errors: command_unknown. */
function listCommands(asked: readonly string[], wantsHelp: boolean, surroundings: CliSurroundings): number {
  const [word] = asked;
  // `queuegate parameters` lists the commands of that noun; without any word, all.
  const about = COMMANDS.filter(
    ({ name }) => word === undefined || word.startsWith('-') || name.split(' ')[0] === word,
  );
  if (about.length === 0)
    throw cliFault('command_unknown', {
      found: asked.join(' ').slice(0, 64),
      commands: [...new Set([...COMMANDS, TRUSTSTORE].map(({ name }) => name.split(' ')[0]))].join(', '),
    });
  if (word !== undefined && !word.startsWith('-') && asked.length > 1 && !wantsHelp)
    throw cliFault('command_unknown', {
      found: asked.join(' ').slice(0, 64),
      commands: about.map(({ name }) => name).join(', '),
    });
  (wantsHelp ? surroundings.out : surroundings.error)(
    overview(about.length === COMMANDS.length ? [...about, TRUSTSTORE] : about),
  );
  return wantsHelp ? 0 : EXIT_USAGE;
}

async function run(argv: readonly string[], surroundings: CliSurroundings): Promise<number> {
  const asked = argv[0] === 'help' ? argv.slice(1) : argv;
  if (asked[0] === TRUSTSTORE.name)
    return await truststore(argv[0] === 'help' ? ['help'] : asked.slice(1), surroundings);
  const command = COMMANDS.find(({ name }) => name === asked.slice(0, name.split(' ').length).join(' '));
  const wantsHelp = argv[0] === 'help' || asked.includes('--help') || asked.includes('-h');
  if (command === undefined) return listCommands(asked, wantsHelp, surroundings);
  if (wantsHelp) {
    surroundings.out(helpOf(command));
    return 0;
  }

  const { values, positionals } = readLine(command, asked.slice(command.name.split(' ').length));
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  const client = createClient({
    ...(await targetOf(command, text, surroundings)),
    token: async () => await readToken(text, surroundings),
    signal: surroundings.signal,
  });
  const json = values['json'] === true;
  const complain = (found: string): Error => usage(command, found);
  const quantity = (name: string, read: (text: string) => number | undefined, allowed: string): number | undefined => {
    const found = text(name);
    const value = found === undefined ? undefined : read(found);
    if (found !== undefined && value === undefined) throw complain(`--${name} is "${found}"; allowed is ${allowed}`);
    return value;
  };
  const call: CommandCall = {
    client,
    words: positionals,
    json,
    terminal: surroundings.terminal,
    signal: surroundings.signal,
    readStdin: surroundings.readStdin,
    environment: surroundings.environment,
    workingFolder: surroundings.workingFolder,
    line: surroundings.out,
    text,
    flag: (name) => values[name] === true,
    async secret(option, variable, question) {
      const { secrets, workingFolder, environment, canPrompt } = surroundings;
      const file = text(option);
      if (file !== undefined)
        return await secrets.read(file === '-' ? file : resolve(workingFolder, file), {
          what: 'The password file',
          prompt: question ?? 'Password',
        });
      return (
        environment[variable] ||
        (question === undefined || !canPrompt ? undefined : (await secrets.ask(question)) || undefined)
      );
    },
    number: (name) => quantity(name, wholeNumberOf, 'a whole number'),
    seconds: (name) => quantity(name, secondsOf, 'a duration such as 90s, 15m, 24h or 30d'),
    share: (name) => quantity(name, shareOf, 'a share such as 95%'),
    answer: (value, people) => surroundings.out(json ? JSON.stringify(value, null, 2) : people()),
    complain,
  };
  await command.run(call);
  return 0;
}

async function truststore(
  words: readonly string[],
  { environment, out, error, secrets }: CliSurroundings,
): Promise<number> {
  const { truststoreCommand } = await import('../../shared/truststore/command.ts');
  const whole =
    (print: (text: string) => void) =>
    (text: string): void =>
      print(text.replace(/\n$/, ''));
  return await truststoreCommand(words, {
    program: 'queuegate',
    stdout: whole(out),
    stderr: whole(error),
    secrets,
    env: environment,
  });
}

function readLine(
  command: Command,
  args: readonly string[],
): { readonly values: Readonly<Record<string, unknown>>; readonly positionals: readonly string[] } {
  const { least, most } = command.words;
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...COMMON, ...command.options },
      allowPositionals: true,
      strict: true,
    });
    const dash = wrongDash(positionals);
    if (dash !== undefined) throw usage(command, dash);
    if (positionals.length < least) throw usage(command, 'an argument is missing');
    if (positionals.length > most) throw usage(command, `the argument "${positionals[most]}" is unexpected`);
    return { values, positionals };
  } catch (error) {
    if (isCoded(error)) throw error;
    throw usage(command, wrongDash(args) ?? textOf(error).split('. ', 1)[0] ?? '');
  }
}

async function targetOf(
  command: Command,
  text: (name: string) => string | undefined,
  { environment, workingFolder }: CliSurroundings,
): Promise<{ target: Target; ca: string | undefined }> {
  const named = text('url') ?? (environment['QUEUEGATE_URL'] || undefined);
  if (named === undefined) return { target: localTarget(environment, workingFolder), ca: undefined };
  if (!URL.canParse(named) || !/^https?:$/.test(new URL(named).protocol))
    throw usage(command, `"${named}" is not an address such as https://central.bank.example:8443`);
  const url = new URL(named);
  if (url.protocol === 'http:') throw cliFault('token_over_plain_http', { url: url.origin });
  const weakening = tlsWeakening(environment);
  if (weakening !== undefined) throw cliFault('tls_weakened', { found: weakening });
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  const file = text('ca-file') ?? (environment['QUEUEGATE_CA_FILE'] || undefined);
  if (file === undefined) return { target: { url }, ca: undefined };
  const ca = await readBoundedFile({
    path: resolve(workingFolder, file),
    what: 'The root certificate',
    maxBytes: MAX_CA_BYTES,
    hint: 'Name the PEM file that "queuegate ca trust-bundle --out FILE" writes.',
  });
  return { target: { url }, ca: ca.toString('utf8') };
}

/** The socket in Central's data folder. It belongs to Central's account, which is another one only where root names the folder. */
function localTarget(environment: CliSurroundings['environment'], workingFolder: string): Target {
  const folder = environment['QUEUEGATE_DATA_FOLDER'] || undefined;
  const path = resolve(workingFolder, folder ?? DEFAULT_DATA_FOLDER, LOCAL_SOCKET);
  const ifMissing =
    'Start Central. On its host, run this in its working folder or set QUEUEGATE_DATA_FOLDER; from elsewhere use --url https://HOST:8443 and --ca-file FILE.';
  return {
    named: path,
    socket: async () =>
      (await findLocalSocket(path, { ifMissing, ...(folder === undefined ? {} : { namedFolder: dirname(path) }) }))
        .path,
  };
}

/** The first variable of the environment that lets this process take a certificate or a protocol that it would refuse, or write its keys down. */
function tlsWeakening(environment: CliSurroundings['environment']): string | undefined {
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') return 'NODE_TLS_REJECT_UNAUTHORIZED=0';
  const option =
    /--(?:tls-min-v1\.[01]|tls-max-v1\.[01]|tls-keylog|tls-cipher-list|openssl-legacy-provider|insecure-http-parser)\b/.exec(
      environment['NODE_OPTIONS'] ?? '',
    );
  return option === null ? undefined : `${option[0]} in NODE_OPTIONS`;
}

/** From --token-file, the environment, or the file that Central wrote on its first start. Never from a flag: `ps` shows those. */
async function readToken(
  text: (name: string) => string | undefined,
  { environment, workingFolder }: CliSurroundings,
): Promise<string> {
  const named = text('token-file');
  if (named === undefined && environment['QUEUEGATE_TOKEN']) return environment['QUEUEGATE_TOKEN'].trim();
  const folder = environment['QUEUEGATE_DATA_FOLDER'] || DEFAULT_DATA_FOLDER;
  const file = resolve(
    workingFolder,
    named ?? (environment['QUEUEGATE_TOKEN_FILE'] || `${folder}/${ADMINISTRATOR_TOKEN_FILE}`),
  );
  try {
    return (
      await readBoundedFile({
        path: file,
        what: 'The token file',
        maxBytes: MAX_TOKEN_BYTES,
        hint: 'Name a file that holds a token.',
      })
    )
      .toString('utf8')
      .trim();
  } catch (error) {
    throw cliFault('token_missing', { file }, error);
  }
}

function usage(command: Command, found: string): Error {
  return cliFault('usage', {
    found: found.replace(/\.$/, ''),
    usage: `queuegate ${command.name} ${command.usage}`.trim(),
  });
}

function overview(commands: readonly Pick<Command, 'name' | 'summary'>[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'queuegate COMMAND [options]: the administration of Central.',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'queuegate help COMMAND explains one.',
    '',
    'Options of every command:',
    optionsText(COMMON),
  ].join('\n');
}

function helpOf(command: Command): string {
  const own = Object.keys(command.options).length === 0 ? [] : ['', 'Options:', optionsText(command.options)];
  return [
    `queuegate ${command.name} ${command.usage}`.trim(),
    '',
    `${command.summary}.`,
    ...(command.help === undefined ? [] : ['', command.help]),
    ...own,
    '',
    'Options of every command:',
    optionsText(COMMON),
  ].join('\n');
}

function optionsText(options: Command['options']): string {
  const names = Object.entries(options).map(([name, { type, doc }]) => ({
    name: type === 'string' ? `--${name} ...` : `--${name}`,
    doc,
  }));
  const width = Math.max(...names.map(({ name }) => name.length));
  return names.map(({ name, doc }) => `  ${name.padEnd(width)}  ${doc}`).join('\n');
}
