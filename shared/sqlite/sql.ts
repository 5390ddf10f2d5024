// What the rows of a store need of their database: SQLite gives it as it is, and central/store/postgres/ over a
// connection. Their SQL is what both engines understand; a call runs to its end without giving way.
import type { Row } from './row.ts';

export type SqlValue = null | number | string | Uint8Array;

export interface SqlStatement {
  /** The first row; undefined: there is none. */
  get(...values: SqlValue[]): Row | undefined;
  all(...values: SqlValue[]): Row[];
  iterate(...values: SqlValue[]): Iterable<Row>;
  run(...values: SqlValue[]): { readonly changes: number | bigint };
}

export interface SqlDatabase {
  /** Values are `?` in their order, or `?1`, `?2` and so on. */
  prepare(sql: string): SqlStatement;
  exec(sql: string): void;
  readonly isTransaction: boolean;
}
