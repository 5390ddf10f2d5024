// What a command of queue-agent is: its name, usage and options; parses its arguments and makes the help of all of them.
import { parseArgs } from 'node:util';
import { textOf } from '../../shared/errors.ts';
import { flagOptions } from '../../shared/settings/settings.ts';
import { wrongDash } from '../../shared/terminal/dashes.ts';
import { folded } from '../../shared/terminal/fold.ts';
import type { SecretInput } from '../../shared/terminal/secret-input.ts';
import { VERSION } from '../../shared/version.ts';
import type { AgentConfRequest } from '../conf.ts';
import { AGENT_SCHEMA } from '../../shared/settings/agent-settings.ts';
import { DEFAULT_PROFILE } from '../profile.ts';

/** The arguments are not those of any usage: exit status 2. */
export class UsageError extends Error {}

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
  /** Its own flags, beside --profile, --help and those of the settings. */
  readonly options: Readonly<Record<string, { readonly type: 'string' | 'boolean' }>>;
  /** True where settings do not matter, and the usage does not show them. */
  readonly withoutSettings?: boolean;
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
}

/** Errors: UsageError. 'help' where the arguments contain --help. */
export function parseCall(
  { options }: AgentCommand,
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
        ...options,
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
  const profileFolder = text('profile') ?? environment['QUEUE_AGENT_PROFILE'] ?? DEFAULT_PROFILE;
  return {
    request: { profileFolder, environment, flags: values },
    positionals,
    secrets,
    text,
    flag: (name) => values[name] === true,
  };
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
      'The profile is profiles/default, or QUEUE_AGENT_PROFILE. Settings are flags such as --central-host HOST, --agent-name NAME, --data-folder FOLDER, --log-level debug; docs/CONFIGURATION.md lists all of them. "queue-agent COMMAND --help" shows one command.',
    ),
    '',
  ].join('\n');
}
