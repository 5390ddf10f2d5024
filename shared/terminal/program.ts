// Reads a command line with commander: the tree of nouns and verbs follows from the declared commands, and with it
// every help text, every "did you mean" and the silent aliases. Only the command lines of people load it: a daemon
// reads its flags with parseArgs, which costs it no memory.
import { Command as Node, CommanderError, Option, type HelpConfiguration } from 'commander';
import { VERSION } from '../version.ts';
import { wrongDash } from './dashes.ts';
import { EXIT_DONE, EXIT_USAGE } from './exit-status.ts';
import { lineFault } from './output.ts';

export interface LineOption {
  readonly type: 'string' | 'boolean';
  readonly doc: string;
  /** One letter. */
  readonly short?: string;
  /** What its value is, in its help: FILE, N. */
  readonly value?: string;
  /** Its value may be left out: `--wait`, or `--wait=10m`. */
  readonly isOptional?: true;
  /** May be repeated: its value is a list. */
  readonly isList?: true;
  /** Known only to be refused with a better text. */
  readonly isHidden?: true;
}

export interface LineCommand {
  /** As it is typed: `parameters set`. */
  readonly name: string;
  /** What follows the name in the usage line. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Further lines of its own help. */
  readonly help?: string;
  readonly options: Readonly<Record<string, LineOption>>;
  /** How many words may follow the options. */
  readonly words: { readonly least: number; readonly most: number };
}

interface Program<C extends LineCommand> {
  /** As it is typed: queuegate, queue-agent truststore. */
  readonly name: string;
  readonly description: string;
  readonly commands: readonly C[];
  /** Of every command. */
  readonly options: Readonly<Record<string, LineOption>>;
  /** What each noun is about. */
  readonly about: Readonly<Record<string, string>>;
  /** Commands that read their own line. */
  readonly others: readonly { readonly name: string; readonly summary: string }[];
  /** Below the help of the whole program. */
  readonly footer: string;
}

export type ProgramLine<C> =
  | {
      readonly kind: 'command';
      readonly command: C;
      readonly words: readonly string[];
      readonly values: Readonly<Record<string, unknown>>;
    }
  /** Of `others`: the words behind its name. */
  | { readonly kind: 'other'; readonly name: string; readonly words: readonly string[] }
  /** Help or a version was shown. */
  | { readonly kind: 'shown'; readonly status: number };

