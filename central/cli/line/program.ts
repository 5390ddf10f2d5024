// Reads a command line with commander: the tree of nouns and verbs follows from the declared commands, and with it every help text, every
// "did you mean" and the silent aliases. What the line means is decided elsewhere (run.ts).
import { Command as Node, CommanderError, Option, type HelpConfiguration } from 'commander';
import { wrongDash } from '../../../shared/terminal/dashes.ts';
import { VERSION } from '../../../shared/version.ts';
import { COMMANDS, TRUSTSTORE } from '../commands.ts';
import type { Command, CommandOption } from '../command.ts';
import { cliFault, EXIT_DONE, EXIT_USAGE } from '../errors.ts';
import { GLOBAL_OPTIONS } from './global-options.ts';

/** Words that people type out of habit. They work, and no help, completion or suggestion shows them. */
const VERB_ALIASES: Readonly<Record<string, string>> = { delete: 'remove', enroll: 'enrol' };
/** End in s, and are not plurals. */
const WITHOUT_SINGULAR = new Set(['status']);
const ABOUT: Readonly<Record<string, string>> = {
  agents: 'agents with their state, and what an administrator does with them',
  'agents recovery-code': 'codes with which an agent that is cut off enrolls again',
  'api-tokens': 'API tokens for people and programs',
  ca: 'the authority of Central',
  'ca rotation': 'the rotation of the authority, step by step',
  certificates: 'every certificate that Central knows',
  changes: 'changes that await their confirmation',
  commands: 'commands to agents',
  contexts: 'the Centrals that this account works with',
  'dead-letters': 'messages that expired or were rejected',
  'enrollment-requests': 'machines that requested enrollment without a token',
  'enrollment-tokens': 'tokens that enroll machines',
  events: 'events that agents sent',
  'handshake-failures': 'connections and enrollments that failed',
  incidents: 'what went wrong with agents',
  maintenance: 'what an administrator decides while Central runs',
  parameters: 'the parameters of Central',
  'server-certificate': "Central's own certificate",
  'server-certificate request': 'requests (CSR) for another authority',
  store: 'the store of Central, its backup and its restore',
};

export type Line =
  | {
      readonly kind: 'command';
      readonly command: Command;
      readonly words: readonly string[];
      readonly values: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'truststore'; readonly words: readonly string[] }
  /** Help or a version was shown. */
  | { readonly kind: 'shown'; readonly status: number };

