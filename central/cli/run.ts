// Runs one command line of `queuegate`: reads it, gives its command a client, prints its answer or its error.
// central/cli.ts is the executable; tests call this.
import { resolve } from 'node:path';
import { printable } from '../../shared/errors.ts';
import { PromptCanceled, type SecretInput } from '../../shared/terminal/secret-input.ts';
import { escapeLine, escapeLines } from '../../shared/terminal/escape.ts';
import { allowsColor } from '../../shared/terminal/standard-streams.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';
import { createClient, RestError } from './client.ts';
import type { CommandCall } from './command.ts';
import { chooseContext, placeOf, readToken, targetOf } from './connection/target.ts';
import {
  EXIT_CANCELED,
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_REFUSED,
  exitStatusOf,
} from '../../shared/terminal/exit-status.ts';
import { answerText, documentOf, formatOf, wantsJson } from '../../shared/terminal/output.ts';
import { readLine, usage, type Line } from './line/program.ts';
import { askFirst, askingClient, mustAsk } from './line/question.ts';
import { rowsOf, table } from './print.ts';
import { ChangeStream } from './watching/change-stream.ts';
import { watch, Watched } from './watching/watch.ts';
import { secondsOf, shareOf, wholeNumberOf } from '../../shared/terminal/quantities.ts';

interface CliSurroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
  /** `hasHeader`: the first line is the header of a table, and may be emphasized. */
  readonly out: (text: string, hasHeader?: boolean) => void;
  /** `isFault`: it begins with "error:", which may be emphasized. */
  readonly error: (text: string, isFault?: boolean) => void;
  /** Bytes as they are; on a terminal escaped. Absent: as lines. */
  readonly bytes?: CommandCall['bytes'];
  readonly readStdin: () => Promise<string>;
  /** Is the standard output a terminal? */
  readonly terminal: boolean;
  /** Shows a text instead of what the terminal shows. */
  readonly redraw?: ((text: string, hasHeader: boolean) => void) | undefined;
  /** How wide it is. */
  readonly columns?: number | undefined;
  readonly secrets: SecretInput;
  /** Is there a person at the terminal who can be asked? */
  readonly canPrompt: boolean;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Runs one command line; the exit status. */
export async function runCli(argv: readonly string[], outside: CliSurroundings): Promise<number> {
  // Names, refusals and hints come from Central and from agents: nothing in them may act on the terminal, whichever
  // command prints them.
  const surroundings = {
    ...outside,
    out: (text: string, hasHeader?: boolean) => outside.out(escapeLines(text), hasHeader),
    error: (text: string, isFault?: boolean) => outside.error(escapeLines(text), isFault),
    redraw: (text: string, hasHeader: boolean) => outside.redraw?.(escapeLines(text), hasHeader),
  };
  try {
    const line = readLine(argv, surroundings);
    if (line.kind === 'shown') return line.status;
    const status = line.kind === 'other' ? await truststore(line.words, surroundings) : await run(line, surroundings);
    return surroundings.signal.aborted ? EXIT_CANCELED : status;
  } catch (error) {
    if (surroundings.signal.aborted || error instanceof PromptCanceled) return EXIT_CANCELED;
    if (wantsJson(argv, outside.environment['QUEUEGATE_OUTPUT'])) {
      // That of Central as it came.
      const document = error instanceof RestError ? error.document : documentOf(error);
      surroundings.error(JSON.stringify(document, null, 2));
    } else surroundings.error(faultText(error), !argv.includes('--no-color'));
    return exitStatusOf(error);
  }
}

function faultText(error: unknown): string {
  // What the message contains already is not repeated.
  const more = error instanceof RestError ? error.errors.filter((text) => !error.message.includes(text)) : [];
  return [printable(error), ...more.map((text) => `  - ${escapeLine(text)}`)].join('\n');
}

async function run(line: Extract<Line, { kind: 'command' }>, surroundings: CliSurroundings): Promise<number> {
  if (line.values['watch'] !== true) {
    const { call, status } = callOf(line, surroundings);
    await line.command.run(call);
    return status();
  }
  const { signal, terminal, redraw, out, error } = surroundings;
  let notices = new Set<string>();
  const watched = new Watched();
  const { watches } = line.command;
  // Its requests are traced like the others; the client of a look belongs to that look.
  const changes =
    watches === undefined
      ? undefined
      : new ChangeStream({ client: callOf(line, surroundings).call.client, collection: watches, signal });
  await watch({
    changes,
    async look() {
      const printed: string[] = [];
      let hasHeader = false;
      const own = {
        ...surroundings,
        out(text: string, isTable = false) {
          hasHeader ||= isTable;
          printed.push(text);
        },
        // The same at each look, such as that there is more.
        error(text: string) {
          if (!notices.has(text)) error(text);
          notices = notices.add(text);
        },
      };
      await line.command.run(callOf(line, own, watched).call);
      return { text: printed.join('\n'), hasHeader, isAwaited: watched.isAwaited };
    },
    redraw: terminal ? ({ text, hasHeader }) => redraw?.(text, hasHeader) : undefined,
    line: out,
    notice: error,
    signal,
  });
  return EXIT_DONE;
}