interface Shown {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

/** Words that people type out of habit. They work, and no help, completion or suggestion shows them. */
const VERB_ALIASES: Readonly<Record<string, string>> = { delete: 'remove', enroll: 'enrol' };
/** End in s, and are not plurals. */
const WITHOUT_SINGULAR = new Set(['status']);

/** What the parts of one tree share. */
interface Building<C extends LineCommand> {
  readonly program: Program<C>;
  readonly argv: readonly string[];
  readonly found: (line: ProgramLine<C>) => void;
}

/** Reads a line. Errors: usage, command_unknown. */
export function readProgram<C extends LineCommand>(
  argv: readonly string[],
  program: Program<C>,
  shown: Shown,
): ProgramLine<C> {
  let line: ProgramLine<C> | undefined;
  const root = treeOf({ program, argv, found: (read) => (line = read) }, shown);
  try {
    // "help agents list" is "agents list --help".
    root.parse(withoutValues(argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv, program), { from: 'user' });
  } catch (error) {
    // A noun without its verb shows its help as an error; --help and --version show what they were asked for.
    if (error instanceof CommanderError)
      return { kind: 'shown', status: error.code === 'commander.help' ? EXIT_USAGE : EXIT_DONE };
    throw error;
  }
  return line ?? { kind: 'shown', status: EXIT_USAGE };
}

/**
 * commander would take the word behind an optional value for it: such an option has its value behind an equals sign
 * only.
 */
function withoutValues<C extends LineCommand>(argv: readonly string[], { commands }: Program<C>): string[] {
  const optional = new Set(
    commands.flatMap(({ options }) =>
      Object.entries(options).flatMap(([name, { isOptional }]) => (isOptional === true ? [`--${name}`] : [])),
    ),
  );
  return argv.map((word) => (optional.has(word) ? `${word}=` : word));
}

function treeOf<C extends LineCommand>(building: Building<C>, { out, error }: Shown): Node {
  const { program, found } = building;
  const help: HelpConfiguration = {
    helpWidth: 120,
    subcommandTerm: (node) => node.name(),
    commandUsage: (node) => [...pathOf(node), node.usage()].join(' '),
    visibleArguments: () => [],
  };
  const root = new Node(program.name)
    .description(program.description)
    .usage('COMMAND [options]')
    .enablePositionalOptions()
    .helpCommand(false)
    .configureHelp(help)
    .configureOutput({
      writeOut: (text) => out(text.trimEnd()),
      writeErr: (text) => error(text.trimEnd()),
      outputError: () => undefined,
    });
  finish(root, building);
  for (const command of program.commands) leafOf(root, command, building);
  for (const { name, summary } of program.others)
    root
      .command(name)
      .description(summary)
      .argument('[words...]')
      .allowUnknownOption()
      .passThroughOptions()
      .helpOption(false)
      .action((words: string[]) => found({ kind: 'other', name, words }));
  root.command('help').argument('[words...]').description('explains a command').usage('COMMAND');
  root.addHelpText('after', `\n${program.footer}`);
  return root;
}

/** What every level has. */
function finish<C extends LineCommand>(node: Node, { program, argv }: Building<C>): void {
  node.helpOption('-h, --help', 'this text').version(VERSION, '--version', 'the version of this program');
  for (const [name, option] of Object.entries(program.options))
    node.addOption(optionOf(name, option).helpGroup('Options of every command:'));
  node.exitOverride((error) => {
    throw faultOf(error, node, argv);
  });
}

function leafOf<C extends LineCommand>(root: Node, command: C, building: Building<C>): void {
  const { program, found } = building;
  const [verb = '', ...nouns] = command.name.split(' ').toReversed();
  const parent = nouns.toReversed().reduce((node, noun) => {
    const known = node.commands.find((child) => child.name() === noun);
    if (known !== undefined) return known;
    const path = [...pathOf(node).slice(1), noun].join(' ');
    const made = node.command(noun).description(program.about[path] ?? `commands on ${noun}`);
    if (/[^s]s$/.test(noun) && !WITHOUT_SINGULAR.has(noun)) made.alias(noun.slice(0, -1));
    made.enablePositionalOptions().helpCommand(false).usage('COMMAND [options]');
    finish(made, building);
    return made;
  }, root);
  const leaf = parent
    .command(verb)
    .summary(command.summary)
    .usage(usageOf(command) || '[options]')
    .argument('[words...]');
  const help = command.help === undefined ? [] : ['', command.help.replaceAll('\n', ' ')];
  leaf.description([`${command.summary.replace(/^./, (first) => first.toUpperCase())}.`, ...help].join('\n'));
  const alias = VERB_ALIASES[verb];
  if (alias !== undefined) leaf.alias(alias);
  for (const [name, option] of Object.entries(command.options)) leaf.addOption(optionOf(name, option));
  finish(leaf, building);
  leaf.action((words: string[]) => {
    const dash = wrongDash(words);
    const complain = (what: string): Error => usageFault(program.name, command, what);
    if (dash !== undefined) throw complain(dash);
    const { least, most } = command.words;
    if (words.length < least) throw complain('An argument is missing');
    if (words.length > most) throw complain(`The argument "${words[most]}" is unexpected`);
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

function optionOf(
  name: string,
  { type, doc, short, value = 'value', isOptional, isList, isHidden }: LineOption,
): Option {
  const flags = `${short === undefined ? '' : `-${short}, `}--${name}`;
  const ofValue = isOptional === true ? ` [${value}]` : ` <${value}>`;
  const option = new Option(type === 'string' ? `${flags}${ofValue}` : flags, doc).hideHelp(isHidden === true);
  if (isList === true)
    option.argParser((one: string, before: unknown) => [...(Array.isArray(before) ? (before as string[]) : []), one]);
  return option;
}

/** The words of a level, from the name of the program on. */
function pathOf(node: Node): string[] {
  return [...(node.parent === null ? [] : pathOf(node.parent)), node.name()];
}

/** What follows the name of a command in its usage line: that it asks is never left to its text. */
export function usageOf({ usage, options }: Pick<LineCommand, 'options' | 'usage'>): string {
  const yes = 'yes' in options && !usage.includes('--yes') ? '[--yes]' : '';
  return [usage, yes].filter((part) => part !== '').join(' ');
}

/** What is wrong with the line of a command. */
export function usageFault(
  program: string,
  command: Pick<LineCommand, 'name' | 'options' | 'usage'>,
  found: string,
): Error {
  return faultWithUsage(found, `${program} ${command.name} ${usageOf(command)}`.trim());
}

function faultWithUsage(found: string, usage: string): Error {
  return lineFault('usage', { found: /[.?]$/.test(found) ? found : `${found}.`, usage });
}

/** What commander refuses, as an error of this program. */
function faultOf(error: CommanderError, node: Node, argv: readonly string[]): Error {
  if (['commander.helpDisplayed', 'commander.version', 'commander.help'].includes(error.code)) return error;
  const [program = '', ...path] = pathOf(node);
  const line = [program, ...path, node.usage()].join(' ');
  const dash = wrongDash(argv);
  if (dash !== undefined) return faultWithUsage(dash, line);
  const [, word = ''] = /'([^']*)'/.exec(error.message) ?? [];
  const similar = similarIn(error.message, node);
  if (error.code === 'commander.unknownCommand')
    return lineFault('command_unknown', {
      program,
      found: [...path, ...node.args].join(' ').slice(0, 64),
      suggestion:
        similar.length === 0 ? '' : `Did you mean "${[program, ...path, similar.join('" or "')].join(' ')}"? `,
      commands: node.commands.map((child) => [...path, child.name()].join(' ')).join(', '),
    });
  if (error.code === 'commander.unknownOption')
    return faultWithUsage(
      `The option ${word} is unknown${similar.length === 0 ? '' : `. Did you mean ${similar.join(' or ')}?`}`,
      line,
    );
  if (error.code === 'commander.optionMissingArgument') return faultWithUsage(`The option ${word} needs a value`, line);
  return faultWithUsage(error.message.replace(/^error: /, ''), line);
}

/** The words that commander suggests, aliases replaced by what they mean. */
function similarIn(message: string, node: Node): string[] {
  const [, list = ''] = /\(Did you mean (?:one of )?(.+)\?\)/.exec(message) ?? [];
  const words = list === '' ? [] : list.split(', ');
  return [
    ...new Set(words.map((word) => node.commands.find((child) => child.aliases().includes(word))?.name() ?? word)),
  ];
}
