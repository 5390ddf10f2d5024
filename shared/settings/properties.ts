// Parses agent.conf and central.conf: Java properties as java.util.Properties.load reads them, with the line of each
// key; and changes values in them. Does not know what any key means (shared/settings/settings.ts, agent/conf.ts), and
// writes no file.
import { readBoundedFile } from '../files/bounded-file.ts';
import { defineErrors, type ErrorTable } from '../errors.ts';

/** Field files have some hundred lines; the bound only keeps a wrong path (a log, an archive) out of memory. */
export const MAX_PROPERTIES_BYTES = 1024 * 1024;
/** Each is checked by itself; a file of 1 MiB could have 500,000. */
export const MAX_PROPERTIES = 5_000;

export const PROPERTIES_ERRORS = {
  properties_too_large: {
    text: '{file} has {bytes} bytes; a configuration file may have at most {maxBytes}.',
    hint: 'The path names another kind of file: name the configuration file.',
  },
  properties_too_many: {
    text: '{file} sets more than {most} keys; a configuration file may set at most {most}.',
    hint: 'The path names another kind of file, or a program repeats its lines: name the configuration file, or remove the lines.',
  },
  properties_not_text: {
    text: '{file} is not a text file: it has a zero byte at offset {offset}; allowed is UTF-8 or ISO-8859-1.',
    hint: 'If an editor saved it as "Unicode" (UTF-16), save it again as UTF-8.',
  },
  properties_bad_escape: {
    text: '{file} line {line}: found \\u without the four hexadecimal digits that must follow it.',
    hint: 'Write a character as \\u00f6, or as it is in UTF-8; double each backslash of a Windows path (C:\\\\users).',
  },
} as const satisfies ErrorTable;

const propertiesFault = defineErrors(PROPERTIES_ERRORS);

interface Property {
  readonly key: string;
  readonly value: string;
  /** Where the key begins, counted from 1. */
  readonly line: number;
  /** A single backslash is before a letter: Java drops it, or makes a control character of both. */
  readonly loneBackslash?: true;
}

export interface Properties {
  /** The name for messages. */
  readonly file: string;
  /** In the order of the file, repeated keys included: the last one counts. */
  readonly entries: readonly Property[];
  /** Keys that are set more than once, with all their lines. */
  readonly duplicates: ReadonlyArray<{ readonly key: string; readonly lines: readonly number[] }>;
}

/**
 * Reads and parses the file; `undefined` where there is none and `ifMissing` says so. Throws file and properties
 * faults.
 */
export async function readPropertiesFile(
  path: string,
  ifMissing: 'refuse' | 'ignore',
  hint: string,
): Promise<Properties | undefined> {
  const bytes = await readBoundedFile({
    path,
    what: 'The configuration file',
    maxBytes: MAX_PROPERTIES_BYTES,
    hint,
    ifMissing,
  });
  return bytes && parseProperties(bytes, path);
}

/** Parses `bytes` (UTF-8 if they are valid UTF-8, else ISO-8859-1; a byte order mark is skipped). */
export function parseProperties(bytes: Uint8Array, file: string): Properties {
  if (bytes.length > MAX_PROPERTIES_BYTES)
    throw propertiesFault('properties_too_large', { file, bytes: bytes.length, maxBytes: MAX_PROPERTIES_BYTES });
  const zero = bytes.indexOf(0);
  if (zero !== -1) throw propertiesFault('properties_not_text', { file, offset: zero });

  const entries: Property[] = [];
  const linesOf = new Map<string, number[]>();
  for (const { text, line } of logicalLines(decode(bytes))) {
    if (entries.length === MAX_PROPERTIES) throw propertiesFault('properties_too_many', { file, most: MAX_PROPERTIES });
    const { rawKey, rawValue } = split(text);
    const key = unescape(rawKey, file, line);
    const value = unescape(rawValue, file, line);
    entries.push({ key, value, line, ...(hasLoneBackslash(rawValue) ? { loneBackslash: true as const } : {}) });
    const lines = linesOf.get(key);
    if (lines === undefined) linesOf.set(key, [line]);
    else lines.push(line);
  }
  const duplicates = [...linesOf].filter(([, lines]) => lines.length > 1).map(([key, lines]) => ({ key, lines }));
  return { file, entries, duplicates };
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // Java up to 8 knows ISO-8859-1 only, so an old file with umlauts is not UTF-8. TextDecoder's "latin1" would be
    // windows-1252.
    return Buffer.from(bytes).toString('latin1');
  }
}

interface LogicalLine {
  readonly text: string;
  /** The natural lines that it is in, counted from 1. */
  readonly line: number;
  readonly through: number;
}

