// Reads the columns of a row, which may hold anything, as values of the expected types.
import type { SQLOutputValue } from 'node:sqlite';
import { databaseFault } from './errors.ts';

export type Row = Record<string, SQLOutputValue>;

export function integer(row: Row | undefined, column: string): number {
  const value = row?.[column];
  return typeof value === 'number' ? value : unexpectedType(row, column);
}

export function integerOrNull(row: Row | undefined, column: string): number | null {
  const value = row?.[column];
  return value === null || typeof value === 'number' ? value : unexpectedType(row, column);
}

export function text(row: Row | undefined, column: string): string {
  const value = row?.[column];
  return typeof value === 'string' ? value : unexpectedType(row, column);
}

export function textOrNull(row: Row | undefined, column: string): string | null {
  const value = row?.[column];
  return value === null || typeof value === 'string' ? value : unexpectedType(row, column);
}

export function blob(row: Row | undefined, column: string): Uint8Array {
  const value = row?.[column];
  return value instanceof Uint8Array ? value : unexpectedType(row, column);
}

/** Rows of `SELECT state, count(*) AS rows ... GROUP BY state` as a count for every state. */
export function countsByState<S extends string>(
  states: readonly S[],
  rows: readonly Row[],
): Readonly<Record<S, number>> {
  const counts = new Map(rows.map((row) => [text(row, 'state'), integer(row, 'rows')]));
  return Object.fromEntries(states.map((state) => [state, counts.get(state) ?? 0])) as Record<S, number>;
}

/** Tables are STRICT: a value of another type, or a row that must be there and is not, means damage. */
function unexpectedType(row: Row | undefined, column: string): never {
  throw databaseFault('data_damaged', {
    path: 'The database',
    found: row === undefined ? `the row with ${column} is missing` : `${column} is ${typeof row[column]}`,
  });
}
