// What a command line prints, in the format that was chosen: an answer for people or programs, and an error as problem
// document.
import { defineErrors, isCoded, textOf, titleOf, type ErrorTable } from '../errors.ts';
import { isRecord } from '../wire/json-schema.ts';
import { escapeLine } from './escape.ts';

export const LINE_ERRORS = {
  usage: { text: '{found}', hint: 'Usage: {usage}' },
  command_unknown: {
    text: 'Unknown command "{found}".',
    hint: '{suggestion}Run "{program} --help"; the commands are: {commands}.',
  },
} as const satisfies ErrorTable;

export const lineFault = defineErrors(LINE_ERRORS);

const OUTPUT_FORMATS = ['table', 'wide', 'json', 'ndjson', 'name'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Else a program reads it. */
export function isForPeople(format: OutputFormat): boolean {
  return format === 'table' || format === 'wide';
}

/** The format that options and environment choose. Errors: what `complain` makes of any other. */
export function formatOf(
  values: Readonly<Record<string, unknown>>,
  preset: string | undefined,
  complain: (found: string) => Error,
): OutputFormat {
  if (values['json'] === true) return 'json';
  if (values['wide'] === true) return 'wide';
  const found = typeof values['output'] === 'string' ? values['output'] : preset || 'table';
  const format = OUTPUT_FORMATS.find((one) => one === found);
  if (format === undefined) throw complain(`--output is "${found}"; allowed are ${OUTPUT_FORMATS.join(', ')}`);
  return format;
}

/** Are errors printed as JSON? Also of a line that cannot be read. */
export function wantsJson(argv: readonly string[], preset: string | undefined): boolean {
  const named = argv.findIndex((word) => word === '-o' || word === '--output');
  const [, joined] = argv.flatMap((word) => /^(?:-o|--output=)(\w+)$/.exec(word) ?? []);
  const output = (named === -1 ? joined : argv[named + 1]) ?? preset;
  return argv.includes('--json') || output === 'json' || output === 'ndjson';
}

/** An error as a problem document (RFC 9457). */
export function documentOf(error: unknown): unknown {
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

/**
 * An answer in one of the formats; undefined: nothing to print. `namedBy`: the member that names an item to other
 * commands.
 */
export function answerText(
  format: OutputFormat,
  value: unknown,
  people: () => string,
  namedBy?: string,
): string | undefined {
  const items = isRecord(value) && Array.isArray(value['items']) ? (value['items'] as readonly unknown[]) : [value];
  switch (format) {
    case 'json':
      return JSON.stringify(value, null, 2);
    case 'ndjson':
      return items.length === 0 ? undefined : items.map((item) => JSON.stringify(item)).join('\n');
    case 'name':
      return items.length === 0 ? undefined : items.map((item) => nameOf(item, namedBy)).join('\n');
    default:
      return people();
  }
}

/** What names an item to another command; a dash where it has no name. */
function nameOf(item: unknown, namedBy: string | undefined): string {
  if (!isRecord(item)) return '-';
  const { agent, commandId, name, id, keyThumbprint, thumbprint, messageId, code, file, cause } = item;
  const found =
    (namedBy === undefined ? undefined : item[namedBy]) ??
    commandId ??
    name ??
    id ??
    keyThumbprint ??
    thumbprint ??
    messageId ??
    code ??
    file ??
    cause ??
    // What is said of an agent, such as its state in a rollout.
    (isRecord(agent) ? agent['name'] : undefined) ??
    '-';
  return escapeLine(typeof found === 'string' ? found : JSON.stringify(found));
}