function callOf(
  { command, words, values }: Extract<Line, { kind: 'command' }>,
  surroundings: CliSurroundings,
  watched?: Watched,
): { readonly call: CommandCall; readonly status: () => number } {
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  const { environment, workingFolder, signal } = surroundings;
  const complain = (found: string): Error => usage(command, found);
  const { client, token, place, context } = openConnection({ name: command.name, text, complain }, surroundings, {
    isVerbose: values['verbose'] === true,
  });
  const format = formatOf(values, environment['QUEUEGATE_OUTPUT'], (found) => usage(command, found));
  let status = EXIT_DONE;
  let header = '';
  const colors = surroundings.terminal && allowsColor(environment) && values['no-color'] !== false;
  let hasAsked = !mustAsk(command, values['force'] === true);
  const call: CommandCall = {
    client: askingClient(client, () => hasAsked),
    current: async (path) => await (watched?.read(client, path) ?? client.request('GET', path)),
    words,
    format,
    json: format === 'json' || format === 'ndjson',
    terminal: surroundings.terminal,
    signal,
    readStdin: surroundings.readStdin,
    environment,
    workingFolder,
    line: surroundings.out,
    bytes: surroundings.bytes ?? (async (to, bytes) => surroundings[to](Buffer.from(bytes).toString())),
    text,
    flag: (name) => values[name] === true,
    list: (name) => {
      const found = values[name];
      return Array.isArray(found) ? found.map(String) : undefined;
    },
    async secret(option, variable, question, ofContext) {
      const name = question === undefined ? undefined : (ofContext ?? (await context()));
      const named = name === undefined ? question : `${question} (context "${name}")`;
      return await readSecret(text(option), variable, named, surroundings);
    },
    confirm: async (question) => {
      if (values['yes'] !== true && values['dry-run'] !== true) {
        if (!surroundings.canPrompt)
          throw complain('--yes is required without a terminal, since the command cannot ask');
        await askFirst(surroundings.secrets, question, question.place ?? (await place()));
      }
      hasAsked = true;
    },
    ownTokenId: async () => /^qg_([0-9a-f]+)_/.exec(await token())?.[1],
    ...quantities(text, complain),
    fail: () => (status = EXIT_FAILED),
    answer(value, people) {
      // A dry run says by its exit status, too, that the act itself would be refused.
      if (isRecord(value) && value['dryRun'] === true && wouldBeRefused(value)) status = EXIT_REFUSED;
      const text = answerText(format, value, people, command.namedBy);
      // Without items nothing is printed, and no empty line either.
      if (text !== undefined) surroundings.out(text, colors && header !== '' && text.startsWith(header));
    },
    table(names, rows, none) {
      const text = table(names, rows, none, { isWide: format === 'wide', width: surroundings.columns });
      header = rows.length === 0 ? '' : (text.split('\n', 1)[0] ?? '');
      return text;
    },
    refused() {
      status = EXIT_REFUSED;
    },
    notice(line) {
      if (values['quiet'] !== true) surroundings.error(line);
    },
    complain,
  };
  return { call, status: () => status };
}

/** Options that are numbers, durations and shares. */
function quantities(
  text: CommandCall['text'],
  complain: CommandCall['complain'],
): Pick<CommandCall, 'number' | 'seconds' | 'share'> {
  const quantity = (name: string, read: (text: string) => number | undefined, allowed: string): number | undefined => {
    const found = text(name);
    const value = found === undefined ? undefined : read(found);
    if (found !== undefined && value === undefined) throw complain(`--${name} is "${found}"; allowed is ${allowed}`);
    return value;
  };
  return {
    number: (name) => quantity(name, wholeNumberOf, 'a whole number'),
    seconds: (name) => quantity(name, secondsOf, 'a duration such as 90s, 15m, 24h or 30d'),
    share: (name) => quantity(name, shareOf, 'a share such as 95%'),
  };
}

/** The Central of a line: found when the first request is made. Errors: usage. */
function openConnection(
  { name, text, complain }: { readonly name: string } & Pick<CommandCall, 'text' | 'complain'>,
  { environment, workingFolder, signal, error }: CliSurroundings,
  { isVerbose }: { readonly isVerbose: boolean },
): {
  readonly client: CommandCall['client'];
  readonly token: () => Promise<string>;
  /** Every question names Central and context: they may be others than the administrator thinks. */
  readonly place: () => Promise<string>;
  readonly context: () => Promise<string | undefined>;
} {
  if (text('context') !== undefined && text('url') !== undefined && !name.startsWith('contexts '))
    throw complain('--context and --url exclude each other');
  const timeoutSeconds = text('timeout') === undefined ? undefined : secondsOf(text('timeout') ?? '');
  if (text('timeout') !== undefined && !(Number(timeoutSeconds) > 0))
    throw complain(`--timeout is "${text('timeout')}"; allowed is a duration such as 30s`);
  let chosen: ReturnType<typeof chooseContext> | undefined;
  const request = async (): Promise<Parameters<typeof targetOf>[0]> => {
    chosen ??= chooseContext({ text, environment, workingFolder });
    return { text, environment, workingFolder, context: await chosen };
  };
  const token = async (): Promise<string> => await readToken(await request());
  return {
    token,
    place: async () => placeOf(await request()),
    context: async () => (await request()).context?.name,
    client: createClient({
      connection: async () => await targetOf(await request()),
      token,
      signal,
      timeoutMs: timeoutSeconds === undefined ? undefined : timeoutSeconds * 1000,
      trace: isVerbose ? error : undefined,
    }),
  };
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
    stderr: whole((text) => error(text, true)),
    secrets,
    env: environment,
  });
}

/** It would cut agents off, or a node cannot apply it. */
function wouldBeRefused(report: Readonly<Record<string, unknown>>): boolean {
  if (report['needsForce'] === true) return true;
  return rowsOf(report['result'], 'nodes').some(({ answer }) => answer !== 'ready');
}
