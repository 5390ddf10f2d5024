// What a command of queue-agent is: its name, usage and options; parses its arguments and makes the help of all of
// them.
import { parseArgs } from 'node:util';
import { textOf } from '../../shared/errors.ts';
import { flagOptions } from '../../shared/settings/settings.ts';
import { wrongDash } from '../../shared/terminal/dashes.ts';
import { escapeLine } from '../../shared/terminal/escape.ts';
import { folded } from '../../shared/terminal/fold.ts';
import { answerText, formatOf, isForPeople, type OutputFormat } from '../../shared/terminal/output.ts';
import { secondsOf } from '../../shared/terminal/quantities.ts';
import type { SecretInput } from '../../shared/terminal/secret-input.ts';
import { printError, printOut } from '../../shared/terminal/standard-streams.ts';
import { VERSION } from '../../shared/version.ts';
import type { AgentConfRequest } from '../conf.ts';
import { AGENT_SCHEMA } from '../../shared/settings/agent-settings.ts';
import { DEFAULT_PROFILE } from '../profile.ts';

/** The arguments are not those of any usage: exit status 2. */
export class UsageError extends Error {}

type AgentOptions = Readonly<Record<string, { readonly type: 'string' | 'boolean'; readonly short?: string }>>;

/** Of each command that answers: as in queuegate. */
const ANSWER_OPTIONS = {
  output: { type: 'string', short: 'o' },
  json: { type: 'boolean' },
  wide: { type: 'boolean' },
  'no-color': { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
} as const satisfies AgentOptions;

/** Of each command that waits for another program. */
export const TIMEOUT = { timeout: { type: 'string' } } as const satisfies AgentOptions;

interface Usage {
  /** Behind the name: arguments, then options. */
  readonly words: string;
  /** One or a few sentences. */
  readonly help: string;
}

export interface AgentCommand {
  /** A verb, or a noun with its verb. */
  readonly name: string;
  /** The ways to use it. */
  readonly usages: readonly Usage[];
  /** Its own flags, beside --profile, --help, those of the settings and ANSWER_OPTIONS. */
  readonly options: AgentOptions;
  /** True where settings do not matter, and the usage does not show them. */
  readonly withoutSettings?: boolean;
  /** True where it answers nothing: ANSWER_OPTIONS are refused. */
  readonly withoutAnswer?: boolean;
  /** Returns the exit status. */
  run(call: Call): Promise<number>;
}

/** A command with its arguments. */
export interface Call {
  readonly request: AgentConfRequest;
  readonly positionals: readonly string[];
  readonly secrets: SecretInput;
  readonly text: (flag: string) => string | undefined;
  readonly flag: (name: string) => boolean;
  readonly format: OutputFormat;
  /** Of TIMEOUT; undefined: it was not set. */
  readonly timeoutMs: number | undefined;
  /** Prints an answer in the format that was chosen. Each line for people stays one line, whatever is in it. */
  readonly answer: (value: unknown, people: () => readonly string[]) => void;
  /** Prints lines beside the answer: on the standard error where a program reads that. */
  readonly notice: (lines: readonly string[]) => void;
}

/** The flags of a command, beside --profile, --help and those of the settings. */
export function optionsOf({ options, withoutSettings, withoutAnswer }: AgentCommand): AgentOptions {
  return withoutSettings === true || withoutAnswer === true ? options : { ...ANSWER_OPTIONS, ...options };
}

/** Errors: UsageError. 'help' where the arguments contain --help. */
export function parseCall(
  command: AgentCommand,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  secrets: SecretInput,
): Call | 'help' {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: {
        ...flagOptions(AGENT_SCHEMA),
        profile: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        ...optionsOf(command),
      },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new UsageError(wrongDash(args) ?? textOf(error));
  }
  const values: Readonly<Record<string, unknown>> = parsed.values;
  const { positionals } = parsed;
  if (values['help'] === true) return 'help';
  const dash = wrongDash(positionals);
  if (dash !== undefined) throw new UsageError(dash);
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  const format = formatOf(values, undefined, (found) => new UsageError(found));
  const seconds = secondsOf(text('timeout') ?? '');
  if (text('timeout') !== undefined && !(Number(seconds) > 0))
    throw new UsageError(`--timeout is "${text('timeout')}"; allowed is a duration such as 30s`);
  const profileFolder = text('profile') ?? environment['QUEUE_AGENT_PROFILE'] ?? DEFAULT_PROFILE;
  return {
    request: { profileFolder, environment, flags: values },
    positionals,
    secrets,
    text,
    flag: (name) => values[name] === true,
    format,
    timeoutMs: seconds === undefined ? undefined : seconds * 1000,
    answer(value, people) {
      const shown = answerText(format, value, () => linesOf(people()));
      if (shown !== undefined) printOut(`${shown}\n`);
    },
    notice(lines) {
      if (values['quiet'] !== true) (isForPeople(format) ? printOut : printError)(`${linesOf(lines)}\n`);
    },
  };
}

/** Names of Central, reasons and files of a profile come from elsewhere: none of them begins a line of its own. */
function linesOf(lines: readonly string[]): string {
  return lines.map(escapeLine).join('\n');
}

/** Errors: UsageError. */
export function expectNoArguments({ positionals: [first] }: Call, command: string): void {
  if (first !== undefined) throw new UsageError(`${command} does not take "${first}"`);
}

const SETTINGS = '[--profile FOLDER] [settings]';

/** The help of these commands: of the whole program, of a noun, or of one command. */
export function helpOf(commands: readonly AgentCommand[]): string {
  return [
    `queue-agent ${VERSION}`,
    '',
    ...commands.flatMap(({ name, usages, withoutSettings = false }) =>
      usages.flatMap(({ words, help }) => [
        `  queue-agent ${[name, words, ...(withoutSettings ? [] : [SETTINGS])].filter((part) => part !== '').join(' ')}`,
        ...folded(help, '      '),
      ]),
    ),
    '',
    ...folded(
      'The profile is profiles/default, or QUEUE_AGENT_PROFILE. Settings are flags such as --central-host HOST, --agent-name NAME, --data-folder FOLDER, --log-level debug; docs/CONFIGURATION.md lists all of them. Every command that answers has -o FORMAT (table, wide, json, ndjson or name; --json, --wide), --no-color and --quiet. Exit status: 0 done, 1 failed, 2 usage, 3 unreachable or not trusted, 4 no or wrong token, 5 not found, 6 refused, 7 conflict, 8 timeout. "queue-agent COMMAND --help" shows one command.',
    ),
    '',
  ].join('\n');
}