/** Joins continued lines. The order of the rules is that of Properties.LineReader.readLine in the JDK. */
function* logicalLines(text: string): Generator<LogicalLine> {
  let joined = '';
  let begin = 0;
  let continued = false;
  let last = 0;
  for (const [index, natural] of text.split(/\r\n|\n|\r/).entries()) {
    const part = natural.replace(/^[ \t\f]+/, '');
    // As long as nothing has been read of a logical line, blank lines and comments are skipped, even after a lone
    // backslash.
    last = index + 1;
    if (joined === '') {
      if (part === '' || part.startsWith('#') || part.startsWith('!')) continue;
      begin = index + 1;
    }
    continued = endsInOddBackslashes(part);
    joined += continued ? part.slice(0, -1) : part;
    if (continued) continue;
    yield { text: joined, line: begin, through: last };
    joined = '';
  }
  if (joined !== '') yield { text: joined, line: begin, through: last };
}

function endsInOddBackslashes(text: string): boolean {
  let count = 0;
  while (text[text.length - 1 - count] === '\\') count += 1;
  return count % 2 === 1;
}

/**
 * The key ends at the first `=`, `:` or white space that is not escaped; one separator and white space around it belong
 * to neither.
 */
function split(text: string): { rawKey: string; rawValue: string } {
  let end = 0;
  while (end < text.length && !/[=: \t\f]/.test(text.charAt(end))) end += text[end] === '\\' ? 2 : 1;
  const rest = text.slice(end);
  return { rawKey: text.slice(0, end), rawValue: rest.replace(/^[ \t\f]*[=:]?[ \t\f]*/, '') };
}

/** Escapes are taken in pairs from the left, as `unescape` does. \uXXXX is one that is meant. */
function hasLoneBackslash(raw: string): boolean {
  for (const [, next = ''] of raw.matchAll(/\\([\s\S])/g)) if (/[a-tv-zA-Z0-9]/.test(next)) return true;
  return false;
}

const CONTROLS: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' };

function unescape(raw: string, file: string, line: number): string {
  return raw.replaceAll(
    /\\(?:u([0-9a-fA-F]{4})|([\s\S])|$)/g,
    (_, hex: string | undefined, other: string | undefined) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      // The text is not shown: it may be part of a password.
      if (other === 'u') throw propertiesFault('properties_bad_escape', { file, line });
      return other === undefined ? '' : (CONTROLS[other] ?? other);
    },
  );
}

/** As they are in a line; without a separator the value begins behind white space. */
const KEY_AND_SEPARATOR = /^[ \t\f]*(?:\\.|[^=: \t\f\\\r\n])+(?:[ \t\f]*[=:][ \t\f]*|[ \t\f]+)/;

/**
 * The file with other values: null removes a key. Everything else stays as it is, comments, order and line ends; a
 * value takes the place of the last line of its key, a new key comes at the end.
 */
export function editProperties(bytes: Uint8Array, changes: ReadonlyMap<string, string | null>): Buffer {
  const whole = decode(bytes);
  const mark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? '\u{feff}' : '';
  const isUtf8 = Buffer.from(mark + whole).equals(bytes);
  const lines = whole.split(/(?<=\r\n|\n|\r(?!\n))/);
  const end = /\r\n|\n|\r/.exec(whole)?.[0] ?? '\n';
  const places = new Map<string, LogicalLine[]>();
  for (const logical of logicalLines(whole)) {
    const key = unescape(split(logical.text).rawKey, 'the file', logical.line);
    places.set(key, [...(places.get(key) ?? []), logical]);
  }
  const separator = /^[^#!\s][^=:\s]*( *[=:] *)/m.exec(whole)?.[1] ?? '=';
  const appended: string[] = [];
  for (const [key, value] of changes) {
    const found = places.get(key) ?? [];
    const text = value === null ? '' : escapeValue(value, isUtf8);
    if (found.length === 0 && value !== null) appended.push(`${escapeKey(key)}${separator}${text}${end}`);
    for (const [index, { line: from, through }] of found.entries()) {
      if (value !== null && index < found.length - 1) continue;
      const hasEnd = /[\r\n]$/.test(lines[through - 1] ?? '');
      const start = KEY_AND_SEPARATOR.exec(lines[from - 1] ?? '')?.[0] ?? `${escapeKey(key)}${separator}`;
      for (let at = from; at <= through; at += 1) lines[at - 1] = '';
      if (value !== null) lines[from - 1] = start + text + (hasEnd ? end : '');
    }
  }
  const kept = lines.join('');
  const gap = appended.length > 0 && kept !== '' && !/[\r\n]$/.test(kept) ? end : '';
  const edited = mark + kept + gap + appended.join('');
  return Buffer.from(edited, isUtf8 ? 'utf8' : 'latin1');
}

function escapeKey(key: string): string {
  return key.replaceAll(/[=: \t\f\\#!]/g, String.raw`\$&`);
}

/** What the encoding of the file cannot hold, and what would end the line, is written as \uXXXX. */
function escapeValue(value: string, isUtf8: boolean): string {
  return (
    value
      .replaceAll('\\', '\\\\')
      .replace(/^ /, String.raw`\ `)
      // eslint-disable-next-line no-control-regex -- the pattern finds control characters
      .replaceAll(isUtf8 ? /[\0-\x1f]/g : /[^\x20-\xff]/g, unicodeEscape)
  );
}

function unicodeEscape(unit: string): string {
  return String.raw`\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
