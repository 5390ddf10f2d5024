// Formats answers for people: tables, facts, and values of JSON that are not checked.
import { escapeLine } from '../../shared/terminal/escape.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';

/** How a table is shown. */
interface TableStyle {
  /** Whole ids, and lines of any length. */
  readonly isWide: boolean;
  /** Of the terminal; undefined: not a terminal, where nothing is cut. */
  readonly width: number | undefined;
}

/** Columns with ids of agents: a prefix of 8 or more digits is enough for every command. */
const ID_COLUMNS = new Set(['id', 'agent']);
const LONG_ID = /^[0-9a-f]{32,}$/;
const SHORT_ID_DIGITS = 8;

/** Columns as wide as their widest cell; the last one runs free. */
export function table(
  header: readonly string[],
  rows: readonly (readonly unknown[])[],
  none: string,
  { isWide, width }: TableStyle,
): string {
  if (rows.length === 0) return none;
  const shownRows = rows.map((row) => row.map((value) => shown(value)));
  if (!isWide) for (const [column, name] of header.entries()) if (ID_COLUMNS.has(name)) shortenIds(shownRows, column);
  const cells = [header.map((name) => name.toUpperCase()), ...shownRows];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  const lines = cells.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return lines.map((line) => (isWide || width === undefined ? line : cut(line, width))).join('\n');
}

/** Cuts the ids of a column to as many digits as tell them apart. */
function shortenIds(rows: string[][], column: number): void {
  const ids = [...new Set(rows.map((row) => row[column] ?? ''))].filter((id) => LONG_ID.test(id)).toSorted();
  // Sorted, an id has most digits in common with a neighbor.
  const common = ids.map((id, i) => commonDigits(id, ids[i + 1] ?? ''));
  const digits = Math.max(SHORT_ID_DIGITS, ...common.map((count) => count + 1));
  for (const row of rows) if (LONG_ID.test(row[column] ?? '')) row[column] = (row[column] ?? '').slice(0, digits);
}

function commonDigits(one: string, other: string): number {
  let count = 0;
  while (count < one.length && one[count] === other[count]) count += 1;
  return count;
}

function cut(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(width - 1, 1)).trimEnd()}\u2026`;
}

/** Names and values, one a line. */
export function facts(pairs: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${shown(value)}`).join('\n');
}

/** A value of an answer as text; what is not there is a dash. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  const text = Array.isArray(value)
    ? value.map((item) => shown(item)).join(', ') || '-'
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);
  // Names come from elsewhere: nothing in them may act on a terminal, nor begin another line or cell.
  return escapeLine(text);
}

/** A thumbprint in the notation of keytool and openssl, to be compared by eye. */
export function fingerprint(value: unknown): string {
  return shown(value)
    .toUpperCase()
    .replaceAll(/([0-9A-F]{2})(?=[0-9A-F])/g, '$1:');
}

/** A member of an answer that has to be a list of objects. */
export function rowsOf(answer: unknown, member: string): readonly Readonly<Record<string, unknown>>[] {
  const rows = recordOf(answer)[member];
  return Array.isArray(rows) ? rows.map((row) => recordOf(row)) : [];
}

/** An object of an answer; what is none is empty, and shows as dashes. */
export function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return isRecord(value) ? value : {};
}