interface Shown {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

const HELP: HelpConfiguration = {
  helpWidth: 120,
  subcommandTerm: (node) => node.name(),
  commandUsage: (node) => ['queuegate', ...pathOf(node), node.usage()].join(' '),
  visibleArguments: () => [],
};

/** Reads a line. Errors: usage, command_unknown. */
export function readLine(argv: readonly string[], shown: Shown): Line {
  let line: Line | undefined;
  const program = buildProgram(shown, argv, (found) => (line = found));
  try {
    // "help agents list" is "agents list --help".
    program.parse(argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv, { from: 'user' });
  } catch (error) {
    // A noun without its verb shows its help as an error; --help and --version show what they were asked for.
    if (error instanceof CommanderError)
      return { kind: 'shown', status: error.code === 'commander.help' ? EXIT_USAGE : EXIT_DONE };
    throw error;
  }
  return line ?? { kind: 'shown', status: EXIT_USAGE };
}

function buildProgram({ out, error }: Shown, argv: readonly string[], found: (line: Line) => void): Node {
  const program = new Node('queuegate')
    .description('The administration of Central.')
    .usage('COMMAND [options]')
    .enablePositionalOptions()
    .helpCommand(false)
    .configureHelp(HELP)
    .configureOutput({
      writeOut: (text) => out(text.trimEnd()),
      writeErr: (text) => error(text.trimEnd()),
      outputError: () => undefined,
    });
  finish(program, argv);
  for (const command of COMMANDS) leafOf(program, command, argv, found);
  const truststore = program.command(TRUSTSTORE.name).description(TRUSTSTORE.summary);
  truststore
    .argument('[words...]')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action((words: string[]) => found({ kind: 'truststore', words }));
  program.command('help').argument('[words...]').description('explains a command').usage('COMMAND');
  program.addHelpText('after', '\n"queuegate help COMMAND" explains one.');
  return program;
}

/** What every level has. */
function finish(node: Node, argv: readonly string[]): void {
  node.helpOption('-h, --help', 'this text').version(VERSION, '--version', 'the version of this program');
  for (const [name, option] of Object.entries(GLOBAL_OPTIONS))
    node.addOption(optionOf(name, option).helpGroup('Options of every command:'));
  node.exitOverride((error) => {
    throw faultOf(error, node, argv);
  });
}

function leafOf(program: Node, command: Command, argv: readonly string[], found: (line: Line) => void): void {
  const [verb = '', ...nouns] = command.name.split(' ').toReversed();
  const parent = nouns.toReversed().reduce((node, noun) => {
    const known = node.commands.find((child) => child.name() === noun);
    if (known !== undefined) return known;
    const path = [...pathOf(node), noun].join(' ');
    const made = node.command(noun).description(ABOUT[path] ?? `commands on ${noun}`);
    if (/[^s]s$/.test(noun) && !WITHOUT_SINGULAR.has(noun)) made.alias(noun.slice(0, -1));
    made.enablePositionalOptions().helpCommand(false).usage('COMMAND [options]');
    finish(made, argv);
    return made;
  }, program);
  const leaf = parent
    .command(verb)
    .summary(command.summary)
    .usage(command.usage || '[options]')
    .argument('[words...]');
  const help = command.help === undefined ? [] : ['', command.help.replaceAll('\n', ' ')];
  leaf.description([`${command.summary.replace(/^./, (first) => first.toUpperCase())}.`, ...help].join('\n'));
  const alias = VERB_ALIASES[verb];
  if (alias !== undefined) leaf.alias(alias);
  for (const [name, option] of Object.entries(command.options)) leaf.addOption(optionOf(name, option));
  finish(leaf, argv);
  leaf.action((words: string[]) => {
    const dash = wrongDash(words);
    if (dash !== undefined) throw usage(command, dash);
    const { least, most } = command.words;
    if (words.length < least) throw usage(command, 'An argument is missing');
    if (words.length > most) throw usage(command, `The argument "${words[most]}" is unexpected`);
    found({ kind: 'command', command, words, values: valuesOf(leaf) });
  });
}

/** Options may be on every level, as in "queuegate --url URL agents list": the last level counts. */
function valuesOf(node: Node): Readonly<Record<string, unknown>> {
  const above = node.parent === null ? {} : valuesOf(node.parent);
  const own = node.options.flatMap((option) => {
    const name = option.attributeName();
    return node.getOptionValueSource(name) === 'cli' ? [[option.name(), node.getOptionValue(name) as unknown]] : [];
  });
  return { ...above, ...(Object.fromEntries(own) as Record<string, unknown>) };
}

function optionOf(name: string, { type, doc, short, value }: CommandOption): Option {
  const flags = `${short === undefined ? '' : `-${short}, `}--${name}`;
  return new Option(type === 'string' ? `${flags} <${value ?? 'value'}>` : flags, doc);
}

/** The words behind "queuegate". */
function pathOf(node: Node): string[] {
  return node.parent === null ? [] : [...pathOf(node.parent), node.name()];
}

export function usage(command: Command, found: string): Error {
  return usageFault(found, `queuegate ${command.name} ${command.usage}`.trim());
}

function usageFault(found: string, usageLine: string): Error {
  return cliFault('usage', { found: /[.?]$/.test(found) ? found : `${found}.`, usage: usageLine });
}

/** What commander refuses, as an error of this program. */
function faultOf(error: CommanderError, node: Node, argv: readonly string[]): Error {
  if (['commander.helpDisplayed', 'commander.version', 'commander.help'].includes(error.code)) return error;
  const path = pathOf(node).join(' ');
  const line = ['queuegate', ...pathOf(node), node.usage()].join(' ');
  const dash = wrongDash(argv);
  if (dash !== undefined) return usageFault(dash, line);
  const [, word = ''] = /'([^']*)'/.exec(error.message) ?? [];
  const similar = similarIn(error.message, node);
  if (error.code === 'commander.unknownCommand')
    return cliFault('command_unknown', {
      found: `${path} ${node.args.join(' ')}`.trim().slice(0, 64),
      suggestion:
        similar.length === 0
          ? ''
          : `Did you mean "${['queuegate', ...pathOf(node), similar.join('" or "')].join(' ')}"? `,
      commands: node.commands.map((child) => [...pathOf(node), child.name()].join(' ')).join(', '),
    });
  if (error.code === 'commander.unknownOption')
    return usageFault(
      `The option ${word} is unknown${similar.length === 0 ? '' : `. Did you mean ${similar.join(' or ')}?`}`,
      line,
    );
  if (error.code === 'commander.optionMissingArgument') return usageFault(`The option ${word} needs a value`, line);
  return usageFault(error.message.replace(/^error: /, ''), line);
}

/** The words that commander suggests, aliases replaced by what they mean. */
function similarIn(message: string, node: Node): string[] {
  const [, list = ''] = /\(Did you mean (?:one of )?(.+)\?\)/.exec(message) ?? [];
  const words = list === '' ? [] : list.split(', ');
  return [
    ...new Set(words.map((word) => node.commands.find((child) => child.aliases().includes(word))?.name() ?? word)),
  ];
}
