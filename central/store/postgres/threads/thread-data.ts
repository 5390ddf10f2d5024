// What the threads of the store in PostgreSQL are started with, and what they say of it besides answers.
export interface ThreadData {
  readonly url: string;
  /** The address of threads/postgres-connection. */
  readonly connectionThread: string;
  readonly node: { readonly name: string; readonly generation: number };
  readonly deduplicationMs: number;
  readonly namesOfCentral: readonly string[];
}

/** PostgreSQL cannot be reached, as it was found; null: it can again. */
export interface AwayReport {
  readonly found: string | null;
}
