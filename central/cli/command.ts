// The shape of a command and of its call. The list of commands is in run.ts.
import type { OutputFormat } from '../../shared/terminal/output.ts';
import type { LineCommand, LineOption } from '../../shared/terminal/program.ts';
import { cliFault } from './errors.ts';
import type { Client } from './client.ts';

export type CommandOption = LineOption;

/** What Central streams the changes of (GET /watch). */
export type WatchedCollection = 'agents' | 'changes' | 'nodes' | 'parameters' | 'rollouts' | 'tasks';

export interface Command extends LineCommand {
  /** With --watch it is shown again when something of this collection changes; absent: every two seconds. */
  readonly watches?: WatchedCollection;
  /** It asks before it acts (CommandCall.confirm): always, or with --force. */
  readonly asks?: 'always' | 'forced';
  /** The member of its answer, or of each item, that other commands take (-o name); absent: the name, else the id. */
  readonly namedBy?: string;
  run(call: CommandCall): Promise<void>;
}

export interface Question {
  /** What is done to what: `Delete the agent branch-7`. */
  readonly act: string;
  /** What follows from it, as one or two sentences. */
  readonly effect: string;
  /** Only this name is a yes, for what cannot be brought back. */
  readonly name?: unknown;
  /** Where it is done, if not at Central. */
  readonly place?: string;
}

export interface CommandCall {
  readonly client: Client;
  /**
   * GET of one thing that Central can wait for (waitSeconds): with --watch the next look gets it when it is another one.
   */
  current(path: string): Promise<unknown>;
  readonly words: readonly string[];
  /** The value of an option. */
  text(name: string): string | undefined;
  flag(name: string): boolean;
  /** The values of an option that may be repeated; undefined: it was not typed. */
  list(name: string): readonly string[] | undefined;
  /**
   * A password: from the file that an option names (`-`: the standard input), else from an environment variable, else,
   * where there is a `question`, from the terminal. Never from a flag: `ps` shows those. The question names `context`;
   * unless set, the one of the line.
   */
  secret(option: string, variable: string, question?: string, context?: string): Promise<string | undefined>;
  /**
   * Asks before an act that cannot be undone: yes or no, or the name of what it is done to. Not with --yes, nor with
   * --dry-run. The question names the Central and the context. Errors: usage (it cannot ask without a terminal),
   * not_confirmed.
   */
  confirm(question: Question): Promise<void>;
  /** The id of the API token of this command; undefined: the token has another form. */
  ownTokenId(): Promise<string | undefined>;
  /** The value of an option as a whole number. Errors: usage. */
  number(name: string): number | undefined;
  /** The value of an option as a duration (15m), in seconds. Errors: usage. */
  seconds(name: string): number | undefined;
  /** The value of an option as a share (95%), 0 to 1. Errors: usage. */
  share(name: string): number | undefined;
  /** The command did what it should, and what it waited for is a failure: exit status 1. */
  fail(): void;
  /** In the format that was chosen: the whole answer, its names, or what `people` makes of it. */
  answer(value: unknown, people: () => string): void;
  /** A table as wide as the terminal, or as the options have it. */
  table(header: readonly string[], rows: readonly (readonly unknown[])[], none: string): string;
  /** The command exits as one that was refused, after its answer: a part of its act was. */
  refused(): void;
  /** A line on the standard error, beside the answer. */
  notice(text: string): void;
  /** One line, as it is. */
  line(text: string): void;
  /** Bytes to a standard stream, as they are; on a terminal escaped. Resolves when they are written. */
  bytes(to: 'error' | 'out', bytes: Uint8Array): Promise<void>;
  readonly format: OutputFormat;
  /** The answer is read by a program, as JSON. */
  readonly json: boolean;
  /** Is the standard output a terminal? Secrets are shown only there. */
  readonly terminal: boolean;
  readonly signal: AbortSignal;
  /** An error with the usage line of this command. */
  complain(found: string): Error;
  readStdin(): Promise<string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
}

/** Parses JSON from a command line or a file. Errors: json_bad. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw cliFault('json_bad', { what, found: error instanceof Error ? error.message : 'it cannot be parsed' }, error);
  }
}
