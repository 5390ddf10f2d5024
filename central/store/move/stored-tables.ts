// What moving a store needs of the embedded one: its tables, row by row.

export interface StoredTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: number;
}

export interface StoredTables {
  readonly tables: readonly StoredTable[];
  /** The values of each row in the order of the columns. */
  rows(table: string): Iterable<readonly unknown[]>;
  /** The row with the largest value of this column, as an object; undefined: the table has no rows, or does not exist. */
  last(table: string, column: string): Readonly<Record<string, unknown>> | undefined;
  /** The last number that a table has given, of rows that are gone too; 0: it gives none of them twice by itself. */
  lastNumber(table: string): number;
}
