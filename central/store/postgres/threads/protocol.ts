// The messages between a database thread and the thread of its connection.
import type { MessagePort } from 'node:worker_threads';
import type { Row } from '../../../../shared/sqlite/row.ts';

export interface ConnectionData {
  readonly port: MessagePort;
  /** Grows by one with each reply. */
  readonly signal: Int32Array<SharedArrayBuffer>;
  readonly url: string;
}

/** With its number, by which a thread that gave up waiting tells a late reply from the one that it waits for. */
export interface Numbered<T> {
  readonly number: number;
  readonly what: T;
}

export type Request =
  | { readonly kind: 'connect' }
  | { readonly kind: 'close' }
  | { readonly kind: 'query'; readonly sql: string; readonly values: readonly unknown[]; readonly withinMs: number };

export type Reply =
  | { readonly kind: 'rows'; readonly rows: Row[]; readonly changes: number }
  /** The statement is at fault: nothing of it was carried out, and the connection works. */
  | { readonly kind: 'refused'; readonly sqlState: string; readonly found: string }
  /** The connection is gone. `isUnknown`: the statement may have been carried out. */
  | { readonly kind: 'away'; readonly found: string; readonly isUnknown: boolean };
