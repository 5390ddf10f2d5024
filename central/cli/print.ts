// Formats answers for people: tables, facts, and values of JSON that are not checked.
import { escapeLine } from '../../shared/terminal/escape.ts';
import { isRecord } from '../../shared/wire/json-schema.ts';

/** Columns as wide as their widest cell; the last one runs free. */
export function table(header: readonly string[], rows: readonly (readonly unknown[])[], none: string): string {
  if (rows.length === 0) return none;
  const cells = [header.map((name) => name.toUpperCase()), ...rows.map((row) => row.map((value) => shown(value)))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
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
