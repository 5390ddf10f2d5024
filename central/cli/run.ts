// Runs one command line of `queuegate`: reads it, gives its command a client, prints its answer or its error.
// central/cli.ts is the executable; tests call this.
import { resolve } from 'node:path';
import { isCoded, printable, textOf, titleOf } from '../../shared/errors.ts';
import { PromptCanceled, type SecretInput } from '../../shared/terminal/secret-input.ts';
import { escapeLine, escapeLines } from '../../shared/terminal/escape.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import { createClient, RestError } from './client.ts';
import type { CommandCall } from './command.ts';
import { readToken, targetOf } from './connection/target.ts';
import { EXIT_CANCELED, EXIT_DONE, EXIT_REFUSED, exitOf } from './errors.ts';
import { readLine, usage, type Line } from './line/program.ts';
import { secondsOf, shareOf, wholeNumberOf } from './quantities.ts';

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
    const line = readLine(argv, surroundings);
    if (line.kind === 'shown') return line.status;
    const status =
      line.kind === 'truststore' ? await truststore(line.words, surroundings) : await run(line, surroundings);
    return surroundings.signal.aborted ? EXIT_CANCELED : status;
  } catch (error) {
    if (surroundings.signal.aborted || error instanceof PromptCanceled) return EXIT_CANCELED;
    surroundings.error(
      wantsJson(argv, given.environment) ? JSON.stringify(documentOf(error), null, 2) : faultText(error),
    );
    return exitOf(error);
  }
}

/** Also of a line that cannot be read. */
function wantsJson(argv: readonly string[], _environment: CliSurroundings['environment']): boolean {
  return argv.includes('--json');
}

/** An error as a problem document (RFC 9457): that of Central as it came. */
function documentOf(error: unknown): unknown {
  if (error instanceof RestError) return error.document;
  const code = isCoded(error) ? error.code : 'internal';
  return {
    type: `urn:queuegate:error:${code}`,
    code,
    title: titleOf(code),
    status: null,
    detail: textOf(error),
    hint: isCoded(error) ? error.hint : null,
    instance: null,
  };
}

function faultText(error: unknown): string {
  // What the message contains already is not repeated.
  const more = error instanceof RestError ? error.errors.filter((text) => !error.message.includes(text)) : [];
  return [printable(error), ...more.map((text) => `  - ${escapeLine(text)}`)].join('\n');
}

async function run(
  { command, words, values }: Extract<Line, { kind: 'command' }>,
  surroundings: CliSurroundings,
): Promise<number> {
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  const { environment, workingFolder, signal } = surroundings;
  const client = createClient({
    connection: async () => await targetOf({ text, environment, workingFolder }),
    token: async () => await readToken({ text, environment, workingFolder }),
    signal,
  });
  const json = values['json'] === true;
  let status = EXIT_DONE;
  const complain = (found: string): Error => usage(command, found);
  const quantity = (name: string, read: (text: string) => number | undefined, allowed: string): number | undefined => {
    const found = text(name);
    const value = found === undefined ? undefined : read(found);
    if (found !== undefined && value === undefined) throw complain(`--${name} is "${found}"; allowed is ${allowed}`);
    return value;
  };
  const call: CommandCall = {
    client,
    words,
    json,
    terminal: surroundings.terminal,
    signal,
    readStdin: surroundings.readStdin,
    environment,
    workingFolder,
    line: surroundings.out,
    text,
    flag: (name) => values[name] === true,
    secret: async (option, variable, question) => await readSecret(text(option), variable, question, surroundings),
    number: (name) => quantity(name, wholeNumberOf, 'a whole number'),
    seconds: (name) => quantity(name, secondsOf, 'a duration such as 90s, 15m, 24h or 30d'),
    share: (name) => quantity(name, shareOf, 'a share such as 95%'),
    answer(value, people) {
      // A dry run says by its exit status, too, that the act itself would be refused.
      if (isRecord(value) && value['dryRun'] === true && value['needsForce'] === true) status = EXIT_REFUSED;
      surroundings.out(json ? JSON.stringify(value, null, 2) : people());
    },
    complain,
  };
  await command.run(call);
  return status;
}

/** A password, from the first place that has one. */
async function readSecret(
  file: string | undefined,
  variable: string,
  question: string | undefined,
  { secrets, workingFolder, environment, canPrompt }: CliSurroundings,
): Promise<string | undefined> {
  if (file !== undefined)
    return await secrets.read(file === '-' ? file : resolve(workingFolder, file), {
      what: 'The password file',
      prompt: question ?? 'Password',
    });
  return (
    environment[variable] ||
    (question === undefined || !canPrompt ? undefined : (await secrets.ask(question)) || undefined)
  );
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
