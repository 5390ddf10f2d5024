// All commands of queue-agent, in the order of its help; finds the one that a command line names, and runs it.
import { escapeLine } from '../../shared/terminal/escape.ts';
import type { SecretInput } from '../../shared/terminal/secret-input.ts';
import { printError, printFault, printOut } from '../../shared/terminal/standard-streams.ts';
import { VERSION } from '../../shared/version.ts';
import { helpOf, parseCall, UsageError, type AgentCommand } from './command.ts';
import { DAEMON_COMMANDS } from './daemon-commands.ts';
import { ENROLLMENT_COMMANDS } from './enrollment-commands.ts';

export const COMMANDS: readonly AgentCommand[] = [
  DAEMON_COMMANDS.start,
  DAEMON_COMMANDS.runner,
  ENROLLMENT_COMMANDS.enroll,
  ENROLLMENT_COMMANDS.requestCertificate,
  ENROLLMENT_COMMANDS.installCertificate,
  ENROLLMENT_COMMANDS.recover,
  DAEMON_COMMANDS.status,
  DAEMON_COMMANDS.listConsumers,
  DAEMON_COMMANDS.rotateToken,
  DAEMON_COMMANDS.doctor,
  ownHelp('truststore', 'list|import|delete|convert|create|change-password ...', {
    help: 'Manages truststores without keytool or KeyStore Explorer; see "queue-agent truststore --help".',
    run: async () => 2,
  }),
  ownHelp('completion', 'bash|zsh|fish|powershell', {
    help: 'Prints the script that completes commands and options in a shell, such as: source <(queue-agent completion bash).',
    async run({ positionals: [shell = ''] }) {
      const { completionOf } = await import('./completion.ts');
      return print(`${completionOf(shell, COMMANDS)}\n`);
    },
  }),
  ownHelp('version', '', { help: '', run: async () => print(`${VERSION}\n`) }),
  ownHelp('help', '', { help: '', run: async () => print(helpOf(COMMANDS)) }),
];

function ownHelp(
  name: string,
  words: string,
  { help, run }: Pick<AgentCommand, 'run'> & { readonly help: string },
): AgentCommand {
  return { name, usages: [{ words, help }], options: {}, withoutSettings: true, run };
}

function print(text: string): number {
  printOut(text);
  return 0;
}

const ALIASES: ReadonlyMap<string, string> = new Map([
  ['--version', 'version'],
  ['--help', 'help'],
  ['-h', 'help'],
  // As in queuegate, no help shows it.
  ['enrol', 'enroll'],
  ['consumer', 'consumers'],
]);

/** The exit status of a command line. Errors: UsageError, those of the command. */
export async function runCommand(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  secrets: SecretInput,
): Promise<number> {
  const [word, second = '', ...rest] = argv;
  if (word === undefined) {
    printError(helpOf(COMMANDS));
    return 2;
  }
  const first = ALIASES.get(word) ?? word;
  if (first === 'truststore') {
    const { truststoreCommand } = await import('../../shared/truststore/command.ts');
    const io = { program: 'queue-agent', stdout: printOut, stderr: printFault, secrets, env: environment } as const;
    return await truststoreCommand(argv.slice(1), io);
  }
  const withVerb = COMMANDS.find(({ name }) => name === `${first} ${second}`);
  const command = withVerb ?? COMMANDS.find(({ name }) => name === first);
  if (command === undefined) return ofNoun(first, second);
  const call = parseCall(command, withVerb === undefined ? argv.slice(1) : rest, environment, secrets);
  return call === 'help' ? print(helpOf([command])) : await command.run(call);
}

/** A noun without a verb of its own: its help, or an error. */
function ofNoun(noun: string, verb: string): number {
  const known = COMMANDS.filter(({ name }) => name.startsWith(`${noun} `));
  if (known.length === 0) throw new UsageError(`unknown command "queue-agent ${escapeLine(noun)}"`);
  if (verb === '--help' || verb === '-h') return print(helpOf(known));
  const verbs = known.map(({ name }) => name.slice(noun.length + 1));
  throw new UsageError(`${noun} needs the word ${verbs.join(' or ')}`);
}
